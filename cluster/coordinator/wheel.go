package coordinator

import (
	"math/bits"
	"sync"
	"time"
)

// The wheel's shape: levels of 64 slots, each slot of a level spanning the
// whole level below. Five levels of 5 ms ticks reach 62 days; later timers
// wait in the top level and are placed again when they come round.
const (
	wheelTick   = 5 * time.Millisecond
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 5
)

// Wheel is a hierarchical timing wheel (Varghese and Lauck, 1987): After and
// Stop take constant time, however many timers are pending. One goroutine
// serves all of them and sleeps until the next occupied slot; with nothing
// pending it does not wake at all. Functions run on that goroutine, one after
// another, so they must be short. Precision is one tick of 5 ms, never early.
type Wheel struct {
	start time.Time     // tick 0, with a monotonic reading
	wake  chan struct{} // a timer earlier than nextTick was added
	quit  chan struct{}
	done  chan struct{}

	mu       sync.Mutex
	now      uint64                               // guarded by mu; ticks before this one have been served
	slots    [wheelLevels][wheelSlots]*wheelTimer // guarded by mu; doubly linked lists
	occupied [wheelLevels]uint64                  // guarded by mu; bit per slot
	nextTick uint64                               // guarded by mu; what the goroutine sleeps for
	closed   bool                                 // guarded by mu
}

// never is a nextTick without a timer.
const never = ^uint64(0)

// wheelTimer is one pending function, linked into its slot.
type wheelTimer struct {
	wheel       *Wheel
	due         uint64 // tick
	f           func() // nil once run or stopped; guarded by wheel.mu
	next, prev  *wheelTimer
	level, slot uint8
}

// NewWheel starts a wheel. Close it to end its goroutine.
func NewWheel() *Wheel {
	w := &Wheel{
		start:    time.Now(),
		wake:     make(chan struct{}, 1),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
		nextTick: never,
	}
	go w.serve()
	return w
}

// Close drops all pending timers and ends the goroutine. It waits for a
// function that is running, and must not be called from one.
func (w *Wheel) Close() {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed = true
	w.mu.Unlock()
	close(w.quit)
	<-w.done
}

// After implements Timer.
func (w *Wheel) After(d time.Duration, f func()) Handle {
	// Rounded up twice: a started tick has not passed yet.
	due := uint64((time.Since(w.start)+max(d, 0)+wheelTick-1)/wheelTick) + 1
	t := &wheelTimer{wheel: w, due: due, f: f}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		t.f = nil
		return t
	}
	w.place(t)
	if due < w.nextTick {
		w.nextTick = due
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	return t
}

// Stop implements Handle.
func (t *wheelTimer) Stop() bool {
	w := t.wheel
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.f == nil {
		return false
	}
	t.f = nil
	w.unlink(t)
	return true
}

// place links t into the slot its remaining time asks for; called with mu held.
func (w *Wheel) place(t *wheelTimer) {
	due := max(t.due, w.now)
	level := 0
	for level < wheelLevels-1 && (due>>(wheelBits*level))-(w.now>>(wheelBits*level)) >= wheelSlots {
		level++
	}
	at := due >> (wheelBits * level)
	if top := w.now>>(wheelBits*level) + wheelSlots - 1; at > top {
		at = top // beyond the wheel: comes round and is placed again
	}
	t.level, t.slot = uint8(level), uint8(at%wheelSlots)
	head := &w.slots[t.level][t.slot]
	t.prev, t.next = nil, *head
	if t.next != nil {
		t.next.prev = t
	}
	*head = t
	w.occupied[t.level] |= 1 << t.slot
}

// unlink takes t out of its slot; called with mu held.
func (w *Wheel) unlink(t *wheelTimer) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.level][t.slot] = t.next
		if t.next == nil {
			w.occupied[t.level] &^= 1 << t.slot
		}
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev = nil, nil
}

// next is the first tick at which a slot must be served or cascaded, or never;
// called with mu held.
func (w *Wheel) next() uint64 {
	first := never
	for level := range wheelLevels {
		if w.occupied[level] == 0 {
			continue
		}
		shift := wheelBits * level
		cur := w.now >> shift
		// Distance to the next occupied slot, going round from the current one.
		rotated := bits.RotateLeft64(w.occupied[level], -int(cur%wheelSlots))
		at := (cur + uint64(bits.TrailingZeros64(rotated))) << shift
		first = min(first, max(at, w.now))
	}
	return first
}

// advance serves every tick up to and including to, and returns the functions
// that are due, by tick; called with mu held.
func (w *Wheel) advance(to uint64) (due []func()) {
	for {
		tick := w.next()
		if tick > to {
			break
		}
		w.now = tick
		for level := wheelLevels - 1; level > 0; level-- {
			w.cascade(level)
		}
		due = w.expire(due)
		w.now = tick + 1
	}
	w.now = max(w.now, to+1)
	return due
}

// cascade places the timers of the current slot of level again, lower down.
// That slot is empty unless the wheel has just come to it.
func (w *Wheel) cascade(level int) {
	slot := (w.now >> (wheelBits * level)) % wheelSlots
	t := w.slots[level][slot]
	w.slots[level][slot] = nil
	w.occupied[level] &^= 1 << slot
	for t != nil {
		next := t.next
		w.place(t)
		t = next
	}
}

// expire takes the timers of the current tick out of the lowest level.
func (w *Wheel) expire(due []func()) []func() {
	first := len(due)
	for {
		t := w.slots[0][w.now%wheelSlots]
		if t == nil {
			break
		}
		w.unlink(t)
		due = append(due, t.f)
		t.f = nil
	}
	// A slot is a stack; run what was added first, first.
	for i, j := first, len(due)-1; i < j; i, j = i+1, j-1 {
		due[i], due[j] = due[j], due[i]
	}
	return due
}

// serve is the wheel's goroutine.
func (w *Wheel) serve() {
	defer close(w.done)
	sleep := time.NewTimer(time.Hour)
	defer sleep.Stop()
	for {
		select {
		case <-w.quit:
			return
		default:
		}
		w.mu.Lock()
		due := w.advance(uint64(time.Since(w.start) / wheelTick))
		w.nextTick = w.next()
		next := w.nextTick
		w.mu.Unlock()
		for _, f := range due {
			f()
		}
		if len(due) > 0 {
			continue // they took time and may have added timers
		}
		if next == never {
			sleep.Stop()
		} else {
			sleep.Reset(time.Until(w.start.Add(time.Duration(next) * wheelTick)))
		}
		select {
		case <-sleep.C:
		case <-w.wake:
		case <-w.quit:
			return
		}
	}
}
