package netio

import "time"

// Timer is a call of Loop.After, or of Start, that is pending or has been.
// Only the loop's thread uses it.
type Timer struct {
	loop *Loop
	when int64 // ns of loop time
	pos  int   // index in the heap, -1 when not pending
	f    func()
}

// Stop cancels the call and reports whether it was still pending. Loop thread
// only.
func (t *Timer) Stop() bool {
	if t.pos < 0 {
		return false
	}
	t.loop.timers.remove(t)
	return true
}

// timerHeap is a binary heap by due time; every timer knows its place so that
// it can be removed.
type timerHeap []*Timer

func (h *timerHeap) add(t *Timer) {
	t.pos = len(*h)
	*h = append(*h, t)
	h.up(t.pos)
}

func (h *timerHeap) remove(t *Timer) {
	s := *h
	i, last := t.pos, len(s)-1
	if i != last {
		s.swap(i, last)
	}
	s[last] = nil
	*h = s[:last]
	if i != last {
		h.down(i)
		h.up(i)
	}
	t.pos = -1
}

// due removes and returns the first timer that is due at now, or nil.
func (h *timerHeap) due(now int64) *Timer {
	if len(*h) == 0 || (*h)[0].when > now {
		return nil
	}
	t := (*h)[0]
	h.remove(t)
	return t
}

func (h timerHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h timerHeap) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if h[p].when <= h[i].when {
			return
		}
		h.swap(i, p)
		i = p
	}
}

func (h timerHeap) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].when < h[c].when {
			c++
		}
		if h[i].when <= h[c].when {
			return
		}
		h.swap(i, c)
		i = c
	}
}

// After runs f on the loop once d has passed, counted from Now, and never
// before the next turn. Loop thread only; a goroutine posts a function that
// calls it.
func (l *Loop) After(d time.Duration, f func()) *Timer {
	t := l.NewTimer(f)
	t.Start(d)
	return t
}

// NewTimer makes a timer for f that is not running, to be started again and again.
// Any goroutine may call it.
func (l *Loop) NewTimer(f func()) *Timer { return &Timer{loop: l, pos: -1, f: f} }

// Start has the timer's function run as that of After; it must not be pending.
// Loop thread only.
func (t *Timer) Start(d time.Duration) {
	if t.pos >= 0 {
		panic("netio: timer started twice")
	}
	t.when = t.loop.nowNs + max(int64(d), 1)
	t.loop.timers.add(t)
}

func (l *Loop) runTimers() {
	for t := l.timers.due(l.nowNs); t != nil; t = l.timers.due(l.nowNs) {
		t.f()
	}
}
