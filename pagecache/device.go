package pagecache

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sharedFor is how long after a commit a device counts as shared with commits.
	sharedFor = 100 * time.Millisecond
	// commitYield is the longest that one read waits for commits to end. It bounds what a device that commits
	// without a pause takes from its readers.
	commitYield = time.Millisecond
	// dropAtOnce is the most pieces dropped with one call: 4 MiB.
	dropAtOnce = 16
	// dropTries is how many passed pieces are looked at for one drop.
	dropTries = 64
	// passedLag is how many pieces stay passed until the oldest of them is dropped (8 MiB): sockets still refer to
	// what was sent last, and such pages cannot be dropped.
	passedLag = 32
	// maxPassed bounds the passed pieces that wait; the oldest are left to the kernel.
	maxPassed = 4096
)

// device is a block device, or what the kernel takes for one: a queue of pieces to read, dealt in turn to the streams
// that wait, and a bound on what is read at a time. Fields are guarded by the Warmer's lock but for Commits.
type device struct {
	waiting  []*stream // those with a queue, each once; the first is next
	queued   int       // pieces in their queues
	inFlight int64     // bytes being read
	most     int64     // most inFlight ever was
	passed   passedQueue
	dropping bool // by a goroutine of its own

	commits Commits
}

// job is a run of pieces of one file that are read at once.
type job struct {
	stream *stream // guarded by the Warmer's lock
	file   File
	pieces []*piece // with consecutive indexes
}

func (j *job) bytes() int64 { return int64(len(j.pieces)) << pieceShift }

// enqueue has a coming piece read for s.
func (d *device) enqueue(s *stream, p *piece) {
	s.queue = append(s.queue, p)
	d.queued++
	if !s.listed {
		s.listed = true
		d.waiting = append(d.waiting, s)
	}
}

// take returns the next job within a budget of bytes in flight, of at most so many pieces. One job is always allowed.
func (d *device) take(budget int64, pieces int) (j job, ok bool) {
	if len(d.waiting) == 0 {
		return j, false
	}
	s := d.waiting[0]
	n := 1
	for n < min(len(s.queue), pieces) && s.queue[n].key.index == s.queue[n-1].key.index+1 {
		n++
	}
	if d.inFlight > 0 && d.inFlight+int64(n)<<pieceShift > budget {
		return j, false
	}
	j = job{stream: s, file: s.file, pieces: append([]*piece(nil), s.queue[:n]...)}
	s.queue = append(s.queue[:0], s.queue[n:]...)
	clear(s.queue[len(s.queue):cap(s.queue)])
	d.waiting = append(d.waiting[:0], d.waiting[1:]...)
	clear(d.waiting[len(d.waiting):cap(d.waiting)])
	if s.listed = len(s.queue) > 0; s.listed {
		d.waiting = append(d.waiting, s)
	}
	d.queued -= n
	d.inFlight += j.bytes()
	d.most = max(d.most, d.inFlight)
	return j, true
}

// passedPiece is a piece that a reader has passed.
type passedPiece struct {
	key  pieceKey
	file File
}

// passedQueue are the pieces that wait to be dropped, the oldest first.
type passedQueue struct {
	all  []passedPiece
	head int // of all: those before it are gone
}

func (q *passedQueue) len() int { return len(q.all) - q.head }

func (q *passedQueue) first() passedPiece { return q.all[q.head] }

func (q *passedQueue) pop() {
	q.all[q.head] = passedPiece{}
	if q.head++; q.head > len(q.all)/2 {
		n := copy(q.all, q.all[q.head:])
		clear(q.all[n:])
		q.all, q.head = q.all[:n], 0
	}
}

// push appends a piece; when there are too many, the oldest is left to the kernel.
func (q *passedQueue) push(p passedPiece) {
	if q.len() >= maxPassed {
		q.pop()
	}
	q.all = append(q.all, p)
}

// Commits tells a device when its files are being synced: reads of cold ranges then wait, for a bounded time, because
// a sync that queues behind them takes as long as they do. Its methods may be called by any goroutine and never block
// for long; of a nil Commits they do nothing.
type Commits struct {
	running atomic.Int32
	begun   atomic.Uint64
	last    atomic.Int64 // when one began or ended, in ns of the clock
	now     func() time.Time

	mu    sync.Mutex
	ended chan struct{} // closed when none is running any more; nil when nobody waits
}

// Begin says that a commit begins. End must follow.
func (c *Commits) Begin() {
	if c == nil {
		return
	}
	c.running.Add(1)
	c.begun.Add(1)
	c.last.Store(c.now().UnixNano())
}

// End says that it has ended.
func (c *Commits) End() {
	if c == nil {
		return
	}
	c.last.Store(c.now().UnixNano())
	if c.running.Add(-1) > 0 {
		return
	}
	c.mu.Lock()
	if c.ended != nil {
		close(c.ended)
		c.ended = nil
	}
	c.mu.Unlock()
}

// shared reports whether there were commits lately.
func (c *Commits) shared() bool {
	return c.running.Load() > 0 || c.now().UnixNano()-c.last.Load() < int64(sharedFor)
}

// yield waits while a commit runs, at most commitYield, and returns for how long.
func (c *Commits) yield() time.Duration {
	if c.running.Load() == 0 {
		return 0
	}
	c.mu.Lock()
	if c.running.Load() == 0 {
		c.mu.Unlock()
		return 0
	}
	if c.ended == nil {
		c.ended = make(chan struct{})
	}
	ended := c.ended
	c.mu.Unlock()
	began := c.now()
	t := time.NewTimer(commitYield)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
	return c.now().Sub(began)
}
