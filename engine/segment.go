package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"kserver/engine/vfs"
	"kserver/pagecache"
	"kserver/protocol/recordbatch"
)

// LogSegment is one stretch of a log: a file of batches named by the first offset it may hold, and its
// indexes. All but the last segment of a log are immutable.
type LogSegment struct {
	base   int64  // base offset
	dir    string // the partition's directory, as long as the segment is not abandoned
	pool   *handlePool
	pageID pagecache.FileID

	// size is the number of valid bytes: it grows after the bytes are written, under the log's view lock.
	size atomic.Int64
	// maxTimestamp is the largest record timestamp, -1 when empty, or unknownTimestamp until it is read from
	// the time index. Written by the holder of the append lock.
	maxTimestamp         atomic.Int64
	offsetOfMaxTimestamp atomic.Int64
	// bound is the base offset of the next segment, below which every offset of this one lies; 0 while there is none.
	bound atomic.Int64
	// dirty: bytes were written since the last sync began. Such a segment keeps its descriptor.
	dirty atomic.Bool
	// kept: bytes are durable by the commit journal only. It keeps its descriptor as well.
	kept atomic.Bool
	// sealed: the segment is immutable, nobody appends to its indexes any more.
	sealed atomic.Bool
	// gapKnown: the offsets missing up to the next segment were removed by compaction.
	gapKnown    atomic.Bool
	indexLoaded atomic.Bool
	// indexUnsynced: rolled, and the indexes are not durable yet. Owned by the holder of the log's append lock.
	indexUnsynced bool
	// committed is the position up to which the bytes are durable in one way or the other, and journalSeq the newest
	// frame of the journal with bytes of the segment. The committer changes them, under the log's view lock.
	committed  int64
	journalSeq uint64
	// coldBefore is the position up to which the file was there when it was opened: not appended by us.
	coldBefore int64
	damage     atomic.Pointer[knownDamage] // nil while there is none

	offsets OffsetIndex
	times   TimeIndex
	txns    TransactionIndex

	// Owned by the holder of the log's append lock.
	firstTimestamp  int64 // of the first append, for segment.ms; -1 unknown
	createdMs       int64
	pacedTo         int64 // writeback was started up to this position
	bytesSinceIndex int

	poolSlot int32 // guarded by the pool's lock

	// indexMu is held while the indexes are loaded or rebuilt after the segment became immutable.
	indexMu sync.Mutex

	// syncMu is held during a sync, so that never two are in flight for one file.
	syncMu sync.Mutex

	mu    sync.Mutex // guards what follows
	pins  int32
	gone  bool
	used  bool // since the pool last looked
	files [segmentFileCount]vfs.File
}

const unknownTimestamp = math.MinInt64

// offsetFileName is Kafka's name for an offset: 20 decimal digits.
func offsetFileName(offset int64) string {
	s := strconv.FormatInt(offset, 10)
	return "00000000000000000000"[:20-len(s)] + s
}

// parseOffsetFileName reads a name of the form 20 digits + suffix.
func parseOffsetFileName(name, suffix string) (offset int64, ok bool) {
	if len(name) != 20+len(suffix) || name[20:] != suffix {
		return 0, false
	}
	offset, err := strconv.ParseInt(name[:20], 10, 64)
	return offset, err == nil && offset >= 0
}

func newSegment(pool *handlePool, dir string, base int64) *LogSegment {
	s := &LogSegment{
		base: base, dir: dir, pool: pool,
		pageID: pagecache.NewFileID(), firstTimestamp: -1,
	}
	s.offsets.init(&offsetCodec, s)
	s.times.init(&timeCodec, s)
	s.txns.segment = s
	s.maxTimestamp.Store(-1)
	s.offsetOfMaxTimestamp.Store(-1)
	return s
}

// prefix is the path of the segment's files without their suffixes.
func (s *LogSegment) prefix() string { return filepath.Join(s.dir, offsetFileName(s.base)) }

// batchAt is where a batch lies in a segment.
type batchAt struct {
	position int64
	size     int64
	base     int64 // first offset
	last     int64 // last offset
	// maxTimestamp is the largest timestamp of its records, in ms.
	maxTimestamp int64
}

func (b batchAt) end() int64 { return b.position + b.size }

// recordTimestamp is the largest timestamp of a batch's records, -1 if compaction has left none of them.
func recordTimestamp(h recordbatch.Batch) int64 {
	if h.Count() == 0 {
		return -1
	}
	return h.MaxTimestamp()
}

