package netio

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"kserver/sendfile"
)

const (
	// turnBytes is the most output of one connection per turn: what a fast
	// reader may take before the others get theirs. To send so much of a file
	// occupies the loop for about 0.1 ms. 1 MiB takes 0.5 ms, and whoever sends
	// a request beside such readers waits for that twice, when it comes and when
	// its answer is due; the processor time for each byte is the same.
	turnBytes = 256 << 10
	// joinBytes is the longest piece of memory that is copied to leave in one
	// send with its neighbours.
	joinBytes = 16 << 10
)

// outputWait says what the output of a connection waits for.
type outputWait uint8

const (
	waitNothing  outputWait = iota
	waitSent                // the driver's send to end
	waitWritable            // the socket to take bytes
	waitWarm                // a cold range to come into memory
)

// output is the sending side of a connection. Answers move from the slot queue
// into it in slot order, one step at a time:
//
//	slots --stage--> buf   bytes in memory: one part as it lies, or several
//	                       small ones and small file ranges gathered in a block
//	             --> file  one large file range, sent in windows
//
// A request leaves its slot when its last part has been staged. At most one of
// wait's causes is pending; pump does nothing until it is over.
type output struct {
	queued int // bytes answered and not sent, staged or not
	wait   outputWait
	began  uint64 // turn of the loop in which waitSent began

	buf    []byte   // memory to send
	more   bool     // a file range of the same answer follows directly
	blocks [][]byte // memory to release once buf and file are done

	gather []byte // block being filled from the next left parts, else nil
	filled int
	left   int
	warm   bool // the next part's range has just been brought into memory

	file     part // range to send; n is what is left
	ready    int  // bytes at its head that are known to be in memory
	asked    int  // length of the window Ready was asked for
	copyOnly bool // the range goes through memory: sendfile may not, cannot, or refused it
	bounded  bool // the socket takes little ahead

	wake func() // given to Source.Ready; made once per connection
}

func (o *output) busy() bool {
	return len(o.buf) > 0 || o.file.n > 0 || o.gather != nil || o.wait != waitNothing
}

// standing reports, in a turn of the loop, that the socket is full, or was and has
// not taken what it left: a send that finds room ends in the wait that submits it,
// which is the turn after its own.
func (o *output) standing(turn uint64) bool {
	switch o.wait {
	case waitNothing:
		return len(o.buf) > 0 || o.file.n > 0
	case waitSent:
		return turn > o.began+1
	default:
		return o.wait == waitWritable
	}
}

// unreadBytes is how much output a connection may have queued to be served on
// while an eighth of the budget is taken.
const unreadBytes = 4 << 10

// unread reports that the peer has to read its answers before further requests
// are served: the socket takes no more, or too much is queued. What is queued in a
// turn may be much, because the turn sends it at once, unless memory gets short.
func (c *Conn) unread() bool {
	o, s := &c.output, c.loop.srv
	return o.standing(c.loop.turnNo) || o.queued > s.cfg.MaxQueuedOutputBytes || o.queued > unreadBytes && s.budget.begun()
}

// pump sends what may be sent now.
func (c *Conn) pump() {
	o := &c.output
	for share := turnBytes; c.state == connOpen && o.wait == waitNothing; {
		if share <= 0 {
			c.loop.postpone(c)
			break
		}
		switch {
		case len(o.buf) > 0:
			share -= c.sendMemory()
		case o.file.n > 0:
			share -= c.sendFile(share)
		case o.gather != nil:
			c.fill()
		default:
			o.release(c.loop)
			if !c.stage() {
				c.loop.stalled.remove(c)
				return
			}
		}
	}
	if o.wait == waitWarm || c.state != connOpen {
		c.loop.stalled.remove(c)
	} else if o.wait != waitNothing && !c.links[listStalled].in {
		c.progress()
	}
}

// The kernel takes twice Config.SendBufferBytes of a connection's answers, and left to
// itself up to 4 MiB (net.ipv4.tcp_wmem): good for one that reads fast, and outside our
// accounts. While more than standingCrowd connections of a loop have output that has not
// left, those that send get sendAheadBytes beyond what the peer has room for: thousands
// that read nothing would take the memory that the kernel has for all sockets, and be
// served for it.
const (
	standingCrowd  = 64
	sendAheadBytes = 128 << 10
)

// boundSocket limits what the socket takes ahead while many others are full, and
// ends that when few are.
func (c *Conn) boundSocket() {
	o, n := &c.output, c.loop.stalled.len
	switch {
	case !o.bounded && n > standingCrowd:
		c.setSendAhead(sendAheadBytes)
		o.bounded = true
	case o.bounded && n < standingCrowd/2:
		c.setSendAhead(0) // the system's
		o.bounded = false
	}
}

