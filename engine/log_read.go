package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
	"sync/atomic"

	"kserver/pagecache"
)

// ReadInfo is what Read found.
type ReadInfo struct {
	// Range holds the bytes; nil when there is nothing to read. The caller releases it exactly once.
	Range *Range
	// StartOffset is the base offset of the first batch of the range, which holds the offset asked for (or,
	// in a compacted log, is the first above it). Without a range it is the offset asked for.
	StartOffset int64
	// Size is the range's length in bytes.
	Size int
	// Partial says that the range was cut by maxBytes inside a batch, which clients drop.
	Partial bool
}

// Read finds the bytes of whole batches from the one that holds offset up to the bound upTo (exclusive;
// batches that hold upTo or lie behind it are left out), at most maxBytes of them and within one segment. No
// record byte is read. When maxBytes cuts the range, the cut lies on a batch boundary if one is known from
// memory, else anywhere. With minOneBatch the first batch is whole even if it is larger than maxBytes
// (KIP-74); without, a first batch that does not fit gives an empty result.
//
// Finding the place may read the index or batch headers from disk when they are not in the page cache; use
// ReadNoWait where that must not happen.
//
// Errors: ErrOffsetOutOfRange (offset below the log start or above the log end), ErrCorrupt, ErrStorage,
// ErrLogClosed.
func (l *Log) Read(offset int64, maxBytes int, upTo int64, minOneBatch bool) (ReadInfo, error) {
	return l.read(offset, maxBytes, upTo, minOneBatch, false)
}

// ReadNoWait is Read that returns ErrWouldBlock instead of waiting for the disk. Offsets near the log end
// never do.
func (l *Log) ReadNoWait(offset int64, maxBytes int, upTo int64, minOneBatch bool) (ReadInfo, error) {
	return l.read(offset, maxBytes, upTo, minOneBatch, true)
}

func (l *Log) read(offset int64, maxBytes int, upTo int64, minOneBatch, noWait bool) (ReadInfo, error) {
	if !l.loaded.Load() {
		if noWait {
			return ReadInfo{}, ErrWouldBlock
		}
		if err := l.ensureLoaded(); err != nil {
			return ReadInfo{}, err
		}
	}
	if err := l.dir.offline(); err != nil { // the log itself may hear of it a little later
		return ReadInfo{}, err
	}
	for {
		info, err := l.readOnce(offset, maxBytes, upTo, minOneBatch, noWait)
		if !errors.Is(err, errSegmentGone) { // else deleted between lookup and use: look again
			return info, err
		}
		l.viewMu.Lock()
		closed := l.failure
		l.viewMu.Unlock()
		if closed != nil {
			return ReadInfo{}, closed
		}
	}
}

// place is where a read begins and ends, as far as memory knows: -1 is unknown.
type place struct {
	segment    *LogSegment
	next       *LogSegment // the one after segment, nil if segment is active
	size       int64       // of segment
	start      int64       // position of the batch that holds the offset
	startBase  int64       // and its base offset
	firstBatch int64       // and its size
	end        int64       // position of the bound
	cut        int64       // a batch boundary at or below start+maxBytes
}

func (l *Log) readOnce(offset int64, maxBytes int, upTo int64, minOneBatch, noWait bool) (ReadInfo, error) {
	none := ReadInfo{StartOffset: offset}
	p, empty, err := l.findPlace(offset, int64(maxBytes), upTo)
	if err != nil || empty {
		return none, err
	}
	s := p.segment
	f, err := s.acquire()
	if err != nil {
		return none, l.readFailed(err)
	}
	info, err := l.readPinned(p, readArgs{f, offset, int64(maxBytes), upTo, minOneBatch, noWait})
	if err != nil || info.Range == nil {
		s.release()
	}
	if errors.Is(err, errNextSegment) { // compaction left a gap up to the next segment's base, or should have
		if err := l.checkGap(p.segment, p.next, offset, noWait); err != nil {
			return none, l.readFailed(err)
		}
		return l.readOnce(p.next.base, maxBytes, upTo, minOneBatch, noWait)
	}
	return info, l.readFailed(err)
}

