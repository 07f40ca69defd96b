package engine

import (
	"container/heap"
	"sync"
	"time"
)

// janitor runs what the engine does now and then (checkpoints, retention, delayed removal of files), one task
// at a time on one goroutine, with one timer. Its lock is a leaf.
type janitor struct {
	clock Clock

	mu      sync.Mutex
	tasks   taskHeap
	sorted  uint64 // numbers tasks, to keep those of one moment in order
	cancel  func() // of the timer
	stopped bool
	wake    chan struct{} // capacity 1
	done    chan struct{}
}

type task struct {
	at  time.Time
	seq uint64
	run func()
}

type taskHeap []task

func (h taskHeap) Len() int { return len(h) }
func (h taskHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}
func (h taskHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *taskHeap) Push(x any)   { *h = append(*h, x.(task)) }
func (h *taskHeap) Pop() any {
	old := *h
	n := len(old) - 1
	t := old[n]
	old[n] = task{}
	*h = old[:n]
	return t
}

func newJanitor(clock Clock) *janitor {
	return &janitor{clock: clock, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// after runs f once, d from now. After stop it does nothing: what is due after a restart is found then.
func (j *janitor) after(d time.Duration, f func()) {
	now := j.clock.Now()
	at := now.Add(d)
	if d > 0 && at.Before(now) { // overflow: never
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.stopped {
		return
	}
	j.sorted++
	heap.Push(&j.tasks, task{at, j.sorted, f})
	if j.tasks[0].seq == j.sorted {
		j.poke()
	}
}

// every runs f again and again, d after the end of the run before.
func (j *janitor) every(d time.Duration, f func()) {
	j.after(d, func() {
		f()
		j.every(d, f)
	})
}

func (j *janitor) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *janitor) run() {
	defer close(j.done)
	for {
		f, wait, stopped := j.next()
		switch {
		case stopped:
			return
		case f != nil:
			f()
			continue
		case wait >= 0:
			j.setTimer(wait)
		}
		<-j.wake
	}
}

// next takes the task that is due, or says how long until one is (-1: there is none).
func (j *janitor) next() (f func(), wait time.Duration, stopped bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.stopped || len(j.tasks) == 0 {
		return nil, -1, j.stopped
	}
	if wait = j.tasks[0].at.Sub(j.clock.Now()); wait > 0 {
		return nil, wait, false
	}
	return heap.Pop(&j.tasks).(task).run, 0, false
}

func (j *janitor) setTimer(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cancel != nil {
		j.cancel()
	}
	j.cancel = j.clock.AfterFunc(d, j.poke)
}

// stop ends the goroutine after the task it is in.
func (j *janitor) stop() {
	j.mu.Lock()
	j.stopped = true
	if j.cancel != nil {
		j.cancel()
	}
	j.mu.Unlock()
	j.poke()
	<-j.done
}
