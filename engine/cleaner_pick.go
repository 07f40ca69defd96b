package engine

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
)

// logToClean is a log with what there is to compact in it. Kafka's LogToClean.
type logToClean struct {
	log    *Log
	aborts int64 // Log.cleanAborts when it was looked at
	// firstDirty is where the part that was not compacted yet begins, upTo (a segment's base) where the part
	// that may not be compacted begins.
	firstDirty, upTo int64
	clean, cleanable int64 // bytes of segments below firstDirty, and from there to upTo
	overdue          bool  // a record has waited for max.compaction.lag.ms
}

// ratio is the share of the bytes that were not compacted yet.
func (t *logToClean) ratio() float64 {
	return float64(t.cleanable) / float64(t.clean+t.cleanable)
}

// due applies min.cleanable.dirty.ratio and max.compaction.lag.ms (KIP-354).
func (t *logToClean) due() bool {
	return t.cleanable > 0 && (t.overdue || t.ratio() > t.log.cfg.Load().MinCleanableRatio)
}

// grab chooses the log that needs compaction most, and marks it as in progress.
func (c *logCleaner) grab() (best logToClean, found bool) {
	c.grabMu.Lock()
	defer c.grabMu.Unlock()
	now := c.m.cfg.Clock.Now().UnixMilli()
	loads := backgroundLoads
	for _, l := range c.m.Logs() {
		if !c.candidate(l, &loads) {
			continue
		}
		t, err := l.toClean(now)
		if err != nil {
			if l.cleanAborts.Load() == t.aborts && !errors.Is(err, errSegmentGone) && !errors.Is(err, ErrStorage) {
				c.done(t, fmt.Errorf("what there is to compact cannot be told: %w", err))
			}
			continue
		}
		if t.due() && (!found || t.ratio() > best.ratio()) {
			best, found = t, true
		}
	}
	if found {
		c.mu.Lock()
		c.inProgress[best.log] = true
		c.mu.Unlock()
	}
	return best, found
}

// candidate says whether a log may be compacted at all. It may load so many more.
func (c *logCleaner) candidate(l *Log, loads *int) bool {
	if !l.cfg.Load().Compact || l.dir.offline() != nil {
		return false
	}
	c.mu.Lock()
	busy := c.stopped || c.inProgress[l] || c.uncleanable[l] != nil
	c.mu.Unlock()
	return !busy && l.loadForBackground(loads)
}

// toClean finds what there is to compact at the time now (ms). Kafka's LogCleanerManager.cleanableOffsets and
// maxCompactionDelay.
//
// Nothing at or behind the last stable offset, and nothing of the active segment or one that holds a record
// younger than min.compaction.lag.ms, is compacted; what is compacted ends with a segment.
func (l *Log) toClean(now int64) (t logToClean, err error) {
	t = logToClean{log: l, aborts: l.cleanAborts.Load()}
	cfg := l.cfg.Load()
	cleaned := l.dir.cleanedTo(l.tp)
	segments := l.segmentList()
	sealed := segments[:len(segments)-1]
	start, end := l.logStart.Load(), l.logEnd.Load()
	if t.firstDirty = cleaned; cleaned < start || cleaned > end {
		t.firstDirty = start
	}
	upTo := min(l.lastStable.Load(), segments[len(segments)-1].base)
	if s := segments[segmentFor(segments, upTo)]; s.base < upTo {
		upTo = s.base
	}
	earliest := int64(noOffset)
	for i, s := range sealed {
		if segments[i+1].base <= t.firstDirty {
			continue
		}
		if s.base >= upTo {
			break
		}
		if cfg.MinCompactionLagMs > 0 {
			ts, err := s.largestTimestamp()
			if err != nil {
				return t, err
			}
			if ts > now-cfg.MinCompactionLagMs {
				upTo = s.base
				break
			}
		}
		if cfg.MaxCompactionLagMs < noOffset {
			ts, err := l.firstBatchTimestamp(s)
			if err != nil {
				return t, err
			}
			if ts > 0 {
				earliest = min(earliest, ts)
			}
		}
	}
	t.upTo = max(upTo, t.firstDirty)
	t.overdue = earliest < now-cfg.MaxCompactionLagMs
	for i, s := range sealed {
		size := s.size.Load()
		if s.base < t.firstDirty {
			t.clean += size
		}
		if t.firstDirty < t.upTo && s.base < t.upTo && segments[i+1].base > t.firstDirty {
			t.cleanable += size
		}
	}
	return t, nil
}

