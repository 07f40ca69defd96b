package engine

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"kserver/engine/vfs"
	"kserver/pagecache"
	"kserver/protocol/recordbatch"
)

// recoverSegments checks everything behind the recovery point: what lies below was durable with its indexes
// when the checkpoint was written. Bytes that are no whole batch with a good checksum are cut off, later
// segments dropped, indexes and epochs brought up to date. It returns the log end. What was found is durable
// already (Log.settle saw to that), and each cut is before it returns. The log is not published yet.
func (l *Log) recoverSegments(recoveryPoint int64) (end int64, err error) {
	first := segmentFor(l.segments, recoveryPoint)
	end = l.segments[first].base
	for i := first; i < len(l.segments); i++ {
		s := l.segments[i]
		if i > first && end < recoveryPoint {
			return 0, l.endsEarly(end, recoveryPoint)
		}
		if i > first && s.base != end && s.base-l.segments[i-1].base <= maxRelativeOffset {
			// A hole: the end of the segment before was never written out, so this one was never durable. (Only
			// a segment that the one before could not have reached begins elsewhere: see maybeRoll.)
			if before := l.segments[i-1]; l.dir.recoverer.vouched(l, before.base, before.size.Load()) {
				return 0, fmt.Errorf("%w: %s ends at offset %d, and %s.log, which was durable, begins at another", ErrCorrupt, before.prefix(), end, s.prefix())
			}
			l.m.logger.Warn("dropping segments behind a hole", "topic", l.tp.Topic, "partition", l.tp.Partition,
				"logEndOffset", end, "baseOffset", s.base)
			if err := l.dropFrom(i); err != nil {
				return 0, err
			}
			break
		}
		torn := false
		if end, torn, err = l.recoverSegment(s, recoveryPoint); err != nil {
			return 0, err
		}
		if torn && i+1 < len(l.segments) {
			if err := l.dropFrom(i + 1); err != nil {
				return 0, err
			}
		}
	}
	if end < recoveryPoint && !planted(bugOffsetsReused) && !planted(bugTailCutBelowDurable) {
		return 0, l.endsEarly(end, recoveryPoint)
	}
	active := l.segments[len(l.segments)-1]
	active.sealed.Store(false)
	for _, s := range l.segments[first : len(l.segments)-1] {
		if err := l.sealActive(s); err != nil {
			return 0, err
		}
	}
	return end, nil
}

// endsEarly is the error of a log that has lost records which were durable. It stays closed, because going on
// would give their offsets out a second time.
func (l *Log) endsEarly(end, recoveryPoint int64) error {
	return fmt.Errorf("%w: %s ends at offset %d, and offsets below %d were durable", ErrCorrupt, l.path, end, recoveryPoint)
}

// dropFrom deletes segments i and later, newest first.
func (l *Log) dropFrom(i int) error {
	for n := len(l.segments) - 1; n >= i; n-- {
		if err := l.deleteSegment(l.segments[n], true); err != nil {
			return err
		}
	}
	l.segments = l.segments[:i:i]
	return nil
}

// recoverSegment checks one segment and returns the offset behind its last good batch; torn is set when
// something was cut off.
func (l *Log) recoverSegment(s *LogSegment, recoveryPoint int64) (end int64, torn bool, err error) {
	f, err := s.acquire()
	if err != nil {
		return 0, false, err
	}
	defer s.release()
	size := s.size.Load()
	ix, pos, end, err := l.trustedStart(s, f, recoveryPoint)
	if err != nil {
		return 0, false, err
	}
	if pos < size {
		// After a failed sync the page cache may hold what the disk does not. Read what the disk has.
		if fd := f.Fd(); fd >= 0 {
			if err := pagecache.Drop(fd, pos, size-pos); err != nil {
				return 0, false, err
			}
		}
	}
	pos, end, err = l.scanBatches(s, f, &ix, pos, end)
	if err != nil {
		return 0, false, err
	}
	if torn = pos < size; torn {
		if end < recoveryPoint && !planted(bugTailCutBelowDurable) {
			return 0, false, fmt.Errorf("%w: %s.log: no good batch at position %d, offset %d, below the recovery point %d",
				ErrCorrupt, s.prefix(), pos, end, recoveryPoint)
		}
		if l.dir.recoverer.vouched(l, s.base, pos) {
			return 0, false, fmt.Errorf("%w: %s.log: no good batch at position %d, offset %d, which the commit journal knows to have been durable",
				ErrCorrupt, s.prefix(), pos, end)
		}
		if err := l.cutTorn(s, f, pos, end); err != nil {
			return 0, false, err
		}
	}
	if s.firstTimestamp, err = firstTimestamp(f, pos); err != nil {
		return 0, false, err
	}
	s.bytesSinceIndex = ix.sinceEntry
	s.maxTimestamp.Store(ix.maxTimestamp)
	s.offsetOfMaxTimestamp.Store(ix.offsetOfMax)
	s.indexLoaded.Store(true)
	return end, torn, nil
}

