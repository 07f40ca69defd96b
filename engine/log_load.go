package engine

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

const noOffset = math.MaxInt64

// Load makes the log usable, reading its directory and recovering it if nobody has done so yet: the log's other
// methods do it first, and those without an error answer zeros when it fails. It waits for the disk.
//
// Errors: ErrStorage, with ErrCorrupt for a damaged log, or ErrDiskFull, which is tried again; ErrLogClosed.
func (l *Log) Load() error { return l.ensureLoaded() }

// Loaded reports whether no method of the log waits for a Load any more, because it is done or has failed for good.
func (l *Log) Loaded() bool { return l.loaded.Load() || l.Err() != nil }

// ensureLoaded makes the log usable, reading its directory when it is first needed.
func (l *Log) ensureLoaded() error {
	if l.loaded.Load() {
		return nil
	}
	return l.load()
}

// logFiles are the names found in a partition's directory.
type logFiles struct {
	bases     []int64 // of segments, sorted
	snapshots []int64 // sorted
	txnBases  []int64 // of segments with a transaction index
	txnSums   bool    // their checksums are there
	leftovers []string
	swaps     []string // of compactions that were interrupted
}

func listLogFiles(fsys vfs.FS, dir string) (files logFiles, err error) {
	entries, err := fsys.List(dir)
	if err != nil {
		return files, err
	}
	for _, e := range entries {
		if base, ok := parseOffsetFileName(e.Name, ".log"); ok {
			files.bases = append(files.bases, base)
		} else if at, ok := parseOffsetFileName(e.Name, snapshotSuffix); ok {
			files.snapshots = append(files.snapshots, at)
		} else if base, ok := parseOffsetFileName(e.Name, txnIndexSuffix); ok {
			files.txnBases = append(files.txnBases, base)
		} else if e.Name == txnSumsFile {
			files.txnSums = true
		} else if strings.HasSuffix(e.Name, deletedFileSuffix) || strings.HasSuffix(e.Name, tmpSuffix) {
			files.leftovers = append(files.leftovers, e.Name)
		} else if strings.HasSuffix(e.Name, cleanedSuffix) || strings.HasSuffix(e.Name, swapSuffix) {
			files.swaps = append(files.swaps, e.Name)
		}
	}
	sort.Slice(files.bases, func(i, j int) bool { return files.bases[i] < files.bases[j] })
	sort.Slice(files.snapshots, func(i, j int) bool { return files.snapshots[i] < files.snapshots[j] })
	return files, nil
}

// sizeOnDisk adds up the sizes of the log's segment files.
func (l *Log) sizeOnDisk() (n int64) {
	l.appendMu.Lock()
	dir := l.path
	l.appendMu.Unlock()
	files, err := listLogFiles(l.m.cfg.FS, dir)
	if err != nil {
		return 0
	}
	for _, base := range files.bases {
		if info, err := l.m.cfg.FS.Stat(filepath.Join(dir, offsetFileName(base)+segmentSuffix[logFile])); err == nil {
			n += info.Size
		}
	}
	return n
}

// quiet: no compaction, deletion or truncation was interrupted, and there is a segment.
func (files *logFiles) quiet() bool {
	return len(files.bases) > 0 && len(files.leftovers) == 0 && len(files.swaps) == 0
}

// checkPresent makes sure that a log of which something was durable has a segment. A truncation of everything
// may end in a crash that leaves none, but then it leaves what it has renamed.
func (files *logFiles) checkPresent(dir string, recoveryPoint int64) error {
	if len(files.bases) > 0 || recoveryPoint == 0 || slices.ContainsFunc(files.leftovers, func(name string) bool {
		return strings.HasSuffix(name, segmentSuffix[logFile]+deletedFileSuffix)
	}) {
		return nil
	}
	return fmt.Errorf("%w: %s has no segment, and offsets below %d were durable", ErrCorrupt, dir, recoveryPoint)
}

