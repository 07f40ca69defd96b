//go:build giouring

package uring

import (
	"testing"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"
)

// Every entry this package encodes equals giouring's encoding of the same
// operation, given an entry that was zeroed before: giouring's helpers leave
// fields of the last use in place (TestGiouringLeavesStaleFields).
func TestEncodingsEqualGiouring(t *testing.T) {
	p := arena(t, 4096)
	addr := uintptr(unsafe.Pointer(&p[0]))
	type entry = giouring.SubmissionQueueEntry
	for _, tc := range []struct {
		name   string
		ours   func(s *SQE)
		theirs func(s *entry)
	}{
		{"nop", (*SQE).PrepNop, (*entry).PrepareNop},
		{"accept",
			func(s *SQE) { s.PrepAccept(5, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC) },
			func(s *entry) { s.PrepareAccept(5, 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC) }},
		{"recv",
			func(s *SQE) { s.PrepRecv(5, 9) },
			func(s *entry) {
				s.PrepareRecv(5, 0, 0, 0)
				s.Flags |= giouring.SqeBufferSelect
				s.BufIG = 9
			}},
		{"recv multishot",
			func(s *SQE) { s.PrepRecvMultishot(5, 9) },
			func(s *entry) {
				s.PrepareRecvMultishot(5, 0, 0, 0)
				s.Flags |= giouring.SqeBufferSelect
				s.BufIG = 9
			}},
		{"send",
			func(s *SQE) { s.PrepSend(5, p[:100], unix.MSG_WAITALL|unix.MSG_NOSIGNAL) },
			func(s *entry) { s.PrepareSend(5, addr, 100, unix.MSG_WAITALL|unix.MSG_NOSIGNAL) }},
		{"send nothing",
			func(s *SQE) { s.PrepSend(5, nil, 0) },
			func(s *entry) { s.PrepareSend(5, 0, 0, 0) }},
		{"read",
			func(s *SQE) { s.PrepRead(5, p, 1<<40) },
			func(s *entry) { s.PrepareRead(5, addr, 4096, 1<<40) }},
		{"read by a worker",
			func(s *SQE) { s.PrepRead(5, p, 0); s.Flags |= SQEAsync },
			func(s *entry) { s.PrepareRead(5, addr, 4096, 0); s.SetFlags(uint32(giouring.SqeAsync)) }},
		{"write",
			func(s *SQE) { s.PrepWrite(5, p, 1<<40) },
			func(s *entry) { s.PrepareWrite(5, addr, 4096, 1<<40) }},
		{"datasync",
			func(s *SQE) { s.PrepDatasync(5) },
			func(s *entry) { s.PrepareFsync(5, giouring.FsyncDatasync) }},
		{"fadvise",
			func(s *SQE) { s.PrepFadvise(5, 4096, 8192, unix.FADV_WILLNEED) },
			func(s *entry) { s.PrepareFadvise(5, 4096, 8192, unix.FADV_WILLNEED) }},
		{"poll",
			func(s *SQE) { s.PrepPoll(5, unix.POLLOUT) },
			func(s *entry) { s.PreparePollAdd(5, unix.POLLOUT) }},
		{"poll multishot",
			func(s *SQE) { s.PrepPollMultishot(5, unix.POLLIN) },
			func(s *entry) { s.PreparePollMultishot(5, unix.POLLIN) }},
		{"cancel",
			func(s *SQE) { s.PrepCancel(1<<63 | 7) },
			func(s *entry) { s.PrepareCancel64(1<<63|7, 0) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var ours SQE
			var theirs entry
			tc.ours(&ours)
			tc.theirs(&theirs)
			ours.UserData, theirs.UserData = 42, 42
			if got, want := *(*[64]byte)(unsafe.Pointer(&ours)), *(*[64]byte)(unsafe.Pointer(&theirs)); got != want {
				t.Errorf("encodings differ\n ours     %x\n giouring %x", got, want)
			}
		})
	}
}

// Why SQE zeroes: giouring's PrepareWrite in the slot of a poll keeps the poll
// mask as write flags, and the kernel refuses the write. The day this fails,
// giouring has been mended.
func TestGiouringLeavesStaleFields(t *testing.T) {
	var s giouring.SubmissionQueueEntry
	s.PreparePollAdd(5, unix.POLLIN)
	s.PrepareWrite(5, 0, 0, 0)
	if s.OpcodeFlags != unix.POLLIN {
		t.Errorf("flags %#x: giouring no longer leaves the last use in place", s.OpcodeFlags)
	}
}

// Constants that both sides define.
func TestConstantsEqualGiouring(t *testing.T) {
	for name, pair := range map[string][2]uint64{
		"SetupCQSize":       {SetupCQSize, uint64(giouring.SetupCQSize)},
		"SetupSubmitAll":    {SetupSubmitAll, uint64(giouring.SetupSubmitAll)},
		"SetupCoopTaskrun":  {SetupCoopTaskrun, uint64(giouring.SetupCoopTaskrun)},
		"SetupSingleIssuer": {SetupSingleIssuer, uint64(giouring.SetupSingleIssuer)},
		"SetupDeferTaskrun": {SetupDeferTaskrun, uint64(giouring.SetupDeferTaskrun)},
		"CQEBuffer":         {CQEBuffer, uint64(giouring.CQEFBuffer)},
		"CQEMore":           {CQEMore, uint64(giouring.CQEFMore)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %#x, giouring %#x", name, pair[0], pair[1])
		}
	}
}

// Where giouring is wrong, apart from the stale fields, with the version in
// go.mod (2023-08-26); nothing of this is used here.
//
//   - UnregisterRingFd: inverted condition, always EINVAL after a success.
//   - PrepareTimeout, PrepareLinkTimeout, TimeoutRemove, TimeoutUpdate: the
//     address of a pointer or of a dead local instead of the time.
//   - PrepareOpenat and relatives, PrepareStatx, Mkdir, Rename, Link, xattr,
//     PrepareSendto, SendZC, FilesUpdate: the address of a slice header; SendZC
//     sends process memory.
//   - PrepareOpenat2, PrepareMsgRingFd: wrong operation or argument.
//   - PreparePollAdd: the mask is not put into the order of big-endian machines.
//   - RegisterFiles, RegisterIOWQMaxWorkers: 64-bit elements where the kernel
//     reads 32-bit ones, errors swallowed.
//   - BufRingAdd: 16-bit product, wrong slots above 4096 entries;
//     BufRingCQAdvance: a tail published without ordering. Buffers is ours.
//   - Params has no exported fields: the size of the completion queue needs the
//     cast in ring_giouring.go.
func TestGiouringUnregister(t *testing.T) {
	r := newRing(t, Options{})
	if _, err := r.g.RegisterRingFd(); err != nil {
		t.Skipf("registering: %v", err)
	}
	if _, err := r.g.UnregisterRingFd(); err == nil {
		t.Error("UnregisterRingFd works: ring_giouring.go may register its ring")
	}
}
