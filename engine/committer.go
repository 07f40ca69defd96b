package engine

import (
	"sync"
	"sync/atomic"

	"kserver/internal/histogram"
	"kserver/pagecache"
)

// committer makes the logs of one directory durable, in rounds. A round takes every log that asked, syncs
// all their files together and advances their durable ends; what is appended meanwhile waits for the next
// round, which begins at once. So rounds follow each other as fast as the disk allows when there is load, a
// lone append is synced immediately, and no timer is involved.
//
// One goroutine, run, owns the rounds; request and startWriteback only queue. The committer's lock is a leaf.
type committer struct {
	dir    *logDir
	syncer roundSyncer
	// reportEarly is the planted bug of the crash suite's own test: durable before the sync.
	reportEarly bool

	mu      sync.Mutex
	queue   []*Log
	pacing  []pacedRange
	stopped bool
	wake    chan struct{} // capacity 1
	done    chan struct{}

	rounds, logs, files, failures atomic.Uint64
	took                          histogram.Histogram // of rounds
}

// pacedRange is a stretch of a segment whose writeback is to begin.
type pacedRange struct {
	s      *LogSegment
	off, n int64
}

func newCommitter(d *logDir, syncer roundSyncer) *committer {
	return &committer{dir: d, syncer: syncer, wake: make(chan struct{}, 1), done: make(chan struct{})}
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
	var logs []*Log
	var pacing []pacedRange
	var commits []commit
	var targets []syncTarget
	for {
		c.mu.Lock()
		logs, c.queue = c.queue, logs[:0]
		pacing, c.pacing = c.pacing, pacing[:0]
		for _, l := range logs {
			l.commitQueued = false
		}
		stop := c.stopped && len(logs) == 0
		c.mu.Unlock()

		if err := c.dir.offline(); err != nil {
			c.giveUp(err)
			return
		}
		if stop {
			return
		}
		for i, p := range pacing {
			p.start()
			pacing[i] = pacedRange{}
		}
		if len(logs) == 0 {
			<-c.wake
			continue
		}
		commits, targets = c.round(logs, commits, targets)
		clear(logs)
	}
}

// round syncs what the logs have written. The slices are scratch, returned for the next round.
func (c *committer) round(logs []*Log, commits []commit, targets []syncTarget) ([]commit, []syncTarget) {
	began := c.dir.m.cfg.Clock.Now()
	for len(commits) < len(logs) {
		commits = append(commits, commit{})
	}
	targets = targets[:0]
	fresh, names := false, 0
	for i, l := range logs {
		l.beginCommit(&commits[i])
		targets = commits[i].targets(targets)
		fresh = fresh || commits[i].syncParent
		if commits[i].syncNames {
			names++
		}
	}
	if fresh {
		targets = append(targets, syncTarget{dir: c.dir.path})
	}
	if c.reportEarly {
		for i := range logs {
			logs[i].advanceDurable(commits[i].end)
		}
	}
	var err error
	switch {
	case names > bulkSyncs: // thousands of new partitions at once
		err = c.dir.m.cfg.FS.SyncAll(c.dir.path)
	case len(targets) > 0:
		err = c.syncer.syncRound(targets)
	}
	for i := range logs {
		if cerr := commits[i].endCommit(err); cerr != nil {
			c.failures.Add(1)
			c.dir.fail(cerr)
		}
		clear(commits[i].segments)
		commits[i].log = nil
	}
	c.rounds.Add(1)
	c.logs.Add(uint64(len(logs)))
	c.files.Add(uint64(len(targets)))
	c.took.Observe(c.dir.m.cfg.Clock.Now().Sub(began))
	clear(targets)
	return commits, targets
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
	c.queue, c.pacing = nil, nil
	c.mu.Unlock()
	for _, l := range c.dir.logs() {
		l.fail(err)
	}
	if told := c.dir.m.cfg.OnOffline; told != nil {
		told(c.dir.path, err)
	}
}

// stop runs the rounds still asked for and ends the goroutine.
func (c *committer) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
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
}

func (c *committer) stats() CommitStats {
	s := CommitStats{Syncer: c.syncer.name(), Rounds: c.rounds.Load(), Logs: c.logs.Load(), Files: c.files.Load()}
	s.Took.Add(&c.took)
	return s
}
