package netio

import (
	"errors"
	"net"
	"testing"
)

// A peer that sends a bad request and ends its side at once is reported with one event. Once the connection is closed
// for the request, nobody reads on to the end of the stream: the loop must not come back to it for ever.
func TestEpollClosedWithUnreadEnd(t *testing.T) {
	s := serve(t, BackendEpoll, Config{Loops: 1}, &testHandler{request: func(r *Request) {
		r.NoResponse()
		r.Conn().Close(errors.New("bad request"))
	}})
	c := s.dial()
	l := s.Loops()[0]
	onLoop(t, l, func() { // meanwhile everything below arrives
		if _, err := c.Write(frame([]byte("bad"))); err != nil {
			t.Error(err)
		}
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	c.expectEnd()
	onLoop(t, l, func() {}) // the turn of the event is over
	onLoop(t, l, func() {
		if n := len(l.drv.(*epollDriver).reads); n != 0 {
			t.Errorf("%d connections to read from, none is open", n)
		}
	})
}
