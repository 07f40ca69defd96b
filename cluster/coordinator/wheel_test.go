package coordinator

import (
	"math/rand/v2"
	"testing"
	"time"
)

// newStillWheel is a wheel without goroutine, for tests that move it.
func newStillWheel() *Wheel { return &Wheel{nextTick: never} }

func (w *Wheel) add(due uint64, f func()) *wheelTimer {
	t := &wheelTimer{wheel: w, due: due, f: f}
	w.place(t)
	return t
}

// TestWheelServesEveryTimerOnItsTick compares the wheel with a plain list, over
// all levels and beyond them, with jumps of all sizes and stops between.
func TestWheelServesEveryTimerOnItsTick(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := newStillWheel()
	type pending struct {
		due     uint64
		timer   *wheelTimer
		stopped bool
		served  uint64
	}
	var all []*pending
	served := func() {
		for _, p := range all {
			late := p.due < w.now
			if late != (p.served > 0) && !p.stopped {
				t.Fatalf("at tick %d: timer due %d served %d", w.now, p.due, p.served)
			}
		}
	}
	for range 3000 {
		switch r.IntN(3) {
		case 0, 1:
			p := &pending{due: w.now + r.Uint64N(1<<r.UintN(34))}
			p.timer = w.add(p.due, func() { p.served++ })
			all = append(all, p)
		case 2:
			if len(all) > 0 {
				if p := all[r.IntN(len(all))]; p.timer.Stop() {
					p.stopped = true
				}
			}
		}
		next := w.next()
		target := w.now + r.Uint64N(1<<r.UintN(20))
		if r.IntN(4) == 0 && next != never {
			target = next // exactly as the goroutine wakes
		}
		for _, f := range w.advance(target) {
			f()
		}
		served()
	}
	for w.next() != never {
		for _, f := range w.advance(w.next()) {
			f()
		}
	}
	for _, p := range all {
		if want := uint64(1); p.stopped && p.served != 0 || !p.stopped && p.served != want {
			t.Fatalf("timer due %d: served %d times, stopped %v", p.due, p.served, p.stopped)
		}
	}
	for level, bits := range w.occupied {
		if bits != 0 {
			t.Errorf("level %d still has slots %b", level, bits)
		}
	}
}

// TestWheelNeverLate checks that the sleep ends no later than the first timer
// is due, and that no slot before that is passed over.
func TestWheelNextIsNeverLate(t *testing.T) {
	for _, delta := range []uint64{0, 1, 63, 64, 65, 4095, 4096, 4097, 1 << 18, 1<<24 + 7, 1 << 31, 1 << 40} {
		for _, start := range []uint64{0, 5, 63, 64, 4095, 1<<18 - 1, 1<<24 + 12345} {
			w := newStillWheel()
			w.now = start
			w.add(start+delta, func() {})
			if next := w.next(); next > start+delta || next < start {
				t.Errorf("start %d delta %d: next %d", start, delta, next)
			}
		}
	}
}

// TestWheelRuns is the one test with real time: short timers run, not early,
// and a stopped one does not.
func TestWheelRuns(t *testing.T) {
	w := NewWheel()
	defer w.Close()
	start := time.Now()
	stopped := w.After(2*time.Millisecond, func() { t.Error("a stopped timer ran") })
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop should report true once")
	}
	ran := make(chan time.Duration, 2)
	w.After(30*time.Millisecond, func() { ran <- time.Since(start) })
	w.After(10*time.Millisecond, func() { ran <- time.Since(start) })
	first, second := <-ran, <-ran
	if first < 10*time.Millisecond || second < 30*time.Millisecond || first > second {
		t.Errorf("ran after %v and %v", first, second)
	}
}

func TestWheelClosed(t *testing.T) {
	w := NewWheel()
	w.After(time.Hour, func() { t.Error("ran") })
	w.Close()
	w.Close()
	if w.After(0, func() { t.Error("ran after Close") }).Stop() {
		t.Error("a timer was set on a closed wheel")
	}
}