// errNextSegment: no batch at or above the offset in this segment.
var errNextSegment = errors.New("offset is in a later segment")

// checkGap tells what compaction removed from a segment that is missing: between s and next there is no batch at
// offset. In a log that is not compacted, and does not look as if it ever was, that is damage.
func (l *Log) checkGap(s, next *LogSegment, offset int64, noWait bool) error {
	if l.cfg.Load().Compact || s.gapKnown.Load() || next.base-s.base > maxRelativeOffset {
		return nil
	}
	if noWait {
		return ErrWouldBlock
	}
	f, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release()
	end, whole := s.base, true
	var disorder error
	err = eachHeader(f, 0, s.size.Load(), func(b batchAt) {
		disorder = cmp.Or(disorder, s.checkOrder(b, end))
		whole = whole && b.base == end
		end = b.last + 1
	})
	if err = errors.Join(err, disorder); err != nil {
		return fmt.Errorf("%s.log: %w", s.prefix(), err)
	}
	if whole && l.dir.cleanedTo(l.tp) == 0 {
		return fmt.Errorf("%w: %s.log ends at offset %d, the next segment begins at %d, nothing holds offset %d",
			ErrCorrupt, s.prefix(), end, next.base, offset)
	}
	s.gapKnown.Store(true)
	return nil
}

// readFailed adds the log's name to an error, and turns errors of the disk into the directory's failure.
func (l *Log) readFailed(err error) error {
	switch {
	case err == nil, errors.Is(err, errSegmentGone), errors.Is(err, ErrWouldBlock):
		return err
	case errors.Is(err, ErrCorrupt), errors.Is(err, errBadIndex):
		return fmt.Errorf("%s: %w", l.tp, err)
	case errors.Is(err, io.ErrUnexpectedEOF): // a file has lost bytes since it was opened
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, l.tp, err)
	default:
		return fmt.Errorf("%w: read of %s: %w", ErrStorage, l.tp, err)
	}
}

// findPlace answers from memory what it can.
func (l *Log) findPlace(offset, maxBytes, upTo int64) (p place, empty bool, err error) {
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	start, end := l.logStart.Load(), l.logEnd.Load()
	if l.failure != nil {
		return p, true, l.failure
	}
	if offset < start || offset > end {
		return p, true, fmt.Errorf("%w: %s: offset %d is not in [%d, %d]", ErrOffsetOutOfRange, l.tp, offset, start, end)
	}
	if upTo = min(upTo, end); offset >= upTo {
		return p, true, nil
	}
	i := segmentFor(l.segments, offset)
	p = place{segment: l.segments[i], size: l.segments[i].size.Load(), start: -1, firstBatch: -1, end: -1, cut: -1}
	if i+1 < len(l.segments) {
		p.next = l.segments[i+1]
		if upTo >= p.next.base {
			p.end = p.size
		}
	} else if upTo == end {
		p.end = p.size
	}
	if p.end < 0 {
		if b, _, ok := l.recent.containing(upTo); ok && p.holds(b) {
			p.end = int64(b.position)
		}
	}
	if b, i, ok := l.recent.containing(offset); ok && p.holds(b) {
		p.start, p.startBase = int64(b.position), b.base
		p.firstBatch = p.size - p.start
		if i > 0 && p.holds(l.recent.at(i-1)) {
			p.firstBatch = int64(l.recent.at(i-1).position) - p.start
		}
		p.cut = l.boundary(&p, p.start+maxBytes)
	}
	return p, false, nil
}

// holds reports whether one of the newest batches is in the segment.
func (p *place) holds(b recentBatch) bool {
	return b.base >= p.segment.base && (p.next == nil || b.base < p.next.base)
}

