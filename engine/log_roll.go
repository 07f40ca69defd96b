package engine

import (
	"hash/fnv"
)

// maybeRoll begins a new segment if the append of n bytes does not belong into the active one. Kafka's
// LogSegment.shouldRoll. appendMu is held.
func (l *Log) maybeRoll(cfg *LogConfig, sum batchSummary, n int64) error {
	s := l.activeLocked()
	size := s.size.Load()
	if size == 0 && sum.last-s.base <= maxRelativeOffset {
		return nil
	}
	full := size > int64(cfg.SegmentBytes)-n ||
		s.offsets.count() >= cfg.SegmentIndexBytes/offsetEntryBytes ||
		s.times.count() >= cfg.SegmentIndexBytes/timeEntryBytes-1 ||
		sum.last-s.base > maxRelativeOffset
	if !full && !l.tooOld(s, cfg, sum.maxTimestamp) {
		return nil
	}
	// The new segment begins where this one ends even if the batches leave a gap: that neighbours touch is
	// how recovery knows that nothing between them was lost. A gap too wide for that tells itself.
	base := l.logEnd.Load()
	if sum.last-base > maxRelativeOffset {
		base = sum.first
		if err := s.syncLog(); err != nil {
			return err
		}
	}
	return l.roll(base)
}

// tooOld applies segment.ms: by record time where the segment's first append had one, else by the clock.
func (l *Log) tooOld(s *LogSegment, cfg *LogConfig, maxTimestamp int64) bool {
	var age int64
	if s.firstTimestamp >= 0 {
		age = maxTimestamp - s.firstTimestamp
	} else {
		age = l.nowMs() - s.createdMs
	}
	most := cfg.SegmentMs
	if cfg.Compact && cfg.MaxCompactionLagMs > 0 {
		most = min(most, cfg.MaxCompactionLagMs) // the active segment is not compacted (KIP-354)
	}
	return age > most-l.jitter(min(cfg.SegmentJitterMs, most), s.base)
}

// jitter is below bound and spreads the rolls of logs that began at the same time. It depends only on the
// segment's name, so that it needs neither state nor a random source.
func (l *Log) jitter(bound, base int64) int64 {
	if bound == 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(l.tp.String()))
	_, _ = h.Write([]byte(offsetFileName(base)))
	return int64(h.Sum64() % uint64(bound))
}

// roll seals the active segment and makes base the first offset of a new one. An error leaves the log as it
// was. appendMu is held.
func (l *Log) roll(base int64) error {
	old := l.activeLocked()
	if err := l.settleFirstName(); err != nil {
		return err
	}
	next, err := l.createSegment(base)
	if err != nil {
		return err
	}
	if err := l.sealActive(old); err != nil {
		next.abandon()
		_ = l.m.cfg.FS.Remove(next.prefix() + segmentSuffix[logFile]) // the failed append reports the reason
		return err
	}
	l.addSegment(next)
	if l.producers.entries.len() > 0 || l.producers.snapshotAt >= 0 {
		// Without it recovery reads more of the log, nothing else: a full disk is no reason to refuse.
		if err := l.snapshot(); err != nil && !isDiskFull(err) {
			return err
		}
	}
	return nil
}

// settleFirstName makes the name of a log's only segment durable before it gets a second: if a crash left that alone,
// nobody could tell that records below it are missing. (Behind a first segment it shows: neighbours touch.)
func (l *Log) settleFirstName() error {
	l.viewMu.Lock()
	dirty := l.dirtyNames && len(l.segments) == 1
	l.viewMu.Unlock()
	if !dirty {
		return nil
	}
	return l.m.cfg.FS.SyncDir(l.path)
}

// createSegment makes the log file of a new segment. Its name becomes durable with the next commit round.
func (l *Log) createSegment(base int64) (*LogSegment, error) {
	s := newSegment(l.m.pool, l.path, base)
	f, err := l.m.cfg.FS.Create(s.prefix() + segmentSuffix[logFile])
	if err != nil {
		return nil, err
	}
	s.adopt(f)
	s.indexLoaded.Store(true)
	s.createdMs = l.nowMs()
	return s, nil
}

// prepareSegment makes a new segment whose log file has a temporary name as yet, at path tmp.
func (l *Log) prepareSegment(base int64) (s *LogSegment, tmp string, err error) {
	s = newSegment(l.m.pool, l.path, base)
	tmp = s.prefix() + segmentSuffix[logFile] + tmpSuffix
	f, err := l.m.cfg.FS.Create(tmp)
	if err != nil {
		return nil, "", err
	}
	s.adopt(f)
	s.indexLoaded.Store(true)
	s.createdMs = l.nowMs()
	return s, tmp, nil
}

// addSegment publishes a new active segment. appendMu is held.
func (l *Log) addSegment(s *LogSegment) {
	l.viewMu.Lock()
	l.activeLocked().bound.Store(s.base)
	l.segments = append(l.segments[:len(l.segments):len(l.segments)], s)
	l.dirtyNames = true
	l.viewMu.Unlock()
}

// sealActive writes out the indexes of a segment that gets no more appends. They are synced by the next
// checkpoint, before the recovery point moves past the segment. appendMu is held.
func (l *Log) sealActive(s *LogSegment) error {
	if _, err := s.acquire(); err != nil {
		return err
	}
	defer s.release()
	ix := indexer{maxTimestamp: s.maxTimestamp.Load(), offsetOfMax: s.offsetOfMaxTimestamp.Load()}
	if err := ix.seal(s); err != nil {
		return err
	}
	if err := s.flushIndexes(); err != nil && !isDiskFull(err) { // without room they stay in memory until the checkpoint
		return err
	}
	s.indexUnsynced = true
	s.sealed.Store(true)
	return nil
}
