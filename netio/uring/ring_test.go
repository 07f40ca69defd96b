package uring

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newRing makes a ring for one test, which stays on its thread.
func newRing(t testing.TB, o Options) *Ring {
	t.Helper()
	runtime.LockOSThread()
	r, err := New(o)
	if err != nil {
		runtime.UnlockOSThread()
		if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
			t.Skipf("io_uring: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
	return r
}

func sqe(t testing.TB, r *Ring) *SQE {
	t.Helper()
	s, err := r.SQE()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// one waits for the next completion.
func one(t testing.TB, r *Ring) CQE {
	t.Helper()
	for range 3 {
		if c, ok := r.Next(); ok {
			return c
		}
		if err := r.Wait(1, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no completion")
	return CQE{}
}

func arena(t testing.TB, n int) []byte {
	t.Helper()
	b, err := Map(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Unmap(b); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestAvailable(t *testing.T) {
	err := Available()
	var u *UnavailableError
	if err != nil && !errors.As(err, &u) {
		t.Fatalf("error %v is not an UnavailableError", err)
	}
	t.Logf("%s: %v", Implementation, err)
	start := time.Now()
	for range 10 {
		if again := tryRing(); (again == nil) != (err == nil) {
			t.Fatalf("now %v, before %v", again, err)
		}
	}
	t.Logf("%v per check", time.Since(start)/10)
}

func TestReasons(t *testing.T) {
	for _, e := range []error{unix.ENOSYS, unix.EPERM, unix.ENOMEM, unix.EMFILE, unix.EINVAL} {
		if got := reasonFor(e); got == reasonFor(unix.EIO) {
			t.Errorf("%v has no reason of its own", e)
		}
		if err := unavailable("step", e); !errors.Is(err, e) {
			t.Errorf("%v is not in %v", e, err)
		}
	}
}

// More operations than either queue holds, in one go.
func TestQueuesWrapAround(t *testing.T) {
	r := newRing(t, Options{Entries: 8, CQEntries: 16})
	const n = 1000
	next := uint64(0)
	take := func() {
		for c, ok := r.Next(); ok; c, ok = r.Next() {
			if c.UserData != next || c.Res != 0 {
				t.Fatalf("completion %+v, want %d", c, next)
			}
			next++
		}
	}
	for i := range n {
		s := sqe(t, r)
		if *s != (SQE{}) {
			t.Fatalf("entry %d is not zeroed: %+v", i, *s)
		}
		s.PrepNop()
		s.UserData = uint64(i)
		s.OpFlags = 0
		if i%13 == 0 {
			if err := r.Wait(1, NoTimeout); err != nil {
				t.Fatal(err)
			}
			take()
		}
	}
	for next < n {
		if err := r.Wait(1, NoTimeout); err != nil {
			t.Fatal(err)
		}
		take()
	}
	c := r.Counters()
	if c.Submitted != n || c.Completed != n || c.Overflow != 0 || c.Enters > n/4 {
		t.Errorf("counters %+v", c)
	}
}

// Completions that do not fit the queue are kept by the kernel, in order.
func TestCompletionsOverflow(t *testing.T) {
	r := newRing(t, Options{Entries: 8, CQEntries: 8})
	const n = 64
	for i := range n {
		s := sqe(t, r)
		s.PrepNop()
		s.UserData = uint64(i)
	}
	for i := range n {
		if c := one(t, r); c.UserData != uint64(i) {
			t.Fatalf("completion %d has user data %d", i, c.UserData)
		}
	}
}

func TestWaitTimeout(t *testing.T) {
	r := newRing(t, Options{})
	start := time.Now()
	if err := r.Wait(1, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("20 ms took %v", took)
	}
	// With something submitted the kernel reports the count, not the time.
	fd := eventfd(t)
	s := sqe(t, r)
	s.PrepPoll(fd, unix.POLLIN)
	s.UserData = 7
	for range 2 {
		if err := r.Wait(1, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if c, ok := r.Next(); ok {
			t.Fatalf("completion %+v", c)
		}
	}
	if r.Pending() != 0 {
		t.Errorf("%d entries pending", r.Pending())
	}
	wake(t, fd)
	if c := one(t, r); c.UserData != 7 || c.Res&unix.POLLIN == 0 {
		t.Errorf("completion %+v", c)
	}
}

func eventfd(t testing.TB) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func wake(t testing.TB, fd int) {
	t.Helper()
	if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
}

// A multishot poll reports every write to an eventfd although nobody reads it:
// what netio's mailbox relies on.
func TestPollMultishotIsEdgeTriggered(t *testing.T) {
	r := newRing(t, Options{})
	fd := eventfd(t)
	s := sqe(t, r)
	s.PrepPollMultishot(fd, unix.POLLIN)
	s.UserData = 3
	for range 5 {
		wake(t, fd)
		if c := one(t, r); c.UserData != 3 || !c.More() {
			t.Fatalf("completion %+v", c)
		}
		if err := r.Wait(1, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if c, ok := r.Next(); ok {
			t.Fatalf("completion without a write: %+v", c)
		}
	}
	s = sqe(t, r)
	s.PrepCancel(3)
	s.UserData = 4
	ends := map[uint64]CQE{}
	for len(ends) < 2 {
		c := one(t, r)
		ends[c.UserData] = c
	}
	if ends[3].Res != -int32(unix.ECANCELED) || ends[3].More() || ends[4].Res != 0 {
		t.Errorf("after cancelling: %+v", ends)
	}
}

func socketPair(t testing.TB) (a, b int) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return p[0], p[1]
}

// Receives go on until the buffers are gone, again once they are back, and end
// with the stream.
func TestRecvMultishot(t *testing.T) {
	r := newRing(t, Options{})
	b, err := r.NewBuffers(9, 4, 100)
	if err != nil {
		t.Skipf("provided buffers: %v", err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	in, out := socketPair(t)
	arm := func() {
		s := sqe(t, r)
		s.PrepRecvMultishot(in, 9)
		s.UserData = 1
	}
	arm()
	var want, got []byte
	for i := range 10 {
		p := bytes.Repeat([]byte{byte(i)}, 250)
		if _, err := unix.Write(out, p); err != nil {
			t.Fatal(err)
		}
		want = append(want, p...)
		for len(got) < len(want) {
			c := one(t, r)
			if c.Res > 0 {
				id, ok := c.Buffer()
				if !ok {
					t.Fatalf("completion without a buffer: %+v", c)
				}
				got = append(got, b.Bytes(id, int(c.Res))...)
				b.Put(id)
				b.Publish()
			} else if c.Res != -int32(unix.ENOBUFS) {
				t.Fatalf("completion %+v", c)
			}
			if !c.More() {
				arm()
			}
		}
	}
	if !bytes.Equal(got, want) {
		t.Error("wrong bytes")
	}
	if err := unix.Shutdown(out, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if c := one(t, r); c.Res != 0 || c.More() {
		t.Errorf("at the end: %+v", c)
	}
}

// A send with MSG_WAITALL to a full socket goes on inside the kernel.
func TestSendWaitAll(t *testing.T) {
	r := newRing(t, Options{})
	in, out := socketPair(t)
	p := arena(t, 4<<20)
	for i := range p {
		p[i] = byte(i * 7)
	}
	s := sqe(t, r)
	s.PrepSend(out, p, unix.MSG_WAITALL|unix.MSG_NOSIGNAL)
	s.UserData = 1
	got := make([]byte, 0, len(p))
	buf := make([]byte, 64<<10)
	for len(got) < len(p) {
		if err := r.Wait(1, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := unix.Read(in, buf)
			if err != nil || n == 0 {
				break
			}
			got = append(got, buf[:n]...)
		}
	}
	if c := one(t, r); int(c.Res) != len(p) || !bytes.Equal(got, p) {
		t.Errorf("completion %+v, %d bytes received", c, len(got))
	}
}

func TestAccept(t *testing.T) {
	r := newRing(t, Options{})
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(l)
	if err := errors.Join(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(l, 10)); err != nil {
		t.Fatal(err)
	}
	addr, err := unix.Getsockname(l)
	if err != nil {
		t.Fatal(err)
	}
	var s *SQE
	for range 3 {
		s = sqe(t, r)
		s.PrepAccept(l, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		s.UserData = 1
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(c)
		if err := unix.Connect(c, addr); err != nil {
			t.Fatal(err)
		}
		got := one(t, r)
		if got.Res < 0 || got.More() {
			t.Fatalf("completion %+v", got)
		}
		fl, err := unix.FcntlInt(uintptr(got.Res), unix.F_GETFL, 0)
		if err != nil || fl&unix.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v", fl, err)
		}
		unix.Close(int(got.Res))
	}
	s = sqe(t, r)
	s.PrepAccept(l, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	s.UserData = 1
	s = sqe(t, r)
	s.PrepCancel(1)
	s.UserData = 2
	for range 2 {
		one(t, r)
	}
}

func TestReadWriteSyncAdvise(t *testing.T) {
	r := newRing(t, Options{AnyThread: true})
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := arena(t, 8192)
	copy(p, "hello, disk")
	do := func(prep func(s *SQE)) CQE {
		s := sqe(t, r)
		prep(s)
		return one(t, r)
	}
	fd := int(f.Fd())
	if c := do(func(s *SQE) { s.PrepWrite(fd, p[:11], 5) }); c.Res != 11 {
		t.Fatalf("write: %+v", c)
	}
	if c := do(func(s *SQE) { s.PrepDatasync(fd) }); c.Res != 0 {
		t.Fatalf("sync: %+v", c)
	}
	if c := do(func(s *SQE) { s.PrepFadvise(fd, 0, 16, unix.FADV_WILLNEED) }); c.Res != 0 {
		t.Fatalf("advise: %+v", c)
	}
	c := do(func(s *SQE) {
		s.PrepRead(fd, p[4096:4096+100], 0)
		s.Flags |= SQEAsync
	})
	if c.Res != 16 || string(p[4096+5:4096+16]) != "hello, disk" {
		t.Fatalf("read: %+v %q", c, p[4096:4096+16])
	}
}

func TestSyncAll(t *testing.T) {
	r := newRing(t, Options{Entries: 8, CQEntries: 16})
	const n = 300 // more than a round
	dir := t.TempDir()
	var fds []int
	for i := range n {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if i < 20 {
			if _, err := f.WriteString("x"); err != nil {
				t.Fatal(err)
			}
		}
		fds = append(fds, int(f.Fd()))
	}
	fds[7], fds[290] = -1, eventfd(t) // closed; cannot be synced
	errs := make([]error, n)
	for range 2 {
		if err := r.SyncAll(fds, errs); err != nil {
			t.Fatal(err)
		}
		for i, err := range errs {
			want := map[int]error{7: unix.EBADF, 290: unix.EINVAL}[i]
			if !errors.Is(err, want) {
				t.Errorf("file %d: %v, want %v", i, err, want)
			}
		}
	}
	if err := r.SyncAll(nil, nil); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Entries: maxEntries + 1}, {Entries: 64, CQEntries: 8}, {CQEntries: 1 << 20}} {
		if r, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
			r.Close()
		}
	}
	r := newRing(t, Options{})
	for _, n := range []int{0, 3, maxBuffers * 2} {
		if _, err := r.NewBuffers(1, n, 64); err == nil {
			t.Errorf("%d buffers were accepted", n)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	if Implementation == "giouring" {
		t.Skip("a timed wait of giouring allocates")
	}
	r := newRing(t, Options{})
	if n := testing.AllocsPerRun(100, func() {
		for range 10 {
			s, err := r.SQE()
			if err != nil {
				t.Fatal(err)
			}
			s.PrepNop()
		}
		if err := r.Wait(10, time.Second); err != nil {
			t.Fatal(err)
		}
		for _, ok := r.Next(); ok; _, ok = r.Next() {
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNop(b *testing.B) {
	for _, batch := range []int{1, 32} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			r := newRing(b, Options{})
			for b.Loop() {
				for range batch {
					s, err := r.SQE()
					if err != nil {
						b.Fatal(err)
					}
					s.PrepNop()
				}
				if err := r.Wait(batch, NoTimeout); err != nil {
					b.Fatal(err)
				}
				for _, ok := r.Next(); ok; _, ok = r.Next() {
				}
			}
		})
	}
}
