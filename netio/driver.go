package netio

import "time"

// driver is what the two back-ends do differently. It belongs to one loop and
// every method runs on the loop's thread. It turns what the kernel reports
// into calls of the loop's and the connections' on... methods, from wait only.
type driver interface {
	// wait submits what was prepared, waits until something happens or timeout
	// has passed (0: do not wait, negative: without limit), and dispatches all
	// that is there.
	wait(timeout time.Duration) error

	// listen begins to report accepted sockets with Loop.onAccept, also after
	// onAccept was told of an error; unlisten ends that and closes the socket,
	// at once or as soon as the kernel has let go of it.
	listen(ln *listener)
	unlisten(ln *listener)

	// attach takes a new connection; reading is on.
	attach(c *Conn) error

	// setRead turns reading on or off. Bytes already on their way may still
	// arrive after it is turned off.
	setRead(c *Conn, on bool)

	// send sends from memory. Either it reports what the socket took at once
	// (async false; errAgain: call awaitWritable), or it has started an
	// operation whose end comes as Conn.onSent; p must stay untouched until
	// then. Only one operation per connection.
	send(c *Conn, p []byte) (n int, async bool, err error)

	// awaitWritable reports once, with Conn.onWritable, that the socket takes
	// bytes again. It follows a send or sendfile that found the socket full.
	awaitWritable(c *Conn)

	// detach ends everything under way for the connection and calls
	// Loop.onDetached when the kernel refers to nothing of it any more.
	detach(c *Conn)

	// idle reports that no listener is being let go.
	idle() bool

	// close releases the driver. No connection and no listener is left.
	close() error
}

// connIO is the drivers' part of a connection. Each driver uses its own fields.
type connIO struct {
	// epoll
	readable bool // the socket may have bytes: no EAGAIN since the last edge
	queued   bool // in the driver's list of connections to read
	ending   bool // the peer has ended its side, or the connection is broken

	// io_uring
	ops       int  // operations that will still complete
	receiving bool // a receive is armed
	canceling bool // ... and asked to end

	reading   bool // reading is on
	detaching bool
}

// handle names a connection towards the kernel: its place in the loop's table
// and the generation of that place, so that a late event of an earlier
// connection finds nothing.
type handle struct {
	slot uint32
	gen  uint32 // genMask bits
}

// genMask keeps a generation within the 24 bits it has in user_data.
const genMask = 1<<24 - 1