// maxRelativeOffset is the largest distance of an offset from its segment's base that an index can hold.
const maxRelativeOffset = math.MaxInt32

// magicOffset is where a batch says which format it has.
const magicOffset = 16

// headerChunk is how much is read at a time while walking batch headers.
const headerChunk = 4096

var headerBuffers = sync.Pool{New: func() any { b := make([]byte, headerChunk); return &b }}

// headerWalk steps through the batch headers of a file between two positions without reading their records.
type headerWalk struct {
	f       vfs.File
	end     int64 // exclusive
	noWait  bool
	buf     *[]byte
	chunkAt int64
	chunk   []byte
}

func (w *headerWalk) open(f vfs.File, end int64, noWait bool) {
	w.f, w.end, w.noWait = f, end, noWait
	w.buf = headerBuffers.Get().(*[]byte)
}

func (w *headerWalk) close() { headerBuffers.Put(w.buf) }

// at returns the batch at pos and its 61-byte header, valid until the next call.
// io.EOF at the end; ErrCorrupt when there is no whole, sane batch.
func (w *headerWalk) at(pos int64) (batchAt, recordbatch.Batch, error) {
	if pos == w.end {
		return batchAt{}, nil, io.EOF
	}
	if pos < 0 || pos+recordbatch.HeaderSize > w.end { // negative: from an index that is damaged
		return batchAt{}, nil, fmt.Errorf("%w: %d bytes at position %d are no batch", ErrCorrupt, w.end-pos, pos)
	}
	if pos < w.chunkAt || pos+recordbatch.HeaderSize > w.chunkAt+int64(len(w.chunk)) {
		w.chunk = (*w.buf)[:min(int64(headerChunk), w.end-pos)]
		w.chunkAt = pos
		if err := readFull(w.f, w.chunk, pos, w.noWait); err != nil {
			w.chunk = nil
			return batchAt{}, nil, err
		}
	}
	h := recordbatch.Batch(w.chunk[pos-w.chunkAt:][:recordbatch.HeaderSize])
	size, err := recordbatch.PeekSize(h)
	if err != nil {
		return batchAt{}, nil, fmt.Errorf("%w: position %d: %w", ErrCorrupt, pos, err)
	}
	if magic := h[magicOffset]; magic != recordbatch.Magic {
		return batchAt{}, nil, fmt.Errorf("%w: position %d: magic %d", ErrCorrupt, pos, magic)
	}
	b := batchAt{position: pos, size: int64(size), base: h.BaseOffset(), last: h.LastOffset(), maxTimestamp: recordTimestamp(h)}
	if b.end() > w.end || b.last < b.base {
		return batchAt{}, nil, fmt.Errorf("%w: batch of %d bytes at position %d ends behind the segment", ErrCorrupt, size, pos)
	}
	return b, h, nil
}

// locate finds the batch that holds offset, or else the first one above it. found is false when every batch
// of the segment ends below offset. size bounds the search. The segment is pinned and f is its log file.
func (s *LogSegment) locate(f vfs.File, offset, size int64, noWait bool) (b batchAt, found bool, err error) {
	b, found, err = s.locateOnce(f, offset, size, true, noWait)
	if !errors.Is(err, errBadIndex) {
		return b, found, err
	}
	if s.sealed.Load() { // an appender still owns the index of the active segment; it is left alone
		if err := s.rebuildIndexes(f); err != nil {
			return b, false, err
		}
	}
	return s.locateOnce(f, offset, size, false, noWait)
}

func (s *LogSegment) locateOnce(f vfs.File, offset, size int64, useIndex, noWait bool) (b batchAt, found bool, err error) {
	if err := s.ensureIndexes(f); err != nil {
		return b, false, err
	}
	return s.walkTo(f, offset, size, useIndex, noWait)
}

