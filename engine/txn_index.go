package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// Kafka's transaction index: 34 bytes for each aborted transaction whose marker is in the segment, in order of
// the markers: int16 version 0, int64 producer id, first offset, last offset, last stable offset.
const (
	txnIndexSuffix  = ".txnindex"
	txnEntryBytes   = 2 + 4*8
	txnEntryVersion = 0
	maxTxnIndexSize = 64 << 20
)

// AbortedTxn is an aborted transaction of a partition.
type AbortedTxn struct {
	ProducerID       int64
	FirstOffset      int64 // of its first record in the partition
	LastOffset       int64 // of its marker
	LastStableOffset int64 // when the marker was appended
}

func (t AbortedTxn) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, txnEntryVersion)
	for _, v := range [4]int64{t.ProducerID, t.FirstOffset, t.LastOffset, t.LastStableOffset} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// parseTxnIndex reads a file's contents; errBadIndex if it is damaged. base is its segment's.
func parseTxnIndex(b []byte, base int64) ([]AbortedTxn, error) {
	if len(b)%txnEntryBytes != 0 {
		return nil, fmt.Errorf("%w: transaction index of %d bytes", errBadIndex, len(b))
	}
	txns := make([]AbortedTxn, 0, len(b)/txnEntryBytes)
	last := base - 1
	for ; len(b) > 0; b = b[txnEntryBytes:] {
		at := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[2+8*i:])) }
		t := AbortedTxn{at(0), at(1), at(2), at(3)}
		if binary.BigEndian.Uint16(b) != txnEntryVersion || t.LastOffset <= last || t.FirstOffset > t.LastOffset ||
			t.FirstOffset < 0 || t.ProducerID < 0 || t.LastStableOffset < 0 || t.LastStableOffset > t.LastOffset+1 {
			return nil, fmt.Errorf("%w: entry %d of a transaction index", errBadIndex, len(txns))
		}
		txns, last = append(txns, t), t.LastOffset
	}
	return txns, nil
}

// TransactionIndex is the file of one segment's aborted transactions. It is small and rarely needed, so it is
// neither kept open nor cached. An entry that finds no space on the disk stays in memory until one does.
type TransactionIndex struct {
	segment *LogSegment

	mu       sync.Mutex
	pending  []AbortedTxn // not in the file yet
	sum      txnSum       // of what the file is known to begin with
	cleaned  bool         // the file has the temporary name of a compaction
	unsynced bool         // the file has changed and is not durable
}

// path is the file's. mu or the log's appendMu is held, or the segment is not in use yet.
func (x *TransactionIndex) path() string {
	path := x.segment.prefix() + txnIndexSuffix
	if x.cleaned {
		path += cleanedSuffix
	}
	return path
}

// append adds an entry. A full disk is no error.
func (x *TransactionIndex) append(fsys vfs.FS, t AbortedTxn) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pending = append(x.pending, t)
	if err := x.flushLocked(fsys); err != nil && !isDiskFull(err) {
		return err
	}
	return nil
}

func (x *TransactionIndex) flushLocked(fsys vfs.FS) error {
	if len(x.pending) == 0 {
		return nil
	}
	f, err := fsys.OpenReadWrite(x.path(), true)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil {
		size -= size % txnEntryBytes // what a full disk left of an entry
		if x.sum.known {
			size = min(size, x.sum.bytes) // or of several
		}
		var b []byte
		for _, t := range x.pending {
			b = t.append(b)
		}
		if _, err = f.WriteAt(b, size); err == nil {
			if size == 0 && !x.sum.known {
				x.sum.known = true
			}
			if x.sum.known && size == x.sum.bytes { // else the next reader finds out what is wrong
				x.sum.add(b)
			}
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	x.pending, x.unsynced = nil, true
	return nil
}

// read returns what the file holds, and its entries; errBadIndex if it is damaged. mu is held.
func (x *TransactionIndex) read(fsys vfs.FS) (b []byte, txns []AbortedTxn, err error) {
	b, err = vfs.ReadFile(fsys, x.path(), maxTxnIndexSize)
	if err != nil && !isNotExist(err) {
		return nil, nil, err
	}
	if err := x.sum.check(b); err != nil {
		return b, nil, err
	}
	txns, err = parseTxnIndex(b, x.segment.base)
	return b, txns, err
}

// entries reads all of them. errBadIndex if the file is damaged.
func (x *TransactionIndex) entries(fsys vfs.FS) ([]AbortedTxn, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, txns, err := x.read(fsys)
	return append(txns, x.pending...), err
}

// vouchedEntries is how many of the first entries the checksum covers; all, if there is none.
func (x *TransactionIndex) vouchedEntries() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.sum.known {
		return math.MaxInt
	}
	return int(x.sum.bytes / txnEntryBytes)
}

// replace gives the file other entries; with none it goes. Nothing is durable before the next checkpoint.
func (x *TransactionIndex) replace(fsys vfs.FS, txns []AbortedTxn) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := fsys.Remove(x.path()); err != nil && !isNotExist(err) {
		return err
	}
	x.pending, x.sum, x.unsynced = txns, txnSum{known: true}, true
	return x.flushLocked(fsys)
}

