package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kserver/engine/vfs"
	"kserver/pagecache"
	"kserver/protocol/recordbatch"
)

// scrubber reads all batches of all logs now and then and compares their checksums, because nobody else does before
// a client: fetches send bytes they never look at. One goroutine does it, with bounded I/O, and goes on after a
// restart where it was. What it finds is logged and refused to readers (LogSegment.damage) until the next start,
// whose pass finds it again. It changes nothing on the disk.
type scrubber struct {
	m        *LogManager
	throttle throttle
	began    time.Time
	stopping chan struct{}
	done     chan struct{}
	buf      []byte

	passes, bytes, damaged atomic.Uint64
}

// ScrubStats counts what the scrub did since the start.
type ScrubStats struct {
	Passes  uint64 // over all logs
	Bytes   uint64 // read
	Damaged uint64 // batches and stretches found damaged, each once
}

// ScrubStats returns the counters of the scrub.
func (m *LogManager) ScrubStats() ScrubStats {
	return ScrubStats{m.scrub.passes.Load(), m.scrub.bytes.Load(), m.scrub.damaged.Load()}
}

const (
	// scrubCheckpointFile holds the partition and offset a pass has come to; without a line the last one ended when
	// the file was written.
	scrubCheckpointFile = "scrub-offset-checkpoint"
	// scrubCheckpointInterval is how often it is written during a pass.
	scrubCheckpointInterval = 30 * time.Second
	// scrubLoadBytes is what the load of a log counts, which reads a few pages here and there.
	scrubLoadBytes = 64 << 10
	// maxDamaged bounds what is remembered of one segment: behind that many stretches it counts as damaged whole.
	maxDamaged = 64
)

func newScrubber(m *LogManager) *scrubber {
	s := &scrubber{m: m, began: m.cfg.Clock.Now(), stopping: make(chan struct{}), done: make(chan struct{})}
	s.throttle.clock = m.cfg.Clock
	return s
}

// run is the goroutine: a pass at a time over each directory, ScrubInterval after the one before.
func (s *scrubber) run() {
	defer close(s.done)
	for {
		wait := s.m.cfg.ScrubInterval
		for _, d := range s.m.dirs {
			if d.offline() != nil {
				continue
			}
			due := s.due(d)
			if due <= 0 {
				s.pass(d)
				due = s.m.cfg.ScrubInterval
			}
			wait = min(wait, due)
		}
		if s.stopped() {
			return
		}
		s.throttle.wait(wait, s.stopping)
	}
}

func (s *scrubber) stopped() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

func (s *scrubber) stop() {
	close(s.stopping)
	<-s.done
}

// due is how long until the next pass of a directory begins.
func (s *scrubber) due(d *logDir) time.Duration {
	path := filepath.Join(d.path, scrubCheckpointFile)
	at, err := readOffsetCheckpoint(s.m.cfg.FS, path)
	info, statErr := s.m.cfg.FS.Stat(path)
	switch {
	case isNotExist(statErr): // a new directory: nothing is old enough to have decayed
		if early := s.began.Add(scrubCheckpointInterval).Sub(s.m.cfg.Clock.Now()); early > 0 {
			return early // the first syncs of a start are for its clients
		}
		s.note(d, nil)
		return s.m.cfg.ScrubInterval
	case err != nil || statErr != nil || len(at) > 0:
		return 0
	}
	return info.ModTime.Add(s.m.cfg.ScrubInterval).Sub(s.m.cfg.Clock.Now())
}

// note writes how far a pass has come; nil says that it is over. It is no loss if it cannot.
func (s *scrubber) note(d *logDir, at map[TopicPartition]int64) {
	if err := writeOffsetCheckpoint(s.m.cfg.FS, d.path, scrubCheckpointFile, at); err != nil && d.offline() == nil {
		s.m.logger.Warn("progress of the scrub not written", "dir", d.path, "err", err)
	}
}

// pass reads the logs of a directory, from where the last pass was interrupted.
func (s *scrubber) pass(d *logDir) {
	from, err := readOffsetCheckpoint(s.m.cfg.FS, filepath.Join(d.path, scrubCheckpointFile))
	if err != nil {
		from = nil // from the beginning
	}
	var first TopicPartition
	for tp := range from {
		first = tp
	}
	noted := s.m.cfg.Clock.Now()
	for _, l := range sortedLogs(d.logs()) {
		if before(l.tp, first) || s.stopped() {
			continue
		}
		if !l.loaded.Load() {
			s.throttle.use(scrubLoadBytes, s.m.cfg.ScrubBytesPerSecond, s.stopping)
		}
		if l.ensureLoaded() != nil {
			continue
		}
		for _, seg := range l.segmentList() {
			if l.tp == first && seg.base < from[first] {
				continue
			}
			if now := s.m.cfg.Clock.Now(); now.Sub(noted) >= scrubCheckpointInterval || s.stopped() {
				noted = now
				s.note(d, map[TopicPartition]int64{l.tp: seg.base})
			}
			if s.stopped() || d.offline() != nil {
				return
			}
			s.segment(l, seg)
		}
	}
	s.passes.Add(1)
	s.note(d, nil)
}