// load reads the log's directory. After an unclean stop everything behind the recovery point is checked before
// it counts; else the log is taken as its last clean stop left it. A load that lacks room on the disk is tried
// again with the next use, every other failure is final.
func (l *Log) load() error {
	l.loadMu.Lock()
	defer l.loadMu.Unlock()
	if l.loaded.Load() || l.loadErr != nil {
		return l.loadErr
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.readFiles(); err != nil {
		return err
	}
	l.recoveredLocked()
	return nil
}

// readFiles is load without making the log usable. loadMu and appendMu are held.
func (l *Log) readFiles() error {
	if err := l.dir.offline(); err != nil {
		return err
	}
	if l.closed {
		return fmt.Errorf("%w: %s", ErrLogClosed, l.tp)
	}
	l.readings++
	for _, s := range l.segments { // of a load that did not find room
		s.abandon()
	}
	l.segments = nil
	err := l.loadLocked(l.unrecovered.Load())
	switch {
	case isDiskFull(err):
		return l.dir.refuse(l.tp, err)
	case errIsFinal(err):
		err = l.dir.fail(fmt.Errorf("load of %s: %w", l.tp, err))
	case err != nil:
		err = fmt.Errorf("%w: load of %s: %w", ErrStorage, l.tp, err)
		l.m.logger.Error("log cannot be opened", "topic", l.tp.Topic, "partition", l.tp.Partition, "err", err)
	}
	if err != nil {
		l.loadErr = err
		l.fail(err)
	}
	return err
}

// recoveredLocked makes a log that was read usable. loadMu and appendMu are held.
func (l *Log) recoveredLocked() {
	if l.unrecovered.Swap(false) {
		l.dir.recovered.Add(1)
	}
	l.loaded.Store(true)
}

func (l *Log) loadLocked(unclean bool) error {
	fsys := l.m.cfg.FS
	var files logFiles
	var checkpointed checkpointedOffsets // what the files say of an unborn log is of one before it
	if !l.unborn.Load() {
		var err error
		if files, err = listLogFiles(fsys, l.path); err != nil {
			return err
		}
		checkpointed = l.dir.checkpointed(l.tp)
	}
	settled := !unclean
	if !settled && !files.quiet() {
		if err := l.settle(&files, checkpointed.recoveryPoint); err != nil {
			return err
		}
		settled = true
	}
	if changed, err := l.completeSwaps(files.swaps); err != nil {
		return err
	} else if changed {
		if files, err = listLogFiles(fsys, l.path); err != nil {
			return err
		}
	}
	if err := files.checkPresent(l.path, checkpointed.recoveryPoint); err != nil {
		return err
	}
	for _, name := range files.leftovers {
		if len(files.bases) == 0 {
			break // they tell why, see checkPresent
		}
		if err := fsys.Remove(filepath.Join(l.path, name)); err != nil && !isNotExist(err) {
			return err
		}
	}
	segments, err := l.openSegments(files.bases, checkpointed)
	if err != nil {
		return err
	}
	l.segments = segments
	epochsKnown := l.loadEpochs()

	end, err := l.loadActive(unclean, checkpointed.recoveryPoint, func() error {
		if settled {
			return nil
		}
		return l.settle(&files, checkpointed.recoveryPoint)
	})
	if err != nil {
		return err
	}
	start := min(max(checkpointed.logStart, l.segments[0].base), end)
	if err := l.loadEpochsFrom(epochsKnown, start, end); err != nil {
		return err
	}
	l.lastAborted.Store(-1)
	l.noteTxnIndexes(files.txnBases, end)
	if files.txnSums {
		l.loadTxnSums(end)
	}
	l.producers = newProducerState()
	if err := l.rebuildProducersFrom(files.snapshots, start, end); err != nil {
		return err
	}
	if unclean {
		if err := l.recoverTxnIndexes(checkpointed.recoveryPoint); err != nil {
			return err
		}
	}
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	l.openTxn = noOffset
	l.noteTransactions()
	l.durable.Store(end)
	for _, s := range l.segments {
		s.committed = s.size.Load()
	}
	l.committed, l.roundFloor = end, noOffset
	l.publishOffsets(start, max(start, min(checkpointed.highWatermark, end)), end)
	return nil
}

// openSegments makes the segments of the files found; there is always at least one.
func (l *Log) openSegments(bases []int64, c checkpointedOffsets) ([]*LogSegment, error) {
	if len(bases) == 0 {
		// Nothing was ever appended, or nothing of it survived: never reuse offsets that were durable.
		s := newSegment(l.m.pool, l.path, max(c.recoveryPoint, c.logStart))
		s.indexLoaded.Store(true)
		s.createdMs = l.nowMs()
		l.dirtyNames = true
		return []*LogSegment{s}, nil
	}
	segments := make([]*LogSegment, len(bases))
	for i, base := range bases {
		s := newSegment(l.m.pool, l.path, base)
		info, err := l.m.cfg.FS.Stat(s.prefix() + ".log")
		if err != nil {
			return nil, err
		}
		s.size.Store(info.Size)
		s.coldBefore = info.Size
		s.pacedTo = info.Size
		s.createdMs = info.ModTime.UnixMilli()
		s.maxTimestamp.Store(unknownTimestamp)
		if i+1 < len(bases) {
			s.sealed.Store(true)
			s.bound.Store(bases[i+1])
		}
		segments[i] = s
	}
	return segments, nil
}

// loadActive finds the log end, recovering what has to be, before which settle makes it durable. l.segments may lose
// members.
func (l *Log) loadActive(unclean bool, recoveryPoint int64, settle func() error) (end int64, err error) {
	active := l.activeLocked()
	if unclean {
		if unchanged, err := l.openUnchanged(active, recoveryPoint); err != nil || unchanged {
			return recoveryPoint, err
		}
		if err := settle(); err != nil {
			return 0, err
		}
	}
	l.changed = unclean
	if active.indexLoaded.Load() { // no file yet
		return active.base, nil
	}
	if !unclean {
		end, _, err = l.openActive(active, false)
		if err == nil && end < recoveryPoint && !planted(bugOffsetsReused) {
			err = l.endsEarly(end, recoveryPoint)
		}
		if err == nil || !wantsRecovery(err) {
			return end, err
		}
		l.changed = true
		l.m.logger.Warn("clean log does not check, recovering it", "topic", l.tp.Topic, "partition", l.tp.Partition, "err", err)
	}
	return l.recoverSegments(recoveryPoint)
}

// wantsRecovery: the error of an opening says that the log does not check, not that the disk fails.
func wantsRecovery(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, errBadIndex) || isNotExist(err)
}

