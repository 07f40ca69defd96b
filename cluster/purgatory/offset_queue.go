package purgatory

import "sync"

// Reached is told that a waiter's offset is reached (err nil) or will not be
// (err says why). It runs on the signalling goroutine and must not block.
type Reached interface {
	Reached(token int32, err error)
}

// OffsetQueue holds waiters for an offset that only rises. Waiters of one
// partition arrive in nearly rising order, as appends do, so that a signal
// looks at the due ones only.
type OffsetQueue struct {
	mu      sync.Mutex
	reached int64 // exclusive: offsets below it are reached
	failed  error // once set, every waiter fails with it
	waiters []offsetWaiter
	head    int            // waiters[:head] are done
	spare   []offsetWaiter // memory for take; nil while somebody uses it
}

type offsetWaiter struct {
	offset int64
	token  int32
	w      Reached
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
	// Appends of two loops may register out of order; keep the queue sorted.
	i := len(q.waiters)
	q.waiters = append(q.waiters, offsetWaiter{offset, token, w})
	for ; i > q.head && q.waiters[i-1].offset > offset; i-- {
		q.waiters[i] = q.waiters[i-1]
	}
	q.waiters[i] = offsetWaiter{offset, token, w}
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
	end := q.head
	for end < len(q.waiters) && q.waiters[end].offset <= reached {
		end++
	}
	due := q.take(end)
	q.mu.Unlock()
	q.serve(due, nil)
}

// Fail ends every waiter, now and later, with err. The first error stands.
func (q *OffsetQueue) Fail(err error) {
	q.mu.Lock()
	if q.failed == nil {
		q.failed = err
	}
	due := q.take(len(q.waiters))
	q.mu.Unlock()
	q.serve(due, err)
}

// spareWaiters bounds the memory that a queue keeps for the waiters it serves.
const spareWaiters = 256

// serve tells waiters that were taken, and gives their memory back.
func (q *OffsetQueue) serve(due []offsetWaiter, err error) {
	if len(due) == 0 {
		return
	}
	for _, d := range due {
		d.w.Reached(d.token, err)
	}
	if cap(due) > spareWaiters {
		return
	}
	clear(due)
	q.mu.Lock()
	q.spare = due[:0]
	q.mu.Unlock()
}

// Len is the number of waiters.
func (q *OffsetQueue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiters) - q.head
}

// take removes waiters[head:end] and returns a copy of them. Called with mu.
func (q *OffsetQueue) take(end int) []offsetWaiter {
	if end == q.head {
		return nil
	}
	due := append(q.spare, q.waiters[q.head:end]...)
	q.spare = nil
	clear(q.waiters[q.head:end])
	q.head = end
	if q.head == len(q.waiters) {
		q.waiters, q.head = q.waiters[:0], 0
	} else if q.head > len(q.waiters)/2 && q.head > 64 {
		n := copy(q.waiters, q.waiters[q.head:])
		clear(q.waiters[n:])
		q.waiters, q.head = q.waiters[:n], 0
	}
	return due
}