func before(a, b TopicPartition) bool {
	return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition)) < 0
}

// segment checks one segment as far as it is written.
func (s *scrubber) segment(l *Log, seg *LogSegment) {
	f, err := seg.acquire()
	if err != nil {
		return // deleted, or nothing was ever appended
	}
	defer seg.release()
	size := seg.size.Load()
	var w headerWalk
	w.open(f, size, false)
	defer w.close()
	expect := seg.base
	for pos := int64(0); pos < size && !s.stopped(); {
		b, err := s.batch(f, seg, &w, pos, expect)
		if err == nil {
			pos, expect = b.end(), b.last+1
			continue
		}
		next := b.end()
		if b.size == 0 || next > size { // not even its end is known
			next = seg.nextIndexed(pos, size)
		}
		if gone := seg.size.Load(); gone < next { // truncated meanwhile
			return
		}
		s.found(l, seg, damagedRange{pos, next}, err)
		pos = next
		expect = max(expect, b.base)
	}
}

// batch reads and checks the batch at pos. On an error b is its header, if that much could be told.
func (s *scrubber) batch(f vfs.File, seg *LogSegment, w *headerWalk, pos, expect int64) (b batchAt, err error) {
	b, _, err = w.at(pos)
	if err != nil {
		return batchAt{}, err
	}
	if err := seg.checkOrder(b, expect); err != nil {
		return batchAt{position: b.position, size: b.size, base: expect}, err
	}
	if int64(cap(s.buf)) < b.size {
		s.buf = make([]byte, b.size)
	}
	s.throttle.use(int(b.size), s.m.cfg.ScrubBytesPerSecond, s.stopping)
	s.bytes.Add(uint64(b.size))
	for range 2 { // a second look at what the disk, not the page cache, has
		cold := false
		if fd := f.Fd(); fd >= 0 {
			resident, rerr := pagecache.Resident(fd, pos, int(b.size))
			cold = rerr == nil && !resident
		}
		batch := recordbatch.Batch(s.buf[:b.size])
		if err = readFull(f, batch, pos, false); err == nil {
			err = batch.CheckCRC()
		}
		if fd := f.Fd(); fd >= 0 && (cold || err != nil) { // the scrub takes no place in the page cache
			_ = pagecache.Drop(fd, pos, b.size) // a hint
		}
		if err == nil {
			return b, nil
		}
	}
	return b, err
}

// found remembers, counts and logs damage, once.
func (s *scrubber) found(l *Log, seg *LogSegment, r damagedRange, err error) {
	if errors.Is(err, errSegmentGone) || errors.Is(err, io.EOF) || !seg.addDamage(r) {
		return
	}
	s.damaged.Add(1)
	s.m.logger.Error("damaged records", "topic", l.tp.Topic, "partition", l.tp.Partition, "file", seg.prefix()+segmentSuffix[logFile],
		"position", r.from, "bytes", r.to-r.from, "err", err)
}

// damagedRange are positions of a segment, to is exclusive.
type damagedRange struct{ from, to int64 }

// knownDamage is what the scrub found in a segment, by position.
type knownDamage struct {
	mu     sync.Mutex // a leaf
	ranges []damagedRange
}

// addDamage notes a stretch; false if it is known.
func (s *LogSegment) addDamage(r damagedRange) bool {
	s.damage.CompareAndSwap(nil, new(knownDamage))
	d := s.damage.Load()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, known := range d.ranges {
		if known.from <= r.from && r.to <= known.to {
			return false
		}
	}
	if len(d.ranges) == maxDamaged-1 {
		r.to = 1<<63 - 1
	}
	d.ranges = append(d.ranges, r)
	slices.SortFunc(d.ranges, func(a, b damagedRange) int { return cmp.Compare(a.from, b.from) })
	return true
}

// intact cuts the stretch [start, end) before the first damage in it; ErrCorrupt if it begins with one.
func (s *LogSegment) intact(start, end int64) (int64, error) {
	d := s.damage.Load()
	if d == nil {
		return end, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.ranges {
		if r.from <= start && start < r.to {
			return start, fmt.Errorf("%w: %s.log: the batch at position %d does not check", ErrCorrupt, s.prefix(), start)
		}
		if start < r.from && r.from < end {
			return r.from, nil
		}
	}
	return end, nil
}

// nextIndexed is where the first batch behind pos begins that the offset index knows, size if it knows none.
func (s *LogSegment) nextIndexed(pos, size int64) int64 {
	f, err := s.file(offsetIndexFile, false)
	if err != nil {
		return size
	}
	for i := 0; ; i += indexBlockEntries {
		n := min(indexBlockEntries, s.offsets.count()-i)
		if n <= 0 {
			return size
		}
		entries, err := s.offsets.readEntries(f, i, n, false)
		if err != nil {
			return size
		}
		for _, e := range entries {
			if at := int64(e.position); at > pos && at < size {
				return at
			}
		}
	}
}
