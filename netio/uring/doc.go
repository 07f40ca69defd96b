// Package uring is a thin io_uring: set-up with fallbacks, submission entries,
// completions, provided-buffer rings, and the check whether this machine lets
// us have one at all.
//
// It knows nothing of sockets, connections or logs; netio and the engine's
// committer build on it. It is the only room that uses unsafe.
//
//	SQE()    -> Prep...()  fill entries, nothing is sent
//	Wait()                 one system call: submit all, wait, run completions
//	Next()                 take completions one by one
//
// A Ring belongs to one thread: the goroutine that calls New locks itself to its
// thread first and makes every later call, Close included, unless
// Options.AnyThread was given (then calls must be serialised). Nothing allocates
// after New.
//
// Memory that the kernel reads or writes after a call has returned (buffers of
// receives, sends and reads) must lie outside the Go heap and stay mapped until
// the completion: Map gives such memory. The helpers take slices of it and keep
// only the address.
//
// The ring behind the same surface comes from this package (ring.go) or, under
// the build tag giouring, from github.com/pawelgaczynski/giouring
// (ring_giouring.go). The latter needs -ldflags=-checklinkname=0 since Go 1.23,
// because that module pulls unexported symbols of package syscall. The entries
// are always encoded here; sqe_giouring_test.go compares them with what
// giouring encodes and lists where giouring is wrong.
//
// Source: io_uring(7), io_uring_setup(2), io_uring_enter(2),
// io_uring_register(2), include/uapi/linux/io_uring.h of Linux 6.1 to 6.18.
package uring