// walkTo is locate with the offset index as it is. errBadIndex when the index contradicts the log.
func (s *LogSegment) walkTo(f vfs.File, offset, size int64, useIndex, noWait bool) (b batchAt, found bool, err error) {
	var entry offsetEntry
	var indexed bool
	if useIndex {
		entry, indexed, err = s.offsets.find(func(e offsetEntry) bool {
			return s.base+int64(e.relOffset) <= offset && int64(e.position) < size
		}, noWait)
		if err != nil {
			return b, false, err
		}
	}
	var pos int64
	if indexed {
		pos = int64(entry.position)
	}
	var w headerWalk
	w.open(f, size, noWait)
	defer w.close()
	expect := s.base
	for first := indexed; ; first = false {
		b, _, err = w.at(pos)
		if first && !planted(bugIndexTrusted) && (errors.Is(err, ErrCorrupt) || err == nil && b.last != s.base+int64(entry.relOffset)) {
			return b, false, fmt.Errorf("%w: entry for offset %d does not match its batch", errBadIndex, s.base+int64(entry.relOffset))
		}
		if err == io.EOF {
			return b, false, nil
		}
		if err != nil {
			return b, false, fmt.Errorf("%s.log: %w", s.prefix(), err)
		}
		if err := s.checkOrder(b, expect); err != nil {
			return b, false, err
		}
		if b.base > offset { // removed by compaction, unless this batch is not what it says
			if next, _, err := w.at(b.end()); err == nil && next.base <= b.last {
				return b, false, s.disorder(next)
			}
			if useIndex {
				if err := s.checkGap(b, noWait); err != nil {
					return b, false, err
				}
			}
		}
		if b.last >= offset {
			return b, true, nil
		}
		pos, expect = b.end(), b.last+1
	}
}

// checkGap makes sure that the index knows of nothing behind batch b that ends before it: offsets in front of b are
// missing, and may have been moved. errBadIndex if it does.
func (s *LogSegment) checkGap(b batchAt, noWait bool) error {
	e, found, err := s.offsets.find(func(e offsetEntry) bool { return s.base+int64(e.relOffset) <= b.last }, noWait)
	if err == nil && found && int64(e.position) > b.position {
		err = fmt.Errorf("%w: offset %d is behind offset %d", errBadIndex, s.base+int64(e.relOffset), b.base)
	}
	return err
}

// checkOrder makes sure that a batch lies behind the one before it, which ends at expect, and inside its segment:
// its base offset is not under its checksum.
func (s *LogSegment) checkOrder(b batchAt, expect int64) error {
	bound := s.bound.Load()
	if b.base < expect || b.last-s.base > maxRelativeOffset || bound > 0 && b.last >= bound {
		return s.disorder(b)
	}
	return nil
}

func (s *LogSegment) disorder(b batchAt) error {
	return fmt.Errorf("%w: %s.log: batch at position %d has offsets %d to %d, which lie elsewhere", ErrCorrupt, s.prefix(), b.position, b.base, b.last)
}

// ensureIndexes opens the indexes of a segment found on disk when they are first needed.
func (s *LogSegment) ensureIndexes(f vfs.File) error {
	if s.indexLoaded.Load() {
		return nil
	}
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	if s.indexLoaded.Load() {
		return nil
	}
	err := errors.Join(s.offsets.load(false), s.times.load(false))
	if err == nil {
		err = s.checkTimes(f)
	}
	if errors.Is(err, errBadIndex) || errors.Is(err, fs.ErrNotExist) {
		err = s.rebuildIndexesLocked(f)
	}
	if err == nil {
		s.indexLoaded.Store(true)
	}
	return err
}

// checkTimes makes sure that the last entry of a sealed segment's time index is true and the largest, because
// retention and searches by time believe it. errBadIndex if not.
func (s *LogSegment) checkTimes(f vfs.File) error {
	size := s.size.Load()
	if size == 0 {
		return nil
	}
	e, ok := s.times.lastEntry()
	if !ok {
		return errBadIndex
	}
	if ok, err := s.timeEntryHolds(f, e, size); err != nil || !ok {
		return errors.Join(err, errBadIndex)
	}
	from := int64(0)
	if last, ok := s.offsets.lastEntry(); ok {
		from = int64(last.position)
	}
	var later error
	err := eachHeader(f, from, size, func(b batchAt) {
		if b.maxTimestamp > e.timestamp {
			later = errBadIndex
		}
	})
	if errors.Is(err, ErrCorrupt) {
		err = errBadIndex // the position may be wrong; the rebuild finds out
	}
	return errors.Join(err, later)
}

// timeEntryHolds compares an entry of the time index with its batch.
func (s *LogSegment) timeEntryHolds(f vfs.File, e timeEntry, size int64) (bool, error) {
	offset := s.base + int64(e.relOffset)
	b, found, err := s.walkTo(f, offset, size, true, false)
	if errors.Is(err, errBadIndex) || errors.Is(err, ErrCorrupt) {
		return false, nil
	}
	return found && b.base <= offset && b.maxTimestamp == e.timestamp, err
}

func (s *LogSegment) rebuildIndexes(f vfs.File) error {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	return s.rebuildIndexesLocked(f)
}

