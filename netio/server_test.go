package netio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestEcho(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{}, &testHandler{})
		c := s.dial()
		for i := range 100 { // the first is empty
			p := pattern(i, i*37)
			c.send(p)
			c.expect(p)
		}
	})
}

func TestPipelining(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{MaxPendingRequests: 7}, &testHandler{})
		c := s.dial()
		const n = 2000
		var all []byte
		for i := range n {
			all = append(all, frame(pattern(i, i%300))...)
		}
		go c.Write(all)
		for i := range n {
			c.expect(pattern(i, i%300))
		}
		if st := s.Stats(); st.Frames != n {
			t.Fatalf("%d frames delivered, want %d", st.Frames, n)
		}
	})
}

func TestAnswersLeaveInArrivalOrder(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const n = 50
		var waiting []*Request
		h := &testHandler{request: func(r *Request) {
			if len(r.Frame()) == 1 {
				r.NoResponse()
				return
			}
			r.Keep()
			waiting = append(waiting, r)
			if len(waiting) == n {
				for _, i := range rand.Perm(n) {
					echo(waiting[i])
				}
			}
		}}
		s := serve(t, b, Config{}, h)
		c := s.dial()
		var all []byte
		for i := range n {
			all = append(all, frame(pattern(i, 100+i))...)
			if i%5 == 0 && i < n-1 {
				all = append(all, frame([]byte("x"))...)
			}
		}
		if _, err := c.Write(all); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			c.expect(pattern(i, 100+i))
		}
	})
}

func TestOneByteWrites(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{}, &testHandler{})
		c := s.dial()
		for i := range 5 {
			p := pattern(i, 20)
			for _, x := range frame(p) {
				if _, err := c.Write([]byte{x}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Microsecond) // let the server see it alone
			}
			c.expect(p)
		}
	})
}

// Frames of all sizes cut at arbitrary places, with a receive buffer that is
// smaller than most.
func TestFramesSpanBuffers(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{RingBuffers: 8, RingBufferBytes: 512}, &testHandler{request: func(r *Request) {
			if len(r.Frame())%2 == 0 {
				r.Keep()
			}
			echo(r)
		}})
		c := s.dial()
		rnd := rand.New(rand.NewPCG(1, 2))
		var sizes []int
		var all []byte
		for i := range 200 {
			n := rnd.IntN(1 << rnd.IntN(17))
			sizes = append(sizes, n)
			all = append(all, frame(pattern(i, n))...)
		}
		go func() {
			for len(all) > 0 {
				k := min(1+rnd.IntN(5000), len(all))
				if _, err := c.Write(all[:k]); err != nil {
					return
				}
				all = all[k:]
			}
		}()
		for i, n := range sizes {
			c.expect(pattern(i, n))
		}
	})
}

func TestLargeFrame(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		kept := make(chan bool, 1)
		s := serve(t, b, Config{}, &testHandler{request: func(r *Request) {
			before := &r.Frame()[0]
			kept <- &r.Keep()[0] == before
			echo(r)
		}})
		c := s.dial()
		for seed := range 3 {
			p := pattern(seed, 10<<20+seed)
			sent := make(chan error, 1)
			go func() {
				_, err := c.Write(frame(p))
				sent <- err
			}()
			c.expect(p)
			if err := wait(t, sent); err != nil {
				t.Fatalf("send: %v", err)
			}
			if !wait(t, kept) {
				t.Error("keeping a frame that has its own buffer copied it")
			}
		}
	})
}

func TestLengthOutOfRange(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		for _, head := range []string{"\x00\x00\x04\x01", "\xff\xff\xff\xff", "\x80\x00\x00\x00"} {
			closed := make(chan error, 1)
			s := serve(t, b, Config{MaxFrameBytes: 1024}, &testHandler{closed: func(_ *Conn, err error) { closed <- err }})
			c := s.dial()
			c.send(pattern(1, 1024))
			c.expect(pattern(1, 1024))
			if _, err := io.WriteString(c, head); err != nil {
				t.Fatal(err)
			}
			c.expectEnd()
			if err := wait(t, closed); !errors.Is(err, ErrFrameTooLarge) {
				t.Fatalf("length %q: closed with %v", head, err)
			}
		}
	})
}