// firstBatchTimestamp is the largest timestamp of a segment's first batch, from memory or its header.
func (l *Log) firstBatchTimestamp(s *LogSegment) (int64, error) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if s.firstTimestamp >= 0 || s.size.Load() == 0 {
		return s.firstTimestamp, nil
	}
	f, err := s.acquire()
	if err != nil {
		return -1, err
	}
	defer s.release()
	s.firstTimestamp, err = firstTimestamp(f, s.size.Load())
	return s.firstTimestamp, err
}

// cleanerCheckpointFile says up to where each log has been compacted.
const cleanerCheckpointFile = "cleaner-offset-checkpoint"

// readCleanerCheckpoint reads it; a damaged one counts as empty: the logs are compacted from their start. One without
// a byte is Kafka's, from before its first cleaning. checkpointMu is held.
func (d *logDir) readCleanerCheckpoint() error {
	path := filepath.Join(d.path, cleanerCheckpointFile)
	if info, err := d.m.cfg.FS.Stat(path); err == nil && info.Size == 0 {
		d.cleaned = map[TopicPartition]int64{}
		return nil
	}
	offsets, err := readOffsetCheckpoint(d.m.cfg.FS, path)
	if err != nil && errIsFinal(err) {
		return err
	}
	if err != nil {
		d.m.logger.Warn("cleaner checkpoint is damaged, compacting all anew", "dir", d.path, "err", err)
		offsets = map[TopicPartition]int64{}
	}
	d.cleaned = offsets
	return nil
}

// cleanedTo is where the part of a log begins that was not compacted yet.
func (d *logDir) cleanedTo(tp TopicPartition) int64 {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	return d.cleaned[tp]
}

// setCleaned notes that a log has been compacted up to offset, unless the log changed since. A cleaning that
// is not noted is repeated.
func (d *logDir) setCleaned(t *logToClean, offset int64) error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	if t.log.cleanAborts.Load() != t.aborts {
		return errCleaningAborted
	}
	return d.writeCleaned(func(cleaned map[TopicPartition]int64) { cleaned[t.log.tp] = offset })
}

// lowerCleaned makes sure that the checkpoint says nothing about what a truncation to offset takes away.
// checkpointMu is held.
func (d *logDir) lowerCleaned(tp TopicPartition, offset int64) error {
	if d.cleaned[tp] <= offset {
		return nil
	}
	return d.writeCleaned(func(cleaned map[TopicPartition]int64) { cleaned[tp] = offset })
}

// forgetCleaned removes what the checkpoint says of a log. checkpointMu is held.
func (d *logDir) forgetCleaned(tp TopicPartition) error {
	if _, ok := d.cleaned[tp]; !ok {
		return nil
	}
	return d.writeCleaned(func(cleaned map[TopicPartition]int64) { delete(cleaned, tp) })
}

// writeCleaned replaces the file, in which logs that are gone have no line. checkpointMu is held.
func (d *logDir) writeCleaned(change func(map[TopicPartition]int64)) error {
	cleaned := maps.Clone(d.cleaned)
	maps.DeleteFunc(cleaned, func(tp TopicPartition, _ int64) bool {
		l, ok := d.m.Log(tp)
		return !ok || l.dir != d
	})
	change(cleaned)
	if maps.Equal(cleaned, d.cleaned) {
		return nil
	}
	if err := writeOffsetCheckpoint(d.m.cfg.FS, d.path, cleanerCheckpointFile, cleaned); err != nil {
		return d.checkpointFailed(fmt.Errorf("write of %s: %w", cleanerCheckpointFile, err))
	}
	d.cleaned = cleaned
	return nil
}
