package engine

import (
	"errors"
	"fmt"

	"kserver/engine/vfs"
)

// TruncateTo removes every batch that ends behind offset, durably, and returns when that is done; the log
// then ends at offset, or at the start of the batch that held it. Watermark and durable end fall with it.
// Bytes that a Range still refers to are never written over: the log continues in a new file.
//
// Errors: ErrOffsetOutOfRange (offset below the log start), ErrStorage, ErrLogClosed.
func (l *Log) TruncateTo(offset int64) error {
	if err := l.ensureLoaded(); err != nil {
		return err
	}
	back, err := l.leaveJournal()
	if err != nil {
		return err
	}
	defer back()
	l.appendMu.Lock()
	at, err := l.findCut(offset)
	l.appendMu.Unlock()
	if err != nil {
		return err
	}
	// A recovery point behind the new end would make recovery trust bytes it must check, or miss them.
	return l.dir.withRecoveryPointAt(l.tp, at.end, func() error { return l.truncateTo(offset) })
}

// logCut is where a truncation ends a log.
type logCut struct {
	segment  int   // index of the segment that is shortened
	position int64 // in it; 0: it goes as a whole
	end      int64 // the new log end
}

// findCut finds where a truncation to offset ends the log: at the start of the batch that holds it. appendMu is held.
func (l *Log) findCut(offset int64) (at logCut, err error) {
	if err := l.usableLocked(); err != nil {
		return at, err
	}
	at.segment, at.end = segmentFor(l.segments, offset), offset
	s := l.segments[at.segment]
	at.position = s.size.Load()
	if at.position > 0 {
		f, err := s.acquire()
		if err != nil {
			return at, err
		}
		defer s.release()
		b, found, err := s.locate(f, offset, at.position, false)
		if err != nil {
			return at, err
		}
		if found {
			at.position, at.end = b.position, min(offset, b.base)
		}
	}
	if at.position == 0 {
		at.end = s.base
	}
	return at, nil
}

func (l *Log) truncateTo(offset int64) error {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	if offset < l.logStart.Load() {
		return fmt.Errorf("%w: %s: truncation to %d below the log start %d", ErrOffsetOutOfRange, l.tp, offset, l.logStart.Load())
	}
	if offset >= l.logEnd.Load() {
		return nil
	}
	if err := l.truncateLocked(offset); err != nil {
		if errors.Is(err, ErrDiskFull) {
			return err
		}
		return l.dir.fail(fmt.Errorf("truncation of %s to %d: %w", l.tp, offset, err))
	}
	return nil
}

func (l *Log) truncateLocked(offset int64) error {
	l.changed = true
	l.cleanAborts.Add(1)
	segments := l.segments
	at, err := l.findCut(offset)
	if err != nil {
		return err
	}
	keep, end, cutAt := segments[at.segment], at.end, at.position
	left := segments[:at.segment+1]
	if cutAt == 0 {
		left = segments[:at.segment]
	} else {
		if _, err := keep.acquire(); err != nil {
			return err
		}
		defer keep.release()
	}
	gone := segments[len(left):]

	// The file the log goes on in comes first, because it is all that needs room: without it nothing changes.
	next, tmp, err := l.prepareSegment(end)
	if isDiskFull(err) {
		return l.dir.refuse(l.tp, err)
	}
	if err != nil {
		return err
	}
	// Readers first: nobody may look up what is about to go.
	l.forget(left, end)
	// Newest first, each name durable before the next: a crash leaves a log without a hole.
	for n := len(gone) - 1; n >= 0; n-- {
		if err := l.deleteSegment(gone[n], true); err != nil {
			return err
		}
	}
	if cutAt > 0 {
		if err := errors.Join(keep.cut(cutAt, end), keep.txns.truncate(l.m.cfg.FS, end)); err != nil {
			return err
		}
	}
	if cutAt > 0 && planted(bugFileReused) {
		keep.sealed.Store(false)
	} else {
		if err := l.m.cfg.FS.Rename(tmp, next.prefix()+segmentSuffix[logFile]); err != nil {
			return err
		}
		l.viewMu.Lock()
		if len(l.segments) > 0 {
			l.activeLocked().bound.Store(end)
		}
		l.segments = append(l.segments[:len(l.segments):len(l.segments)], next)
		l.viewMu.Unlock()
	}
	l.epochs.truncateFromEnd(end)
	if err := l.rebuildProducers(end); err != nil {
		return err
	}
	l.viewMu.Lock()
	l.endedTxns = nil
	l.noteTransactions()
	l.publishOffsets(l.logStart.Load(), l.highWatermark.Load(), end)
	l.viewMu.Unlock()
	return l.m.cfg.FS.SyncDir(l.path)
}

