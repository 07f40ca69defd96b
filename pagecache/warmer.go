package pagecache

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// File is a file that ranges lie in. Its methods may be called by any goroutine.
type File interface {
	// Pin keeps the file open until Unpin and returns its descriptor. An error says that it is gone.
	Pin() (fd int, err error)
	// Unpin undoes a Pin that succeeded.
	Unpin()
}

// Range is what is to be sent.
type Range struct {
	File File
	ID   FileID
	FD   int   // of the file, open while Ready runs; -1: none, then the range is ready
	Off  int64 // position of the first byte
	N    int   // bytes
	Size int64 // of the file: Off+N at least
	Tail bool  // lies at the end of the log, where the others read: stays in the page cache
}

// Config of a Warmer; the zero value of a field means its default.
type Config struct {
	// InFlightBytes is how much is read from one device at a time while there are commits on it; default 512 KiB.
	// A commit may wait for that much.
	InFlightBytes int64
	// AloneInFlightBytes is the same while there are none; default 2 MiB.
	AloneInFlightBytes int64
	// ReadAheadBytes is how much is read ahead of all readers of cold files together; default 64 MiB. Each gets
	// an equal part, at most 8 MiB.
	ReadAheadBytes int64
	// TrackedBytes is how much is remembered as cached; default 1 GiB. The kernel may evict earlier under memory
	// pressure, so it should be well below the memory.
	TrackedBytes int64
	// MaxQueuedBytes bounds what waits to be read from one device; default 16 GiB. Reading ahead takes at most a
	// quarter; of the rest, what finds no place is let through unread, counted as stalled.
	MaxQueuedBytes int64
	// MaxReaders is how many readers of cold files are told apart; default 4096. What more there are read as if
	// each of their ranges was the first.
	MaxReaders int

	disk disk             // nil is the kernel
	now  func() time.Time // nil is time.Now
}