// rebuildIndexesLocked makes both indexes anew from the batch headers. Only for immutable segments, whose
// readers fall back to a longer walk meanwhile.
func (s *LogSegment) rebuildIndexesLocked(f vfs.File) error {
	if err := s.checkOrders(f); err != nil {
		return err // the old index is the better witness
	}
	if err := s.dropIndexes(); err != nil {
		return err
	}
	var w headerWalk
	w.open(f, s.size.Load(), false)
	defer w.close()
	var ix indexer
	ix.reset(defaultIndexInterval)
	for pos := int64(0); ; {
		b, _, err := w.at(pos)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%s.log: %w", s.prefix(), err)
		}
		if err := ix.add(s, b); err != nil {
			return err
		}
		pos = b.end()
	}
	s.maxTimestamp.Store(ix.maxTimestamp)
	s.offsetOfMaxTimestamp.Store(ix.offsetOfMax)
	if err := ix.seal(s); err != nil {
		return err
	}
	if err := s.flushIndexes(); err != nil && !isDiskFull(err) { // they serve from memory as well
		return err
	}
	return nil
}

// checkOrders is checkOrder of all batches up to the first that is none.
func (s *LogSegment) checkOrders(f vfs.File) error {
	var disorder error
	expect := s.base
	err := eachHeader(f, 0, s.size.Load(), func(b batchAt) {
		if err := s.checkOrder(b, expect); err != nil && disorder == nil {
			disorder = err
		}
		expect = b.last + 1
	})
	if disorder == nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	return disorder
}

// defaultIndexInterval is index.interval.bytes where the topic's value is not at hand.
const defaultIndexInterval = 4096

// indexer applies Kafka's rule for index entries while batches pass by: one entry per index.interval.bytes,
// in both indexes.
type indexer struct {
	interval     int
	sinceEntry   int
	maxTimestamp int64
	offsetOfMax  int64
}

func (ix *indexer) reset(interval int) {
	*ix = indexer{interval: interval, maxTimestamp: -1, offsetOfMax: -1}
}

func (ix *indexer) add(s *LogSegment, b batchAt) error {
	if b.maxTimestamp > ix.maxTimestamp {
		ix.maxTimestamp, ix.offsetOfMax = b.maxTimestamp, b.last
	}
	if ix.sinceEntry > ix.interval {
		if err := s.offsets.append(offsetEntry{int32(b.last - s.base), int32(b.position)}); err != nil {
			return err
		}
		if err := s.times.append(timeEntry{ix.maxTimestamp, int32(ix.offsetOfMax - s.base)}); err != nil {
			return err
		}
		ix.sinceEntry = 0
	}
	ix.sinceEntry += int(b.size)
	return nil
}

// seal adds the time index's final entry, as Kafka does when a segment becomes immutable or is closed.
func (ix *indexer) seal(s *LogSegment) error {
	if ix.maxTimestamp < 0 {
		return nil
	}
	return s.times.append(timeEntry{ix.maxTimestamp, int32(ix.offsetOfMax - s.base)})
}

// largestTimestamp is the segment's largest record timestamp, from memory or the time index; -1 if it holds
// no timestamp.
func (s *LogSegment) largestTimestamp() (int64, error) {
	if ts := s.maxTimestamp.Load(); ts != unknownTimestamp {
		return ts, nil
	}
	f, err := s.acquire()
	if err != nil {
		return 0, err
	}
	defer s.release()
	if err := s.ensureIndexes(f); err != nil {
		return 0, err
	}
	if e, ok := s.times.lastEntry(); ok && s.maxTimestamp.CompareAndSwap(unknownTimestamp, e.timestamp) {
		s.offsetOfMaxTimestamp.Store(s.base + int64(e.relOffset))
	}
	s.maxTimestamp.CompareAndSwap(unknownTimestamp, -1)
	return s.maxTimestamp.Load(), nil
}

// flushIndexes writes what the indexes hold in memory to their files, which exist afterwards. The segment is
// pinned.
func (s *LogSegment) flushIndexes() error {
	return errors.Join(s.offsets.flush(), s.times.flush())
}

// flushPinned is flushIndexes of a segment that is not pinned; one that is gone needs no indexes.
func (s *LogSegment) flushPinned() error {
	if s.offsets.flushed() && s.times.flushed() {
		return nil
	}
	if _, err := s.acquire(); err != nil {
		if errors.Is(err, errSegmentGone) {
			return nil
		}
		return err
	}
	defer s.release()
	return s.flushIndexes()
}

// syncLog makes what was written to the log file durable; a segment without a file has nothing to sync.
func (s *LogSegment) syncLog() error {
	f, err := s.acquire()
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.release()
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	return f.Sync()
}
