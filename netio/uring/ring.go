//go:build !giouring

package uring

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Implementation names the code behind Ring.
const Implementation = "built in"

// Ring is one io_uring. See the package comment for who may use it.
type Ring struct {
	fd       int
	enterFd  uintptr // fd, or its index once registered
	enterReg uintptr // enterRegisteredRing then
	flags    uint32

	ringMem, sqeMem []byte

	sqHead, sqTail *uint32 // kernel's head, our published tail
	sqes           []SQE
	sqMask         uint32
	next           uint32 // tail with the entries not published yet

	cqHead, cqTail *uint32
	cqes           []CQE
	cqMask         uint32
	head           uint32 // ours, published by Wait and when half the queue is taken
	overflow       *uint32

	args  *waitArgs // outside the heap, like all the kernel reads
	argsM []byte
	count Counters
}

type waitArgs struct {
	arg getEventsArg
	ts  unix.Timespec
}

// New makes a ring. The error wraps the errno of the call that failed last; use
// Available for a reason fit for a log.
func New(o Options) (*Ring, error) {
	if err := o.ensureDefaults(); err != nil {
		return nil, err
	}
	var p params
	fd, err := -1, error(nil)
	for _, flags := range o.setups() {
		p = params{flags: flags, cqEntries: o.CQEntries}
		if fd, err = setup(o.Entries, &p); !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	r := &Ring{fd: fd, enterFd: uintptr(fd), flags: p.flags}
	if err := r.mapQueues(&p); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if !o.AnyThread {
		if err := r.registerSelf(); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

func setup(entries uint32, p *params) (int, error) {
	fd, _, e := syscall.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
	if e != 0 {
		return -1, os.NewSyscallError("io_uring_setup", e)
	}
	return int(fd), nil
}

// mapQueues maps both queues (one mapping since Linux 5.4) and the entries. The
// pages are faulted in as they are used.
func (r *Ring) mapQueues(p *params) error {
	n := max(int(p.sq.array+p.sqEntries*4), int(p.cq.cqes)+int(p.cqEntries)*int(unsafe.Sizeof(CQE{})))
	var err error
	if r.ringMem, err = unix.Mmap(r.fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("uring: mapping the queues: %w", err)
	}
	n = int(p.sqEntries) * int(unsafe.Sizeof(SQE{}))
	if r.sqeMem, err = unix.Mmap(r.fd, offSQEs, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("uring: mapping the entries: %w", err)
	}
	if r.argsM, err = Map(int(unsafe.Sizeof(waitArgs{}))); err != nil {
		return err
	}
	word := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.ringMem[off])) }
	r.sqHead, r.sqTail, r.sqMask = word(p.sq.head), word(p.sq.tail), *word(p.sq.mask)
	r.cqHead, r.cqTail, r.cqMask = word(p.cq.head), word(p.cq.tail), *word(p.cq.mask)
	r.overflow = word(p.cq.overflow)
	r.sqes = unsafe.Slice((*SQE)(unsafe.Pointer(&r.sqeMem[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*CQE)(unsafe.Pointer(&r.ringMem[p.cq.cqes])), p.cqEntries)
	// Entry i of the queue is always entry i of the array.
	for i, array := uint32(0), unsafe.Slice(word(p.sq.array), p.sqEntries); i < p.sqEntries; i++ {
		array[i] = i
	}
	r.args = (*waitArgs)(unsafe.Pointer(&r.argsM[0]))
	return nil
}

// registerSelf makes the calls of this thread cheaper by naming the ring by
// index. Kernels before 5.18 cannot; nothing is lost then.
func (r *Ring) registerSelf() error {
	up := ringFDUpdate{offset: ^uint32(0), data: uint64(r.fd)}
	n, err := r.register(registerRingFDs, unsafe.Pointer(&up), 1)
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	if err != nil || n != 1 {
		return fmt.Errorf("uring: registering the ring: %d, %w", n, err)
	}
	r.enterFd, r.enterReg = uintptr(up.offset), enterRegisteredRing
	return nil
}

// Close releases the ring. Operations in flight are cancelled by the kernel
// later; their memory must stay mapped, so end them first.
func (r *Ring) Close() error {
	var errs []error
	if r.enterReg != 0 {
		// Until it is unregistered the thread would keep the ring alive.
		up := ringFDUpdate{offset: uint32(r.enterFd)}
		if _, err := r.register(unregisterRingFDs, unsafe.Pointer(&up), 1); err != nil {
			errs = append(errs, err)
		}
	}
	for _, m := range [][]byte{r.ringMem, r.sqeMem, r.argsM} {
		if m != nil {
			errs = append(errs, Unmap(m))
		}
	}
	if err := unix.Close(r.fd); err != nil {
		errs = append(errs, os.NewSyscallError("close", err))
	}
	*r = Ring{fd: -1}
	return errors.Join(errs...)
}

func (r *Ring) register(op uintptr, arg unsafe.Pointer, n uintptr) (int, error) {
	v, _, e := syscall.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), op, uintptr(arg), n, 0, 0)
	runtime.KeepAlive(arg)
	if e != 0 {
		return 0, os.NewSyscallError("io_uring_register", e)
	}
	return int(v), nil
}