// boundary is the highest start of one of the newest batches at or below limit in the segment of p, -1 if there is
// none. viewMu is held.
func (l *Log) boundary(p *place, limit int64) int64 {
	for i := range l.recent.ring {
		if b := l.recent.at(i); p.holds(b) && int64(b.position) <= limit {
			return int64(b.position)
		}
	}
	return -1
}

// segmentFor is the number of the last segment whose base offset is not above offset.
func segmentFor(segments []*LogSegment, offset int64) int {
	return max(0, sort.Search(len(segments), func(i int) bool { return segments[i].base > offset })-1)
}

type readArgs struct {
	f interface {
		ReadAt(p []byte, off int64) (int, error)
		Fd() int
	}
	offset, maxBytes, upTo int64
	minOneBatch, noWait    bool
}

// readPinned completes a place from the segment's index and headers and makes the range, which takes over
// the caller's pin.
func (l *Log) readPinned(p place, a readArgs) (ReadInfo, error) {
	s := p.segment
	f, err := s.file(logFile, false)
	if err != nil {
		return ReadInfo{}, err
	}
	if p.start < 0 {
		b, found, err := s.locate(f, a.offset, p.size, a.noWait)
		if err != nil {
			return ReadInfo{}, err
		}
		if !found {
			if p.next == nil {
				return ReadInfo{}, fmt.Errorf("%w: no batch holds offset %d", ErrCorrupt, a.offset)
			}
			return ReadInfo{}, errNextSegment
		}
		p.start, p.startBase, p.firstBatch = b.position, b.base, b.size
	}
	if p.end < 0 {
		b, found, err := s.locate(f, a.upTo, p.size, a.noWait)
		if err != nil {
			return ReadInfo{}, err
		}
		p.end = p.size
		if found {
			p.end = b.position
		}
	}
	if p.end, err = s.intact(p.start, p.end); err != nil {
		return ReadInfo{}, err
	}
	n := p.end - p.start
	info := ReadInfo{StartOffset: p.startBase}
	switch {
	case n <= 0:
		return ReadInfo{StartOffset: a.offset}, nil
	case n <= a.maxBytes:
	case p.firstBatch > a.maxBytes && !a.minOneBatch:
		return ReadInfo{StartOffset: a.offset}, nil
	case p.firstBatch > a.maxBytes:
		n = min(n, p.firstBatch)
	default:
		n = a.maxBytes
		if cut := l.cutAt(p, n); cut > p.start {
			n = cut - p.start
		} else {
			info.Partial = true
		}
	}
	info.Size = int(n)
	info.Range = newRange(s, l, f, p.start, int(n))
	return info, nil
}

// cutAt is a batch boundary at or below start+n that memory knows: of the newest batches, or of the block of
// index entries that the last lookup left behind. 0 if it knows none.
func (l *Log) cutAt(p place, n int64) int64 {
	if p.cut > p.start {
		return p.cut
	}
	limit := p.start + n
	e, ok := p.segment.offsets.findCached(func(e offsetEntry) bool { return int64(e.position) <= limit })
	if !ok {
		return 0
	}
	return int64(e.position)
}

// BytesAvailable says how many bytes a Read of offset bounded by upTo could return in the segment of offset,
// for fetch.min.bytes, without reading batch headers: near the log end it is exact, elsewhere it may be too
// large by about one index interval. olderSegment is set when offset is not in the newest segment that upTo
// reaches, so that waiting for more is pointless.
func (l *Log) BytesAvailable(offset, upTo int64) (bytes int64, olderSegment bool) {
	if l.ensureLoaded() != nil {
		return 0, false
	}
	p, empty, err := l.findPlace(offset, 0, upTo)
	if err != nil || empty {
		return 0, false
	}
	if p.next != nil && p.next.base < upTo {
		return p.size, true
	}
	if p.start < 0 {
		p.start = p.segment.positionHint(offset)
	}
	if p.end < 0 {
		p.end = p.segment.positionHint(upTo)
	}
	return max(0, p.end-p.start), false
}

