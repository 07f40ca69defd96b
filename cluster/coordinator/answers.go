package coordinator

import (
	"slices"
	"sync"
	"time"

	"kserver/protocol"
)

// answer is told NONE when the event's writes are durable, else why not.
type answer func(code protocol.ErrorCode)

// entry is one event in the queue: its answers, and how many of its writes
// (plus the event itself, while it runs) are still undecided.
type entry struct {
	waits    int
	answers  []answer
	deadline time.Time
}

// answers holds back the answers of a shard until the log has caught up, and
// releases them in event order. Events enter under the shard's mutex, so the
// order is that of the log.
type answers struct {
	clock   Clock
	timer   Timer
	timeout time.Duration
	limit   int

	mu       sync.Mutex
	entries  []*entry           // guarded by mu; oldest first
	draining bool               // guarded by mu; one goroutine releases at a time
	failed   protocol.ErrorCode // guarded by mu; set once, final
	armed    bool               // guarded by mu; a timeout check is pending
}

// full reports whether the queue is at its limit.
func (q *answers) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries) >= q.limit
}

// failure returns the code the queue failed with, or NONE.
func (q *answers) failure() protocol.ErrorCode {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failed
}

// push enters a running event with its first write.
func (q *answers) push(now time.Time) *entry {
	e := &entry{waits: 1, deadline: now.Add(q.timeout)}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries = append(q.entries, e)
	return e
}

// hold adds one undecided write to e.
func (q *answers) hold(e *entry) {
	q.mu.Lock()
	e.waits++
	q.mu.Unlock()
}

// settle takes one undecided write off e and releases what became ready.
func (q *answers) settle(e *entry) {
	q.mu.Lock()
	e.waits--
	q.mu.Unlock()
	q.drain()
}

// finish ends the event: e (nil when it wrote nothing) takes its answers.
// The caller drains once it has let go of the shard.
func (q *answers) finish(e *entry, list []answer, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e == nil {
		if len(list) == 0 {
			return
		}
		e = &entry{waits: 1, deadline: now.Add(q.timeout)}
		q.entries = append(q.entries, e)
	}
	e.answers = list
	e.waits--
	if e.waits > 0 || q.entries[0] != e {
		q.arm(q.timeout)
	}
}

// drain releases the answers at the front of the queue that need not wait.
// Answers run without a lock; they may start further events.
func (q *answers) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.draining {
		return // the goroutine that is releasing sees the new ones too
	}
	q.draining = true
	q.releaseReady()
	q.draining = false
}

// releaseReady is drain's loop; called with mu held and draining set.
func (q *answers) releaseReady() {
	for len(q.entries) > 0 && (q.entries[0].waits == 0 || q.failed != protocol.None) {
		e := q.entries[0]
		q.entries[0] = nil
		q.entries = q.entries[1:]
		q.release(e, q.failed)
	}
	if len(q.entries) == 0 {
		q.entries = nil
	}
}

// release runs e's answers without the lock; called and returns with it held.
func (q *answers) release(e *entry, code protocol.ErrorCode) {
	list := e.answers
	e.answers = nil
	q.mu.Unlock()
	defer q.mu.Lock()
	for _, f := range list {
		f(code)
	}
}

// fail fails all waiting answers and all that still come. It reports whether
// this was the first failure.
func (q *answers) fail(code protocol.ErrorCode) bool {
	q.mu.Lock()
	first := q.failed == protocol.None
	if first {
		q.failed = code
	}
	q.mu.Unlock()
	return first
}

// arm schedules a look at the deadlines; called with mu held.
func (q *answers) arm(d time.Duration) {
	if q.armed {
		return
	}
	q.armed = true
	q.timer.After(d, q.expire)
}

// expire fails the answers whose writes took too long. Their entries keep
// their place: the writes may still succeed, and later answers depend on them.
func (q *answers) expire() {
	code := AppendError(&protocol.Error{Code: protocol.RequestTimedOut})
	q.mu.Lock()
	defer q.mu.Unlock()
	q.armed = false
	if q.draining { // the releasing goroutine is making progress
		if len(q.entries) > 0 {
			q.arm(q.timeout)
		}
		return
	}
	q.draining = true
	now := q.clock.Now()
	for _, e := range slices.Clone(q.entries) { // release lets go of mu
		if now.Before(e.deadline) {
			q.arm(e.deadline.Sub(now))
			break
		}
		q.release(e, code)
	}
	q.releaseReady()
	q.draining = false
}
