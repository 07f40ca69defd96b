package netio

import (
	"encoding/binary"
	"fmt"
	"time"
)

const (
	// lengthBytes is the size of the length in front of every frame.
	lengthBytes = 4
	// readAheadBytes is how much a connection may buffer while its frames are
	// not delivered (too many pending, held, too much output) before it stops
	// reading. Small enough to bound memory, large enough that a short pause
	// needs no system call.
	readAheadBytes = 64 << 10
	// littleAheadBytes is the same while the peer takes no output, or too little of
	// it: who does not read its answers is in no hurry to have more of its requests
	// read. And it is for all while an eighth of the budget is taken.
	littleAheadBytes = 4 << 10
	// directBytes is the rest of a frame from which a back-end that reads with
	// plain calls reads straight into the frame's buffer.
	directBytes = 16 << 10
)

// input is the receiving side of a connection.
//
// Frames are delivered out of the receive buffer of the back-end where they
// lie whole; only what cannot be delivered at once is copied into buf: the
// beginning of a frame, or frames that arrive while delivery is blocked. An
// incomplete frame is topped up to exactly its length, so that a kept frame
// can take the buffer over instead of copying.
type input struct {
	buf        []byte // block of the arena, charged to the budget, nil when empty
	start, end int    // bytes not delivered yet: buf[start:end]

	window     int      // bytes received since the unfinished frame was last looked at
	held       *Request // no delivery until it is answered or proceeds
	delivering bool     // inside Handler.Request
	whole      bool     // ... with the frame that is all of buf
	starving   bool     // in loop.starved: not reading for lack of budget
	eof        bool     // the peer has ended its side
}

func (in *input) buffered() int { return in.end - in.start }

// blocked reports that no frame may be delivered now.
func (c *Conn) blocked() bool {
	return c.state != connOpen || c.ending || c.input.held != nil || c.input.delivering || c.loop.draining ||
		c.slots.len >= c.loop.srv.cfg.MaxPendingRequests || c.unread()
}

// Bounds of what one connection may have delivered in one turn while others
// wait. The time is looked at every few requests. The requests of a share are
// divided by the connections that wait for their next one, and once a turn has
// served a few and taken turnTime, one request is a share: however many connections
// have much to do, one with little waits for about one request of each. One that has
// no more than modestRequests at once is served all of them: behind those with much
// to do, each of its requests would wait for one of every one of theirs.
const (
	shareRequests  = 64
	shareStep      = 4
	shareTime      = 500 * time.Microsecond
	fullShares     = 4
	turnTime       = fullShares * shareTime
	modestRequests = 5 // what clients have in flight unless told otherwise
)

// shareSpent reports that no further frame may be delivered in this turn.
func (c *Conn) shareSpent() bool {
	return c.turn == c.loop.turnNo && c.delivered >= c.share
}

// mayDeliver reports that a frame may be delivered now.
func (c *Conn) mayDeliver() bool { return !c.blocked() && !c.late && !c.shareSpent() }

// beginShare measures the connection's share of the turn, once in each. b begins
// with its next frame and holds what else of it is here.
func (c *Conn) beginShare(b []byte) {
	l := c.loop
	if c.turn == l.turnNo {
		return
	}
	c.turn, c.delivered, c.share = l.turnNo, 0, shareRequests
	switch waiting, long := len(l.later), l.long(); {
	case waiting <= fullShares && !long:
	case modest(b):
		c.share = modestRequests
	case long:
		c.share = 1
	default:
		c.share = max(1, min(shareStep, shareRequests/waiting))
	}
}

// modest reports that b begins with no more than modestRequests frames.
func modest(b []byte) bool {
	for range modestRequests {
		if len(b) < lengthBytes {
			return true
		}
		n := int(binary.BigEndian.Uint32(b))
		if n > len(b)-lengthBytes {
			return true
		}
		b = b[lengthBytes+n:]
	}
	return len(b) == 0
}

