package netio

import (
	"testing"
	"time"
)

// A timer runs once for each start, or not at all when it is stopped.
func TestTimerStartsAgain(t *testing.T) {
	l := &Loop{}
	runs := 0
	timer := l.NewTimer(func() { runs++ })
	pass := func(d time.Duration) {
		l.nowNs += int64(d)
		l.runTimers()
	}
	pass(time.Hour)
	for i := range 3 {
		timer.Start(time.Second)
		pass(time.Second - 1)
		if runs != i {
			t.Fatalf("%d runs before the time of start %d", runs, i+1)
		}
		pass(1)
		if runs != i+1 {
			t.Fatalf("%d runs after start %d", runs, i+1)
		}
	}
	timer.Start(time.Second)
	if !timer.Stop() || timer.Stop() {
		t.Error("Stop does not say what was pending")
	}
	pass(time.Hour)
	if runs != 3 || len(l.timers) != 0 {
		t.Errorf("%d runs, %d timers pending; want 3 and none", runs, len(l.timers))
	}
}