func TestHalfCloseIsAnswered(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		closed := make(chan error, 1)
		held := make(chan *Request, 1)
		s := serve(t, b, Config{MaxPendingRequests: 1}, &testHandler{
			closed: func(_ *Conn, err error) { closed <- err },
			request: func(r *Request) {
				r.Keep()
				held <- r
			},
		})
		c := s.dial()
		c.send([]byte("first"))
		c.send([]byte("second"))
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"first", "second"} {
			r := wait(t, held)
			onLoop(t, s.loops[0], func() { echo(r) })
			c.expect([]byte(want))
		}
		c.expectEnd()
		if err := wait(t, closed); err != nil {
			t.Fatalf("closed with %v", err)
		}
	})
}

func TestEndInsideFrame(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		closed := make(chan error, 1)
		s := serve(t, b, Config{}, &testHandler{closed: func(_ *Conn, err error) { closed <- err }})
		c := s.dial()
		if _, err := c.Write(frame(pattern(0, 100))[:50]); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if err := wait(t, closed); !errors.Is(err, errTruncatedFrame) {
			t.Fatalf("closed with %v", err)
		}
	})
}

func TestHandlerClosesInRequest(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		mine := errors.New("enough")
		closed := make(chan error, 1)
		frames := 0
		s := serve(t, b, Config{}, &testHandler{
			closed: func(_ *Conn, err error) { closed <- err },
			request: func(r *Request) {
				frames++
				r.Conn().Close(mine)
				echo(r)
			},
		})
		c := s.dial()
		if _, err := c.Write(append(frame([]byte("a")), frame([]byte("b"))...)); err != nil {
			t.Fatal(err)
		}
		c.expectEnd()
		if err := wait(t, closed); err != mine || frames != 1 {
			t.Fatalf("closed with %v after %d frames", err, frames)
		}
	})
}

func TestHoldAndProceed(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		var got []string
		var first *Request
		h := &testHandler{request: func(r *Request) {
			got = append(got, string(r.Keep()))
			switch string(r.Frame()) {
			case "hold", "again":
				r.Hold()
				first = r
			default:
				echo(r)
			}
		}}
		s := serve(t, b, Config{}, h)
		c := s.dial()
		for _, p := range []string{"hold", "one", "again", "two"} {
			c.send([]byte(p))
		}
		l := s.loops[0]
		delivered := func(n int) {
			t.Helper()
			eventually(t, "delivery", func() (ok bool) {
				onLoop(t, l, func() { ok = len(got) >= n })
				return ok
			})
			onLoop(t, l, func() {
				if len(got) != n {
					t.Errorf("delivered %q, want %d", got, n)
				}
			})
		}
		delivered(1)
		var hold *Request
		onLoop(t, l, func() { hold = first; hold.Proceed() })
		delivered(3) // one, and again, which holds
		onLoop(t, l, func() { echo(hold); echo(first) })
		delivered(4)
		for _, p := range []string{"hold", "one", "again", "two"} {
			c.expect([]byte(p))
		}
	})
}

// Requests answered by worker goroutines, whose frames must stay intact.
func TestKeptFramesOnWorkers(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		var workers sync.WaitGroup
		h := &testHandler{request: func(r *Request) {
			p := r.Keep()
			l := r.Conn().Loop()
			workers.Go(func() {
				answer := bytes.Clone(p)
				runtime.Gosched()
				l.Post(func() {
					r.Response().Write(answer)
					r.Respond()
				})
			})
		}}
		s := serve(t, b, Config{Loops: 2}, h)
		var clients sync.WaitGroup
		for k := range 8 {
			c := s.dial()
			clients.Go(func() {
				for i := range 100 {
					p := pattern(k*1000+i, i*31)
					go c.Write(append(frame(p), frame(p[:len(p)/2])...))
					if got, err := readFrame(c); err != nil || !bytes.Equal(got, p) {
						t.Errorf("client %d, request %d: %v, %s", k, i, err, brief(got))
						return
					}
					if got, err := readFrame(c); err != nil || !bytes.Equal(got, p[:len(p)/2]) {
						t.Errorf("client %d, second request %d: %v, %s", k, i, err, brief(got))
						return
					}
				}
			})
		}
		clients.Wait()
		workers.Wait()
	})
}