// EnsureDefaults fills in every unset field.
func (c *Config) EnsureDefaults() {
	for _, f := range []struct {
		field *int64
		value int64
	}{
		{&c.InFlightBytes, 512 << 10}, {&c.AloneInFlightBytes, 2 << 20}, {&c.ReadAheadBytes, 64 << 20},
		{&c.TrackedBytes, 1 << 30}, {&c.MaxQueuedBytes, 16 << 30},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if c.MaxReaders <= 0 {
		c.MaxReaders = 4096
	}
	if c.disk == nil {
		c.disk = kernel{}
	}
	if c.now == nil {
		c.now = time.Now
	}
}

const (
	// jobPieces is how many pieces are read at once while a device is shared with commits, aloneJobPieces while
	// it is not: larger reads cost less.
	jobPieces      = 1
	aloneJobPieces = 4
)

// Warmer decides whether ranges can be sent now, reads those that cannot, and drops what its readers have passed.
type Warmer struct {
	cfg Config

	mu      sync.Mutex
	pieces  *pieceTable
	streams *streamTable
	devices map[uint64]*device
	// suspects are files of which something may have been evicted, with how many ranges are still to be looked at.
	suspects map[FileID]int
	running  int // goroutines
	closed   bool
	idle     sync.Cond // signalled when running falls to 0

	counters
}

// NewWarmer returns a Warmer without goroutines; they start with the first cold range.
func NewWarmer(cfg Config) *Warmer {
	cfg.EnsureDefaults()
	w := &Warmer{
		cfg: cfg, devices: map[uint64]*device{}, suspects: map[FileID]int{},
		pieces:  newPieceTable(int(cfg.TrackedBytes >> pieceShift)),
		streams: newStreamTable(cfg.MaxReaders),
	}
	w.idle.L = &w.mu
	return w
}

// Commits returns what the committer of the files below a directory has to tell, nil when its device is not known.
func (w *Warmer) Commits(dir string) (*Commits, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	id, err := w.cfg.disk.device(fd)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return &w.deviceLocked(id).commits, nil
}

func (w *Warmer) deviceLocked(id uint64) *device {
	d := w.devices[id]
	if d == nil {
		d = &device{}
		d.commits.now = w.cfg.now
		w.devices[id] = d
	}
	return d
}

// Ready reports whether a range can be sent without waiting for the disk. If not, reading it has begun, and wake is
// called exactly once, from another goroutine, when that is over, whether it succeeded or not. If it returns true,
// wake is never called. What lies behind the range may be read as well, and what its reader has passed be dropped.
func (w *Warmer) Ready(r Range, wake func()) bool {
	if r.FD < 0 || r.N <= 0 {
		w.resident.Add(1)
		return true
	}
	first, last := r.Off>>pieceShift, (r.Off+int64(r.N)-1)>>pieceShift
	now := w.cfg.now()
	w.mu.Lock()
	known, cached := true, true
	for i := first; i <= last && known; i++ {
		p := w.pieces.get(pieceKey{r.ID, i})
		known = p != nil
		cached = known && cached && p.state != pieceComing
	}
	suspect := w.suspects[r.ID] > 0
	if !known || suspect && cached {
		w.mu.Unlock()
		// Whole pieces are looked at, because whole pieces are remembered.
		from := first << pieceShift
		to := min((last+1)<<pieceShift, max(r.Size, r.Off+int64(r.N)))
		there, err := w.cfg.disk.resident(r.FD, from, int(to-from))
		if err != nil { // unsupported, or an error the sender will meet and report
			w.stalled.Add(1)
			return true
		}
		w.mu.Lock()
		switch {
		case there:
			w.foundLocked(r.ID, first, last)
		case cached:
			w.evictedLocked(r.ID)
		}
	}
	defer w.mu.Unlock()
	return w.readyLocked(&r, first, last, now, wake)
}

func (w *Warmer) readyLocked(r *Range, first, last int64, now time.Time, wake func()) bool {
	left, ours := 0, false
	for i := first; i <= last; i++ {
		switch p := w.pieces.get(pieceKey{r.ID, i}); {
		case p == nil || p.state == pieceComing:
			left++
		default:
			w.pieces.touch(p)
			p.keep = p.keep || r.Tail
			ours = ours || p.warmed
		}
	}
	s := w.streams.find(r.ID, r.Off)
	goesOn := s != nil
	if s == nil && (left > 0 || ours) {
		s = w.newStreamLocked(r)
	}
	if s == nil {
		w.resident.Add(1)
		return true
	}
	s.file, s.keep = r.File, r.Tail
	w.streams.advance(s, r.Off, r.N, now)
	switch {
	case left == 0:
		w.resident.Add(1)
	case w.waitLocked(s, r.ID, first, last, left, wake):
		w.warmed.Add(1)
		if goesOn || s.ahead > 0 { // it reads on, and not enough was ahead of it
			s.ahead = max(2*s.ahead, firstAhead)
		}
	default:
		w.stalled.Add(1)
		left = 0
	}
	w.readAheadLocked(s, last+1, r.Size, now)
	w.passLocked(s)
	w.startLocked(s.dev)
	w.dropIdleLocked(s.dev)
	return left == 0
}

// newStreamLocked makes a stream for a range; nil when its device is not known.
func (w *Warmer) newStreamLocked(r *Range) *stream {
	id, err := w.cfg.disk.device(r.FD)
	if err != nil { // the sender meets it as well
		return nil
	}
	return w.streams.add(r.ID, r.File, w.deviceLocked(id), r.Off)
}

// waitLocked has wake called when left pieces of [first, last] have come, and queues those that are not coming yet.
// It returns false, and does nothing, when there is no place for them.
func (w *Warmer) waitLocked(s *stream, id FileID, first, last int64, left int, wake func()) bool {
	if w.closed || int64(s.dev.queued+left)<<pieceShift > w.cfg.MaxQueuedBytes {
		return false
	}
	wait := &waiter{left: left, wake: wake}
	for i := first; i <= last; i++ {
		k := pieceKey{id, i}
		p := w.pieces.get(k)
		if p == nil {
			p = w.pieces.queue(k, s.keep)
			s.dev.enqueue(s, p)
		}
		if p.state == pieceComing {
			p.waiters = append(p.waiters, wait)
		}
	}
	return true
}

// readAheadLocked queues what is behind a range that ends before piece from.
func (w *Warmer) readAheadLocked(s *stream, from, size int64, now time.Time) {
	if s.ahead == 0 || w.closed {
		return
	}
	s.ahead = min(s.ahead, w.streams.share(int(w.cfg.ReadAheadBytes>>pieceShift), now))
	to := min(from+int64(s.ahead), (size+pieceBytes-1)>>pieceShift)
	for i := max(from, s.aheadTo); i < to; i++ {
		if int64(s.dev.queued)<<pieceShift > w.cfg.MaxQueuedBytes/4 {
			return
		}
		if k := (pieceKey{s.id, i}); w.pieces.get(k) == nil {
			s.dev.enqueue(s, w.pieces.queue(k, s.keep))
			w.aheadBytes.Add(pieceBytes)
		}
		s.aheadTo = i + 1
	}
}

// passLocked queues what the reader has passed to be dropped, unless it was there before the reader came, or lies in
// the tail.
func (w *Warmer) passLocked(s *stream) {
	to := (s.next - passedBehind) >> pieceShift
	for ; s.passedTo < to; s.passedTo++ {
		p := w.pieces.get(pieceKey{s.id, s.passedTo})
		if p != nil && p.state == pieceCached && p.warmed && !p.keep {
			p.state = piecePassed
			s.dev.passed.push(passedPiece{p.key, s.file})
		}
	}
}

// foundLocked notes that pieces [first, last] of a file are there.
func (w *Warmer) foundLocked(id FileID, first, last int64) {
	for i := first; i <= last; i++ {
		if k := (pieceKey{id, i}); w.pieces.get(k) == nil {
			w.pieces.found(k)
		}
	}
	if n := w.suspects[id]; n > 1 {
		w.suspects[id] = n - 1
	} else if n == 1 {
		delete(w.suspects, id)
	}
}

// evictedLocked forgets what is remembered of a file of which pieces are not there any more.
func (w *Warmer) evictedLocked(id FileID) {
	w.missed.Add(1)
	delete(w.suspects, id)
	w.pieces.forget(id)
	for _, s := range w.streams.files[id] {
		s.aheadTo = 0
	}
}

const (
	// suspectRanges is how many ranges of a file are looked at before it is trusted again.
	suspectRanges = 16
	// maxSuspects bounds the files that are not trusted.
	maxSuspects = 1024
)

// Missed says that sending a range took as long as if it had not been in the page cache, although Ready had said that
// it was: the kernel may have evicted it meanwhile, or the processor was busy. The next ranges of the file are looked
// at, whatever is remembered of them, and if one has gone, all is forgotten. So a file that is evicted costs the
// sender one stall.
func (w *Warmer) Missed(id FileID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.suspects) >= maxSuspects {
		clear(w.suspects)
	}
	w.suspects[id] = suspectRanges
}