// trustedStart finds where the check of a segment begins. If the segment holds the recovery point, its indexes
// are good below it, unless they contradict themselves or the log; then, and for every later segment, the
// check begins at the first byte and the indexes are made anew.
func (l *Log) trustedStart(s *LogSegment, f vfs.File, recoveryPoint int64) (ix indexer, pos, end int64, err error) {
	ix.reset(l.cfg.Load().IndexIntervalBytes)
	end = s.base
	if recoveryPoint > s.base {
		at, ok, err := l.trustedEntry(s, f, recoveryPoint)
		if err != nil {
			return ix, 0, 0, err
		}
		if ok {
			if e, found := s.times.lastEntry(); found {
				ix.maxTimestamp, ix.offsetOfMax = e.timestamp, s.base+int64(e.relOffset)
			}
			// The entry's own batch is checked once more and counts as indexed.
			return ix, at.position, at.base, nil
		}
	}
	return ix, 0, end, s.dropIndexes()
}

// trustedEntry loads the indexes and cuts them back to the last entry below the recovery point, whose batch is
// returned. ok is false when they cannot be used.
func (l *Log) trustedEntry(s *LogSegment, f vfs.File, recoveryPoint int64) (at batchAt, ok bool, err error) {
	err = errors.Join(s.offsets.load(true), s.times.load(true))
	if errors.Is(err, errBadIndex) || isNotExist(err) {
		return at, false, nil
	}
	if err != nil {
		return at, false, err
	}
	below := func(e offsetEntry) bool { return s.base+int64(e.relOffset) < recoveryPoint }
	if err := s.offsets.truncate(below); err != nil {
		return at, false, err
	}
	e, found := s.offsets.lastEntry()
	if !found {
		return at, false, nil
	}
	if err := s.times.truncate(func(t timeEntry) bool { return t.relOffset <= e.relOffset }); err != nil {
		return at, false, err
	}
	var w headerWalk
	w.open(f, s.size.Load(), false)
	defer w.close()
	at, _, err = w.at(int64(e.position))
	if err == io.EOF || errors.Is(err, ErrCorrupt) || err == nil && at.last != s.base+int64(e.relOffset) {
		return at, false, nil
	}
	if err != nil {
		return at, false, err
	}
	_, err = s.checkLastTime(f, at.end())
	if errors.Is(err, errBadIndex) {
		return at, false, nil
	}
	if errors.Is(err, ErrCorrupt) { // damage of the log itself, which readers are told about
		err = nil
	}
	return at, err == nil, err
}

// dropIndexes empties both indexes, in memory and on disk.
func (s *LogSegment) dropIndexes() error {
	for _, which := range []segmentFile{offsetIndexFile, timeIndexFile} {
		f, err := s.file(which, false)
		if isNotExist(err) {
			continue
		}
		if err == nil {
			err = f.Truncate(0)
		}
		if err != nil {
			return err
		}
	}
	s.offsets.clear()
	s.times.clear()
	return nil
}

// batchBuffers are for reading whole batches during recovery, of which thousands of logs may have one.
var batchBuffers = sync.Pool{New: func() any { return new([]byte) }}

// scanBatches reads batches from pos on as long as they are whole, check, and continue the offsets from end.
// It returns the position and offset behind the last good one. An error is one of the disk.
func (l *Log) scanBatches(s *LogSegment, f vfs.File, ix *indexer, pos, end int64) (int64, int64, error) {
	var w headerWalk
	w.open(f, s.size.Load(), false)
	defer w.close()
	scratch := batchBuffers.Get().(*[]byte)
	defer batchBuffers.Put(scratch)
	buf := *scratch
	for {
		at, h, err := w.at(pos)
		if err == io.EOF || errors.Is(err, ErrCorrupt) {
			return pos, end, nil
		}
		if err != nil {
			return 0, 0, err
		}
		if at.base < end || at.last-s.base > maxRelativeOffset {
			return pos, end, nil
		}
		epoch := h.PartitionLeaderEpoch()
		if int64(cap(buf)) < at.size {
			buf = make([]byte, at.size)
			*scratch = buf
		}
		batch := recordbatch.Batch(buf[:at.size])
		if err := readFull(f, batch, pos, false); err != nil {
			return 0, 0, err
		}
		if batch.CheckCRC() != nil {
			return pos, end, nil
		}
		if err := ix.add(s, at); err != nil {
			return 0, 0, err
		}
		l.epochs.assign(epoch, at.base)
		pos, end = at.end(), at.last+1
	}
}

// maxTornBytes bounds how much of a torn tail is kept aside.
const maxTornBytes = 64 << 20

// cutTorn cuts a segment at pos, behind its last good batch. What is cut off was never durable; if it is more
// than zeros it is kept in a file beside, because damage to durable bytes looks the same.
func (l *Log) cutTorn(s *LogSegment, f vfs.File, pos, end int64) error {
	size := s.size.Load()
	l.m.logger.Warn("cutting off a torn tail", "topic", l.tp.Topic, "partition", l.tp.Partition,
		"logEndOffset", end, "position", pos, "bytes", size-pos)
	tail := make([]byte, min(size-pos, maxTornBytes))
	if err := readFull(f, tail, pos, false); err != nil {
		return err
	}
	if !allZero(tail) {
		path := fmt.Sprintf("%s.%d.torn", s.prefix(), pos)
		if err := vfs.WriteFile(l.m.cfg.FS, path, tail); err != nil && !isDiskFull(err) {
			return err
		}
	}
	if err := f.Truncate(pos); err != nil {
		return err
	}
	s.size.Store(pos)
	return f.Sync()
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