// openUnchanged opens a log to which nothing was appended since the last checkpoint, as if the stop had been clean:
// all of it lies below the recovery point, so it is durable, with its names, and there is nothing to check or to write.
// false if it cannot be told to be such a log. Most logs of a large node are.
func (l *Log) openUnchanged(active *LogSegment, recoveryPoint int64) (bool, error) {
	if active.base >= recoveryPoint { // then its name may be newer
		return false, nil
	}
	end, complete, err := l.openActive(active, true)
	if err == nil && complete && end == recoveryPoint {
		return true, nil
	}
	active.indexLoaded.Store(false)
	if err != nil && !wantsRecovery(err) {
		return false, err
	}
	return false, nil
}

// openActive readies the last segment of a cleanly closed log for appends: its headers are read from the last
// index entry on. With all set the indexes are checked whole, as indexFile.load does. complete says that the indexes are
// known to be what a clean stop leaves: no stretch without an entry at the end, and the largest timestamp of all.
func (l *Log) openActive(s *LogSegment, all bool) (end int64, complete bool, err error) {
	f, err := s.acquire()
	if err != nil {
		return 0, false, err
	}
	defer s.release()
	size := s.size.Load()
	if size > 0 {
		if err := errors.Join(s.offsets.load(all), s.times.load(all)); err != nil {
			return 0, false, err
		}
	}
	timesComplete, err := s.checkLastTime(f, size)
	if err != nil {
		return 0, false, err
	}
	s.firstTimestamp, err = firstTimestamp(f, size)
	if err != nil {
		return 0, false, err
	}
	var pos, last int64
	entry, indexed := s.offsets.lastEntry()
	if indexed {
		pos = int64(entry.position)
	}
	end = s.base
	s.bytesSinceIndex = 0
	first := true
	err = eachHeader(f, pos, size, func(b batchAt) {
		if first && indexed && b.last != s.base+int64(entry.relOffset) {
			err = errBadIndex
		}
		first = false
		end, last = b.last+1, b.size
		s.bytesSinceIndex += int(b.size)
		if b.maxTimestamp > s.maxTimestamp.Load() {
			s.maxTimestamp.Store(b.maxTimestamp)
			s.offsetOfMaxTimestamp.Store(b.last)
		}
	})
	if err == nil && indexed && first {
		err = errBadIndex
	}
	s.indexLoaded.Store(err == nil)
	return end, timesComplete && s.bytesSinceIndex-int(last) <= l.cfg.Load().IndexIntervalBytes, err
}

