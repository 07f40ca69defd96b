package netio

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kserver/sendfile"
)

func TestMain(m *testing.M) {
	if code, ok := childMain(); ok {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// eachBackend runs f once per back-end of this machine.
func eachBackend(t *testing.T, f func(t *testing.T, b Backend)) {
	for _, b := range []Backend{BackendEpoll, BackendUring} {
		t.Run(string(b), func(t *testing.T) {
			if b == BackendUring {
				if err := uringUsable(); err != nil {
					t.Skipf("io_uring: %v", err)
				}
			}
			f(t, b)
		})
	}
}

// testHandler is a Handler made of functions; nil ones do nothing, a nil
// request function echoes.
type testHandler struct {
	opened  func(c *Conn)
	request func(r *Request)
	closed  func(c *Conn, err error)
	relieve func(c *Conn)

	opens, closes atomic.Int64
}

func (h *testHandler) Opened(c *Conn) {
	h.opens.Add(1)
	if h.opened != nil {
		h.opened(c)
	}
}

func (h *testHandler) Request(r *Request) {
	if h.request != nil {
		h.request(r)
		return
	}
	echo(r)
}

func (h *testHandler) Closed(c *Conn, err error) {
	h.closes.Add(1)
	if h.closed != nil {
		h.closed(c, err)
	}
}

func (h *testHandler) Relieve(c *Conn) {
	if h.relieve != nil {
		h.relieve(c)
	}
}

func echo(r *Request) {
	r.Response().Write(r.Frame())
	r.Respond()
}

// testServer is a running server with the address of its only listener.
type testServer struct {
	*Server
	t    *testing.T
	addr string
	more map[string]string // addresses of the other listeners
	h    *testHandler
}

// serve starts a server with one loop unless cfg says otherwise, and listeners of
// the names in more besides its own. At the end of
// the test it is closed and must have left no descriptor and no memory.
func serve(t *testing.T, b Backend, cfg Config, h *testHandler, more ...string) *testServer {
	t.Helper()
	before := openFiles(t)
	cfg.Backend = b
	if cfg.Loops == 0 {
		cfg.Loops = 1
	}
	s, err := New(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Listen("tcp", "127.0.0.1:0", "test")
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{Server: s, t: t, addr: a.String(), more: make(map[string]string), h: h}
	for _, name := range more {
		a, err := s.Listen("tcp", "127.0.0.1:0", name)
		if err != nil {
			t.Fatal(err)
		}
		ts.more[name] = a.String()
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if h.opens.Load() != h.closes.Load() {
			t.Errorf("%d connections opened, %d closed", h.opens.Load(), h.closes.Load())
		}
		if n := s.budget.used.Load(); n != 0 {
			t.Errorf("%d bytes still charged to the input budget", n)
		}
		for _, l := range s.loops {
			if l.kept != 0 || l.mem.inUse != 0 {
				t.Errorf("loop %d: %d kept frames, %d bytes in use", l.index, l.kept, l.mem.inUse)
			}
		}
		eventually(t, "descriptors are closed", func() bool { return len(openFiles(t)) <= len(before) })
	})
	return ts
}

// openFiles lists the descriptors of this process, without those of the
// runtime's own poller.
func openFiles(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(to, "/proc/") {
			out = append(out, e.Name()+" "+to)
		}
	}
	return out
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not reached in %v: %s", patience, what)
		}
	}
}

// client is the peer: a plain blocking connection.
type client struct {
	net.Conn
	t     *testing.T
	pause time.Duration // before every read, of at most slowRead bytes
}

// slowRead is what a slow client takes at a time.
const slowRead = 16 << 10

func (c *client) Read(p []byte) (int, error) {
	if c.pause > 0 {
		time.Sleep(c.pause)
		p = p[:min(len(p), slowRead)]
	}
	return c.Conn.Read(p)
}

func (s *testServer) dial() *client {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	out := &client{Conn: c, t: s.t}
	out.extend()
	return out
}

func frame(p []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)
}

// extend gives what the client does next its time.
func (c *client) extend() {
	c.t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) send(p []byte) {
	c.t.Helper()
	c.extend()
	if _, err := c.Write(frame(p)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) receive() []byte {
	c.t.Helper()
	c.extend()
	p, err := readFrame(c)
	if err != nil {
		c.t.Fatalf("receive: %v", err)
	}
	return p
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	p := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(r, p)
	return p, err
}

func (c *client) expect(want []byte) {
	c.t.Helper()
	if got := c.receive(); !bytes.Equal(got, want) {
		c.t.Fatalf("answer %s, want %s", brief(got), brief(want))
	}
}

func brief(p []byte) string {
	if len(p) > 40 {
		return fmt.Sprintf("%q... (%d bytes)", p[:40], len(p))
	}
	return fmt.Sprintf("%q", p)
}

// expectEnd waits for the server to close the connection.
func (c *client) expectEnd() {
	c.t.Helper()
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("read %d bytes, err %v, want the end", n, err)
	}
}

// onLoop runs f on the loop and waits for it.
func onLoop(t *testing.T, l *Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	l.Post(func() { f(); close(done) })
	wait(t, done)
}

func wait[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("nothing came in %v", patience)
	}
	return v
}

// testContext ends with patience.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// pattern is n bytes that differ by place and seed.
func pattern(seed, n int) []byte {
	p := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

// memSource is a Source whose bytes may be in a file too. It counts releases.
type memSource struct {
	data     []byte
	file     *os.File // nil: no descriptor
	released atomic.Int64
	reads    atomic.Int64
	missed   atomic.Int64
	slow     time.Duration // of each ReadAt

	mu    sync.Mutex
	cold  bool   // Ready says no, once per call of chill
	waker func() // of the last cold Ready
	asked []int  // lengths given to Ready
}

// newSource makes a source of n bytes; inFile gives it a descriptor.
func newSource(t *testing.T, seed, n int, inFile bool) *memSource {
	t.Helper()
	s := &memSource{data: pattern(seed, n)}
	if !inFile {
		return s
	}
	f, err := os.CreateTemp(t.TempDir(), "range")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(s.data); err != nil {
		t.Fatal(err)
	}
	s.file = f
	return s
}

func (s *memSource) Fd() int {
	if s.file == nil {
		return -1
	}
	return int(s.file.Fd())
}

func (s *memSource) ReadAt(p []byte, off int64) (int, error) {
	s.reads.Add(1)
	time.Sleep(s.slow)
	return bytes.NewReader(s.data).ReadAt(p, off)
}

func (s *memSource) Ready(off int64, n int, wake func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, n)
	if s.cold {
		s.cold, s.waker = false, wake
		return false
	}
	return true
}

func (s *memSource) Missed(int64, int) { s.missed.Add(1) }

func (s *memSource) Release() { s.released.Add(1) }

// warmUp calls the wake function of the cold Ready, which must have come.
func (s *memSource) warmUp(t *testing.T) {
	t.Helper()
	eventually(t, "Ready was asked", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.waker != nil })
	s.mu.Lock()
	f := s.waker
	s.waker = nil
	s.mu.Unlock()
	f()
}

var _ sendfile.Source = (*memSource)(nil)

// echoOnce sends one frame and wants it back.
func echoOnce(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write(frame([]byte("hello"))); err != nil {
		return err
	}
	got, err := readFrame(c)
	if err == nil && string(got) != "hello" {
		err = fmt.Errorf("answer %q", got)
	}
	return err
}
