package cluster

import (
	"time"

	"kserver/netio"
)

// Pauses (KIP-219): an answer that tells a client to pause leaves at once, and
// the next request of the connection is not handled before the pause is over.
// That one request holds the connection meanwhile: what comes after it stays in
// the socket once the receive buffer is full.
//
//	Send -> pause.until -> Request -> delay -> (timer, or a stop) -> resume -> handle

// pause is a connection's. It belongs to its loop.
type pause struct {
	until time.Time // zero when there is none
	// next is the request that waits for the end, nil when none does, and timer
	// its wait.
	next  *netio.Request
	timer *netio.Timer
}

// take ends the wait of next and returns it.
func (p *pause) take() *netio.Request {
	nr := p.next
	p.timer.Stop()
	p.next, p.timer = nil, nil
	return nr
}

// pause has the connection's next request wait for as long as the answer to this
// one says.
func (x *exchange) pause() {
	if x.req == nil {
		return
	}
	if d := x.req.Pause(); d > 0 {
		if until := time.Now().Add(d); until.After(x.conn.pause.until) {
			x.conn.pause.until = until
		}
	}
}

// delay has nr wait for the end of the pause, if that is still to come and the
// broker does not stop. Call it inside Request.
func (f *front) delay(nr *netio.Request, k *conn) bool {
	loop := nr.Conn().Loop()
	wait := k.pause.until.Sub(loop.Now())
	if wait <= 0 || f.broker.Stopping.Load() {
		k.pause.until = time.Time{}
		return false
	}
	nr.Keep()
	nr.Hold()
	k.pause.next = nr
	f.await(k, wait)
	return true
}

// await wakes the request that waits after d.
func (f *front) await(k *conn, d time.Duration) {
	loop := k.pause.next.Conn().Loop()
	k.pause.timer = loop.After(d, func() {
		// The answer to an earlier request may have made it longer.
		if more := k.pause.until.Sub(loop.Now()); more > 0 {
			f.await(k, more)
			return
		}
		f.resume(k)
	})
}

// resume handles the request that waits.
func (f *front) resume(k *conn) {
	nr := k.pause.take()
	k.pause.until = time.Time{}
	f.handle(nr, k, true)
}