// maxLateBatches bounds how many headers behind the last entry of a time index are read to see that it is the last.
const maxLateBatches = 64

// checkLastTime takes the largest timestamp from the time index of an active segment, of whose first size bytes it
// tells; errBadIndex if a batch contradicts it, because entries may be missing at its end. whole says that all batches behind were looked at:
// where timestamps do not grow they may be too many.
func (s *LogSegment) checkLastTime(f vfs.File, size int64) (whole bool, err error) {
	s.maxTimestamp.Store(-1)
	var pos int64
	if e, ok := s.times.lastEntry(); ok {
		offset := s.base + int64(e.relOffset)
		at, found, err := s.walkTo(f, offset, size, true, false)
		if err != nil {
			return false, err
		}
		if !found || at.base > offset || at.maxTimestamp != e.timestamp {
			return false, errBadIndex
		}
		s.maxTimestamp.Store(e.timestamp)
		s.offsetOfMaxTimestamp.Store(offset)
		pos = at.position
	}
	var w headerWalk
	w.open(f, size, false)
	defer w.close()
	for range maxLateBatches {
		b, _, err := w.at(pos)
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if b.maxTimestamp > s.maxTimestamp.Load() {
			return false, errBadIndex
		}
		pos = b.end()
	}
	return false, nil
}

// firstTimestamp is the largest timestamp of a segment's first batch, for segment.ms.
func firstTimestamp(f vfs.File, size int64) (int64, error) {
	var w headerWalk
	w.open(f, size, false)
	defer w.close()
	b, _, err := w.at(0)
	if err == io.EOF {
		return -1, nil
	}
	return b.maxTimestamp, err
}

// eachHeader calls visit for every batch between two positions.
func eachHeader(f vfs.File, pos, end int64, visit func(b batchAt)) error {
	var w headerWalk
	w.open(f, end, false)
	defer w.close()
	for {
		b, _, err := w.at(pos)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		visit(b)
		pos = b.end()
	}
}

// loadEpochs reads the leader epoch file; false means that it is missing or damaged.
func (l *Log) loadEpochs() bool {
	b, err := vfs.ReadFile(l.m.cfg.FS, filepath.Join(l.path, leaderEpochFile), maxCheckpointBytes)
	if err != nil {
		return false
	}
	return l.epochs.parse(b) == nil
}

// loadEpochsFrom bounds the epochs by the log, building them from the batches if the file was of no use.
func (l *Log) loadEpochsFrom(known bool, start, end int64) error {
	if known && !planted(bugEpochsTrusted) {
		l.epochs.truncateFromEnd(end)
		l.epochs.truncateFromStart(start)
		holds, err := l.epochsHold(start, end)
		if err != nil {
			return err
		}
		known = holds
	}
	if !known {
		l.epochs.clear()
		err := l.eachBatch(start, end, func(f vfs.File, b batchAt, h recordbatch.Batch) error {
			l.epochs.assign(h.PartitionLeaderEpoch(), b.base)
			return nil
		})
		if err != nil {
			return err
		}
	}
	l.epochs.truncateFromEnd(end)
	l.epochs.truncateFromStart(start)
	return nil
}

