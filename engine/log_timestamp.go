package engine

import (
	"errors"
	"fmt"
	"io"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// OffsetForTimestamp finds the first record, in offset order, whose timestamp is ts (ms) or later, among the
// offsets from the log start up to upTo (exclusive). epoch is the leader epoch of its batch. ok is false when
// there is none. Reads, and decompresses, one batch; it may wait for the disk.
//
// Errors: ErrCorrupt, ErrStorage, ErrLogClosed.
func (l *Log) OffsetForTimestamp(ts, upTo int64) (offset, timestamp int64, epoch int32, ok bool, err error) {
	if err := l.ensureLoaded(); err != nil {
		return -1, -1, -1, false, err
	}
	found, err := l.searchSegments(ts, upTo, func(s *LogSegment) (bool, error) {
		max, err := s.largestTimestamp()
		return max >= ts, err
	})
	return found.offset, found.timestamp, found.epoch, found.ok, err
}

// MaxTimestampOffset finds the first record with the largest timestamp of the log, if it is below upTo
// (KIP-734). Results and errors are those of OffsetForTimestamp.
func (l *Log) MaxTimestampOffset(upTo int64) (offset, timestamp int64, epoch int32, ok bool, err error) {
	if err := l.ensureLoaded(); err != nil {
		return -1, -1, -1, false, err
	}
	largest := int64(-1)
	for _, s := range l.segmentList() {
		ts, err := s.largestTimestamp()
		if err != nil && !errors.Is(err, errSegmentGone) {
			return -1, -1, -1, false, l.readFailed(err)
		}
		largest = max(largest, ts)
	}
	if largest < 0 { // records without a time: the first is as good as any
		if start := l.logStart.Load(); start < min(upTo, l.logEnd.Load()) {
			return start, -1, l.epochs.at(start), true, nil
		}
		return -1, -1, -1, false, nil
	}
	return l.OffsetForTimestamp(largest, upTo)
}

// foundRecord is the answer of a search by time.
type foundRecord struct {
	offset, timestamp int64
	epoch             int32
	ok                bool
}

var notFound = foundRecord{offset: -1, timestamp: -1, epoch: -1}

// searchSegments looks for the first record of ts or later in the segments that may hold one.
func (l *Log) searchSegments(ts, upTo int64, may func(*LogSegment) (bool, error)) (foundRecord, error) {
	for _, s := range l.segmentList() {
		hit, err := may(s)
		if err == nil && hit {
			var found foundRecord
			if found, err = l.searchSegment(s, ts); err == nil && found.ok {
				if found.offset >= upTo {
					return notFound, nil
				}
				return found, nil
			}
		}
		if err != nil && !errors.Is(err, errSegmentGone) {
			return notFound, l.readFailed(err)
		}
	}
	return notFound, nil
}

// searchSegment looks for the first record of ts or later, at or above the log start.
func (l *Log) searchSegment(s *LogSegment, ts int64) (foundRecord, error) {
	f, err := s.acquire()
	if err != nil {
		return notFound, err
	}
	defer s.release()
	if err := s.ensureIndexes(f); err != nil {
		return notFound, err
	}
	l.viewMu.Lock()
	size := s.size.Load()
	start := l.logStart.Load()
	l.viewMu.Unlock()
	// Everything up to the entry's offset is older than ts.
	from := max(start, s.base)
	entry, indexed, err := s.times.find(func(e timeEntry) bool { return e.timestamp < ts }, false)
	if err != nil && !errors.Is(err, errBadIndex) {
		return notFound, err
	}
	if indexed && err == nil {
		// An entry that is not true is not used: the search begins earlier and finds the same.
		ok, err := s.timeEntryHolds(f, entry, size)
		if err != nil {
			return notFound, err
		}
		if ok {
			from = max(from, s.base+int64(entry.relOffset)+1)
		}
	}
	b, found, err := s.locate(f, from, size, false)
	if err != nil || !found {
		return notFound, err
	}
	var w headerWalk
	w.open(f, size, false)
	defer w.close()
	for pos := b.position; ; {
		at, _, err := w.at(pos)
		if err == io.EOF {
			return notFound, nil
		}
		if err != nil {
			return notFound, fmt.Errorf("%s.log: %w", s.prefix(), err)
		}
		if at.maxTimestamp >= ts {
			if r, err := searchBatch(f, at, ts, start); err != nil || r.ok {
				return r, err
			}
		}
		pos = at.end()
	}
}

// searchBatch looks inside one batch.
func searchBatch(f vfs.File, at batchAt, ts, start int64) (foundRecord, error) {
	b, err := readBatch(f, at)
	if err != nil {
		return notFound, err
	}
	for r, err := range b.Records(0) {
		if err != nil {
			return notFound, fmt.Errorf("%w: batch at offset %d: %w", ErrCorrupt, at.base, err)
		}
		offset := at.base + int64(r.OffsetDelta)
		time := b.BaseTimestamp() + r.TimestampDelta
		if b.TimestampType() == recordbatch.LogAppendTime {
			time = b.MaxTimestamp()
		}
		if time >= ts && offset >= start {
			return foundRecord{offset, time, b.PartitionLeaderEpoch(), true}, nil
		}
	}
	return notFound, nil
}

// readBatch reads a whole batch and checks its checksum.
func readBatch(f vfs.File, at batchAt) (recordbatch.Batch, error) {
	b := make(recordbatch.Batch, at.size)
	if err := readFull(f, b, at.position, false); err != nil {
		return nil, err
	}
	if err := b.CheckCRC(); err != nil {
		return nil, fmt.Errorf("%w: batch at offset %d, position %d: %w", ErrCorrupt, at.base, at.position, err)
	}
	return b, nil
}
