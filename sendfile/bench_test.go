package sendfile

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The benchmarks compare the two ways at the sizes around the thresholds. Read
// the cpu-µs/op column: the CPU time of the sending thread alone; the peer
// drops what it gets without copying it, on a thread of its own.
//
//	go test -bench . ./sendfile
//
// On a 2-CPU AMD Zen 5 VM, Linux 6.18, loopback, CPU of reading and sending
// against sendfile: one range of 4 KiB 0.96, 16 KiB 1.17, 32 KiB 1.36; a
// response of 256 KiB in pieces with 60-byte headers, against one sendfile of
// 256 KiB: pieces of 16 KiB by sendfile 3.9, copied 1.5; of 64 KiB 1.50 and
// 1.46. Loopback charges the receiver's work to the sender, so over a network
// card sendfile gains more.

const headBytes = 60

// sink drops everything that arrives at fd until it is shut down.
func sink(fd int) {
	p := make([]byte, 1<<20)
	for {
		n, _, err := unix.Recvfrom(fd, p, unix.MSG_TRUNC)
		if err != nil || n == 0 {
			return
		}
	}
}

// sender is the measured side: a socket, a file in the page cache and a buffer.
type sender struct {
	b    *testing.B
	sock int
	file *os.File
	buf  []byte
}

func newSender(b *testing.B) *sender {
	f, _ := tempFile(b, 1<<20)
	s, peer := pair(b)
	go sink(peer)
	return &sender{b, s, f, make([]byte, 1<<20)}
}

// again waits for room in the socket.
func (s *sender) again() {
	fds := []unix.PollFd{{Fd: int32(s.sock), Events: unix.POLLOUT}}
	if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
		s.b.Fatal(err)
	}
}

func (s *sender) write(p []byte, flags int) {
	for len(p) > 0 {
		n, err := unix.SendmsgN(s.sock, p, nil, nil, flags)
		switch err {
		case nil:
			p = p[n:]
		case unix.EAGAIN:
			s.again()
		default:
			s.b.Fatal(err)
		}
	}
}

func (s *sender) sendfile(off int64, n int) {
	for n > 0 {
		k, err := Send(s.sock, int(s.file.Fd()), off, n)
		off, n = off+int64(k), n-k
		if errors.Is(err, ErrAgain) {
			s.again()
		} else if err != nil {
			s.b.Fatal(err)
		}
	}
}

func (s *sender) read(p []byte, off int64) {
	if _, err := s.file.ReadAt(p, off); err != nil {
		s.b.Fatal(err)
	}
}

// measure runs op and reports the CPU time of this thread per call.
func (s *sender) measure(op func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadCPU(s.b)
	for s.b.Loop() {
		op()
	}
	s.b.ReportMetric(float64((threadCPU(s.b)-before).Nanoseconds())/1e3/float64(s.b.N), "cpu-µs/op")
	unix.Shutdown(s.sock, unix.SHUT_RDWR)
}

func threadCPU(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkSingleRange is a response with one range: CopyThreshold.
func BenchmarkSingleRange(b *testing.B) {
	for _, n := range []int{4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB/sendfile", n>>10), func(b *testing.B) {
			s := newSender(b)
			b.SetBytes(int64(n))
			s.measure(func() {
				s.write(s.buf[:headBytes], unix.MSG_MORE)
				s.sendfile(0, n)
			})
		})
		b.Run(fmt.Sprintf("%dKiB/copy", n>>10), func(b *testing.B) {
			s := newSender(b)
			b.SetBytes(int64(n))
			s.measure(func() {
				s.read(s.buf[headBytes:headBytes+n], 0)
				s.write(s.buf[:headBytes+n], 0)
			})
		})
	}
}

// BenchmarkManyRanges is a response of 256 KiB in equal ranges, each behind a
// small header: MultiCopyThreshold.
func BenchmarkManyRanges(b *testing.B) {
	const total = 256 << 10
	for _, n := range []int{16 << 10, 32 << 10, 64 << 10, 128 << 10} {
		b.Run(fmt.Sprintf("%dKiB/sendfile", n>>10), func(b *testing.B) {
			s := newSender(b)
			b.SetBytes(total)
			s.measure(func() {
				for off := 0; off < total; off += n {
					s.write(s.buf[:headBytes], unix.MSG_MORE)
					s.sendfile(int64(off), n)
				}
			})
		})
		b.Run(fmt.Sprintf("%dKiB/copy", n>>10), func(b *testing.B) {
			s := newSender(b)
			b.SetBytes(total)
			s.measure(func() {
				at := 0
				for off := 0; off < total; off += n {
					at += headBytes
					s.read(s.buf[at:at+n], int64(off))
					at += n
				}
				s.write(s.buf[:at], 0)
			})
		})
	}
}
