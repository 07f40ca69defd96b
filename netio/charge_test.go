package netio

import (
	"net"
	"sync"
	"testing"
)

// reset ends the connection at once: a peer that only ends its side is still answered.
func (c *client) reset() {
	c.t.Helper()
	if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		c.t.Fatal(err)
	}
	c.Close()
}

// What a handler charges for a request counts until the request is answered, also when its connection is gone by then.
func TestCharge(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const onLoop, elsewhere = 1 << 20, 1 << 21
		var mu sync.Mutex
		var waiting []*Request
		s := serve(t, b, Config{Loops: 2}, &testHandler{request: func(r *Request) {
			r.Charge(onLoop)
			go func() {
				r.ChargeNow(elsewhere)
				mu.Lock()
				defer mu.Unlock()
				waiting = append(waiting, r)
			}()
		}})
		c, gone := s.dial(), s.dial()
		c.send([]byte("one"))
		gone.send([]byte("two"))
		eventually(t, "both are charged", func() bool { return s.budget.used.Load() == 2*(onLoop+elsewhere) })
		gone.reset()
		eventually(t, "one is gone", func() bool { return s.Stats().Connections == 1 })
		if used := s.budget.used.Load(); used != 2*(onLoop+elsewhere) {
			t.Errorf("%d bytes charged after a connection has gone", used)
		}
		mu.Lock()
		for _, r := range waiting {
			r.Conn().Loop().Post(func() { r.Respond() })
		}
		mu.Unlock()
		c.expect(nil)
		eventually(t, "nothing is charged", func() bool { return s.budget.used.Load() == 0 })
	})
}

// A budget that handlers have spent is given back by those that may not go on waiting: who takes no more than an equal
// share goes on.
func TestRelieve(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const budget = 4 << 20
		type waiting struct {
			r     *Request
			bytes int64
		}
		s := serve(t, b, Config{Loops: 2, InputBudgetBytes: budget}, &testHandler{
			request: func(r *Request) {
				w := &waiting{r, budget / 2}
				if r.Frame()[0] == 'm' {
					w.bytes = budget / 8
				}
				r.Conn().Attachment = w
				r.Hold()
				r.Charge(w.bytes)
			},
			relieve: func(c *Conn) {
				if w := c.Attachment.(*waiting); !c.Loop().Affords(w.bytes) {
					w.r.Respond()
				}
			},
			closed: func(c *Conn, _ error) {
				if w := c.Attachment.(*waiting); w.r.gone {
					w.r.NoResponse()
				}
			},
		})
		modest := s.dial()
		modest.send([]byte("modest"))
		var large []*client
		for range 3 {
			c := s.dial()
			c.send([]byte("large"))
			large = append(large, c)
		}
		eventually(t, "the budget has room", func() bool { return !s.budget.spent() && s.Stats().Frames == 4 })
		// Beside what the handler charges there are the bytes of frames for as long as they arrive.
		eventually(t, "the modest request is left waiting", func() bool {
			used := s.budget.used.Load()
			return used >= budget/8 && used%(budget/8) == 0
		})
		for _, c := range append(large, modest) {
			c.reset()
		}
		eventually(t, "nothing is charged", func() bool { return s.budget.used.Load() == 0 })
	})
}
