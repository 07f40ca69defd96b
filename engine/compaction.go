package engine

import (
	"errors"
	"fmt"
	"io"
	"math"

	"kserver/protocol/recordbatch"
)

// cleaner is the memory one thread compacts with. It belongs to that thread.
type cleaner struct {
	offsets  offsetMap
	reader   batchReader
	retainer recordbatch.Retainer
	out      []byte // batches not written yet
}

// release gives the memory back.
func (w *cleaner) release() { *w = cleaner{} }

// cleaning compacts one log once. Kafka's Cleaner.
//
// First the keys of the part that was not compacted yet go into the key map, as many as fit: from there on the
// map's end is the end of what this cleaning covers. Then all segments that begin below that end are written
// anew, several small ones into one, without the records that have a newer one of the same key, the records of
// aborted transactions, and tombstones and markers whose time is over. Each new segment takes the place of the
// old ones as soon as it is durable (see swapIn).
type cleaning struct {
	*cleaner
	logToClean
	c        *logCleaner
	cfg      LogConfig
	settings CleanerConfig
	now      int64 // ms, of the whole cleaning
	segments []*LogSegment
	end      int64 // the map knows all keys from firstDirty up to here
	// lastOf is the last batch of each producer, whose header outlives its records so that sequences and
	// fencing survive.
	lastOf map[int64]lastOfProducer
	txns   cleanedTxns

	bytesWritten, recordsRead, recordsKept, invalid uint64
}

// lastOfProducer tells a producer's last batch: by its last offset, or, of one known by a marker alone, by the
// epoch.
type lastOfProducer struct {
	offset int64 // -1 none
	epoch  int16
}

// clean compacts a log that was grabbed. Errors: errCleaningAborted, ErrCorrupt, ErrStorage and others of the
// disk.
func (w *cleaner) clean(c *logCleaner, t logToClean) error {
	l := t.log
	g := &cleaning{cleaner: w, logToClean: t, c: c, cfg: l.Config(), settings: c.config(), now: l.nowMs()}
	for _, s := range l.segmentList() {
		if s.base < t.upTo {
			g.segments = append(g.segments, s)
		}
	}
	if len(g.segments) == 0 {
		return fmt.Errorf("%w: retention was faster", errCleaningAborted)
	}
	defer g.count()
	began := c.m.cfg.Clock.Now()
	g.reader.begin(g.settings.bufferBytes(), g.step)
	if err := g.mapKeys(); err != nil {
		return err
	}
	if err := g.rewrite(); err != nil {
		return err
	}
	if err := l.dir.setCleaned(&t, g.end); err != nil {
		return err
	}
	g.retainer.Shrink(4 * g.settings.bufferBytes())
	c.m.logger.Info("compacted a log", "topic", l.tp.Topic, "partition", l.tp.Partition, "from", t.firstDirty, "to", g.end,
		"bytesRead", g.reader.allBytes, "bytesWritten", g.bytesWritten, "recordsRead", g.recordsRead, "recordsKept", g.recordsKept,
		"recordsWithoutKey", g.invalid, "mapUtilization", g.offsets.utilization(),
		"ms", c.m.cfg.Clock.Now().Sub(began).Milliseconds())
	return nil
}

// count adds what was done to the cleaner's counters.
func (g *cleaning) count() {
	s := &g.c.stats
	s.bytesRead.Add(uint64(g.reader.allBytes))
	s.bytesWritten.Add(g.bytesWritten)
	s.recordsRead.Add(g.recordsRead)
	s.recordsKept.Add(g.recordsKept)
	s.invalidRecords.Add(g.invalid)
}

// step is called around every read and write of n bytes: it keeps the rate and notices an abort.
func (g *cleaning) step(n int) error {
	if n > 0 {
		g.c.throttle.use(n, g.c.config().MaxBytesPerSecond, g.c.stopping)
	}
	return g.c.checkDone(&g.logToClean)
}

// mapKeys fills the key map and sets end.
func (g *cleaning) mapKeys() error {
	g.offsets.reset(g.upTo-g.firstDirty, g.settings.mapBytes(), g.settings.LoadFactor)
	g.end = g.upTo
	aborted, err := g.log.AbortedTxns(g.firstDirty, g.upTo)
	if err != nil {
		return err
	}
	g.txns.begin(aborted)
	for _, s := range g.segments[segmentFor(g.segments, g.firstDirty):] {
		full, err := g.mapSegment(s)
		if full || err != nil {
			return err
		}
	}
	return nil
}

