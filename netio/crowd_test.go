package netio

import (
	"testing"

	"golang.org/x/sys/unix"
)

// While many connections have output that does not leave, those that send get little
// room in their sockets, and the system's again when few are left.
func TestSocketsAreBoundedInACrowd(t *testing.T) {
	const clients, answer = 2 * standingCrowd, 64 << 10
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{InputBudgetBytes: 1 << 30, SendBufferBytes: 16 << 10, ReceiveBufferBytes: 16 << 10}, &testHandler{request: func(r *Request) {
			if string(r.Frame()) == "small" {
				echo(r)
				return
			}
			r.Response().Write(make([]byte, answer))
			r.Respond()
		}})
		l := s.Loops()[0]
		bounded := func() (n int) {
			onLoop(t, l, func() {
				for _, c := range l.conns {
					if c == nil {
						continue
					}
					ahead, err := unix.GetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
					if err != nil || c.output.bounded != (ahead == sendAheadBytes) {
						t.Errorf("connection bounded: %v, its socket takes %d bytes ahead (%v)", c.output.bounded, ahead, err)
					}
					if c.output.bounded {
						n++
					}
				}
			})
			return n
		}
		small := s.dial()
		ask := func() {
			small.send([]byte("small"))
			small.expect([]byte("small"))
		}
		ask()
		if n := bounded(); n != 0 {
			t.Errorf("%d connections bounded, there is one", n)
		}
		crowd := make([]*client, clients)
		for i := range crowd {
			crowd[i] = s.dial()
			for range 256 { // more than both sockets hold
				crowd[i].send([]byte("large"))
			}
		}
		eventually(t, "all answer more than their sockets take", func() (all bool) {
			onLoop(t, l, func() { all = l.stalled.len == clients })
			return all
		})
		ask()
		if n := bounded(); n < clients-standingCrowd { // those that began in the crowd, and ask
			t.Errorf("%d connections bounded of %d", n, clients+1)
		}
		for _, c := range crowd {
			_ = c.Close() // with answers unread, which resets it
		}
		eventually(t, "the crowd is gone", func() bool { return s.Stats().Connections == 1 })
		ask()
		if n := bounded(); n != 0 {
			t.Errorf("%d connections bounded by a crowd that is gone", n)
		}
	})
}
