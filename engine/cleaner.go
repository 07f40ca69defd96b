package engine

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// logCleaner compacts the logs whose cleanup.policy says so. Kafka's LogCleaner and LogCleanerManager.
//
// Each of its threads takes the log with the largest share of bytes not compacted yet, compacts it (see
// cleaning), and waits for Backoff when there is none. A log is compacted by one thread at a time. Nothing
// here is ever called by an event loop, an append or a committer, and no lock of a log is held while records
// are read or written.
//
// What changes a log under a cleaning (truncation, deletion, cleanup.policy without compact) does not wait for
// it: it counts Log.cleanAborts, and the cleaning gives up at its next step, at the latest when it would put
// its result in place.
//
// States of a log: idle -> in progress (grab) -> idle (done), or uncleanable (done: a batch does not check, or
// the disk could not read it) until the broker is started again.
type logCleaner struct {
	m        *LogManager
	throttle throttle

	grabMu sync.Mutex // held while the next log is chosen; before a directory's checkpointMu

	mu          sync.Mutex // a leaf
	cfg         CleanerConfig
	wakers      map[int]chan struct{} // of the threads; those numbered from cfg.Threads up end
	inProgress  map[*Log]bool
	uncleanable map[*Log]error
	stopped     bool
	threads     sync.WaitGroup
	stopping    chan struct{} // closed by stop

	stats cleanerCounters
}

// cleanerCounters are summed over all cleanings.
type cleanerCounters struct {
	cleanings, aborted, failed atomic.Uint64
	bytesRead, bytesWritten    atomic.Uint64
	recordsRead, recordsKept   atomic.Uint64
	invalidRecords             atomic.Uint64
}

// CleanerStats counts compactions since the start.
type CleanerStats struct {
	Cleanings    uint64 // logs compacted
	Aborted      uint64 // given up because the log changed under them
	Failed       uint64 // ended by an error, a full disk included
	BytesRead    uint64
	BytesWritten uint64
	RecordsRead  uint64
	RecordsKept  uint64
	// InvalidRecords had no key and were dropped.
	InvalidRecords uint64
	// InProgress and Uncleanable are logs now. An uncleanable one holds a batch that does not check; nothing of
	// it is dropped, and it is not compacted again before the next start.
	InProgress, Uncleanable int
}

func newLogCleaner(m *LogManager) *logCleaner {
	c := &logCleaner{
		m: m, cfg: m.cfg.Cleaner, wakers: make(map[int]chan struct{}), inProgress: make(map[*Log]bool),
		uncleanable: make(map[*Log]error), stopping: make(chan struct{}),
	}
	c.throttle.clock = m.cfg.Clock
	return c
}

// start brings the threads to the configured number.
func (c *logCleaner) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cfg.Disabled || c.stopped {
		return
	}
	for id := range c.cfg.Threads {
		if c.wakers[id] == nil {
			wake := make(chan struct{}, 1)
			c.wakers[id] = wake
			c.threads.Go(func() { c.run(id, wake) })
		}
	}
}

// configure puts other settings in force: at once for pauses, with its next log for a thread's memory.
func (c *logCleaner) configure(cfg CleanerConfig) {
	c.mu.Lock()
	cfg.Disabled = c.cfg.Disabled
	c.cfg = cfg
	for _, wake := range c.wakers {
		poke(wake)
	}
	c.mu.Unlock()
	c.start()
}

func (c *logCleaner) config() CleanerConfig {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cfg
}

// stop ends the threads, giving up what they are at.
func (c *logCleaner) stop() {
	c.mu.Lock()
	if !c.stopped {
		c.stopped = true
		close(c.stopping)
	}
	c.mu.Unlock()
	c.threads.Wait()
}

func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// run is a thread.
func (c *logCleaner) run(id int, wake chan struct{}) {
	var w cleaner
	for c.wanted(id) {
		found, err := c.cleanNext(&w)
		if found && err == nil {
			continue
		}
		w.release()
		c.pause(wake, c.config().Backoff)
	}
}

// wanted says whether thread id goes on; if not, its place is free.
func (c *logCleaner) wanted(id int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || id >= c.cfg.Threads {
		delete(c.wakers, id)
		return false
	}
	return true
}

