package engine

import (
	"errors"
	"path/filepath"
)

// flush is one log's share of a flush of the commit journal.
type flush struct {
	log        *Log
	segments   []*LogSegment // pinned
	seqs       []uint64      // when the journal last got bytes of each
	gone       []*LogSegment // deleted, nothing to sync
	dir        string        // the partition's directory
	syncNames  bool          // sync dir
	syncParent bool          // sync partition.metadata, and the log directory once for all
	names      [2]uint64     // when the journal last covered unsynced names
	err        error
}

// beginFlush captures what is durable by the journal only.
func (l *Log) beginFlush() (f flush) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	l.behind.listed = false
	f = flush{log: l, dir: l.path, names: [2]uint64{l.behind.names, l.behind.parent}}
	f.syncNames, f.syncParent = l.behind.names > 0 && !l.deleted, l.behind.parent > 0 && !l.deleted
	for _, s := range l.behind.segments {
		_, err := s.acquire() // its descriptor is open, so this does not wait for the disk
		switch {
		case err == nil:
			f.segments, f.seqs = append(f.segments, s), append(f.seqs, s.journalSeq)
		case errors.Is(err, errSegmentGone):
			f.gone = append(f.gone, s)
		default:
			f.err = err
		}
	}
	return f
}

// targets appends what is to be synced for this log.
func (f *flush) targets(t []syncTarget) []syncTarget {
	for _, s := range f.segments {
		t = append(t, syncTarget{segment: s})
	}
	return namesTargets(t, f.dir, f.syncNames, f.syncParent)
}

// namesTargets appends the syncs of a partition's names.
func namesTargets(t []syncTarget, dir string, names, parent bool) []syncTarget {
	if names && !planted(bugNoDirSync) {
		t = append(t, syncTarget{dir: dir, optional: true}) // a delete may have renamed it
	}
	if parent {
		t = append(t, syncTarget{path: filepath.Join(dir, partitionMetadataFile), optional: true})
	}
	return t
}

// end releases what was captured and, if it is durable in its place now, takes it off the log's list, unless
// the journal has got more of it since.
func (f *flush) end(err error) {
	l := f.log
	if err == nil {
		l.viewMu.Lock()
		for i, s := range f.segments {
			if s.journalSeq == f.seqs[i] {
				l.behind.remove(s)
			}
		}
		for _, s := range f.gone {
			l.behind.remove(s)
		}
		if l.behind.names == f.names[0] {
			l.behind.names = 0
		}
		if l.behind.parent == f.names[1] {
			l.behind.parent = 0
		}
		l.viewMu.Unlock()
	}
	for _, s := range f.segments {
		s.release()
	}
}