// mapSegment adds the keys of one segment. When the map is full, end is the offset of the first record that
// did not fit.
func (g *cleaning) mapSegment(s *LogSegment) (full bool, err error) {
	f, err := s.acquire()
	if err != nil {
		return false, err
	}
	defer s.release()
	pos := int64(0)
	if s.base < g.firstDirty {
		b, found, err := s.locate(f, g.firstDirty, s.size.Load(), false)
		if err != nil || !found {
			return false, err
		}
		pos = b.position
	}
	g.reader.open(s, f, pos)
	defer g.reader.close()
	for {
		b, err := g.reader.next()
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if b.IsControl() {
			g.txns.markerRead(b)
			continue
		}
		if g.txns.batchRead(b) {
			continue // aborted: it replaces nothing
		}
		for r, err := range b.Records(0) {
			if err != nil {
				return false, g.reader.corrupt(err)
			}
			offset := b.BaseOffset() + int64(r.OffsetDelta)
			if r.Key == nil || offset < g.firstDirty {
				continue
			}
			if !g.offsets.put(r.Key, offset) {
				g.end = offset
				return true, nil
			}
		}
	}
}

// rewrite writes the segments anew, group after group.
func (g *cleaning) rewrite() error {
	if g.end == g.firstDirty {
		return nil
	}
	n := segmentFor(g.segments, g.end-1) + 1
	groups, err := groupSegments(g.segments[:n], g.upTo, &g.cfg)
	if err != nil {
		return err
	}
	g.lastOf = g.log.lastOfProducers()
	aborted, err := g.log.AbortedTxns(g.segments[0].base, g.upTo)
	if err != nil {
		return err
	}
	g.txns.begin(aborted)
	for _, group := range groups {
		if err := g.rewriteGroup(group); err != nil {
			return err
		}
	}
	return nil
}

// groupSegments puts neighbours together whose batches and indexes fit into one segment, offsets included.
// Kafka's Cleaner.groupSegmentsBySize. upTo is where the last one ends at the latest.
func groupSegments(segments []*LogSegment, upTo int64, cfg *LogConfig) (groups [][]*LogSegment, err error) {
	var bytes, offsetBytes, timeBytes int64
	for i, s := range segments {
		end := upTo
		if i+1 < len(segments) {
			end = segments[i+1].base
		}
		offsets, times, err := s.indexBytes()
		if err != nil {
			return nil, err
		}
		size := s.size.Load()
		bytes, offsetBytes, timeBytes = bytes+size, offsetBytes+offsets, timeBytes+times
		n := len(groups)
		if n > 0 && bytes <= int64(cfg.SegmentBytes) && max(offsetBytes, timeBytes) <= int64(cfg.SegmentIndexBytes) &&
			(size == 0 || end-1-groups[n-1][0].base <= maxRelativeOffset) {
			groups[n-1] = append(groups[n-1], s)
			continue
		}
		groups = append(groups, []*LogSegment{s})
		bytes, offsetBytes, timeBytes = size, offsets, times
	}
	return groups, nil
}

// indexBytes is the size of a sealed segment's indexes.
func (s *LogSegment) indexBytes() (offsets, times int64, err error) {
	f, err := s.acquire()
	if err != nil {
		return 0, 0, err
	}
	defer s.release()
	err = s.ensureIndexes(f)
	return int64(s.offsets.count()) * offsetEntryBytes, int64(s.times.count()) * timeEntryBytes, err
}

// lastOfProducers lists the last batch of every producer the log knows.
func (l *Log) lastOfProducers() map[int64]lastOfProducer {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	last := make(map[int64]lastOfProducer, l.producers.entries.len())
	for id, e := range l.producers.entries.all() {
		at := lastOfProducer{offset: -1, epoch: e.epoch}
		if e.n > 0 {
			at.offset = e.batches[e.n-1].lastOffset
		}
		last[id] = at
	}
	return last
}

