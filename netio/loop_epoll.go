package netio

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// epollEvents is the most events taken per wait.
	epollEvents = 256
	// readBytes is the size of the loop's receive buffer.
	readBytes = 64 << 10
	// readShare is the most one connection may receive per turn.
	readShare = 256 << 10
	// acceptShare is the most connections one listener accepts per turn.
	acceptShare = 16

	epollConn = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

	// Slots of events that are not connections. The generation field then
	// names the listener.
	slotMail     = ^uint32(0)
	slotListener = ^uint32(0) - 1
)

// epollDriver is the back-end on epoll(7): sockets are registered once,
// edge-triggered for both directions, and read, written and accepted with
// direct calls until they would block.
type epollDriver struct {
	loop    *Loop
	fd      int
	events  []unix.EpollEvent
	scratch []byte      // every receive goes here first
	reads   []*Conn     // readable and reading is on
	next    []*Conn     // spare for reads
	accepts []*listener // may have connections to accept
}

func newEpollDriver(l *Loop) (driver, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("netio: epoll_create1: %w", err)
	}
	d := &epollDriver{loop: l, fd: fd, events: make([]unix.EpollEvent, epollEvents)}
	if err := d.add(l.mail.fd, unix.EPOLLIN|unix.EPOLLET, slotMail, 0); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	d.scratch = mapMemory(readBytes)
	return d, nil
}

func (d *epollDriver) add(fd int, events uint32, slot, gen uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(slot), Pad: int32(gen)}
	if err := unix.EpollCtl(d.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("netio: epoll_ctl: %w", err)
	}
	return nil
}

func (d *epollDriver) wait(timeout time.Duration) error {
	ms := -1
	switch {
	case timeout == 0 || len(d.reads) > 0 || len(d.accepts) > 0:
		ms = 0
	case timeout > 0:
		// Rounded up: waking before a timer is due would spin.
		ms = int(min((timeout+time.Millisecond-1)/time.Millisecond, 1<<30))
	}
	d.loop.stats.enters.Add(1)
	n, err := unix.EpollWait(d.fd, d.events, ms)
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("netio: epoll_wait: %w", err)
	}
	d.loop.tick()
	for i := range max(n, 0) {
		d.dispatch(&d.events[i])
	}
	d.loop.stats.completed.Add(int64(max(n, 0)))
	d.acceptAll()
	d.readAll()
	return nil
}

func (d *epollDriver) dispatch(ev *unix.EpollEvent) {
	l := d.loop
	h := handle{uint32(ev.Fd), uint32(ev.Pad)}
	switch h.slot {
	case slotMail:
		return // the mailbox is looked at every turn
	case slotListener:
		if int(h.gen) < len(l.listeners) && l.listeners[h.gen] != nil {
			d.queueAccept(l.listeners[h.gen])
		}
		return
	}
	c := l.conn(h)
	if c == nil {
		return
	}
	const hangup = unix.EPOLLHUP | unix.EPOLLERR
	if ev.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|hangup) != 0 {
		c.io.readable = true
		c.io.ending = c.io.ending || ev.Events&(unix.EPOLLRDHUP|hangup) != 0
		d.queueRead(c)
	}
	if ev.Events&(unix.EPOLLOUT|hangup) != 0 {
		c.onWritable()
	}
}

// queueRead has the connection read in this turn if there is something to read.
// Of one that is closing nobody reads, not even the end, so it would come again
// in every turn.
func (d *epollDriver) queueRead(c *Conn) {
	if c.state == connOpen && c.io.readable && c.io.reading && !c.io.queued {
		c.io.queued = true
		d.reads = append(d.reads, c)
	}
}

// readAll gives every readable connection its share; those with more to read
// come again in the next turn.
func (d *epollDriver) readAll() {
	list := d.reads
	d.reads = d.next
	for i, c := range list {
		list[i] = nil
		c.io.queued = false
		d.read(c)
		d.queueRead(c)
	}
	d.next = list[:0]
}

func (d *epollDriver) read(c *Conn) {
	for got := 0; got < readShare && c.state == connOpen && c.io.reading; {
		p := c.directSpace()
		direct := p != nil
		if !direct {
			p = d.scratch
			if !c.mayDeliver() {
				p = p[:c.readAhead()]
			}
		}
		n, err := readNow(c.fd, p)
		switch {
		case errors.Is(err, errAgain):
			c.io.readable = false
			return
		case err != nil || n == 0:
			c.io.readable = false
			c.onReadEnd(err)
			return
		}
		got += n
		// A short read has emptied the socket, and what comes later is a new
		// edge; only the end of the stream has to be asked for.
		short := n < len(p) && !c.io.ending
		if short {
			c.io.readable = false
		}
		if direct {
			c.onDirect(n)
		} else {
			c.onReceived(p[:n])
			poison(p[:n])
		}
		if short {
			return
		}
	}
}

// accept takes sockets until there are none. The backlog bounds how many that
// can be, and connections are what the loop is there for.
func (d *epollDriver) queueAccept(ln *listener) {
	if !ln.queued {
		ln.queued = true
		d.accepts = append(d.accepts, ln)
	}
}

// acceptAll gives every listener its share; those with more come again in the
// next turn, so that who connects again and again does not keep the others waiting.
func (d *epollDriver) acceptAll() {
	for n := len(d.accepts); n > 0; n-- {
		ln := d.accepts[0]
		d.accepts = append(d.accepts[:0], d.accepts[1:]...)
		ln.queued = false
		d.accept(ln)
	}
}

func (d *epollDriver) accept(ln *listener) {
	for n := 0; ln.accepting && !ln.closing; n++ {
		if n == acceptShare {
			d.queueAccept(ln)
			return
		}
		fd, _, err := unix.Accept4(ln.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err == unix.EAGAIN {
			return
		}
		d.loop.onAccept(ln, fd, err)
	}
}

func (d *epollDriver) listen(ln *listener) {
	if !ln.registered {
		if err := d.add(ln.fd, unix.EPOLLIN|unix.EPOLLET, slotListener, uint32(ln.index)); err != nil {
			d.loop.onAccept(ln, -1, err)
			return
		}
		ln.registered = true
		return // readiness is reported as an edge
	}
	d.queueAccept(ln)
}

func (d *epollDriver) unlisten(ln *listener) { d.loop.onUnlistened(ln) } // close removes it

func (d *epollDriver) attach(c *Conn) error {
	return d.add(c.fd, epollConn, c.handle.slot, c.handle.gen)
}

func (d *epollDriver) setRead(c *Conn, on bool) {
	if on {
		d.queueRead(c)
	}
}

func (d *epollDriver) send(c *Conn, p []byte) (int, bool, error) {
	n, err := sendNow(c.fd, p, 0)
	return n, false, err
}

// awaitWritable needs no call: an edge follows every EAGAIN.
func (d *epollDriver) awaitWritable(*Conn) {}

// detach: closing the socket removes it from the epoll set.
func (d *epollDriver) detach(c *Conn) { d.loop.onDetached(c) }

func (d *epollDriver) idle() bool { return true }

func (d *epollDriver) close() error {
	unmapMemory(d.scratch)
	if err := unix.Close(d.fd); err != nil {
		return fmt.Errorf("netio: closing epoll: %w", err)
	}
	return nil
}
