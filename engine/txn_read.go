package engine

import (
	"errors"
	"io"
)

// MayHaveAborted reports whether a transaction whose marker is at or behind offset may have been aborted. It answers
// from memory, and is false for a log without aborted transactions: AbortedTxns need not be asked then. The log must
// be loaded.
func (l *Log) MayHaveAborted(offset int64) bool { return l.lastAborted.Load() >= offset }

// noteAborted raises lastAborted to the offset of an abort marker. appendMu is held, or the log is being loaded.
func (l *Log) noteAborted(marker int64) {
	if marker > l.lastAborted.Load() {
		l.lastAborted.Store(marker)
	}
}

// noteTxnIndexes sets lastAborted of a log that ends at end from the bases of the segments that have a transaction
// index, without reading one. The log is being loaded.
func (l *Log) noteTxnIndexes(bases []int64, end int64) {
	for _, base := range bases {
		i := segmentFor(l.segments, base)
		if i+1 < len(l.segments) {
			l.noteAborted(l.segments[i+1].base - 1)
		} else {
			l.noteAborted(end - 1)
		}
	}
}

// AbortedTxns lists what a read_committed reader of the range from offset on has to drop: the aborted transactions
// with records or markers between offset (inclusive) and the end of the last batch the range has bytes of, or upTo
// (exclusive) if that is smaller, in order of their markers. upTo is the bound the range was read with, the last
// stable offset. Kafka takes the next entry of the offset index, not the last batch, for the range's end, and so may
// name transactions that have nothing in it. It may wait for the disk; the range must not be released meanwhile.
//
// Errors: those of Log.AbortedTxns.
func (r *Range) AbortedTxns(offset, upTo int64) ([]AbortedTxn, error) {
	if !r.log.MayHaveAborted(offset) {
		return nil, nil
	}
	if end, err := r.endOffset(); err == nil { // else the damage is told by who reads the batches
		upTo = min(upTo, end)
	}
	return r.log.AbortedTxns(offset, upTo)
}

// endOffset is the offset behind the last batch of which the range has a byte.
func (r *Range) endOffset() (int64, error) {
	s, end := r.segment, r.offset+int64(r.size)
	e, found, err := s.offsets.find(func(e offsetEntry) bool { return int64(e.position) < end }, false)
	if err == nil && found && int64(e.position) > r.offset {
		next, err := r.endFrom(int64(e.position), s.base+int64(e.relOffset)+1)
		if err == nil {
			return next, nil
		}
	}
	return r.endFrom(r.offset, noOffset)
}

// endFrom is endOffset found by walking from the batch at a position. If first is not noOffset, that batch must end
// there, or the index that named it is damaged.
func (r *Range) endFrom(pos, first int64) (next int64, err error) {
	f, err := r.segment.file(logFile, false)
	if err != nil {
		return 0, err
	}
	var w headerWalk
	w.open(f, r.segment.size.Load(), false)
	defer w.close()
	for end := r.offset + int64(r.size); pos < end; {
		b, _, err := w.at(pos)
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		if next = b.last + 1; first != noOffset && next != first {
			return 0, errBadIndex
		}
		pos, first = b.end(), noOffset
	}
	return next, nil
}

// AbortedTxns lists the aborted transactions with records or markers in the offsets from (inclusive) to upTo
// (exclusive), what a read_committed fetch of that range needs to know, in order of their markers. Kafka's
// UnifiedLog.collectAbortedTransactions. It may wait for the disk.
//
// Errors: ErrCorrupt, ErrStorage, ErrLogClosed.
func (l *Log) AbortedTxns(from, upTo int64) ([]AbortedTxn, error) {
	if err := l.ensureLoaded(); err != nil {
		return nil, err
	}
	txns, err := l.abortedTxns(from, upTo)
	if errors.Is(err, errBadIndex) {
		if err = l.repairTxnIndexes(from); err == nil {
			txns, err = l.abortedTxns(from, upTo)
		}
	}
	return txns, l.readFailed(err)
}

// abortedTxns looks again if a compaction or a deletion has taken files away meanwhile.
func (l *Log) abortedTxns(from, upTo int64) (found []AbortedTxn, err error) {
	for {
		segments := l.segmentList()
		found, err = l.abortedTxnsIn(segments, from, upTo)
		if now := l.segmentList(); err != nil || &now[0] == &segments[0] {
			return found, err
		}
	}
}

func (l *Log) abortedTxnsIn(segments []*LogSegment, from, upTo int64) (found []AbortedTxn, err error) {
	for _, s := range segments[segmentFor(segments, from):] {
		txns, err := s.txns.entries(l.m.cfg.FS)
		if err != nil {
			return nil, err
		}
		for _, t := range txns {
			if t.LastOffset >= from && t.FirstOffset < upTo {
				found = append(found, t)
			}
			if t.LastStableOffset >= upTo { // whatever was aborted later began later
				return found, nil
			}
		}
	}
	return found, nil
}
