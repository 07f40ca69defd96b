package netio

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"kserver/netio/uring"
)

// opKind is the upper byte of user data: what completed.
type opKind uint8

const (
	opMail opKind = iota + 1
	opAccept
	opReceive
	opSend
	opPoll
	opCancel
)

// Layout of user data: kind (8 bits), generation (24), slot (32).
const (
	kindShift = 56
	genShift  = 32
)

func userData(k opKind, h handle) uint64 {
	return uint64(k)<<kindShift | uint64(h.gen)<<genShift | uint64(h.slot)
}

const (
	ringEntries   = 512
	ringCQEntries = 4096
	receiveGroup  = 1
)

func uringUsable() error { return uring.Available() }

// uringDriver is the back-end on io_uring(7): one accept at a time per
// listener, one multishot receive per connection into buffers shared by all of them (of a
// single buffer while memory is short, because a multishot one empties the socket), and
// sends that are submitted, many at a time, by the same call that waits.
// Ranges of files go by direct calls (there is no sendfile operation); a full
// socket is then waited for with a poll.
//
// A connection's operations are counted. Detaching shuts the socket down, which
// ends them all, and the connection is let go when the last has completed: until
// then the kernel holds the socket open and may touch its memory.
type uringDriver struct {
	loop    *Loop
	ring    *uring.Ring
	buffers *uring.Buffers
	rearm   []handle // receives that ended for lack of buffers
	accepts int      // accepts armed
	mailOn  bool
	before  uring.Counters
	err     error // of a submission; the loop ends with it
}

func newUringDriver(l *Loop) (driver, error) {
	ring, err := uring.New(uring.Options{Entries: ringEntries, CQEntries: ringCQEntries})
	if err != nil {
		return nil, fmt.Errorf("netio: %w", err)
	}
	cfg := &l.srv.cfg
	buffers, err := ring.NewBuffers(receiveGroup, cfg.RingBuffers, cfg.RingBufferBytes)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netio: %w", err), ring.Close())
	}
	return &uringDriver{loop: l, ring: ring, buffers: buffers}, nil
}

// submitTries is how often a full ring is tried again, a millisecond apart, when
// the kernel is short of memory for new operations.
const submitTries = 1000

// sqe returns an entry to fill. Losing the ring ends the loop after this turn;
// what is filled meanwhile goes nowhere.
func (d *uringDriver) sqe() *uring.SQE {
	for range submitTries {
		s, err := d.ring.SQE()
		if err == nil {
			return s
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EBUSY) {
			d.err = errors.Join(d.err, err)
			return &uring.SQE{}
		}
		// Completions make room; they stay queued for the dispatch.
		if err := d.ring.Wait(int(ringCQEntries), time.Millisecond); err != nil {
			d.err = errors.Join(d.err, err)
			return &uring.SQE{}
		}
	}
	d.err = errors.Join(d.err, unix.EAGAIN)
	return &uring.SQE{}
}

func (d *uringDriver) wait(timeout time.Duration) error {
	if !d.mailOn {
		s := d.sqe()
		s.PrepPollMultishot(d.loop.mail.fd, unix.POLLIN)
		s.UserData = userData(opMail, handle{})
		d.mailOn = true
	}
	d.armReceives()
	if timeout < 0 {
		timeout = uring.NoTimeout
	}
	if d.err == nil {
		d.err = d.ring.Wait(1, timeout)
	}
	if d.err != nil {
		return fmt.Errorf("netio: %w", d.err)
	}
	d.loop.tick()
	for c, ok := d.ring.Next(); ok; c, ok = d.ring.Next() {
		d.dispatch(c)
	}
	d.buffers.Publish()
	d.count()
	return d.err
}

// count passes the ring's counters on.
func (d *uringDriver) count() {
	now, was, s := d.ring.Counters(), d.before, &d.loop.stats
	s.enters.Add(int64(now.Enters - was.Enters))
	s.submitted.Add(int64(now.Submitted - was.Submitted))
	s.completed.Add(int64(now.Completed - was.Completed))
	if now.Overflow != was.Overflow {
		s.cqOverflow.Add(int64(now.Overflow - was.Overflow))
	}
	d.before = now
}

func (d *uringDriver) dispatch(e uring.CQE) {
	h := handle{slot: uint32(e.UserData), gen: uint32(e.UserData>>genShift) & genMask}
	switch k := opKind(e.UserData >> kindShift); k {
	case opMail:
		d.mailOn = e.More() // the mailbox is looked at every turn
	case opAccept:
		d.accepted(h, e)
	case opReceive:
		d.received(h, e)
	case opSend, opPoll:
		c := d.loop.conn(h)
		if c == nil {
			panic(fmt.Sprintf("netio: completion of kind %d for %+v, which is gone", k, h))
		}
		if k == opSend {
			d.sent(c, e)
		} else {
			c.onWritable()
		}
		d.ended(c)
	case opCancel: // the operation itself says how it ended
	default:
		panic(fmt.Sprintf("netio: completion with user data %#x", e.UserData))
	}
}

// errnoOf is the error of a completion, nil for a count.
func errnoOf(res int32) error {
	if res < 0 {
		return unix.Errno(-res)
	}
	return nil
}

// ended counts a terminal completion of a connection.
func (d *uringDriver) ended(c *Conn) {
	c.io.ops--
	if c.io.detaching && c.io.ops == 0 {
		d.loop.onDetached(c)
	}
}