// truncate drops the transactions whose marker is at or behind end.
func (x *TransactionIndex) truncate(fsys vfs.FS, end int64) error {
	txns, err := x.entries(fsys)
	if errors.Is(err, errBadIndex) {
		return nil // found, and made anew, when it is needed
	}
	if err != nil {
		return err
	}
	for i, t := range txns {
		if t.LastOffset >= end {
			return x.replace(fsys, txns[:i])
		}
	}
	return nil
}

// toSync says whether the file needs a sync, which the caller then makes.
func (x *TransactionIndex) toSync(fsys vfs.FS) (bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.flushLocked(fsys); err != nil || !x.unsynced {
		return false, err
	}
	if !x.sum.known { // a file written by Kafka, with an entry of ours
		b, _, err := x.read(fsys)
		if err != nil && !errors.Is(err, errBadIndex) {
			return false, err
		}
		if err == nil {
			x.sum.known = true
			x.sum.add(b)
		}
	}
	x.unsynced = false
	return true, nil
}

// recoverTxnIndexes makes the transaction indexes true behind the recovery point, after an unclean stop. A log
// without transactions there costs a look at the headers recovery has just read. The log is being loaded.
func (l *Log) recoverTxnIndexes(recoveryPoint int64) error {
	suspect, from := false, recoveryPoint
	for _, s := range l.segments[segmentFor(l.segments, recoveryPoint):] {
		txns, err := s.txns.entries(l.m.cfg.FS)
		if err != nil && !errors.Is(err, errBadIndex) {
			return err
		}
		if err != nil { // a torn write: what it held below the recovery point is in the log, too
			from = min(from, s.base)
		}
		n := s.txns.vouchedEntries()
		if n < len(txns) { // the log tells the others
			from = min(from, s.base)
			if n > 0 {
				from = min(from, txns[n-1].LastOffset+1)
			}
		}
		suspect = suspect || err != nil || n < len(txns) || len(txns) > 0 && txns[len(txns)-1].LastOffset >= recoveryPoint
	}
	if !suspect {
		err := l.eachBatch(recoveryPoint, noOffset, func(_ vfs.File, _ batchAt, h recordbatch.Batch) error {
			suspect = suspect || h.IsControl()
			return nil
		})
		if err != nil || !suspect {
			return err
		}
	}
	return l.rebuildTxnIndexes(from)
}

// repairTxnIndexes makes the transaction indexes anew from the segment of offset on.
func (l *Log) repairTxnIndexes(offset int64) error {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.usableLocked(); err != nil {
		return err
	}
	l.m.logger.Warn("transaction index is damaged, making it anew", "topic", l.tp.Topic, "partition", l.tp.Partition)
	return l.rebuildTxnIndexes(l.segments[segmentFor(l.segments, offset)].base)
}

// rebuildTxnIndexes writes down again which transactions were aborted by markers at or behind from, as the
// batches tell it. appendMu is held, or the log is being loaded.
func (l *Log) rebuildTxnIndexes(from int64) error {
	p, err := l.producersBefore(from)
	if err != nil {
		return err
	}
	begin := p.end
	var found []AbortedTxn
	err = l.eachBatch(begin, noOffset, func(f vfs.File, at batchAt, h recordbatch.Batch) error {
		if at.base < begin || !h.HasProducerID() {
			return nil
		}
		if h.IsControl() {
			b, err := readBatch(f, at)
			if err != nil {
				return err
			}
			h = b
		}
		p.apply(h)
		for _, t := range p.aborted {
			if t.LastOffset >= from {
				found = append(found, t)
				l.noteAborted(t.LastOffset)
			}
		}
		p.aborted = p.aborted[:0]
		return nil
	})
	if err != nil {
		return err
	}
	for i := segmentFor(l.segments, from); i < len(l.segments); i++ {
		s := l.segments[i]
		next := int64(noOffset)
		if i+1 < len(l.segments) {
			next = l.segments[i+1].base
		}
		old, err := s.txns.entries(l.m.cfg.FS)
		if err != nil && !errors.Is(err, errBadIndex) {
			return err
		}
		var txns []AbortedTxn
		for _, t := range old {
			if t.LastOffset < from {
				txns = append(txns, t)
			}
		}
		for len(found) > 0 && found[0].LastOffset < next {
			txns, found = append(txns, found[0]), found[1:]
		}
		if len(txns) == 0 && len(old) == 0 && err == nil {
			continue
		}
		if err := s.txns.replace(l.m.cfg.FS, txns); err != nil {
			return err
		}
	}
	return nil
}

// producersBefore is the producer state of the newest snapshot at or below offset, or of the empty log.
func (l *Log) producersBefore(offset int64) (*producerState, error) {
	p := newProducerState()
	for n := len(l.snapshots); n > 0; n-- {
		at := l.snapshots[n-1]
		if at > offset {
			continue
		}
		b, err := vfs.ReadFile(l.m.cfg.FS, filepath.Join(l.path, offsetFileName(at)+snapshotSuffix), maxSnapshotBytes)
		if err != nil && !isNotExist(err) {
			return nil, err
		}
		if err == nil && p.decode(b, at) == nil {
			return p, nil
		}
	}
	p.clear(l.segments[0].base)
	return p, nil
}