// pause waits for d, the next configure, or stop.
func (c *logCleaner) pause(wake chan struct{}, d time.Duration) {
	cancel := c.m.cfg.Clock.AfterFunc(d, func() { poke(wake) })
	defer cancel()
	select {
	case <-wake:
	case <-c.stopping:
	}
}

// cleanNext compacts the log that needs it most; found is false when none does.
func (c *logCleaner) cleanNext(w *cleaner) (found bool, err error) {
	t, found := c.grab()
	if !found {
		return false, nil
	}
	if err = w.clean(c, t); err != nil && t.log.cleanAborts.Load() != t.aborts && !errors.Is(err, errCleaningAborted) {
		err = fmt.Errorf("%w: %w", errCleaningAborted, err) // it saw the log while that was cut back
	}
	c.done(t, err)
	return true, err
}

// done takes a log back, and decides about the error its cleaning ended with.
func (c *logCleaner) done(t logToClean, err error) {
	l := t.log
	c.mu.Lock()
	delete(c.inProgress, l)
	aborted := errors.Is(err, errCleaningAborted) || errors.Is(err, errSegmentGone) || errors.Is(err, ErrLogClosed) ||
		l.cleanAborts.Load() != t.aborts
	damaged := err != nil && !aborted && !errors.Is(err, ErrStorage)
	if damaged {
		c.uncleanable[l] = err
	}
	c.mu.Unlock()
	logger := c.m.logger.With("topic", l.tp.Topic, "partition", l.tp.Partition)
	switch {
	case err == nil:
		c.stats.cleanings.Add(1)
	case aborted:
		c.stats.aborted.Add(1)
		logger.Info("compaction given up, the log changed", "err", err)
	case damaged:
		c.stats.failed.Add(1)
		logger.Error("log cannot be compacted, it stays as it is until the next start", "err", err)
	default:
		c.stats.failed.Add(1)
		logger.Warn("compaction failed", "err", err)
	}
}

// errCleaningAborted: the log changed, or the cleaner was stopped.
var errCleaningAborted = errors.New("cleaning aborted")

// checkDone is called between the steps of a cleaning: it says whether to go on.
func (c *logCleaner) checkDone(t *logToClean) error {
	select {
	case <-c.stopping:
		return fmt.Errorf("%w: the cleaner stops", errCleaningAborted)
	default:
	}
	if t.log.cleanAborts.Load() != t.aborts {
		return errCleaningAborted
	}
	return t.log.dir.offline()
}

// SetCleanerConfig changes how logs are compacted; Disabled stays as it was at the start.
func (m *LogManager) SetCleanerConfig(cfg CleanerConfig) error {
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err != nil {
		return err
	}
	m.cleaner.configure(cfg)
	return nil
}

// RunCompaction compacts all logs that are due, on the caller's goroutine, and returns the first error; logs
// compacted by a thread at the moment are left to it.
//
// Errors: ErrStorage (with ErrDiskFull when there was no space), ErrCorrupt.
func (m *LogManager) RunCompaction() error {
	var w cleaner
	for {
		if found, err := m.cleaner.cleanNext(&w); !found || err != nil {
			return err
		}
	}
}

// CleanerStats counts the compactions of all directories.
func (m *LogManager) CleanerStats() CleanerStats {
	c := m.cleaner
	s := CleanerStats{
		Cleanings: c.stats.cleanings.Load(), Aborted: c.stats.aborted.Load(), Failed: c.stats.failed.Load(),
		BytesRead: c.stats.bytesRead.Load(), BytesWritten: c.stats.bytesWritten.Load(),
		RecordsRead: c.stats.recordsRead.Load(), RecordsKept: c.stats.recordsKept.Load(),
		InvalidRecords: c.stats.invalidRecords.Load(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.InProgress = len(c.inProgress)
	for l := range c.uncleanable {
		if current, ok := c.m.Log(l.tp); !ok || current != l {
			delete(c.uncleanable, l) // deleted since
		}
	}
	s.Uncleanable = len(c.uncleanable)
	return s
}
