package netio

import (
	"net"
	"testing"
)

// Many connections that come at once are accepted over several turns, and all of them are.
func TestAcceptsPerTurn(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const many = 5 * acceptShare
		perTurn := map[uint64]int{}
		h := &testHandler{opened: func(c *Conn) { perTurn[c.loop.turnNo]++ }}
		s := serve(t, b, Config{ListenBacklog: 2 * many}, h)
		block := make(chan struct{})
		s.loops[0].Post(func() { <-block })
		for range many {
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		close(block)
		eventually(t, "all connections are open", func() bool { return h.opens.Load() == many })
		most := make(chan int)
		s.loops[0].Post(func() {
			n := 0
			for _, opened := range perTurn {
				n = max(n, opened)
			}
			most <- n
		})
		if n := <-most; n > acceptShare {
			t.Errorf("%d connections accepted in one turn, want at most %d", n, acceptShare)
		}
	})
}
