package netio

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// connState is where a connection is in its life:
//
//	open     --Close-->     closing   no more requests, no more output begun
//	closing  --teardown-->  detached  answers given back, handler told, waiting for the kernel
//	detached --onDetached-> closed    descriptor closed, place in the table free
//
// Close may be called from inside any callback; teardown runs between them, at
// the end of the same turn.
type connState uint8

const (
	connOpen connState = iota
	connClosing
	connDetached
	connClosed
)

// Conn is one accepted connection. It is served by one loop for its whole life;
// unless a method says otherwise only that loop's thread may use it. A Conn is
// not reused: keeping one after Closed is safe, its methods then do nothing.
//
// While a connection is idle it owns no buffer, only this object.
type Conn struct {
	// Attachment belongs to the handler; netio does not look at it.
	Attachment any

	loop   *Loop
	ln     *listener
	id     uint64
	remote netip.AddrPort
	local  netip.AddrPort
	fd     int
	handle handle
	state  connState
	queued bool   // in loop.ready or loop.later
	late   bool   // in loop.later
	lateAt uint64 // ... since this turn of the loop
	ending bool   // Finish was called: closes once what was delivered is answered
	err    error

	io    connIO
	links [numLists]connLink

	turn      uint64        // of the loop, to which the next ones belong
	delivered int           // requests
	share     int           // ... of so many
	shareEnd  time.Duration // of the loop's time

	input  input
	slots  slotQueue
	output output
	grace  *Timer // ends a half-closed connection
}

// ID is unique within the server's life. Any goroutine may call it.
func (c *Conn) ID() uint64 { return c.id }

// Loop is the loop that serves the connection. Any goroutine may call it.
func (c *Conn) Loop() *Loop { return c.loop }

// RemoteAddr is the peer's address. Any goroutine may call it.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// LocalAddr is the address the peer connected to. Any goroutine may call it.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Listener is the name given to Server.Listen. Any goroutine may call it.
func (c *Conn) Listener() string { return c.ln.name }

// Closed reports whether Close was called or the connection has ended.
func (c *Conn) Closed() bool { return c.state != connOpen }

// Close closes the connection. Output that has not left is lost, requests that
// are not answered stay unanswered. The handler's Closed is called with err
// once the current callback has returned. Later calls do nothing.
func (c *Conn) Close(err error) {
	if c.state != connOpen {
		return
	}
	c.state = connClosing
	if !c.ending {
		c.err = err
	}
	c.loop.dying = append(c.loop.dying, c)
}

// Finish closes the connection in order: no further frame is delivered and
// nothing more is read, requests that were delivered are still answered, and
// when the last answer has left, or after 30 seconds, the connection closes with
// err. Later calls, also of Close with another error, keep the first one's.
func (c *Conn) Finish(err error) {
	if c.state != connOpen || c.ending {
		return
	}
	c.ending, c.err = true, err
	c.loop.unwatchFrame(c)
	c.armGrace()
	c.loop.enqueue(c)
}

// work is the connection's part of a turn: send, deliver what had to wait, see
// whether to read and whether all is done.
func (c *Conn) work() {
	if c.state != connOpen {
		return
	}
	c.pump()
	if c.input.buffered() > 0 {
		c.deliverBuffered()
		c.pump()
	}
	c.settle()
	c.yield()
}

// yield has the connection come again in the next turn when it has used up its
// share of this one and there is more to deliver.
func (c *Conn) yield() {
	if c.state == connOpen && c.input.buffered() > 0 && c.shareSpent() {
		c.loop.postpone(c)
	}
}

// settle brings the reading state in line with what the connection may take,
// and ends a connection that has nothing left to do.
func (c *Conn) settle() {
	if c.state != connOpen {
		return
	}
	c.updateReading()
	c.watchFrame()
	if c.slots.len > 0 || c.output.busy() {
		return
	}
	if c.ending {
		c.Close(c.err)
		return
	}
	if c.input.eof && !c.frameWaiting() {
		var err error
		if c.input.buffered() > 0 {
			err = errTruncatedFrame
		}
		c.Close(err)
		return
	}
	if c.loop.draining {
		c.Close(ErrDrained)
	}
}

// teardown ends a closing connection: it gives back everything that belongs to
// requests and responses, tells the handler, and lets the kernel go.
func (c *Conn) teardown() {
	l := c.loop
	c.state = connDetached
	l.idle.remove(c)
	l.stalled.remove(c)
	l.unwatchFrame(c)
	if c.grace != nil {
		c.grace.Stop()
	}
	c.releaseInput()
	c.slots.abandon(l)
	c.output.abandon(c)
	l.handler.Closed(c, c.err)
	l.drv.detach(c)
}

// onDetached is the driver's word that no operation refers to the connection.
func (l *Loop) onDetached(c *Conn) {
	c.state = connClosed
	c.output.release(l)
	if err := unix.Close(c.fd); err != nil {
		l.log.Error("closing a socket", "conn", c.id, "err", err)
	}
	c.fd = -1
	slot := c.handle.slot
	l.conns[slot] = nil
	l.gens[slot] = (l.gens[slot] + 1) & genMask
	l.freeSlots = append(l.freeSlots, slot)
	l.nconns--
	l.open.Add(-1)
	l.srv.leave(c.ln, c.remote.Addr())
}

// conn finds the connection of a handle, nil when it is gone.
func (l *Loop) conn(h handle) *Conn {
	if int(h.slot) >= len(l.conns) || l.gens[h.slot] != h.gen {
		return nil
	}
	return l.conns[h.slot]
}

// adopt makes a connection of an accepted socket. Runs on the loop that will
// serve it; the server has counted it already.
func (l *Loop) adopt(ln *listener, fd int, remote, local netip.AddrPort) {
	c := &Conn{
		loop: l, ln: ln, id: l.srv.nextID.Add(1), remote: remote, local: local, fd: fd,
	}
	if k := len(l.freeSlots); k > 0 {
		c.handle.slot = l.freeSlots[k-1]
		l.freeSlots = l.freeSlots[:k-1]
	} else {
		c.handle.slot = uint32(len(l.conns))
		l.conns = append(l.conns, nil)
		l.gens = append(l.gens, 0)
	}
	c.handle.gen = l.gens[c.handle.slot]
	l.conns[c.handle.slot] = c
	l.nconns++
	c.touch()
	l.armIdle()
	c.io.reading = true
	l.handler.Opened(c)
	if err := l.drv.attach(c); err != nil {
		c.Close(err)
	}
	if l.stopping || l.draining {
		c.Close(ErrServerClosed)
	}
}
