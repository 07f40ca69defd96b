package pace

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// fakeClock moves only when slept on or pushed.
type fakeClock struct {
	now   int64
	slept int
}

func (c *fakeClock) Now() int64         { return c.now }
func (c *fakeClock) SleepUntil(t int64) { c.now = max(c.now, t); c.slept++ }

func TestSplitInterleaves(t *testing.T) {
	const n, rate = 4, 1000.0
	var due []int64
	for k := range int64(3) {
		for i := range n {
			due = append(due, Split(500, rate, i, n).Due(k))
		}
	}
	for i, d := range due {
		if want := 500 + int64(i)*int64(time.Millisecond); d != want {
			t.Errorf("event %d due at %d, want %d", i, d, want)
		}
	}
}

func TestLongScheduleDoesNotDrift(t *testing.T) {
	s := Split(0, 3_000_000, 0, 1)
	if got, want := s.Due(3_000_000*3600), int64(time.Hour); got-want > 1000 || want-got > 1000 {
		t.Errorf("after an hour at 3 million a second the schedule is off by %d ns", got-want)
	}
}

// A stalled worker must not shift the schedule: the events due during the stall keep their due times.
func TestNoCoordinatedOmission(t *testing.T) {
	c := &fakeClock{}
	p := New(Split(0, 1000, 0, 1), c)
	const end = int64(time.Second)
	var latencies []time.Duration
	for i := 0; ; i++ {
		due, ok := p.Wait(t.Context(), end)
		if !ok {
			break
		}
		if i == 100 {
			c.now += int64(500 * time.Millisecond) // the broker stalls
		}
		latencies = append(latencies, time.Duration(c.now-due))
	}
	if len(latencies) != 1000 {
		t.Fatalf("%d events in a second at 1000 a second", len(latencies))
	}
	late := 0
	for _, l := range latencies {
		if l > 100*time.Millisecond {
			late++
		}
	}
	if late < 390 || late > 410 {
		t.Errorf("%d events show the stall of 500 ms by more than 100 ms, want about 400", late)
	}
}

func TestWaitEnds(t *testing.T) {
	c := &fakeClock{}
	p := New(Split(0, 10, 0, 1), c)
	ctx, cancel := context.WithCancel(t.Context())
	if _, ok := p.Wait(ctx, 1); !ok {
		t.Error("the first event is due at once")
	}
	if _, ok := p.Wait(ctx, int64(50*time.Millisecond)); ok {
		t.Error("an event due after the end was given out")
	}
	cancel()
	if _, ok := p.Wait(ctx, int64(time.Hour)); ok {
		t.Error("an event after cancellation")
	}
	full := New(Schedule{}, c)
	if _, ok := full.Wait(ctx, int64(time.Hour)); ok {
		t.Error("an event after cancellation at full speed")
	}
	if due, ok := New(Schedule{}, c).Wait(t.Context(), c.now+1); !ok || due != c.now {
		t.Error("at full speed every event is due now")
	}
}

func TestThreadClockSleeps(t *testing.T) {
	done := make(chan int64)
	go func() {
		c := LockThread()
		until := c.Now() + int64(2*time.Millisecond)
		c.SleepUntil(until)
		done <- c.Now() - until
	}()
	if over := <-done; over < 0 {
		t.Errorf("woke %v early", time.Duration(-over))
	}
}

// A thread that sleeps in the kernel must not take the place of those that have work.
func TestLockThreadAddsAPlace(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	done := make(chan struct{})
	go func() {
		defer close(done)
		LockThread()
	}()
	<-done
	if n := runtime.GOMAXPROCS(0); n != before+1 {
		t.Errorf("GOMAXPROCS is %d after %d, want one more", n, before)
	}
}
