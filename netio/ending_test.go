package netio

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"
)

// What was delivered before a broken request is answered, then the connection
// closes; what comes after it is not looked at.
func TestFinish(t *testing.T) {
	errBroken := errors.New("broken")
	tooLong := binary.BigEndian.AppendUint32(nil, 1<<31)
	for _, tc := range []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"by the handler", slices.Concat(frame([]byte("good")), frame([]byte("late")), frame([]byte("broken")), frame([]byte("never"))), errBroken},
		{"by its length", slices.Concat(frame([]byte("good")), frame([]byte("late")), tooLong, frame([]byte("never"))), ErrFrameTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, b Backend) {
				late, ends, never := make(chan *Request, 1), make(chan error, 1), make(chan struct{}, 1)
				s := serve(t, b, Config{}, &testHandler{
					closed: func(_ *Conn, err error) { ends <- err },
					request: func(r *Request) {
						switch string(r.Frame()) {
						case "late":
							r.Keep()
							late <- r
						case "broken":
							r.NoResponse()
							r.Conn().Finish(errBroken)
						case "never":
							never <- struct{}{}
							echo(r)
						default:
							echo(r)
						}
					},
				})
				c := s.dial()
				if _, err := c.Write(tc.bytes); err != nil {
					t.Fatal(err)
				}
				r := wait(t, late)
				c.expect([]byte("good"))
				onLoop(t, s.loops[0], func() {
					if r.Conn().Closed() {
						t.Error("closed before the answer")
					}
					echo(r)
				})
				c.expect([]byte("late"))
				c.expectEnd()
				if err := wait(t, ends); !errors.Is(err, tc.want) {
					t.Errorf("closed with %v, want %v", err, tc.want)
				}
				if len(never) > 0 {
					t.Error("a frame behind the broken one was delivered")
				}
			})
		})
	}
}

// A frame that trickles in, or stands still, ends its connection; one that
// arrives at a fair rate, or is complete, does not, however long it takes.
func TestFrameTimeout(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const limit = 100 * time.Millisecond
		ends := make(chan error, 2)
		s := serve(t, b, Config{FrameTimeout: limit, FrameBytesPerSecond: 1000}, &testHandler{
			closed: func(_ *Conn, err error) { ends <- err },
		})
		fair := s.dial()
		fair.send([]byte("idle between requests"))
		fair.expect([]byte("idle between requests"))
		// 100 bytes are asked for in each 100 ms: far more at once, then bytes that are too few.
		slow := s.dial()
		if _, err := slow.Write(frame(make([]byte, 10_000))[:300]); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := slow.Write([]byte{0}); err != nil {
				break // closed already
			}
			time.Sleep(limit / 4)
		}
		slow.expectEnd()
		if err := wait(t, ends); !errors.Is(err, ErrFrameTimeout) {
			t.Errorf("closed with %v", err)
		}
		if n := s.Stats().FrameTimeouts; n != 1 {
			t.Errorf("%d counted", n)
		}
		fair.send([]byte("still there"))
		fair.expect([]byte("still there"))
	})
}

// A frame that is not read because an earlier request holds the connection is
// not late.
func TestFrameTimeoutWhileHeld(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const limit = 20 * time.Millisecond
		held := make(chan *Request, 1)
		s := serve(t, b, Config{FrameTimeout: limit}, &testHandler{request: func(r *Request) {
			if string(r.Frame()) != "hold" {
				echo(r)
				return
			}
			r.Keep()
			r.Hold()
			held <- r
		}})
		c := s.dial()
		whole := frame([]byte("the next one"))
		if _, err := c.Write(append(frame([]byte("hold")), whole[:6]...)); err != nil {
			t.Fatal(err)
		}
		r := wait(t, held)
		late := make(chan bool, 1)
		onLoop(t, s.loops[0], func() { s.loops[0].After(3*limit, func() { late <- r.Conn().Closed(); echo(r) }) })
		if wait(t, late) {
			t.Error("closed while the connection was held")
		}
		c.expect([]byte("hold"))
	})
}

// A connection with many requests ready does not keep another one waiting for
// all of them.
func TestShareOfATurn(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const many = 4 * shareRequests
		type seen struct {
			conn uint64
			turn uint64
		}
		var order []seen
		s := serve(t, b, Config{MaxPendingRequests: 2 * many}, &testHandler{request: func(r *Request) {
			order = append(order, seen{r.Conn().ID(), r.Conn().loop.turnNo})
			echo(r)
		}})
		c := s.dial()
		var p []byte
		for range many {
			p = append(p, frame([]byte("x"))...)
		}
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		for range many {
			c.expect([]byte("x"))
		}
		turns := map[uint64]int{}
		onLoop(t, s.loops[0], func() {
			for _, o := range order {
				turns[o.turn]++
			}
		})
		for turn, n := range turns {
			if n > shareRequests {
				t.Errorf("%d requests in turn %d, want at most %d", n, turn, shareRequests)
			}
		}
	})
}
