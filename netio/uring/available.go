package uring

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// UnavailableError says why this machine gives us no io_uring, or not one that
// an event loop can use.
type UnavailableError struct {
	Step   string // what was tried
	Reason string // in words for an operator
	Err    error  // nil when the kernel merely lacks a feature
}

func (e *UnavailableError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Step, e.Reason)
	}
	return fmt.Sprintf("%s: %v (%s)", e.Step, e.Err, e.Reason)
}

// Unwrap is the errno of the failed call.
func (e *UnavailableError) Unwrap() error { return e.Err }

// disabledFile is kernel.io_uring_disabled: 1 denies unprivileged processes
// outside a group, 2 everybody.
const disabledFile = "/proc/sys/kernel/io_uring_disabled"

// reasonFor explains the errno of a call to an operator.
func reasonFor(err error) string {
	switch {
	case errors.Is(err, unix.ENOSYS):
		return "the kernel has no io_uring, or a seccomp filter hides it"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		if b, err := os.ReadFile(disabledFile); err == nil {
			if v := strings.TrimSpace(string(b)); v != "0" {
				return "kernel.io_uring_disabled is " + v
			}
		}
		return "denied by a seccomp filter or security module, as container runtimes do by default"
	case errors.Is(err, unix.ENOMEM):
		return "out of memory or over the limit of locked memory"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return "out of file descriptors"
	case errors.Is(err, unix.EINVAL):
		return "the kernel is too old"
	}
	return "unexpected"
}

func unavailable(step string, err error) error {
	if err == nil {
		return nil
	}
	return &UnavailableError{Step: step, Reason: reasonFor(err), Err: err}
}

// Available reports whether an event loop can run on io_uring here: nil, or an
// *UnavailableError. The first call makes a small ring with a buffer group,
// checks the operations, runs one through, and takes everything down again
// (well below a millisecond); its answer stands for the life of the process.
// Any goroutine may call it.
func Available() error { return available() }

var available = sync.OnceValue(tryRing)

func tryRing() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, err := New(Options{Entries: 8, CQEntries: 16})
	if err != nil {
		return unavailable("setting up a ring", err)
	}
	return errors.Join(r.check(), unavailable("closing a ring", r.Close()))
}

func (r *Ring) check() error {
	if r.flags&SetupSingleIssuer == 0 {
		// Multishot receive came with 6.0 and cannot be asked for; this flag
		// set came with 6.1.
		return &UnavailableError{Step: "setting up a ring", Reason: "the kernel lacks multishot receive, Linux 6.1 has it"}
	}
	ok, err := r.supports(OpNop, OpFsync, OpPollAdd, OpAccept, OpAsyncCancel, OpRead, OpSend, OpRecv)
	if err != nil {
		return unavailable("asking for the operations", err)
	}
	if !ok {
		return &UnavailableError{Step: "asking for the operations", Reason: "the kernel lacks one that is needed"}
	}
	b, err := r.NewBuffers(0, 2, 64)
	if err != nil {
		return unavailable("providing buffers", err)
	}
	return errors.Join(r.tryNop(), unavailable("taking buffers back", b.Close()))
}

func (r *Ring) tryNop() error {
	s, err := r.SQE()
	if err != nil {
		return unavailable("submitting", err)
	}
	s.PrepNop()
	s.UserData = 1
	if err := r.Wait(1, time.Second); err != nil {
		return unavailable("waiting for a completion", err)
	}
	if c, ok := r.Next(); !ok || c.Res != 0 || c.UserData != 1 {
		return &UnavailableError{Step: "running an operation", Reason: fmt.Sprintf("completion %+v, present %v", c, ok)}
	}
	return nil
}
