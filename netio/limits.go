package netio

import (
	"errors"
	"time"
)

// halfCloseGrace is how long a connection whose peer has ended its side is kept
// for requests that are not answered yet. A client that is gone altogether
// looks the same, so this also bounds how long it keeps its place.
const halfCloseGrace = 30 * time.Second

var errTruncatedFrame = errors.New("netio: connection ended inside a frame")

// touch notes activity of the connection.
func (c *Conn) touch() { c.loop.idle.touch(c, c.loop.nowNs) }

// armIdle sees to it that a timer runs for the connection that was silent
// longest. It fires once per timeout, not once per activity.
func (l *Loop) armIdle() {
	limit := l.srv.cfg.IdleTimeout
	if l.idleTimer != nil || limit < 0 || l.idle.head == nil {
		return
	}
	at := l.idle.head.links[listIdle].at + int64(limit)
	l.idleTimer = l.After(time.Duration(at-l.nowNs), func() {
		l.idleTimer = nil
		l.closeIdle()
		l.armIdle()
	})
}

func (l *Loop) closeIdle() {
	limit := int64(l.srv.cfg.IdleTimeout)
	for c := l.idle.head; c != nil && c.links[listIdle].at+limit <= l.nowNs; c = l.idle.head {
		if c.slots.len > 0 || c.output.busy() {
			c.touch() // it waits for us, or for its own stall limit
			continue
		}
		l.idle.remove(c)
		l.stats.idleClosed.Add(1)
		c.Close(ErrIdle)
	}
}

// progress notes that the connection's output moved, or began to wait.
func (c *Conn) progress() {
	c.loop.stalled.touch(c, c.loop.nowNs)
	c.loop.armStalled()
}

func (l *Loop) armStalled() {
	limit := l.srv.cfg.OutputStallTimeout
	if l.outTimer != nil || limit < 0 || l.stalled.head == nil {
		return
	}
	at := l.stalled.head.links[listStalled].at + int64(limit)
	l.outTimer = l.After(time.Duration(at-l.nowNs), func() {
		l.outTimer = nil
		l.closeStalled()
		l.armStalled()
	})
}

func (l *Loop) closeStalled() {
	limit := int64(l.srv.cfg.OutputStallTimeout)
	for c := l.stalled.head; c != nil && c.links[listStalled].at+limit <= l.nowNs; c = l.stalled.head {
		l.stalled.remove(c)
		l.stats.stallClosed.Add(1)
		l.stats.outputStalled.Add(1)
		c.Close(ErrOutputStalled)
	}
}

// armGrace bounds the rest of the life of a connection that is half-closed or
// ending.
func (c *Conn) armGrace() {
	if c.grace == nil {
		c.grace = c.loop.After(halfCloseGrace, func() { c.Close(ErrHalfClosed) })
	}
}

// watchFrame puts the connection among those whose unfinished frame has to make
// progress, or takes it out.
func (c *Conn) watchFrame() {
	l := c.loop
	partial := c.input.buffered() > 0 && c.mayDeliver() // what was whole has been delivered
	switch {
	case partial == c.links[listFrames].in:
	case partial:
		c.input.window = 0
		l.frames.touch(c, l.nowNs)
		l.armFrames()
	default:
		l.unwatchFrame(c)
	}
}

func (l *Loop) unwatchFrame(c *Conn) { l.frames.remove(c) }

func (l *Loop) armFrames() {
	limit := l.srv.cfg.FrameTimeout
	if l.frameTick != nil || limit < 0 || l.frames.head == nil {
		return
	}
	at := l.frames.head.links[listFrames].at + int64(limit)
	l.frameTick = l.After(time.Duration(at-l.nowNs), func() {
		l.frameTick = nil
		l.closeSlowFrames()
		l.armFrames()
	})
}

// closeSlowFrames looks at every unfinished frame once per FrameTimeout: one that
// got fewer bytes than the least rate gives, although it was read all the time,
// ends its connection. So a frame that stands still ends it after two timeouts at
// the latest.
func (l *Loop) closeSlowFrames() {
	cfg := &l.srv.cfg
	limit := int64(cfg.FrameTimeout)
	least := int(cfg.FrameTimeout.Seconds() * float64(cfg.FrameBytesPerSecond))
	for c := l.frames.head; c != nil && c.links[listFrames].at+limit <= l.nowNs; c = l.frames.head {
		if c.input.window >= max(least, 1) || c.input.starving || !c.io.reading {
			c.input.window = 0
			l.frames.touch(c, l.nowNs)
			continue
		}
		l.frames.remove(c)
		l.stats.frameTimeouts.Add(1)
		c.Finish(ErrFrameTimeout)
	}
}
