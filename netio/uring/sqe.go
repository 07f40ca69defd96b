package uring

import "unsafe"

// The helpers below fill an entry that Ring.SQE has zeroed. None keeps a Go
// pointer: buffers are named by address, so their owner keeps them mapped.

// PrepNop completes at once with 0.
func (s *SQE) PrepNop() { s.Op, s.Fd = OpNop, -1 }

// PrepAccept accepts one socket from listening socket fd. flags are those of
// accept4(2).
func (s *SQE) PrepAccept(fd int, flags uint32) {
	s.Op, s.Fd, s.OpFlags = OpAccept, int32(fd), flags
}

// PrepRecvMultishot receives from socket fd into buffers of a group until the
// stream ends, the group is empty (-ENOBUFS), it fails or is cancelled: one
// completion per buffer, with CQEMore while it goes on. Linux 6.0.
func (s *SQE) PrepRecvMultishot(fd int, group uint16) {
	s.Op, s.Fd, s.IoPrio = OpRecv, int32(fd), recvMultishot
	s.Flags, s.BufGroup = SQEBufferSelect, group
}

// PrepRecv receives from socket fd once, into one buffer of a group.
func (s *SQE) PrepRecv(fd int, group uint16) {
	s.Op, s.Fd = OpRecv, int32(fd)
	s.Flags, s.BufGroup = SQEBufferSelect, group
}

// PrepSend sends p to socket fd with the flags of send(2). With MSG_WAITALL the
// kernel waits and goes on by itself until all of p is taken (Linux 5.19).
func (s *SQE) PrepSend(fd int, p []byte, flags uint32) {
	s.Op, s.Fd, s.OpFlags = OpSend, int32(fd), flags
	s.Addr, s.Len = addressOf(p), uint32(len(p))
}

// PrepRead reads into p from byte offset off of file fd. Set SQEAsync in Flags
// for a range that is not in the page cache: without it the submission itself
// allocates the pages and starts the input.
func (s *SQE) PrepRead(fd int, p []byte, off int64) {
	s.Op, s.Fd, s.Off = OpRead, int32(fd), uint64(off)
	s.Addr, s.Len = addressOf(p), uint32(len(p))
}

// PrepWrite writes p at byte offset off of file fd.
func (s *SQE) PrepWrite(fd int, p []byte, off int64) {
	s.Op, s.Fd, s.Off = OpWrite, int32(fd), uint64(off)
	s.Addr, s.Len = addressOf(p), uint32(len(p))
}

// PrepDatasync makes the data of file fd durable, as fdatasync(2).
func (s *SQE) PrepDatasync(fd int) {
	s.Op, s.Fd, s.OpFlags = OpFsync, int32(fd), fsyncDatasync
}

// PrepFadvise gives posix_fadvise(2) advice for n bytes from off; it always runs
// on a worker, and its completion says that the work has begun.
func (s *SQE) PrepFadvise(fd int, off int64, n uint32, advice uint32) {
	s.Op, s.Fd, s.Off, s.Len, s.OpFlags = OpFadvise, int32(fd), uint64(off), n, advice
}

// PrepPoll waits once for events (POLL*) on fd; the completion carries those
// that came.
func (s *SQE) PrepPoll(fd int, events uint32) {
	s.Op, s.Fd, s.OpFlags = OpPollAdd, int32(fd), pollMask(events)
}

// PrepPollMultishot is PrepPoll for every further wake-up as well, with CQEMore
// while it goes on.
func (s *SQE) PrepPollMultishot(fd int, events uint32) {
	s.PrepPoll(fd, events)
	s.Len = pollMultishot
}

// PrepCancel asks the operation with the given user data to end. Its own
// completion says 0, -ENOENT (not found) or -EALREADY (past cancelling); the
// operation completes in any case, with -ECANCELED when it was in time.
func (s *SQE) PrepCancel(userData uint64) {
	s.Op, s.Fd, s.Addr = OpAsyncCancel, -1, userData
}

// addressOf is the address of p, 0 when it is empty.
func addressOf(p []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))) }

var littleEndian = func() bool {
	x := uint16(1)
	return *(*byte)(unsafe.Pointer(&x)) == 1
}()

// pollMask puts a 32-bit poll mask into the order the kernel expects: the two
// halves are swapped on big-endian machines, where an older 16-bit field lies.
func pollMask(events uint32) uint32 {
	if littleEndian {
		return events
	}
	return events<<16 | events>>16
}
