//go:build giouring

package uring

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

// Implementation names the code behind Ring.
const Implementation = "giouring"

// Ring is one io_uring, here on giouring, with these differences from the built
// in one: the descriptor is not registered (giouring cannot take a registration
// back: UnregisterRingFd has its condition inverted), a timed Wait allocates,
// and Counters.Overflow counts the times an overflow was seen, because giouring
// does not show the kernel's counter. Errors of unmapping are lost in it.
type Ring struct {
	g     *giouring.Ring
	flags uint32
	ts    *syscall.Timespec // in args: the kernel reads it by address
	args  []byte
	count Counters
}

// Layouts must agree: entries are filled through our type, and the parameters
// are private fields of giouring's.
var (
	_ [unsafe.Sizeof(SQE{})]byte    = [unsafe.Sizeof(giouring.SubmissionQueueEntry{})]byte{}
	_ [unsafe.Sizeof(params{})]byte = [unsafe.Sizeof(giouring.Params{})]byte{}
)

// New makes a ring. The error wraps the errno of the call that failed last; use
// Available for a reason fit for a log.
func New(o Options) (*Ring, error) {
	if err := o.ensureDefaults(); err != nil {
		return nil, err
	}
	args, err := Map(int(unsafe.Sizeof(syscall.Timespec{})))
	if err != nil {
		return nil, err
	}
	r := &Ring{args: args, ts: (*syscall.Timespec)(unsafe.Pointer(&args[0]))}
	for _, flags := range o.setups() {
		p := params{flags: flags, cqEntries: o.CQEntries}
		r.g = giouring.NewRing()
		if err = r.g.QueueInitParams(o.Entries, (*giouring.Params)(unsafe.Pointer(&p))); err == nil {
			r.flags = p.flags
			return r, nil
		}
		if !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	return nil, errors.Join(os.NewSyscallError("io_uring_setup", err), Unmap(args))
}

// Close releases the ring. Operations in flight are cancelled by the kernel
// later; their memory must stay mapped, so end them first.
func (r *Ring) Close() error {
	r.g.QueueExit()
	err := Unmap(r.args)
	*r = Ring{}
	return err
}

// SetupFlags are the flags the kernel accepted (Setup*).
func (r *Ring) SetupFlags() uint32 { return r.flags }

// Pending is the number of entries filled and not submitted.
func (r *Ring) Pending() int { return int(r.g.SQReady()) }

// SQE returns a zeroed entry to fill; the next Wait or Submit sends it. When the
// queue is full it is submitted first, and the error is the kernel's when that
// makes no room.
func (r *Ring) SQE() (*SQE, error) {
	g := r.g.GetSQE()
	if g == nil {
		if err := r.Submit(); err != nil {
			return nil, err
		}
		g = r.g.GetSQE()
	}
	*g = giouring.SubmissionQueueEntry{} // GetSQE leaves the last use in it
	return (*SQE)(unsafe.Pointer(g)), nil
}

// Submit sends what is pending without waiting. It fails when the kernel takes
// nothing: EAGAIN for lack of memory, EBUSY when completions must be taken first.
func (r *Ring) Submit() error {
	for r.Pending() > 0 {
		err := r.enter(func() error { _, err := r.g.Submit(); return err })
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return nil
}

// Wait submits what is pending, runs what the kernel has finished, and waits
// until n completions are there or timeout has passed: 0 does not wait,
// NoTimeout waits for ever. It returns nil also when the time was up or a
// signal came: the completions tell.
func (r *Ring) Wait(n int, timeout time.Duration) error {
	err := r.enter(func() error {
		switch {
		case timeout == 0 || r.g.CQReady() >= uint32(n):
			_, err := r.g.SubmitAndGetEvents()
			return err
		case timeout < 0:
			_, err := r.g.SubmitAndWait(uint32(n))
			return err
		}
		*r.ts = syscall.NsecToTimespec(int64(timeout))
		_, err := r.g.SubmitAndWaitTimeout(uint32(n), r.ts, nil)
		return err
	})
	if err != nil && !expected(err) {
		return err
	}
	return nil
}

// enter counts around a call that submits.
func (r *Ring) enter(f func() error) error {
	before := r.Pending()
	r.count.Enters++
	err := f()
	r.count.Submitted += uint64(before - r.Pending())
	if r.g.CQHasOverflow() {
		r.count.Overflow++
	}
	if err != nil {
		return os.NewSyscallError("io_uring_enter", err)
	}
	return nil
}

// Next takes one completion; ok is false when there is none. Completions appear
// only during Wait.
func (r *Ring) Next() (c CQE, ok bool) {
	if r.g.CQReady() == 0 {
		return CQE{}, false
	}
	g, err := r.g.PeekCQE()
	if err != nil {
		return CQE{}, false
	}
	c = CQE{UserData: g.UserData, Res: g.Res, Flags: g.Flags}
	r.g.CQESeen(g)
	r.count.Completed++
	return c, true
}

// Counters returns the ring's counters.
func (r *Ring) Counters() Counters { return r.count }

func (r *Ring) registerBuffers(reg *bufferRingReg) error {
	_, err := r.g.RegisterBufferRing(&giouring.BufReg{RingAddr: reg.addr, RingEntries: reg.entries, Bgid: reg.group}, 0)
	return err
}

func (r *Ring) unregisterBuffers(reg *bufferRingReg) error {
	_, err := r.g.UnregisterBufferRing(int(reg.group))
	return err
}

// supports reports that the kernel knows all of the operations.
func (r *Ring) supports(ops ...Op) (bool, error) {
	p, err := r.g.GetProbeRing()
	if err != nil {
		return false, err
	}
	for _, op := range ops {
		if !p.IsSupported(uint8(op)) {
			return false, nil
		}
	}
	return true, nil
}
