package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// commit is one log's share of a commit round.
type commit struct {
	log        *Log
	end        int64         // the log end when the round began: what it makes durable
	ranges     []dirtyRange  // what was written since the last round
	dir        string        // the partition's directory
	syncNames  bool          // names of segments in dir are not durable
	syncParent bool          // nor are partition.metadata and the name of dir
	saves      int           // syncs saved if it goes to the journal
	journaled  bool          // it does
	segments   []*LogSegment // to be synced: pinned, with syncMu held; only if not journaled
	err        error
}

// dirtyRange is a stretch of a segment, which is pinned.
type dirtyRange struct {
	s        *LogSegment
	from, to int64 // positions
}

// behindJournal is what of a log is durable by the commit journal only. Log.viewMu guards it.
type behindJournal struct {
	segments []*LogSegment // each once; they keep their descriptors
	// names and parent are the newest frames that took the place of a sync of the partition's directory, and of
	// partition.metadata with the name of the directory; 0 if both are synced.
	names, parent uint64
	newest        uint64 // the newest frame with something of the log
	listed        bool   // the next flush knows of the log
	kept          *atomic.Int64
}

func (b *behindJournal) add(s *LogSegment, seq uint64) {
	s.journalSeq = seq
	if !s.kept.Swap(true) {
		b.segments = append(b.segments, s)
		b.kept.Add(1)
	}
}

func (b *behindJournal) remove(s *LogSegment) {
	if i := slices.Index(b.segments, s); i >= 0 {
		b.segments = slices.Delete(b.segments, i, i+1)
		s.kept.Store(false)
		b.kept.Add(-1)
	}
}

// beginCommit captures everything written so far. The captured segments stay pinned until endCommit. Called by the
// committer only.
func (l *Log) beginCommit(c *commit) {
	l.appendMu.Lock()
	gone := l.deleted
	l.viewMu.Lock()
	*c = commit{
		log: l, end: l.logEnd.Load(), ranges: c.ranges[:0], segments: c.segments[:0],
		dir: l.path, syncNames: l.dirtyNames, syncParent: l.freshDir,
	}
	for _, s := range l.dirty {
		s.dirty.Store(false)
		// A dirty segment is open, so this does not wait for the disk.
		if _, err := s.acquire(); err == nil {
			c.ranges = append(c.ranges, dirtyRange{s, s.committed, s.size.Load()})
		} else if !errors.Is(err, errSegmentGone) { // else: deleted meanwhile, nothing to keep
			c.err = err
		}
	}
	clear(l.dirty)
	l.dirty = l.dirty[:0]
	l.dirtyNames, l.freshDir = false, false
	l.roundFloor = noOffset
	l.viewMu.Unlock()
	l.appendMu.Unlock()
	if gone { // nobody waits, and the names may be gone
		c.syncNames, c.syncParent = false, false
		c.err = ErrLogClosed
	}
}

// direct decides that the commit goes to the segments, and takes those along that only the journal has made durable so
// far: then all of the log is durable in its place. The segments are closed to other syncs until endCommit.
func (c *commit) direct() {
	for _, r := range c.ranges {
		c.segments = append(c.segments, r.s)
	}
	l := c.log
	l.viewMu.Lock()
	for _, s := range l.behind.segments {
		if slices.Contains(c.segments, s) {
			continue
		}
		if _, err := s.acquire(); err == nil {
			c.segments = append(c.segments, s)
		} else if !errors.Is(err, errSegmentGone) {
			c.err = err
		}
	}
	if c.err == nil {
		c.syncNames = c.syncNames || l.behind.names > 0
		c.syncParent = c.syncParent || l.behind.parent > 0
	}
	l.viewMu.Unlock()
	for _, s := range c.segments {
		s.syncMu.Lock()
	}
}

// targets appends what the round has to sync for this log.
func (c *commit) targets(t []syncTarget) []syncTarget {
	for _, s := range c.segments {
		if c.err != nil {
			break
		}
		f, err := s.file(logFile, false)
		if err != nil {
			c.err = err
			break
		}
		t = append(t, syncTarget{file: f})
	}
	return namesTargets(t, c.dir, c.syncNames, c.syncParent)
}

// endCommit releases what was captured and, after a good round, advances the durable end. The names captured count as
// synced only then; after a failure the directory is offline and nothing matters.
func (c *commit) endCommit(err error) error {
	c.release()
	switch {
	case errors.Is(c.err, ErrLogClosed):
		return nil
	case c.err != nil:
		return fmt.Errorf("commit of %s: %w", c.log.tp, c.err)
	case err != nil:
		return err
	}
	l := c.log
	l.viewMu.Lock()
	end := min(c.end, l.roundFloor)
	for _, r := range c.ranges {
		r.s.committed = r.to
	}
	if !c.journaled {
		for _, s := range c.segments {
			l.behind.remove(s)
		}
		l.behind.names, l.behind.parent = 0, 0
	}
	l.committed = max(l.committed, end)
	l.viewMu.Unlock()
	l.advanceDurable(end)
	return nil
}

func (c *commit) release() {
	if c.journaled {
		for _, r := range c.ranges {
			r.s.release()
		}
		return
	}
	for _, s := range c.segments {
		s.syncMu.Unlock()
		s.release()
	}
}

// noteJournaled has the next flush sync what frame seq holds.
func (c *commit) noteJournaled(seq uint64) {
	l := c.log
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	for _, r := range c.ranges {
		l.behind.add(r.s, seq)
	}
	if c.syncNames {
		l.behind.names = seq
	}
	if c.syncParent {
		l.behind.parent = seq
	}
	l.behind.newest = seq
	if !l.behind.listed {
		l.behind.listed = true
		l.dir.journal.noteUnsynced(l)
	}
}

// leaveJournal makes everything the log has committed durable in its segments, voids what the journal holds of it, and
// keeps it out of the journal until back is called. Whoever cuts off, deletes or replaces bytes of segments does it
// inside, because a replay of the journal would write the old ones again. It waits for a commit round, so no lock of a
// log may be held.
//
// Errors: ErrStorage, ErrLogClosed.
func (l *Log) leaveJournal() (back func(), err error) {
	l.outside.Add(1)
	back = func() { l.outside.Add(-1) }
	if !l.dir.journal.ready.Load() || planted(bugJournalNotLeft) {
		return back, nil // and a round that begins from here on sees outside
	}
	if err := l.dir.committer.leave(l, l.tp); err != nil {
		back()
		return nil, err
	}
	return back, nil
}
