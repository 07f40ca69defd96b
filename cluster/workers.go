package cluster

import "sync"

// workers runs what may block, off the loops, on at most max goroutines, each
// started when there is work that no idle one can take. The queue is bounded by
// the connections: each has at most one request in it.
type workers struct {
	max int

	mu      sync.Mutex
	queue   []func()
	running int
	waiting int
	closed  bool
	wake    *sync.Cond
	wg      sync.WaitGroup
}

func newWorkers(max int) *workers {
	w := &workers{max: max}
	w.wake = sync.NewCond(&w.mu)
	return w
}

// Do queues f. After Close it runs f at once, on the caller.
func (w *workers) Do(f func()) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		f()
		return
	}
	w.queue = append(w.queue, f)
	switch {
	case w.waiting > 0:
		w.wake.Signal()
	case w.running < w.max:
		w.running++
		w.wg.Go(w.run)
	}
	w.mu.Unlock()
}

func (w *workers) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.queue) == 0 {
			if w.closed {
				w.running--
				return
			}
			w.waiting++
			w.wake.Wait()
			w.waiting--
		}
		f := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		w.mu.Unlock()
		f()
		w.mu.Lock()
	}
}

// Close runs what is queued and waits for it.
func (w *workers) Close() {
	w.mu.Lock()
	w.closed = true
	w.wake.Broadcast()
	w.mu.Unlock()
	w.wg.Wait()
}