func (d *uringDriver) received(h handle, e uring.CQE) {
	c := d.loop.conn(h)
	if c == nil {
		// The place is held until the receive has ended, so this cannot be.
		panic(fmt.Sprintf("netio: receive for %+v, which is gone", h))
	}
	if id, ok := e.Buffer(); ok {
		if e.Res > 0 {
			p := d.buffers.Bytes(id, int(e.Res))
			c.onReceived(p)
			poison(p)
		}
		d.buffers.Put(id)
	}
	if e.More() {
		return
	}
	c.io.receiving, c.io.canceling = false, false
	switch err := errnoOf(e.Res); err {
	case nil:
		if e.Res == 0 {
			c.onReadEnd(nil)
		}
	case unix.ENOBUFS:
		d.loop.stats.bufferExhausted.Add(1)
	case unix.ECANCELED, unix.EINTR, unix.EAGAIN:
	default:
		c.onReadEnd(err)
	}
	if c.io.reading && c.state == connOpen {
		// Armed before the next wait, when the buffers taken now are back.
		d.rearm = append(d.rearm, c.handle)
	}
	d.ended(c)
}

// armReceives arms what could not be armed during dispatch.
func (d *uringDriver) armReceives() {
	for _, h := range d.rearm {
		if c := d.loop.conn(h); c != nil {
			d.receive(c)
		}
	}
	d.rearm = d.rearm[:0]
}

// receive arms a receive unless one is armed or none is wanted.
func (d *uringDriver) receive(c *Conn) {
	if c.io.receiving || !c.io.reading || c.io.detaching || c.state != connOpen {
		return
	}
	s := d.sqe()
	if c.readLittle() {
		s.PrepRecv(c.fd, receiveGroup)
	} else {
		s.PrepRecvMultishot(c.fd, receiveGroup)
	}
	s.UserData = userData(opReceive, c.handle)
	c.io.receiving = true
	c.io.ops++
}

func (d *uringDriver) setRead(c *Conn, on bool) {
	if on {
		d.receive(c) // not before a receive that was told to end has ended
		return
	}
	if c.io.receiving && !c.io.canceling {
		c.io.canceling = true
		d.cancel(userData(opReceive, c.handle))
	}
}

func (d *uringDriver) cancel(target uint64) {
	s := d.sqe()
	s.PrepCancel(target)
	s.UserData = userData(opCancel, handle{})
}

func (d *uringDriver) attach(c *Conn) error {
	d.receive(c)
	return nil
}

func (d *uringDriver) send(c *Conn, p []byte) (int, bool, error) {
	s := d.sqe()
	s.PrepSend(c.fd, p, unix.MSG_WAITALL|unix.MSG_NOSIGNAL)
	s.UserData = userData(opSend, c.handle)
	c.io.ops++
	return 0, true, nil
}

// sent takes the result of a send. MSG_WAITALL makes a short count the sign of
// an end that the next send will name.
func (d *uringDriver) sent(c *Conn, e uring.CQE) {
	switch err := errnoOf(e.Res); err {
	case unix.EINTR, unix.EAGAIN:
		c.onSent(0, nil)
	default:
		c.onSent(max(int(e.Res), 0), err)
	}
}

func (d *uringDriver) awaitWritable(c *Conn) {
	s := d.sqe()
	s.PrepPoll(c.fd, unix.POLLOUT)
	s.UserData = userData(opPoll, c.handle)
	c.io.ops++
}

// detach ends what is under way. The shutdown also tells the peer: the socket
// itself is closed only when the kernel has let go of it.
func (d *uringDriver) detach(c *Conn) {
	c.io.detaching = true
	if c.io.ops == 0 {
		d.loop.onDetached(c)
		return
	}
	if err := unix.Shutdown(c.fd, unix.SHUT_RDWR); err != nil && err != unix.ENOTCONN {
		d.loop.log.Error("shutting a socket down", "conn", c.id, "err", err)
	}
	if c.io.receiving && !c.io.canceling {
		c.io.canceling = true
		d.cancel(userData(opReceive, c.handle))
	}
	switch c.output.wait {
	case waitSent:
		d.cancel(userData(opSend, c.handle))
	case waitWritable:
		d.cancel(userData(opPoll, c.handle))
	}
}

func (d *uringDriver) listen(ln *listener) {
	s := d.sqe()
	s.PrepAccept(ln.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	s.UserData = userData(opAccept, handle{slot: uint32(ln.index)})
	ln.armed = true
	d.accepts++
}

func (d *uringDriver) unlisten(ln *listener) {
	if !ln.armed {
		d.loop.onUnlistened(ln)
		return
	}
	d.cancel(userData(opAccept, handle{slot: uint32(ln.index)}))
}

// accepted takes one socket, or an error. The next accept begins only when the
// loop wants it: a multishot one would empty the backlog into descriptors that a
// resting listener would have to keep.
func (d *uringDriver) accepted(h handle, e uring.CQE) {
	ln := d.loop.listeners[h.slot]
	ln.armed = false
	d.accepts--
	switch {
	case e.Res >= 0:
		d.loop.onAccept(ln, int(e.Res), nil)
	case !ln.closing:
		d.loop.onAccept(ln, -1, unix.Errno(-e.Res))
	}
	switch {
	case ln.armed:
	case ln.closing:
		d.loop.onUnlistened(ln)
	case ln.accepting:
		d.listen(ln)
	}
}

func (d *uringDriver) idle() bool { return d.accepts == 0 }

func (d *uringDriver) close() error {
	if d.mailOn {
		// The poll would keep the eventfd alive until the ring is gone for good.
		d.cancel(userData(opMail, handle{}))
		for d.mailOn && d.err == nil {
			d.err = d.ring.Wait(1, time.Second)
			for c, ok := d.ring.Next(); ok; c, ok = d.ring.Next() {
				if opKind(c.UserData>>kindShift) == opMail {
					d.mailOn = c.More()
				}
			}
		}
	}
	d.count()
	return errors.Join(d.err, d.buffers.Close(), d.ring.Close())
}