// forget takes everything behind end out of the readers' view. appendMu is held.
func (l *Log) forget(left []*LogSegment, end int64) {
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	l.segments = left[:len(left):len(left)]
	l.recent.clear()
	l.openTxn, l.endedTxns = noOffset, nil
	l.durable.Store(min(l.durable.Load(), end))
	l.committed = min(l.committed, end)
	l.roundFloor = min(l.roundFloor, end)
	l.publishOffsets(min(l.logStart.Load(), end), min(l.highWatermark.Load(), end), end)
}

// cut shortens the file of a segment to size bytes, which end at offset end, and seals it. appendMu is held.
func (s *LogSegment) cut(size, end int64) error {
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	f, err := s.file(logFile, false)
	if err != nil {
		return err
	}
	s.size.Store(size)
	if err := f.Truncate(size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	err = errors.Join(
		s.offsets.truncate(func(e offsetEntry) bool { return int64(e.position) < size }),
		s.times.truncate(func(e timeEntry) bool { return s.base+int64(e.relOffset) < end }))
	if err != nil {
		return err
	}
	s.maxTimestamp.Store(unknownTimestamp)
	if err := s.rescanTimestamps(f); err != nil {
		return err
	}
	ix := indexer{maxTimestamp: s.maxTimestamp.Load(), offsetOfMax: s.offsetOfMaxTimestamp.Load()}
	if err := ix.seal(s); err != nil {
		return err
	}
	if err := s.flushIndexes(); err != nil && !isDiskFull(err) { // as when a segment is sealed
		return err
	}
	s.indexUnsynced = true
	s.sealed.Store(true)
	return nil
}

// rescanTimestamps finds the largest timestamp from the last time index entry on.
func (s *LogSegment) rescanTimestamps(f vfs.File) error {
	largest, at := int64(-1), int64(-1)
	from := s.base
	if e, ok := s.times.lastEntry(); ok {
		largest, at = e.timestamp, s.base+int64(e.relOffset)
		from = at + 1
	}
	b, found, err := s.locate(f, from, s.size.Load(), false)
	if err != nil {
		return err
	}
	if found {
		err = eachHeader(f, b.position, s.size.Load(), func(b batchAt) {
			if b.maxTimestamp > largest {
				largest, at = b.maxTimestamp, b.last
			}
		})
	}
	s.maxTimestamp.Store(largest)
	s.offsetOfMaxTimestamp.Store(at)
	return err
}

// SetLogStartOffset raises the log start to offset (DeleteRecords): what lies below cannot be read any more,
// and its segments go with the next retention check. It returns when the new start is durable. A smaller
// offset changes nothing.
//
// Errors: ErrOffsetOutOfRange (offset above the high watermark), ErrStorage, ErrLogClosed.
func (l *Log) SetLogStartOffset(offset int64) error {
	if err := l.ensureLoaded(); err != nil {
		return err
	}
	l.appendMu.Lock()
	err := l.usableLocked()
	if err == nil {
		err = l.raiseStart(offset)
	}
	l.appendMu.Unlock()
	if err != nil {
		return err
	}
	l.logStartMoved(offset)
	if planted(bugStartNotDurable) {
		return nil
	}
	return l.dir.writeLogStarts()
}

func (l *Log) raiseStart(offset int64) error {
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	if hw := l.highWatermark.Load(); offset > hw || offset < 0 {
		return fmt.Errorf("%w: %s: log start %d, high watermark %d", ErrOffsetOutOfRange, l.tp, offset, hw)
	}
	if offset > l.logStart.Load() {
		l.publishOffsets(offset, l.highWatermark.Load(), l.logEnd.Load())
		l.epochs.truncateFromStart(offset)
	}
	return nil
}