// epochsHold compares the leader epochs with the batches where they begin, and the newest one with the last batch.
// The file has no checksum, and a flipped bit makes another good number.
func (l *Log) epochsHold(start, end int64) (bool, error) {
	for _, e := range l.epochs.list() {
		if e.start >= end {
			continue // nothing is appended in it yet
		}
		at, err := l.epochOfBatch(e.start, end)
		if err != nil || at.epoch >= 0 && (at.epoch < e.epoch || at.base <= e.start && at.epoch != e.epoch) {
			return false, err
		}
		if e.start == start {
			continue
		}
		before, err := l.epochOfBatch(e.start-1, end)
		if err != nil || before.epoch >= 0 && before.base < e.start && before.epoch >= e.epoch {
			return false, err
		}
	}
	if start == end {
		return true, nil
	}
	last, err := l.epochOfBatch(end-1, end)
	return err == nil && (last.epoch < 0 || last.epoch == l.epochs.at(last.base)), err
}

// epochAt is the first offset and the leader epoch of a batch; the epoch is -1 if nothing is known.
type epochAt struct {
	base  int64
	epoch int32
}

// epochOfBatch looks at the batch that holds offset, or else the first one above it. Of a damaged stretch of the
// log nothing is known.
func (l *Log) epochOfBatch(offset, end int64) (found epochAt, err error) {
	found.epoch = -1
	err = l.eachBatch(offset, end, func(_ vfs.File, b batchAt, h recordbatch.Batch) error {
		found = epochAt{b.base, h.PartitionLeaderEpoch()}
		return io.EOF
	})
	if err == io.EOF || errors.Is(err, ErrCorrupt) {
		err = nil
	}
	return found, err
}

// eachBatch visits the headers of all batches that end behind from, in order. appendMu is held, or the log is
// being loaded.
func (l *Log) eachBatch(from, end int64, visit func(f vfs.File, b batchAt, h recordbatch.Batch) error) error {
	if from >= end {
		return nil
	}
	for i := segmentFor(l.segments, from); i < len(l.segments); i++ {
		if err := l.segments[i].eachBatch(from, visit); err != nil {
			return err
		}
	}
	return nil
}

func (s *LogSegment) eachBatch(from int64, visit func(f vfs.File, b batchAt, h recordbatch.Batch) error) error {
	size := s.size.Load()
	if size == 0 {
		return nil
	}
	f, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release()
	first, found, err := s.locate(f, from, size, false)
	if err != nil || !found {
		return err
	}
	var w headerWalk
	w.open(f, size, false)
	defer w.close()
	for pos := first.position; ; {
		b, h, err := w.at(pos)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s.log: %w", s.prefix(), err)
		}
		if err := visit(f, b, h); err != nil {
			return err
		}
		pos = b.end()
	}
}

// rebuildProducers makes the producer state anew for a log that ends at end. appendMu is held.
func (l *Log) rebuildProducers(end int64) error {
	files, err := listLogFiles(l.m.cfg.FS, l.path)
	if err != nil {
		return err
	}
	return l.rebuildProducersFrom(files.snapshots, l.logStart.Load(), end)
}

// rebuildProducersFrom takes the newest good snapshot and applies the batches behind it.
func (l *Log) rebuildProducersFrom(snapshots []int64, start, end int64) error {
	p := l.producers
	left, err := p.loadSnapshot(l.m.cfg.FS, l.path, snapshots, start, end)
	if err != nil {
		return err
	}
	l.snapshots = left
	from := p.end
	err = l.eachBatch(from, end, func(f vfs.File, at batchAt, h recordbatch.Batch) error {
		if at.base < from && p.snapshotAt >= 0 {
			return nil // the snapshot knows it
		}
		if h.IsControl() && h.HasProducerID() { // what it says is in its record
			b, err := readBatch(f, at)
			if err != nil {
				return err
			}
			h = b
		}
		p.apply(h)
		return nil
	})
	p.end, p.aborted = end, nil // the transaction indexes know those
	return err
}