// positionHint is the position of an index entry at or below offset that memory knows, else 0.
func (s *LogSegment) positionHint(offset int64) int64 {
	e, ok := s.offsets.findCached(func(e offsetEntry) bool { return s.base+int64(e.relOffset) <= offset })
	if !ok {
		return 0
	}
	return int64(e.position)
}

// Range is a stretch of a segment's file that stays readable until Release, whatever happens to the log:
// roll, retention, delete. Only TruncateTo can shorten it, then reads end early. It satisfies
// sendfile.Source. Release exactly once; the other methods must not be used afterwards.
type Range struct {
	segment  *LogSegment
	log      *Log
	file     rangeFile
	offset   int64
	size     int
	released atomic.Bool
}

// ranges are those that were released, for the next reads.
var ranges = sync.Pool{New: func() any { return new(Range) }}

func newRange(s *LogSegment, l *Log, f rangeFile, offset int64, size int) *Range {
	r := ranges.Get().(*Range)
	r.segment, r.log, r.file, r.offset, r.size = s, l, f, offset, size
	r.released.Store(false)
	return r
}

type rangeFile interface {
	ReadAt(p []byte, off int64) (int, error)
	Fd() int
}

// Offset is the position of the range's first byte in the file of Fd.
func (r *Range) Offset() int64 { return r.offset }

// Len is the range's length in bytes.
func (r *Range) Len() int { return r.size }

// Fd is the descriptor of the file, or -1 if there is none and ReadAt has to be used.
func (r *Range) Fd() int { return r.file.Fd() }

// ReadAt reads from the file; off is a position in the file, as for sendfile, not in the range.
func (r *Range) ReadAt(p []byte, off int64) (int, error) { return r.file.ReadAt(p, off) }

// hotTailBytes: what was appended to an active segment within its last so many bytes is taken for cached.
const hotTailBytes = 1 << 20

// keptTailBytes: readers that catch up leave so many bytes at the end of a log in the page cache.
const keptTailBytes = 64 << 20

// Ready reports whether the n bytes at position off can be sent without waiting for the disk. If not, reading
// them has begun and wake is called exactly once, from any goroutine, when they are there; the range may be
// released before that.
func (r *Range) Ready(off int64, n int, wake func()) bool {
	warm, s := r.log.m.cfg.Warm, r.segment
	if warm == nil {
		return true
	}
	size, active := s.size.Load(), !s.sealed.Load()
	if active && off >= s.coldBefore && off >= size-hotTailBytes {
		return true
	}
	return warm.Ready(pagecache.Range{
		File: (*pagedSegment)(s), ID: s.pageID, FD: r.file.Fd(), Off: off, N: n, Size: size,
		Tail: active && off >= size-keptTailBytes,
	}, wake)
}

// Missed says that sending the n bytes at off had to wait for the disk although Ready had said that it would not.
func (r *Range) Missed(int64, int) {
	if warm := r.log.m.cfg.Warm; warm != nil {
		warm.Missed(r.segment.pageID)
	}
}

// pagedSegment is the log file of a segment as the page cache sees it.
type pagedSegment LogSegment

// Pin implements pagecache.File.
func (p *pagedSegment) Pin() (fd int, err error) {
	f, err := (*LogSegment)(p).acquire()
	if err != nil {
		return -1, err
	}
	return f.Fd(), nil
}

// Unpin implements pagecache.File.
func (p *pagedSegment) Unpin() { (*LogSegment)(p).release() }

// Release unpins the range's segment. The range may be another's afterwards; with the invariants on it is not, so that
// no second release, or use, of it goes unseen.
func (r *Range) Release() {
	if r.released.Swap(true) {
		panic(fmt.Sprintf("engine: range of %d bytes at %d released twice", r.size, r.offset))
	}
	s := r.segment
	r.segment, r.log, r.file = nil, nil, nil
	s.release()
	if !invariants {
		ranges.Put(r)
	}
}
