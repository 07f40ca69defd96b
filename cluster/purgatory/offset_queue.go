package purgatory

import "sync"

// Reached is told that a waiter's offset is reached (err nil) or will not be
// (err says why). It runs on the signalling goroutine and must not block.
type Reached interface {
	Reached(token int32, err error)
}

// OffsetQueue holds waiters for an offset that only rises. Waiters of one
// partition arrive in nearly rising order, as appends do, so that a signal
// looks at the due ones only. While nobody waits it holds no memory for them: there
// is a queue for each partition.
type OffsetQueue struct {
	mu      sync.Mutex
	reached int64          // exclusive: offsets below it are reached
	failed  error          // once set, every waiter fails with it
	waiting *offsetWaiters // nil while there is none
}

type offsetWaiter struct {
	offset int64
	token  int32
	w      Reached
}

// offsetWaiters is a list of waiters by offset; those before head are done.
type offsetWaiters struct {
	list []offsetWaiter
	head int
}

// spareWaiters are lists without waiters, for the queues that get some.
var spareWaiters = sync.Pool{New: func() any { return new(offsetWaiters) }}

// maxSpareWaiters bounds the memory of a spare list.
const maxSpareWaiters = 256

// release gives the list back, with no waiter in it.
func (l *offsetWaiters) release() {
	if cap(l.list) > maxSpareWaiters {
		return
	}
	clear(l.list)
	l.list, l.head = l.list[:0], 0
	spareWaiters.Put(l)
}

// Wait registers w for the moment the queue reaches offset. When that has
// happened already it returns true and w is not called.
func (q *OffsetQueue) Wait(offset int64, w Reached, token int32) (already bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.failed != nil:
		return false, q.failed
	case offset <= q.reached:
		return true, nil
	}
	if q.waiting == nil {
		q.waiting = spareWaiters.Get().(*offsetWaiters)
	}
	// Appends of two loops may register out of order; keep the queue sorted.
	l := q.waiting
	i := len(l.list)
	l.list = append(l.list, offsetWaiter{offset, token, w})
	for ; i > l.head && l.list[i-1].offset > offset; i-- {
		l.list[i] = l.list[i-1]
	}
	l.list[i] = offsetWaiter{offset, token, w}
	return false, nil
}

// Advance raises the reached offset and serves the waiters up to it. A lower
// offset than before is ignored: signals may overtake each other.
func (q *OffsetQueue) Advance(reached int64) {
	q.mu.Lock()
	if reached <= q.reached || q.failed != nil {
		q.mu.Unlock()
		return
	}
	q.reached = reached
	var due *offsetWaiters
	if l := q.waiting; l != nil {
		end := l.head
		for end < len(l.list) && l.list[end].offset <= reached {
			end++
		}
		due = q.take(end)
	}
	q.mu.Unlock()
	due.serve(nil)
}

// Fail ends every waiter, now and later, with err. The first error stands.
func (q *OffsetQueue) Fail(err error) {
	q.mu.Lock()
	if q.failed == nil {
		q.failed = err
	}
	due := q.waiting
	q.waiting = nil
	q.mu.Unlock()
	due.serve(err)
}

// serve tells all waiters of a list that was taken, and gives it back; nil has none.
func (l *offsetWaiters) serve(err error) {
	if l == nil {
		return
	}
	for _, w := range l.list[l.head:] {
		w.w.Reached(w.token, err)
	}
	l.release()
}

// Len is the number of waiters.
func (q *OffsetQueue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		return 0
	}
	return len(q.waiting.list) - q.waiting.head
}

// take removes the waiters before end, of which there may be none, and returns them. Called with mu, and with waiters.
func (q *OffsetQueue) take(end int) *offsetWaiters {
	l := q.waiting
	switch end {
	case l.head:
		return nil
	case len(l.list):
		q.waiting = nil
		return l
	}
	due := spareWaiters.Get().(*offsetWaiters)
	due.list = append(due.list, l.list[l.head:end]...)
	clear(l.list[l.head:end])
	l.head = end
	if l.head > len(l.list)/2 && l.head > 64 {
		n := copy(l.list, l.list[l.head:])
		clear(l.list[n:])
		l.list, l.head = l.list[:n], 0
	}
	return due
}
