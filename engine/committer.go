package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"kserver/internal/histogram"
	"kserver/pagecache"
)

// committer makes the logs of one directory durable, in rounds. A round takes every log that asked, makes what
// they have written durable together, in their segments or by the commit journal, and advances their durable ends; what
// is appended meanwhile waits for the next round, which begins at once. So rounds follow each other as fast as the disk
// allows when there is load, a lone append is synced immediately, and no timer is involved.
//
// One goroutine, run, owns the rounds; request, leave and startWriteback only queue. The committer's lock is a leaf.
type committer struct {
	dir    *logDir
	syncer roundSyncer
	device *pagecache.Commits // where reads make way for syncs; nil when there are none

	mu      sync.Mutex
	queue   []*Log
	leaving []departure
	pacing  []pacedRange
	stopped bool
	wake    chan struct{} // capacity 1
	done    chan struct{}

	// Owned by the goroutine that takes turns; all but gaveUp are scratch.
	taken   []*Log
	commits []commit
	targets []syncTarget
	gaveUp  bool

	rounds, logs, files, failures atomic.Uint64
	began                         atomic.Int64        // when the round under way has, in ns of 1970; 0: none is
	took                          histogram.Histogram // of rounds
}

// pacedRange is a stretch of a segment whose writeback is to begin.
type pacedRange struct {
	s      *LogSegment
	off, n int64
}

func newCommitter(d *logDir, syncer roundSyncer) *committer {
	var device *pagecache.Commits
	if warm := d.m.cfg.Warm; warm != nil {
		device, _ = warm.Commits(d.path) // a directory in memory has none
	}
	return &committer{dir: d, syncer: syncer, device: device, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// request asks for a round that covers everything written to l so far.
func (c *committer) request(l *Log) {
	c.mu.Lock()
	if l.commitQueued || c.stopped {
		c.mu.Unlock()
		return
	}
	l.commitQueued = true
	c.queue = append(c.queue, l)
	c.mu.Unlock()
	c.poke()
}

// startWriteback begins writing out a range, off the appender's goroutine.
func (c *committer) startWriteback(s *LogSegment, off, n int64) {
	c.mu.Lock()
	if !c.stopped {
		c.pacing = append(c.pacing, pacedRange{s, off, n})
	}
	c.mu.Unlock()
	c.poke()
}

func (c *committer) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run is the committer's goroutine. It ends after stop, when the queue is empty, or when the directory fails,
// after telling every log of it.
func (c *committer) run() {
	defer close(c.done)
	defer c.syncer.close()
	for {
		more, end := c.turn()
		if end {
			return
		}
		if !more {
			<-c.wake
		}
	}
}

// turn does what is queued. more is false when there was nothing to do, end when there never will be.
func (c *committer) turn() (more, end bool) {
	c.mu.Lock()
	c.taken, c.queue = c.queue, c.taken[:0]
	pacing, leaving := c.pacing, c.leaving
	c.pacing, c.leaving = nil, nil
	for _, l := range c.taken {
		l.commitQueued = false
	}
	stop := c.stopped && len(c.taken) == 0 && len(leaving) == 0
	c.mu.Unlock()

	if err := c.dir.offline(); err != nil {
		if !c.gaveUp {
			c.gaveUp = true
			c.giveUp(err)
		}
		tell(leaving, err)
		return false, true
	}
	if stop {
		return false, true
	}
	for _, p := range pacing {
		p.start()
	}
	if len(c.taken) == 0 && len(leaving) == 0 {
		return false, false
	}
	c.round(c.taken, leaving)
	clear(c.taken)
	return true, false
}

// round makes durable what the logs have written, and voids what the journal holds of those that leave it.
func (c *committer) round(logs []*Log, leaving []departure) {
	began := c.dir.m.cfg.Clock.Now()
	c.began.Store(began.UnixNano())
	for len(c.commits) < len(logs) {
		c.commits = append(c.commits, commit{})
	}
	commits := c.commits[:len(logs)]
	for i, l := range logs {
		l.beginCommit(&commits[i])
	}
	if planted(bugAckBeforeSync) {
		for i := range logs {
			logs[i].advanceDurable(commits[i].end)
		}
	}
	c.device.Begin()
	files, err := c.makeDurable(commits)
	c.device.End()
	for i := range commits {
		if cerr := commits[i].endCommit(err); cerr != nil {
			c.failures.Add(1)
			err = c.dir.fail(cerr)
		}
		clear(commits[i].ranges)
		clear(commits[i].segments)
		commits[i].log = nil
	}
	if err == nil {
		err = c.forget(leaving)
	}
	if err != nil {
		err = c.dir.fail(err)
	}
	tell(leaving, err)
	c.rounds.Add(1)
	c.logs.Add(uint64(len(logs)))
	c.files.Add(uint64(files))
	c.took.Observe(c.dir.m.cfg.Clock.Now().Sub(began))
	c.began.Store(0)
}

// start begins the writeback; it is a hint, so an error only means that the sync will take longer.
func (p pacedRange) start() {
	f, err := p.s.acquire()
	if err != nil {
		return
	}
	defer p.s.release()
	if fd := f.Fd(); fd >= 0 {
		_ = pagecache.StartWriteback(fd, p.off, p.n)
	}
}

// giveUp tells all logs of the directory that nothing more becomes durable.
func (c *committer) giveUp(err error) {
	c.mu.Lock()
	c.stopped = true
	leaving := c.leaving
	c.queue, c.pacing, c.leaving = nil, nil, nil
	c.mu.Unlock()
	tell(leaving, err)
	for _, l := range c.dir.logs() {
		l.fail(err)
	}
	if told := c.dir.m.cfg.OnOffline; told != nil {
		told(c.dir.path, err)
	}
}

// stop runs the rounds still asked for and ends the goroutine. Calls after the first do nothing.
func (c *committer) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	if c.dir.m.cfg.stepped {
		select {
		case <-c.done:
		default:
			c.run()
		}
	}
	c.poke()
	<-c.done
}

// CommitStats counts the commit rounds of one log directory.
type CommitStats struct {
	Syncer string             // how files are synced: "io_uring" or "fdatasync"
	Rounds uint64             // rounds done
	Logs   uint64             // logs committed in them
	Files  uint64             // files and directories synced in them
	Took   histogram.Snapshot // how long rounds took
	// Running is how long the round under way has taken so far, 0 when none is.
	Running time.Duration
	Journal JournalStats
}

func (c *committer) stats() CommitStats {
	s := CommitStats{Syncer: c.syncer.name(), Rounds: c.rounds.Load(), Logs: c.logs.Load(), Files: c.files.Load(), Journal: c.dir.journal.stats()}
	if began := c.began.Load(); began != 0 {
		s.Running = max(0, c.dir.m.cfg.Clock.Now().Sub(time.Unix(0, began)))
	}
	s.Took.Add(&c.took)
	return s
}