func TestAnswerAfterClose(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		closed := make(chan error, 1)
		requests := make(chan *Request, 2)
		s := serve(t, b, Config{}, &testHandler{
			closed: func(_ *Conn, err error) { closed <- err },
			request: func(r *Request) {
				r.Keep()
				requests <- r
			},
		})
		c := s.dial()
		c.send([]byte("one"))
		c.send([]byte("two"))
		r1, r2 := wait(t, requests), wait(t, requests)
		early, late := newSource(t, 1, 100<<10, true), newSource(t, 2, 100<<10, true)
		onLoop(t, s.loops[0], func() { r1.Response().File(early, 0, 1000) })
		onLoop(t, s.loops[0], func() { r1.Conn().Close(nil) })
		wait(t, closed)
		if n := early.released.Load(); n != 1 {
			t.Errorf("source of an open answer released %d times at close", n)
		}
		onLoop(t, s.loops[0], func() {
			r1.Response().Write([]byte("for nobody"))
			r1.Response().File(late, 0, 1000)
			if n := late.released.Load(); n != 1 {
				t.Errorf("source given after close released %d times", n)
			}
			if r1.Response().Len() != 0 {
				t.Errorf("length %d after close", r1.Response().Len())
			}
			r1.Respond()
			r2.NoResponse()
		})
		if e, l := early.released.Load(), late.released.Load(); e != 1 || l != 1 {
			t.Errorf("sources released %d and %d times", e, l)
		}
	})
}

func TestConnectionInfo(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		conns := make(chan *Conn, 1)
		s := serve(t, b, Config{}, &testHandler{opened: func(c *Conn) { conns <- c }})
		c := s.dial()
		got := wait(t, conns)
		if got.RemoteAddr().String() != c.LocalAddr().String() || got.LocalAddr().String() != s.addr {
			t.Errorf("addresses %v, %v, want %v, %v", got.RemoteAddr(), got.LocalAddr(), c.LocalAddr(), s.addr)
		}
		if got.Listener() != "test" || got.ID() == 0 || got.Loop() != s.loops[0] {
			t.Errorf("listener %q, id %d", got.Listener(), got.ID())
		}
		if be, reason := s.Backend(); be != b || reason == "" {
			t.Errorf("back-end %v, reason %q", be, reason)
		}
	})
}

func TestListenDualStackAndUnspecified(t *testing.T) {
	s, err := New(Config{Backend: BackendEpoll, Loops: 1}, &testHandler{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a, err := s.Listen("tcp", ":0", "any")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := s.Listen("tcp", ":0", "late"); err == nil {
		t.Error("Listen after Start succeeded")
	}
}

// A port is taken for good: neither another listener nor, once we have it,
// somebody with SO_REUSEPORT can share it.
func TestPortInUse(t *testing.T) {
	s, err := New(Config{Backend: BackendEpoll, Loops: 2}, &testHandler{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a, err := s.Listen("tcp", "127.0.0.1:0", "one")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen("tcp", a.String(), "two"); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("second listener: %v", err)
	}
	share := net.ListenConfig{Control: func(_, _ string, c reusePorter) error { return reusePort(c) }}
	if l, err := share.Listen(context.Background(), "tcp", a.String()); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("listener with SO_REUSEPORT: %v", err)
		if err == nil {
			l.Close()
		}
	}
	other, err := share.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := s.Listen("tcp", other.Addr().String(), "three"); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("port of a listener with SO_REUSEPORT: %v", err)
	}
}

func TestLoopsShareConnections(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{Loops: 3}, &testHandler{})
		for range 30 {
			c := s.dial()
			c.send([]byte("x"))
			c.expect([]byte("x"))
		}
		for _, l := range s.loops {
			if n := l.open.Load(); n != 10 {
				t.Errorf("loop %d has %d of 30 connections", l.index, n)
			}
		}
	})
}

func TestManyConnectsAndDisconnects(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		h := &testHandler{}
		s := serve(t, b, Config{Loops: 2}, h)
		const clients, rounds = 8, 100
		var wg sync.WaitGroup
		for k := range clients {
			wg.Go(func() {
				for i := range rounds {
					c, err := net.Dial("tcp", s.addr)
					if err != nil {
						t.Error(err)
						return
					}
					c.SetDeadline(time.Now().Add(patience))
					switch (k + i) % 4 {
					case 0: // nothing at all
					case 1: // half a frame
						c.Write([]byte{0, 0, 1})
					case 2: // reset
						c.Write(frame(pattern(i, 5000)))
						c.(*net.TCPConn).SetLinger(0)
					case 3:
						c.Write(frame([]byte("x")))
						if _, err := readFrame(c); err != nil {
							t.Error(err)
						}
					}
					c.Close()
				}
			})
		}
		wg.Wait()
		eventually(t, "all connections are closed", func() bool {
			// A connection that is reset in the backlog is accepted, not opened.
			st := s.Stats()
			return st.Accepted == clients*rounds && st.Connections == 0 && h.opens.Load() == h.closes.Load()
		})
	})
}