// rewriteGroup compacts neighbouring segments into one.
func (g *cleaning) rewriteGroup(group []*LogSegment) error {
	out, err := g.newCleanedSegment(group[0].base)
	if err != nil {
		return err
	}
	for _, s := range group {
		if err := g.rewriteSegment(s, out); err != nil {
			out.discard()
			return err
		}
	}
	if out.same && len(group) == 1 {
		out.discard()
		return nil
	}
	if err := out.finish(group[len(group)-1], g.reader.mostlyCold()); err != nil {
		out.discard()
		return err
	}
	return g.log.swapIn(out, group, g.aborts)
}

// rewriteSegment copies what is left of a segment.
func (g *cleaning) rewriteSegment(s *LogSegment, out *cleanedSegment) error {
	f, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release()
	g.reader.open(s, f, 0)
	defer g.reader.close()
	for {
		b, err := g.reader.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := g.step(0); err != nil {
			return err
		}
		left, aborted, err := g.retain(b)
		if err != nil {
			return g.reader.corrupt(err)
		}
		if aborted != nil {
			out.aborted = append(out.aborted, *aborted)
		}
		out.same = out.same && len(left) > 0 && &left[0] == &b[0]
		if left == nil {
			out.tail = append(out.tail[:0], b[:recordbatch.HeaderSize]...)
			continue
		}
		out.tail = out.tail[:0]
		if err := out.add(left); err != nil {
			return err
		}
	}
}

// retain says what is left of a batch, nil if nothing is; aborted is the transaction a kept marker ends. Kafka's
// LogCleanerFilter, and KIP-534 for tombstones and markers.
func (g *cleaning) retain(b recordbatch.Batch) (left recordbatch.Batch, aborted *AbortedTxn, err error) {
	g.recordsRead += uint64(b.Count())
	o := recordbatch.RetainOptions{DeleteHorizon: g.horizon()}
	var discard bool
	if b.IsControl() {
		aborted, o.Marker = g.txns.markerRead(b)
		discard = o.Marker && b.HasDeleteHorizon() && b.BaseTimestamp() <= g.now
	} else {
		discard = g.txns.batchRead(b)
	}
	kept := 0
	if !discard {
		left, kept, err = g.retainer.Retain(b, o, func(r *recordbatch.Record) bool { return g.keep(b, r) })
		if err != nil {
			return nil, nil, err
		}
	}
	g.recordsKept += uint64(kept)
	if kept == 0 && g.isLastOfProducer(b) {
		if b.Count() == 0 {
			return b, aborted, nil
		}
		return b.Empty(), aborted, nil
	}
	return left, aborted, nil
}

// horizon is the time, in ms, from which tombstones that are compacted first now may go.
func (g *cleaning) horizon() int64 {
	if g.cfg.DeleteRetentionMs > math.MaxInt64-g.now {
		return math.MaxInt64
	}
	return g.now + g.cfg.DeleteRetentionMs
}

func (g *cleaning) isLastOfProducer(b recordbatch.Batch) bool {
	if !b.HasProducerID() {
		return false
	}
	last, ok := g.lastOf[b.ProducerID()]
	if last.offset >= 0 {
		return ok && last.offset == b.LastOffset()
	}
	return ok && b.IsControl() && last.epoch == b.ProducerEpoch()
}

// keep says whether one record stays.
func (g *cleaning) keep(b recordbatch.Batch, r *recordbatch.Record) bool {
	offset := b.BaseOffset() + int64(r.OffsetDelta)
	switch {
	case b.IsControl(), offset >= g.end:
		return true
	case r.Key == nil:
		g.invalid++
		return false
	case offset < g.offsets.get(r.Key):
		return false
	}
	return r.Value != nil || !b.HasDeleteHorizon() || g.now < b.BaseTimestamp()
}

// cleanedWriteError decides about a failed write of a cleaning: a full disk costs this cleaning, anything else the
// directory.
func (l *Log) cleanedWriteError(err error) error {
	switch {
	case err == nil, errors.Is(err, errCleaningAborted), errors.Is(err, ErrStorage):
		return err
	case isDiskFull(err):
		return fmt.Errorf("%w: %w: compaction of %s: %w", ErrStorage, ErrDiskFull, l.tp, err)
	}
	return l.dir.fail(fmt.Errorf("compaction of %s: %w", l.tp, err))
}
