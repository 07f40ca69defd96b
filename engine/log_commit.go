package engine

import (
	"errors"
	"fmt"
	"path/filepath"
)

// commit is one log's share of a commit round.
type commit struct {
	log        *Log
	end        int64         // the log end when the round began: what it makes durable
	segments   []*LogSegment // pinned, with syncMu held
	dir        string        // the partition's directory
	syncNames  bool          // sync dir
	syncParent bool          // sync partition.metadata; the round syncs the log directory, once for all
	err        error
}

// beginCommit captures everything written so far. The captured segments stay pinned, and closed to other
// syncs, until endCommit. Called by the committer only.
func (l *Log) beginCommit(c *commit) {
	l.appendMu.Lock()
	dir := l.path
	gone := l.deleted
	l.viewMu.Lock()
	*c = commit{log: l, end: l.logEnd.Load(), segments: c.segments[:0], dir: dir, syncNames: l.dirtyNames, syncParent: l.freshDir}
	for _, s := range l.dirty {
		s.dirty.Store(false)
		// A dirty segment is open, so this does not wait for the disk.
		if _, err := s.acquire(); err == nil {
			c.segments = append(c.segments, s)
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
	for _, s := range c.segments {
		s.syncMu.Lock()
	}
	if gone { // nobody waits, and the names may be gone
		c.syncNames, c.syncParent = false, false
		c.err = ErrLogClosed
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
	if c.syncNames && !planted(bugNoDirSync) {
		t = append(t, syncTarget{dir: c.dir, optional: true}) // a delete may have renamed it
	}
	if c.syncParent {
		t = append(t, syncTarget{path: filepath.Join(c.dir, partitionMetadataFile), optional: true})
	}
	return t
}

// endCommit releases what beginCommit captured and, after a good round, advances the durable end. The names
// it captured count as synced only then; after a failure the directory is offline and nothing matters.
func (c *commit) endCommit(err error) error {
	for _, s := range c.segments {
		s.syncMu.Unlock()
		s.release()
	}
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
	l.lastFlushed = max(l.lastFlushed, end)
	l.viewMu.Unlock()
	l.advanceDurable(end)
	return nil
}
