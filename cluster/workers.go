package cluster

import (
	"sync"
	"time"
)

// workers runs what may block or take long, off the loops, on at most max
// goroutines, each started when there is work that no idle one can take.
//
// Tasks are light or heavy by the memory they are expected to take. Heavy ones
// run beside each other only up to heavyMax goroutines and heavyMemory bytes (one
// always runs), so that neither memory nor the processors are theirs alone.
// Light and heavy tasks take turns, each kind in the order of arrival. Both
// queues are bounded by the connections, and fair between them: each has at most
// one request here, because that request holds it.
type workers struct {
	heavyMax    int
	heavyMemory int64

	mu         sync.Mutex
	max        int // goroutines above a lowered max end after their task
	light      []task
	heavy      []task
	heavyCount int   // running
	heavyBytes int64 // of those
	heavyLast  bool  // the last task begun was heavy
	running    int
	waiting    int
	queued     int           // longest both queues together have been
	behind     time.Duration // how long they have not been empty
	since      time.Time     // ... and since when they are not
	closed     bool
	wake       *sync.Cond
	wg         sync.WaitGroup
}

// task is one call and the bytes it is expected to take.
type task struct {
	run   func()
	bytes int64
}

// lightBytes is the most a light task takes.
const lightBytes = 1 << 20

// newWorkers makes a pool. heavyMax is at least 1.
func newWorkers(max, heavyMax int, heavyMemory int64) *workers {
	w := &workers{max: max, heavyMax: heavyMax, heavyMemory: heavyMemory}
	w.wake = sync.NewCond(&w.mu)
	return w
}

// Do queues f, which is expected to take so many bytes of memory. After Close it
// runs f at once, on the caller.
func (w *workers) Do(bytes int64, f func()) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		f()
		return
	}
	if len(w.light)+len(w.heavy) == 0 {
		w.since = time.Now()
	}
	if t := (task{f, bytes}); bytes > lightBytes {
		w.heavy = append(w.heavy, t)
	} else {
		w.light = append(w.light, t)
	}
	w.queued = max(w.queued, len(w.light)+len(w.heavy))
	switch {
	case w.waiting > 0:
		w.wake.Signal()
	case w.running < w.max:
		w.running++
		w.wg.Go(w.run)
	}
	w.mu.Unlock()
}

// next takes the next task that may run now. mu is held.
func (w *workers) next() (t task, heavy, ok bool) {
	heavy = len(w.heavy) > 0 && w.heavyCount < w.heavyMax && (w.heavyCount == 0 || w.heavyBytes+w.heavy[0].bytes <= w.heavyMemory)
	switch {
	case heavy && (!w.heavyLast || len(w.light) == 0):
		t, w.heavy = pop(w.heavy)
		w.heavyCount++
		w.heavyBytes += t.bytes
	case len(w.light) > 0:
		t, w.light = pop(w.light)
		heavy = false
	default:
		return task{}, false, false
	}
	if len(w.light)+len(w.heavy) == 0 {
		w.behind += time.Since(w.since)
	}
	w.heavyLast = heavy
	return t, heavy, true
}

func pop(q []task) (task, []task) {
	t := q[0]
	q[0] = task{}
	return t, q[1:]
}

// Resize changes how many may run at once, at least one.
func (w *workers) Resize(max int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.max = max
	if w.closed {
		return
	}
	for range min(len(w.light)+len(w.heavy), w.max-w.running) {
		w.running++
		w.wg.Go(w.run)
	}
	w.wake.Broadcast()
}

func (w *workers) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if w.running > w.max {
			w.running--
			w.wake.Signal() // this one may have been woken for a task
			return
		}
		t, heavy, ok := w.next()
		if !ok {
			if w.closed && len(w.light)+len(w.heavy) == 0 {
				w.running--
				return
			}
			w.waiting++
			w.wake.Wait()
			w.waiting--
			continue
		}
		if w.waiting > 0 && len(w.light)+len(w.heavy) > 0 {
			w.wake.Signal() // what could not run before may run now
		}
		w.mu.Unlock()
		t.run()
		w.mu.Lock()
		if heavy {
			w.heavyCount--
			w.heavyBytes -= t.bytes
			if w.closed {
				w.wake.Broadcast() // others may wait for the room
			}
		}
	}
}

// most is the most tasks that have been waiting at a time.
func (w *workers) most() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queued
}

// waited is how long, since the start, some task has been waiting.
func (w *workers) waited() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.light)+len(w.heavy) == 0 {
		return w.behind
	}
	return w.behind + time.Since(w.since)
}

// Close runs what is queued and waits for it.
func (w *workers) Close() {
	w.mu.Lock()
	w.closed = true
	w.wake.Broadcast()
	w.mu.Unlock()
	w.wg.Wait()
}
