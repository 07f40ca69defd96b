// Package coordinatortest has a manual clock and an in-memory log for tests of
// coordinators: both do nothing on their own, so that a test decides when time
// passes, when a write becomes durable and when it is lost.
package coordinatortest

import (
	"sync"
	"time"

	"kserver/cluster/coordinator"
)

// Time is a coordinator.Clock and coordinator.Timer that a test moves. Timers
// run on the goroutine that calls Advance, by due time, then in the order in
// which they were set.
type Time struct {
	mu     sync.Mutex
	now    time.Time // guarded by mu
	timers []*timer  // guarded by mu; pending, in the order they were set
}

type timer struct {
	t   *Time
	due time.Time
	f   func()
}

// NewTime starts at Unix second 1,000,000.
func NewTime() *Time { return &Time{now: time.Unix(1_000_000, 0)} }

// Now implements coordinator.Clock.
func (t *Time) Now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// After implements coordinator.Timer.
func (t *Time) After(d time.Duration, f func()) coordinator.Handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	tm := &timer{t: t, due: t.now.Add(max(d, 0)), f: f}
	t.timers = append(t.timers, tm)
	return tm
}

// Stop implements coordinator.Handle.
func (tm *timer) Stop() bool {
	tm.t.mu.Lock()
	defer tm.t.mu.Unlock()
	return tm.t.remove(tm)
}

func (t *Time) remove(tm *timer) bool {
	for i := range t.timers {
		if t.timers[i] == tm {
			t.timers = append(t.timers[:i], t.timers[i+1:]...)
			return true
		}
	}
	return false
}

// Advance moves the time by d and runs what falls due, each at its time.
func (t *Time) Advance(d time.Duration) {
	t.mu.Lock()
	end := t.now.Add(d)
	for {
		var next *timer
		for _, tm := range t.timers {
			if !tm.due.After(end) && (next == nil || tm.due.Before(next.due)) {
				next = tm
			}
		}
		if next == nil {
			break
		}
		t.remove(next)
		if next.due.After(t.now) {
			t.now = next.due
		}
		t.mu.Unlock()
		next.f()
		t.mu.Lock()
	}
	t.now = end
	t.mu.Unlock()
}

// Pending is the number of timers that are set.
func (t *Time) Pending() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.timers)
}
