package netio

import "errors"

var (
	// ErrFrameTooLarge closes a connection whose frame declares a negative
	// length or one above Config.MaxFrameBytes.
	ErrFrameTooLarge = errors.New("netio: frame length out of range")
	// ErrIdle closes a connection after Config.IdleTimeout.
	ErrIdle = errors.New("netio: connection idle for too long")
	// ErrOutputStalled closes a connection after Config.OutputStallTimeout.
	ErrOutputStalled = errors.New("netio: peer takes no output")
	// ErrFrameTimeout closes a connection whose unfinished frame got fewer bytes
	// within Config.FrameTimeout than Config.FrameBytesPerSecond asks for.
	ErrFrameTimeout = errors.New("netio: frame takes too long to arrive")
	// ErrInputStalled closes a connection after Config.InputStallTimeout.
	ErrInputStalled = errors.New("netio: frame stands still while input memory is short")
	// ErrHalfClosed closes a connection whose peer has ended its side and whose
	// unanswered requests did not finish within 30 seconds.
	ErrHalfClosed = errors.New("netio: peer has closed and answers are overdue")
	// ErrServerClosed is the reason of connections closed by Server.Close, and
	// the error of Listen or Start on a closed server.
	ErrServerClosed = errors.New("netio: server closed")
	// ErrDrained is the reason of connections closed by Server.Drain once all
	// their requests were answered.
	ErrDrained = errors.New("netio: server draining")
)

// Handler is what runs on the connections. Every method is called on the
// connection's loop, a locked OS thread that serves many connections: it must
// run to completion without blocking. A panic is not recovered.
type Handler interface {
	// Opened is called once, before any other call for c.
	Opened(c *Conn)

	// Request is called with each whole frame, in arrival order per connection.
	// Its response slot is already reserved: answers leave in arrival order,
	// whatever order they are given in. Every request must be answered exactly
	// once, with Respond or NoResponse, now or later, also after Closed.
	Request(r *Request)

	// Relieve is called, again and again, while the input budget is spent, for
	// connections held by a request: one that only waits and takes more than the
	// budget affords (Request.Charge, Loop.Affords) should be answered now.
	Relieve(c *Conn)

	// Closed is called once, after the last other call for c. err is nil when
	// the peer closed in good order. Requests that are still unanswered must
	// still be answered: nothing is sent then, but their memory and their
	// sources are released.
	Closed(c *Conn, err error)
}