// setSendAhead sets how many bytes the socket takes that cannot be sent yet.
func (c *Conn) setSendAhead(n int) {
	if err := unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n); err != nil {
		c.Close(fmt.Errorf("netio: TCP_NOTSENT_LOWAT: %w", err))
	}
}

// stage takes the next parts from the slot queue. It returns false when the
// first request is not answered.
func (c *Conn) stage() bool {
	o, l := &c.output, c.loop
	r := c.slots.front()
	for r != nil && r.state == requestAnswered && r.quiet {
		l.recycle(c.slots.pop())
		r = c.slots.front()
	}
	if r == nil || r.state != requestAnswered {
		return false
	}
	c.boundSocket()
	total, pieces := c.plan()
	w := &r.resp
	switch p := &w.parts[w.next]; {
	case pieces == 0:
		o.file, o.ready, o.copyOnly = *p, 0, l.srv.cfg.NoSendfile || p.src.Fd() < 0
		c.staged(r)
	case pieces == 1 && p.src == nil:
		o.buf = p.p
		c.staged(r)
	default:
		o.gather, o.filled, o.left = l.takeBlock(total), 0, pieces
	}
	return true
}

// plan looks at the parts at the head of the slot queue and returns how many of
// them, of how many bytes, leave together from memory: 0 when the first is a
// range for sendfile, 1 with memory for a part that is sent as it lies.
func (c *Conn) plan() (total, pieces int) {
	for i := range c.slots.len {
		r := c.slots.at(i)
		if r.state != requestAnswered {
			return total, pieces
		}
		w := &r.resp
		for j := w.next; j < len(w.parts); j++ {
			p := &w.parts[j]
			n := p.size()
			if p.src != nil && !c.small(w, p) || pieces > 0 && total+n > maxBlock {
				return total, pieces
			}
			if p.src == nil && n > joinBytes {
				if pieces == 0 {
					return n, 1
				}
				return total, pieces
			}
			total += n
			pieces++
		}
	}
	return total, pieces
}

// small reports that a file range is cheaper read into memory.
func (c *Conn) small(w *Response, p *part) bool {
	limit := c.loop.srv.cfg.CopyThreshold
	if w.ranges > 1 {
		limit = c.loop.srv.cfg.MultiCopyThreshold
	}
	return p.n < min(limit, maxBlock)
}

// staged notes that the first request's next part has been taken, and ends the
// request when it was the last; its memory stays until the output has left.
func (c *Conn) staged(r *Request) {
	o, w := &c.output, &r.resp
	w.parts[w.next] = part{}
	w.next++
	if w.next < len(w.parts) {
		o.more = w.parts[w.next].src != nil
		return
	}
	o.more = false
	o.blocks = append(o.blocks, w.blocks...)
	clear(w.blocks)
	w.blocks = w.blocks[:0]
	c.loop.recycle(c.slots.pop())
}

// fill copies the planned parts into the gathering block. It stops when a range
// has to be brought into memory first.
func (c *Conn) fill() {
	o, l := &c.output, c.loop
	for o.left > 0 {
		r := c.slots.front()
		if r.quiet {
			l.recycle(c.slots.pop())
			continue
		}
		p := r.resp.parts[r.resp.next]
		if p.src == nil {
			o.filled += copy(o.gather[o.filled:], p.p)
		} else {
			if !o.warm && !p.src.Ready(p.off, p.n, c.wakeFunc()) {
				c.awaitWarm(0)
				return
			}
			o.warm = false
			began := time.Now()
			n, err := readFull(p.src, o.gather[o.filled:o.filled+p.n], p.off)
			l.stalledSend(p.src, p.off, n, time.Since(began))
			if err != nil {
				c.Close(err)
				return
			}
			o.filled += n
			p.src.Release()
			l.stats.bytesCopied.Add(int64(n))
		}
		c.staged(r)
		o.left--
	}
	o.buf = o.gather[:o.filled]
	o.blocks = append(o.blocks, o.gather)
	o.gather = nil
}