// takeShare counts a delivery against the share of the turn.
func (c *Conn) takeShare() {
	l := c.loop
	if c.delivered++; c.delivered%shareStep != 0 {
		return
	}
	now := time.Since(l.start)
	if c.delivered == shareStep {
		c.shareEnd = now + shareTime
	} else if now >= c.shareEnd {
		c.share = min(c.share, c.delivered)
	}
}

// frameLen reads the length at the head of b, which holds at least lengthBytes;
// ok is false, and the connection ending, when it is out of range.
func (c *Conn) frameLen(b []byte) (n int, ok bool) {
	v := int32(binary.BigEndian.Uint32(b))
	if v < 0 || int(v) > c.loop.srv.cfg.MaxFrameBytes {
		if !c.ending {
			c.loop.stats.frameLengths.Add(1)
		}
		c.Finish(fmt.Errorf("%w: %d bytes", ErrFrameTooLarge, v))
		return 0, false
	}
	return int(v), true
}

// onReceived takes bytes from the back-end. p is valid during the call only.
func (c *Conn) onReceived(p []byte) {
	l := c.loop
	l.stats.bytesReceived.Add(int64(len(p)))
	if c.state != connOpen {
		return
	}
	c.touch()
	c.input.window += len(p)
	for len(p) > 0 && c.mayDeliver() {
		switch {
		case c.input.buffered() == 0:
			p = c.deliverFrom(p)
		default:
			p = c.topUp(p)
		}
	}
	if c.state != connOpen {
		return
	}
	if len(p) > 0 && !c.ending {
		c.stash(p)
	}
	c.settle()
	c.yield()
}

// deliverFrom delivers the frames at the head of p and buffers an incomplete
// one. It returns what is left because delivery became blocked.
func (c *Conn) deliverFrom(p []byte) []byte {
	for c.mayDeliver() {
		if len(p) < lengthBytes {
			break
		}
		n, ok := c.frameLen(p)
		if !ok {
			return nil
		}
		if len(p)-lengthBytes < n {
			break
		}
		c.beginShare(p)
		c.deliver(p[lengthBytes:lengthBytes+n:lengthBytes+n], false)
		p = p[lengthBytes+n:]
	}
	if len(p) > 0 && c.mayDeliver() {
		c.stash(p)
		return nil
	}
	return p
}

// topUp moves bytes from p to the incomplete frame in the buffer and delivers
// it when it is whole. It returns the rest of p.
func (c *Conn) topUp(p []byte) []byte {
	in := &c.input
	if have := in.buffered(); have < lengthBytes {
		k := min(lengthBytes-have, len(p))
		c.stash(p[:k])
		p = p[k:]
		if in.buffered() < lengthBytes {
			return p
		}
	}
	n, ok := c.frameLen(in.buf[in.start:])
	if !ok {
		return nil
	}
	k := min(max(lengthBytes+n-in.buffered(), 0), len(p))
	c.stash(p[:k])
	c.deliverBuffered()
	return p[k:]
}

// deliverBuffered delivers the whole frames in the buffer as far as it may.
func (c *Conn) deliverBuffered() {
	in := &c.input
	for in.buffered() >= lengthBytes && c.mayDeliver() {
		n, ok := c.frameLen(in.buf[in.start:])
		if !ok {
			return
		}
		if in.buffered() < lengthBytes+n {
			return
		}
		c.beginShare(in.buf[in.start:in.end])
		from := in.start + lengthBytes
		whole := in.start == 0 && in.end == from+n
		in.start = from + n
		c.deliver(in.buf[from:from+n:from+n], whole)
		if in.start == in.end {
			c.releaseInput() // unless Keep took it
		}
	}
}

// frameWaiting reports that the buffer holds a whole frame.
func (c *Conn) frameWaiting() bool {
	in := &c.input
	if in.buffered() < lengthBytes {
		return false
	}
	n, ok := c.frameLen(in.buf[in.start:])
	return ok && in.buffered() >= lengthBytes+n
}

