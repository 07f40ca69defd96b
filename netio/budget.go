package netio

import (
	"sync/atomic"
	"time"
)

// inputBudget counts the memory of received bytes, of what handlers take for their
// requests, and of answers that have not left, over all loops. It can be exceeded by what was already in receive buffers
// when it ran out, by one frame per loop (see Loop.pass) and by the answers to
// what was delivered; it is a limit on growth, not a reservation. Loops settle
// what they take and give in steps (see Loop.charge).
type inputBudget struct {
	limit int64
	used  atomic.Int64
}

func (b *inputBudget) spent() bool { return b.used.Load() >= b.limit }

// begun reports that an eighth is taken: from here on answers that nobody reads, and
// requests that wait to be served, must not add up.
func (b *inputBudget) begun() bool { return b.used.Load() >= b.limit/8 }

// spentFor is spent for a connection that holds so many bytes: the last quarter
// is for those that hold little, so that a few large senders do not stop all the
// others.
func (b *inputBudget) spentFor(held int) bool {
	if held <= modestBytes {
		return b.spent()
	}
	return b.used.Load() >= b.limit-b.limit/4
}

const (
	// modestBytes is how much a connection may hold to have the whole budget.
	modestBytes = 1 << 20
	// chargeStep is how far a loop's own count may be from what it has settled.
	chargeStep = 64 << 10
	// unreadPatience is how long output may stand still while the budget is spent
	// half as much again; then its connection is closed.
	unreadPatience = time.Second
)

// charge notes n more bytes, or less, held by the loop.
func (l *Loop) charge(n int64) {
	l.charged += n
	if l.charged >= chargeStep || l.charged <= -chargeStep {
		l.settleCharge()
	}
}

// settleCharge brings the budget up to date, and wakes loops that wait for it.
func (l *Loop) settleCharge() {
	n := l.charged
	if n == 0 {
		return
	}
	l.charged = 0
	s := l.srv
	after := s.budget.used.Add(n)
	if n < 0 && after < s.budget.limit && after-n >= s.budget.limit-s.budget.limit/4 {
		for _, other := range s.loops {
			if other.hungry.CompareAndSwap(true, false) {
				other.Post(other.feed)
			}
		}
	}
	if n > 0 && after >= s.budget.limit {
		l.watchBudget()
	}
}

// watchBudget has the loop look after a budget that is spent, until it is not.
func (l *Loop) watchBudget() {
	if l.feedTick == nil {
		l.feedTick = l.After(feedRetry, l.onFeedTick)
	}
}

// Affords reports whether a request may go on taking n bytes while it only waits:
// the input budget is not spent, or n is no more than each connection's equal share
// of it. Any goroutine may call it.
func (l *Loop) Affords(n int64) bool {
	b := &l.srv.budget
	if !b.spent() {
		return true
	}
	var conns int64
	for _, other := range l.srv.loops {
		conns += other.open.Load()
	}
	return n <= b.limit/max(1, conns)
}

// feedRetry is how soon a loop with starved connections looks again, and how
// often it looks for stalled frames.
const feedRetry = 100 * time.Millisecond

// takeBlock takes a block for received bytes or for an answer and charges it.
func (l *Loop) takeBlock(n int) []byte {
	b := l.mem.get(n)
	l.charge(int64(len(b)))
	return b
}

// giveBlock gives a charged block back.
func (l *Loop) giveBlock(b []byte) {
	if b == nil {
		return
	}
	n := int64(len(b))
	l.mem.put(b)
	l.charge(-n)
}

// starve reports that the connection must not read because it holds input
// memory and the budget is spent. The first such connection of a loop passes:
// without it, incomplete frames could fill the budget and none would ever
// become whole.
func (c *Conn) starve() bool {
	l, in := c.loop, &c.input
	if in.starving {
		return true
	}
	if in.buf == nil || !l.srv.budget.spentFor(len(in.buf)) || l.pass == c {
		return false
	}
	if l.pass == nil && !c.blocked() {
		l.pass = c
		return false
	}
	in.starving = true
	l.starved = append(l.starved, c)
	l.stats.budgetPauses.Add(1)
	l.hungry.Store(true)
	l.watchBudget()
	return true
}