// SetupFlags are the flags the kernel accepted (Setup*).
func (r *Ring) SetupFlags() uint32 { return r.flags }

// Pending is the number of entries filled and not submitted.
func (r *Ring) Pending() int { return int(r.next - atomic.LoadUint32(r.sqHead)) }

// SQE returns a zeroed entry to fill; the next Wait or Submit sends it. When the
// queue is full it is submitted first, and the error is the kernel's when that
// makes no room.
func (r *Ring) SQE() (*SQE, error) {
	if r.Pending() == len(r.sqes) {
		if err := r.Submit(); err != nil {
			return nil, err
		}
	}
	s := &r.sqes[r.next&r.sqMask]
	*s = SQE{}
	r.next++
	return s, nil
}

// Submit sends what is pending without waiting. It fails when the kernel takes
// nothing: EAGAIN for lack of memory, EBUSY when completions must be taken first.
func (r *Ring) Submit() error {
	for r.Pending() > 0 {
		err := r.enter(0, 0, NoTimeout)
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
	if timeout == 0 || r.ready() >= uint32(n) {
		n, timeout = 0, NoTimeout
	}
	if err := r.enter(uint32(n), enterGetEvents, timeout); err != nil && !expected(err) {
		return err
	}
	return nil
}

func (r *Ring) enter(wait uint32, flags uintptr, timeout time.Duration) error {
	atomic.StoreUint32(r.sqTail, r.next)
	atomic.StoreUint32(r.cqHead, r.head)
	before := atomic.LoadUint32(r.sqHead)
	var arg, size uintptr
	if timeout >= 0 {
		r.args.ts = unix.NsecToTimespec(int64(timeout))
		r.args.arg.ts = uint64(uintptr(unsafe.Pointer(&r.args.ts)))
		arg, size = uintptr(unsafe.Pointer(&r.args.arg)), unsafe.Sizeof(getEventsArg{})
		flags |= enterExtArg
	}
	r.count.Enters++
	_, _, e := syscall.Syscall6(unix.SYS_IO_URING_ENTER, r.enterFd, uintptr(r.next-before), uintptr(wait),
		flags|r.enterReg, arg, size)
	// The head tells what was taken whatever the result says.
	r.count.Submitted += uint64(atomic.LoadUint32(r.sqHead) - before)
	switch e {
	case 0:
		return nil
	case unix.ETIME:
		return errTimeout
	}
	return os.NewSyscallError("io_uring_enter", e)
}

// errTimeout ends a wait in which nothing happened, which is nothing to allocate for.
var errTimeout = os.NewSyscallError("io_uring_enter", unix.ETIME)

func (r *Ring) ready() uint32 { return atomic.LoadUint32(r.cqTail) - r.head }

// Next takes one completion; ok is false when there is none. Completions appear
// only during Wait.
func (r *Ring) Next() (c CQE, ok bool) {
	if r.ready() == 0 {
		return CQE{}, false
	}
	c = r.cqes[r.head&r.cqMask]
	r.head++
	r.count.Completed++
	if r.head&(r.cqMask>>1) == 0 {
		atomic.StoreUint32(r.cqHead, r.head)
	}
	return c, true
}

// Counters returns the ring's counters.
func (r *Ring) Counters() Counters {
	c := r.count
	c.Overflow = uint64(atomic.LoadUint32(r.overflow))
	return c
}

func (r *Ring) registerBuffers(reg *bufferRingReg) error {
	_, err := r.register(registerBufferRing, unsafe.Pointer(reg), 1)
	return err
}

func (r *Ring) unregisterBuffers(reg *bufferRingReg) error {
	_, err := r.register(unregisterBufferRing, unsafe.Pointer(reg), 1)
	return err
}

// supports reports that the kernel knows all of the operations.
func (r *Ring) supports(ops ...Op) (bool, error) {
	var p probe
	if _, err := r.register(registerProbe, unsafe.Pointer(&p), probeOps); err != nil {
		return false, err
	}
	for _, op := range ops {
		if p.ops[op].flags&probeSupported == 0 {
			return false, nil
		}
	}
	return true, nil
}