// readFull reads all of p from a file that must have it.
func readFull(src sendfile.Source, p []byte, off int64) (int, error) {
	n, err := src.ReadAt(p, off)
	if n == len(p) {
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("netio: reading %d bytes of a response at %d: %w", len(p), off, err)
}

// sendMemory sends from buf and returns the bytes counted against the turn.
func (c *Conn) sendMemory() int {
	o, l := &c.output, c.loop
	p := o.buf[:min(len(o.buf), maxBlock)]
	var n int
	var err error
	if o.more {
		n, err = sendNow(c.fd, p, unix.MSG_MORE)
	} else {
		var async bool
		if n, async, err = l.drv.send(c, p); async {
			o.wait, o.began = waitSent, l.turnNo
			return 0
		}
	}
	c.sent(n)
	switch {
	case errors.Is(err, errAgain):
		c.awaitWritable()
	case err != nil:
		c.Close(err)
	}
	return n
}

// sent accounts for n bytes from buf that left.
func (c *Conn) sent(n int) {
	if n <= 0 {
		return
	}
	o, l := &c.output, c.loop
	o.buf = o.buf[n:]
	o.queued -= n
	l.stats.bytesMemory.Add(int64(n))
	if c.links[listStalled].in {
		c.progress()
	}
}

// onSent is the driver's word that a send has ended, with n bytes taken.
func (c *Conn) onSent(n int, err error) {
	c.output.wait = waitNothing
	if c.state != connOpen {
		return
	}
	c.sent(n)
	if err != nil {
		c.Close(err)
		return
	}
	c.loop.enqueue(c)
}

// sendFile sends the next window of the file range, at most share bytes, and
// returns how many left.
func (c *Conn) sendFile(share int) int {
	o, l := &c.output, c.loop
	if o.ready == 0 {
		n := min(o.file.n, sendfile.MaxWindow)
		if !o.file.src.Ready(o.file.off, n, c.wakeFunc()) {
			c.awaitWarm(n)
			return 0
		}
		o.ready = n
	}
	if o.copyOnly {
		c.readWindow()
		return 0
	}
	began := time.Now()
	n, err := sendfile.Send(c.fd, o.file.src.Fd(), o.file.off, min(o.ready, share))
	l.stalledSend(o.file.src, o.file.off, n, time.Since(began))
	l.stats.bytesSendfile.Add(int64(n))
	o.queued -= n
	c.advanceFile(n)
	if n > 0 && c.links[listStalled].in {
		c.progress()
	}
	switch {
	case err == nil:
	case errors.Is(err, sendfile.ErrAgain):
		c.awaitWritable()
	case errors.Is(err, sendfile.ErrUnsupported):
		o.copyOnly = true
	default:
		c.Close(fmt.Errorf("netio: sending a file range at %d: %w", o.file.off, err))
	}
	return n
}

// readWindow reads the next piece of a large range that does not go by sendfile.
func (c *Conn) readWindow() {
	o, l := &c.output, c.loop
	o.release(l) // the piece before has left
	n := min(o.ready, maxBlock)
	b := l.takeBlock(n)
	o.blocks = append(o.blocks, b)
	began := time.Now()
	if _, err := readFull(o.file.src, b[:n], o.file.off); err != nil {
		c.Close(err)
		return
	}
	l.stalledSend(o.file.src, o.file.off, n, time.Since(began))
	l.stats.bytesUnsendable.Add(int64(n))
	o.buf, o.more = b[:n], false
	c.advanceFile(n)
}

// advanceFile moves the head of the range n bytes on and releases its source at
// the end.
func (c *Conn) advanceFile(n int) {
	o := &c.output
	o.file.off += int64(n)
	o.file.n -= n
	o.ready -= n
	if o.file.n == 0 {
		o.file.src.Release()
		o.file = part{}
	}
}

func (c *Conn) awaitWritable() {
	c.output.wait = waitWritable
	c.loop.stats.socketFull.Add(1)
	c.loop.drv.awaitWritable(c)
}

// onWritable is the driver's answer to awaitWritable.
func (c *Conn) onWritable() {
	if c.state == connOpen && c.output.wait == waitWritable {
		c.output.wait = waitNothing
		c.loop.enqueue(c)
	}
}

// awaitWarm parks the output until the source calls wake. n is the length of
// the window of file that was asked for, 0 for a part being gathered.
func (c *Conn) awaitWarm(n int) {
	c.output.wait, c.output.asked = waitWarm, n
	c.loop.stats.coldWaits.Add(1)
}

func (c *Conn) wakeFunc() func() {
	if c.output.wake == nil {
		onWarm := c.onWarm
		c.output.wake = func() { c.loop.Post(onWarm) }
	}
	return c.output.wake
}

// onWarm continues after a warm-up. The range is taken as it is now, without
// asking again: a range that is evicted as fast as it is read must not park the
// connection for ever.
func (c *Conn) onWarm() {
	o := &c.output
	if c.state != connOpen || o.wait != waitWarm {
		return
	}
	o.wait = waitNothing
	o.ready, o.warm = o.asked, o.asked == 0
	c.loop.enqueue(c)
}

// abandon gives up what has not left. Memory that the kernel may still be
// reading stays until release.
func (o *output) abandon(c *Conn) {
	if o.file.n > 0 {
		o.file.src.Release()
		o.file = part{}
	}
	if o.gather != nil {
		c.loop.giveBlock(o.gather)
		o.gather = nil
	}
	o.left, o.queued = 0, 0
}

// release gives the memory of finished output back.
func (o *output) release(l *Loop) {
	for i, b := range o.blocks {
		l.giveBlock(b)
		o.blocks[i] = nil
	}
	o.blocks, o.buf = o.blocks[:0], nil
}