// A group of two small buffers for many senders: receives end with ENOBUFS all
// the time and must go on.
func TestReceiveBuffersRunOut(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{RingBuffers: 2, RingBufferBytes: 64}, &testHandler{})
		var wg sync.WaitGroup
		for k := range 20 {
			c := s.dial()
			wg.Go(func() {
				for i := range 20 {
					p := pattern(k*100+i, 1000)
					go c.Write(frame(p))
					if got, err := readFrame(c); err != nil || !bytes.Equal(got, p) {
						t.Errorf("client %d, frame %d: %v, %s", k, i, err, brief(got))
						return
					}
				}
			})
		}
		wg.Wait()
		if b == BackendUring && s.Stats().BufferExhausted == 0 {
			t.Error("the buffers never ran out")
		}
	})
}

func TestDrain(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		held := make(chan *Request, 2)
		reasons := make(chan error, 3)
		s := serve(t, b, Config{Loops: 2}, &testHandler{
			request: func(r *Request) { r.Keep(); held <- r },
			closed:  func(_ *Conn, err error) { reasons <- err },
		})
		idle, partial, busy := s.dial(), s.dial(), s.dial()
		if _, err := partial.Write(frame([]byte("abc"))[:5]); err != nil {
			t.Fatal(err)
		}
		busy.send([]byte("work"))
		r := wait(t, held)
		eventually(t, "all are open", func() bool { return s.Stats().Connections == 3 })
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := s.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("drain with a request open: %v", err)
		}
		idle.expectEnd()
		partial.expectEnd()
		onLoop(t, r.Conn().Loop(), func() {}) // it drains by now
		busy.send([]byte("too late"))
		if c, err := net.Dial("tcp", s.addr); err == nil {
			c.SetDeadline(time.Now().Add(patience))
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("a connection was served while draining")
			}
			c.Close()
		}
		r.Conn().Loop().Post(func() { echo(r) })
		if err := s.Drain(testContext(t)); err != nil {
			t.Fatal(err)
		}
		busy.expect([]byte("work"))
		for range 3 {
			if err := wait(t, reasons); !errors.Is(err, ErrDrained) {
				t.Errorf("closed with %v", err)
			}
		}
		if n := s.Stats().Frames; n != 1 {
			t.Errorf("%d frames delivered", n)
		}
	})
}

func TestCloseWithEverythingOpen(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		src := newSource(t, 1, 32<<20, true)
		reasons := make(chan error, 10)
		var pending []*Request
		h := &testHandler{}
		h.closed = func(c *Conn, err error) {
			reasons <- err
			for i, r := range pending {
				if r != nil && r.Conn() == c {
					pending[i] = nil
					r.Respond()
				}
			}
		}
		h.request = func(r *Request) {
			switch string(r.Frame()) {
			case "file":
				r.Response().File(src, 0, len(src.data))
				r.Respond()
			default:
				r.Keep()
				pending = append(pending, r)
			}
		}
		s := serve(t, b, Config{}, h)
		for _, p := range []string{"file", "wait", "file", "wait", "file"} {
			s.dial().send([]byte(p))
		}
		eventually(t, "requests arrived", func() bool { return s.Stats().Frames == 5 })
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := wait(t, reasons); !errors.Is(err, ErrServerClosed) {
				t.Errorf("closed with %v", err)
			}
		}
		if n := src.released.Load(); n != 3 {
			t.Errorf("%d of 3 ranges released", n)
		}
		s.loops[0].Post(func() { t.Error("a function ran after Close") })
		if err := s.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
	})
}

func TestCloseBeforeStart(t *testing.T) {
	before := openFiles(t)
	s, err := New(Config{}, &testHandler{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen("tcp", "127.0.0.1:0", "x"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); !errors.Is(err, ErrServerClosed) {
		t.Errorf("start after close: %v", err)
	}
	if after := openFiles(t); len(after) > len(before) {
		t.Errorf("descriptors left: %q, before %q", after, before)
	}
}
