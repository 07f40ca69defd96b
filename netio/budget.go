package netio

import (
	"sync/atomic"
	"time"
)

// inputBudget counts the memory of received bytes over all loops. It can be
// exceeded by what was already in receive buffers when it ran out and by one
// frame per loop (see Loop.pass); it is a limit on growth, not a reservation.
type inputBudget struct {
	limit int64
	used  atomic.Int64
}

func (b *inputBudget) add(n int64) { b.used.Add(n) }

func (b *inputBudget) spent() bool { return b.used.Load() >= b.limit }

// feedRetry is how soon a loop with starved connections looks again, and how
// often it looks for stalled frames.
const feedRetry = 100 * time.Millisecond

// getInput takes a block for received bytes and charges it.
func (l *Loop) getInput(n int) []byte {
	b := l.mem.get(n)
	l.srv.budget.add(int64(len(b)))
	return b
}

// putInput gives a charged block back and wakes loops that wait for the budget.
func (l *Loop) putInput(b []byte) {
	if b == nil {
		return
	}
	n := int64(len(b))
	l.mem.put(b)
	s := l.srv
	if after := s.budget.used.Add(-n); after < s.budget.limit && after+n >= s.budget.limit {
		for _, other := range s.loops {
			if other.hungry.CompareAndSwap(true, false) {
				other.Post(other.feed)
			}
		}
	}
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
	if in.buf == nil || !l.srv.budget.spent() || l.pass == c {
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
	if l.feedTick == nil {
		l.feedTick = l.After(feedRetry, l.onFeedTick)
	}
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
	for room := b.limit - b.used.Load(); room > 0 && len(l.starved) > 0; room -= readAheadBytes {
		l.feedOne()
	}
	l.hungry.Store(len(l.starved) > 0)
}

// onFeedTick runs while connections starve: it passes room on that no release
// announced, and has every loop close frames that stand still.
func (l *Loop) onFeedTick() {
	l.feedTick = nil
	l.feed()
	if len(l.starved) == 0 {
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
	}
	if len(l.starved) > 0 {
		l.feedTick = l.After(feedRetry, l.onFeedTick)
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