// leaveStarved is called when the connection holds no input memory any more.
func (c *Conn) leaveStarved() {
	l := c.loop
	if l.pass == c {
		l.pass = nil
		if len(l.starved) > 0 {
			l.feedOne()
		}
	}
	if !c.input.starving {
		return
	}
	c.input.starving = false
	for i, o := range l.starved {
		if o == c {
			l.starved = append(l.starved[:i], l.starved[i+1:]...)
			break
		}
	}
	l.enqueue(c)
}

// feedOne lets the connection that starves longest read again.
func (l *Loop) feedOne() {
	c := l.starved[0]
	l.starved[0] = nil
	l.starved = l.starved[1:]
	l.fed(c)
}

func (l *Loop) fed(c *Conn) {
	c.input.starving = false
	c.touch() // it could not send till now
	if c.links[listFrames].in {
		c.input.window = 0
		l.frames.touch(c, l.nowNs)
	}
	l.enqueue(c)
}

// feed lets starved connections read again as far as the budget goes, assuming
// that each will take one read's worth.
func (l *Loop) feed() {
	b := &l.srv.budget
	room := b.limit - b.used.Load()
	kept := l.starved[:0]
	for _, c := range l.starved {
		if room <= 0 || b.spentFor(len(c.input.buf)) {
			kept = append(kept, c)
			continue
		}
		l.fed(c)
		room -= readAheadBytes
	}
	clear(l.starved[len(kept):])
	l.starved = kept
	l.hungry.Store(len(l.starved) > 0)
}

// onFeedTick runs while connections starve: it passes room on that no release
// announced, and has every loop close frames that stand still.
func (l *Loop) onFeedTick() {
	l.feedTick = nil
	l.feed()
	b := &l.srv.budget
	if b.used.Load() >= b.limit+b.limit/2 {
		for _, other := range l.srv.loops {
			other.Post(func() { other.closeUnread(unreadPatience) })
		}
	}
	if b.spent() {
		for _, other := range l.srv.loops {
			other.Post(other.relieve)
		}
	}
	if len(l.starved) == 0 {
		if b.spent() {
			l.watchBudget()
		}
		return
	}
	if l.pass == nil || l.pass.blocked() {
		// Nobody passes, or who does waits for an answer that may itself wait
		// for a frame of somebody here.
		l.pass = nil
		l.feedOne()
	}
	for _, other := range l.srv.loops {
		other.Post(other.closeInputStalled)
		other.Post(func() { other.closeUnread(other.srv.cfg.InputStallTimeout) })
	}
	if len(l.starved) > 0 {
		l.watchBudget()
	}
}

// relieve asks the handler for the memory of requests that only wait, as long as
// the budget is spent.
func (l *Loop) relieve() {
	for _, c := range l.conns {
		if !l.srv.budget.spent() {
			return
		}
		if c != nil && c.state == connOpen && c.input.held != nil {
			l.handler.Relieve(c)
			l.settleCharge()
		}
	}
}

// closeInputStalled closes connections that hold an incomplete frame, could
// send the rest and have not sent a byte for the stall timeout.
func (l *Loop) closeInputStalled() {
	limit := int64(l.srv.cfg.InputStallTimeout)
	for c := l.idle.head; c != nil && c.links[listIdle].at+limit <= l.nowNs; c = c.links[listIdle].next {
		if c.state == connOpen && c.input.buf != nil && !c.input.starving && !c.blocked() {
			l.stats.stallClosed.Add(1)
			c.Close(ErrInputStalled)
		}
	}
}

// closeUnread closes connections whose output has not moved for so long, the
// longest first, as long as the budget is spent.
func (l *Loop) closeUnread(limit time.Duration) {
	for c := l.stalled.head; c != nil && l.srv.budget.spent() && c.links[listStalled].at+int64(limit) <= l.nowNs; c = l.stalled.head {
		l.stalled.remove(c)
		l.stats.stallClosed.Add(1)
		l.stats.outputStalled.Add(1)
		c.Close(ErrOutputStalled)
	}
}