// deliver gives one frame to the handler, in the next response slot.
func (c *Conn) deliver(frame []byte, whole bool) {
	l := c.loop
	r := l.newRequest(c, frame)
	c.slots.push(r)
	l.stats.frames.Add(1)
	if c.links[listFrames].in {
		l.unwatchFrame(c)
	}
	c.takeShare()
	c.input.delivering, c.input.whole = true, whole
	l.handler.Request(r)
	c.input.delivering, c.input.whole = false, false
	if r.kept == nil {
		r.frame = nil // answered requests are reused only between callbacks
	}
}

// stash appends p to the buffer, which grows with what has arrived.
func (c *Conn) stash(p []byte) {
	copy(c.space(len(p)), p)
	c.input.end += len(p)
}

// space returns room for n more bytes behind the buffered ones.
func (c *Conn) space(n int) []byte {
	in, l := &c.input, c.loop
	if in.buf == nil {
		in.start, in.end = 0, 0
		in.buf = l.takeBlock(max(n, minBlockBytes))
	}
	if in.start > 0 && in.end+n > len(in.buf) {
		copy(in.buf, in.buf[in.start:in.end])
		in.start, in.end = 0, in.end-in.start
	}
	if need := in.end + n; need > len(in.buf) {
		size := max(need, 2*len(in.buf))
		most := size
		if want := c.frameEnd(); want >= need {
			size, most = min(size, want), want // no more than the frame will take
		}
		before := len(in.buf)
		in.buf = l.mem.grow(in.buf, in.end, size, most)
		l.charge(int64(len(in.buf) - before))
	}
	return in.buf[in.end : in.end+n]
}

// frameEnd is where the first frame in the buffer will end, 0 when its length
// is not known. The buffer begins with it.
func (c *Conn) frameEnd() int {
	in := &c.input
	if in.start != 0 || in.buffered() < lengthBytes {
		return 0
	}
	return lengthBytes + int(binary.BigEndian.Uint32(in.buf))
}

// directSpace returns room for the rest of an incomplete large frame, or nil:
// the back-end may read into it and then calls onDirect.
func (c *Conn) directSpace() []byte {
	in := &c.input
	if c.blocked() || in.start != 0 {
		return nil
	}
	rest := c.frameEnd() - in.end
	if rest < directBytes {
		return nil
	}
	// Not more than has arrived already, so that memory follows the bytes.
	return c.space(min(rest, max(in.end, directBytes)))
}

// onDirect takes n bytes that the back-end read into directSpace.
func (c *Conn) onDirect(n int) {
	c.loop.stats.bytesReceived.Add(int64(n))
	c.touch()
	c.input.end += n
	c.input.window += n
	c.deliverBuffered()
	c.settle()
	c.yield()
}

// onReadEnd is the driver's word that no more bytes come: err is nil when the
// peer ended its side in good order.
func (c *Conn) onReadEnd(err error) {
	if c.state != connOpen || c.input.eof {
		return
	}
	if err != nil {
		c.Close(err)
		return
	}
	c.input.eof = true
	c.settle()
	if c.state == connOpen {
		c.armGrace()
	}
}

// readAhead is how much the connection may buffer while its frames are not delivered.
func (c *Conn) readAhead() int {
	if c.unread() || c.loop.srv.budget.begun() {
		return littleAheadBytes
	}
	return readAheadBytes
}

// readLittle reports that no more should be read at a time than is needed to see what
// comes: memory is taken, and no large frame has begun.
func (c *Conn) readLittle() bool {
	return c.loop.srv.budget.begun() && c.frameEnd()-c.input.end < directBytes
}

// updateReading tells the driver whether to read.
func (c *Conn) updateReading() {
	in := &c.input
	want := !in.eof && !c.ending && !(!c.mayDeliver() && in.buffered() >= c.readAhead()) && !c.starve()
	if want != c.io.reading {
		c.io.reading = want
		if !want {
			c.loop.stats.readPauses.Add(1)
		}
		c.loop.drv.setRead(c, want)
	}
}

// releaseInput gives the buffer back.
func (c *Conn) releaseInput() {
	in := &c.input
	c.loop.giveBlock(in.buf)
	in.buf, in.start, in.end = nil, 0, 0
	c.leaveStarved()
}
