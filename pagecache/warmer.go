package pagecache

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// File is what the Warmer reads. It must stay open from Ready until wake was called.
type File interface {
	io.ReaderAt
	Fd() int // -1: no descriptor, then every range is ready
}

// Config of a Warmer; the zero value of a field means its default.
type Config struct {
	// Concurrency is how many cold ranges are read at a time; default 8. It bounds both goroutines and the
	// load on the device.
	Concurrency int
	// MaxQueued bounds the ranges waiting to be read; default 4096. Beyond it Ready lets ranges through
	// unread, counted as stalled.
	MaxQueued int
	// TrackedWindows is how many 1 MiB windows are remembered as cached; default 1024.
	TrackedWindows int
	// ReadAhead is how many bytes after a cold range are asked for as well; default 1 MiB, negative is none.
	ReadAhead int64
}

// EnsureDefaults fills in every unset field.
func (c *Config) EnsureDefaults() {
	if c.Concurrency <= 0 {
		c.Concurrency = 8
	}
	if c.MaxQueued <= 0 {
		c.MaxQueued = 4096
	}
	if c.TrackedWindows <= 0 {
		c.TrackedWindows = 1024
	}
	if c.ReadAhead == 0 {
		c.ReadAhead = windowBytes
	}
}

// Stats counts what a Warmer answered. Numbers only grow, except Queued.
type Stats struct {
	Resident uint64 // ranges that were ready at once
	Warmed   uint64 // ranges read from the disk before they were sent
	Stalled  uint64 // ranges let through without knowing: no probe on this file system, or the queue was full
	Errors   uint64 // warm-ups whose read failed; the sender meets the error itself
	Queued   int    // ranges waiting or being read now
	// WarmedBytes is the sum of the sizes of the warmed ranges.
	WarmedBytes uint64
}

type warmJob struct {
	file File
	id   FileID
	off  int64
	n    int
	wake func()
}

// Warmer decides whether ranges can be sent now and reads the ones that cannot.
type Warmer struct {
	cfg     Config
	tracker *Tracker

	mu      sync.Mutex
	queue   []warmJob // FIFO
	running int
	closed  bool
	idle    sync.Cond // signalled when running falls to 0

	resident, warmed, warmedBytes, stalled, failures atomic.Uint64
}

// warmChunkBytes is the size of one read of a warm-up, and of its scratch buffer.
const warmChunkBytes = 256 << 10

var scratch = sync.Pool{New: func() any { b := make([]byte, warmChunkBytes); return &b }}

// NewWarmer returns a Warmer without goroutines; they start with the first cold range.
func NewWarmer(cfg Config) *Warmer {
	cfg.EnsureDefaults()
	w := &Warmer{cfg: cfg, tracker: NewTracker(cfg.TrackedWindows)}
	w.idle.L = &w.mu
	return w
}

// Touch notes that the range was just written or read and so is in the page cache.
func (w *Warmer) Touch(id FileID, off int64, n int) { w.tracker.Touch(id, off, n) }

// Ready reports whether the range can be sent without waiting for the disk. If not, reading it has begun
// and wake is called exactly once, from another goroutine, when that is over (whether it succeeded or not);
// f must stay open until then. If it returns true, wake is never called.
func (w *Warmer) Ready(f File, id FileID, off int64, n int, wake func()) bool {
	fd := f.Fd()
	if fd < 0 || n <= 0 || w.tracker.Hot(id, off, n) {
		w.resident.Add(1)
		return true
	}
	ok, err := Resident(fd, off, n)
	switch {
	case err != nil: // unsupported, or an error the sender will meet and report
		w.stalled.Add(1)
		return true
	case ok:
		w.resident.Add(1)
		w.tracker.Touch(id, off, n)
		return true
	}
	return !w.enqueue(warmJob{file: f, id: id, off: off, n: n, wake: wake})
}

func (w *Warmer) enqueue(job warmJob) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.queue) >= w.cfg.MaxQueued {
		w.stalled.Add(1)
		return false
	}
	w.queue = append(w.queue, job)
	if w.running < w.cfg.Concurrency {
		w.running++
		go w.work()
	}
	return true
}

// work reads queued ranges until there are none.
func (w *Warmer) work() {
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.queue = nil
			w.running--
			if w.running == 0 {
				w.idle.Broadcast()
			}
			w.mu.Unlock()
			return
		}
		job := w.queue[0]
		w.queue[0] = warmJob{}
		w.queue = w.queue[1:]
		w.mu.Unlock()

		w.warm(job, *buf)
		job.wake()
	}
}

func (w *Warmer) warm(job warmJob, buf []byte) {
	// Asking for the whole range first keeps the device busy while we read through it. It is advice: its
	// failure only means less of that.
	_ = WillNeed(job.file.Fd(), job.off, int64(job.n)+max(w.cfg.ReadAhead, 0))
	for done := 0; done < job.n; {
		m, err := job.file.ReadAt(buf[:min(len(buf), job.n-done)], job.off+int64(done))
		done += m
		if err != nil {
			if !errors.Is(err, io.EOF) {
				w.failures.Add(1)
				return
			}
			break
		}
	}
	w.tracker.Touch(job.id, job.off, job.n)
	w.warmed.Add(1)
	w.warmedBytes.Add(uint64(job.n))
}

// Close lets the queued warm-ups finish and waits for them; afterwards every range is ready.
func (w *Warmer) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for w.running > 0 {
		w.idle.Wait()
	}
}

// Stats returns the counters.
func (w *Warmer) Stats() Stats {
	w.mu.Lock()
	queued := len(w.queue) + w.running
	w.mu.Unlock()
	return Stats{
		Resident: w.resident.Load(), Warmed: w.warmed.Load(), WarmedBytes: w.warmedBytes.Load(),
		Stalled: w.stalled.Load(), Errors: w.failures.Load(), Queued: queued,
	}
}
