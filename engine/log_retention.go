package engine

import (
	"errors"
	"fmt"
)

// segmentSuffixes are all files a segment may have.
var segmentSuffixes = []string{".log", ".index", ".timeindex", txnIndexSuffix, snapshotSuffix}

// applyRetention deletes the oldest segments that retention.ms, retention.bytes or the log start allow to go.
// The log is loaded.
// Kafka's UnifiedLog.deleteOldSegments: only whole segments below the high watermark; if even the active one
// has expired, the log rolls first.
func (l *Log) applyRetention() error {
	l.appendMu.Lock()
	n, err := l.deletable(l.cfg.Load())
	l.appendMu.Unlock()
	if err != nil || n == 0 {
		return err
	}
	back, err := l.leaveJournal()
	if err != nil {
		return err
	}
	defer back()
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if n, err = l.deletable(l.cfg.Load()); err != nil || n == 0 {
		return err
	}
	if err := l.deleteOldest(n); err != nil {
		if isDiskFull(err) { // no room for the new active segment; the others go next time
			return fmt.Errorf("%w: %w: %s: %w", ErrStorage, ErrDiskFull, l.tp, err)
		}
		return l.dir.fail(fmt.Errorf("retention of %s: %w", l.tp, err))
	}
	return nil
}

// deletable is how many of the oldest segments may go. appendMu is held.
func (l *Log) deletable(cfg *LogConfig) (int, error) {
	if err := l.usableLocked(); err != nil {
		return 0, err
	}
	var total int64
	for _, s := range l.segments {
		total += s.size.Load()
	}
	excess := int64(-1)
	if cfg.Delete && cfg.RetentionBytes >= 0 {
		excess = total - cfg.RetentionBytes
	}
	now, start, hw := l.nowMs(), l.logStart.Load(), l.highWatermark.Load()
	for i, s := range l.segments {
		size := s.size.Load()
		end := l.logEnd.Load()
		last := i+1 == len(l.segments)
		if !last {
			end = l.segments[i+1].base
		}
		if end > hw || last && size == 0 {
			return i, nil
		}
		expired := false
		if cfg.Delete && cfg.RetentionMs >= 0 {
			ts, err := s.largestTimestamp()
			if err != nil {
				return 0, err
			}
			if ts < 0 {
				ts = s.createdMs
			}
			expired = now-ts > cfg.RetentionMs
		}
		tooMuch := excess >= 0 && excess-size >= 0
		if !expired && !tooMuch && end > start {
			return i, nil
		}
		excess -= size
	}
	return len(l.segments), nil
}

// deleteOldest removes the first n segments. appendMu is held.
func (l *Log) deleteOldest(n int) error {
	if n == len(l.segments) {
		if err := l.roll(l.logEnd.Load()); err != nil {
			return err
		}
	}
	// The names that stay must be durable before others go, or a crash could leave none; and those that went
	// last time must be gone.
	if err := l.m.cfg.FS.SyncDir(l.path); err != nil {
		return err
	}
	gone := l.segments[:n]
	start := max(l.logStart.Load(), l.segments[n].base)
	l.viewMu.Lock()
	l.segments = append([]*LogSegment(nil), l.segments[n:]...)
	l.publishOffsets(start, l.highWatermark.Load(), l.logEnd.Load())
	l.viewMu.Unlock()
	l.epochs.truncateFromStart(start)
	l.logStartMoved(start)
	// Oldest first, each name durable before the next goes: a crash leaves a log without a hole.
	for i, s := range gone {
		if err := l.deleteSegment(s, i+1 < len(gone)); err != nil {
			return err
		}
	}
	l.m.logger.Info("deleted old segments", "topic", l.tp.Topic, "partition", l.tp.Partition,
		"segments", n, "logStartOffset", start)
	return nil
}

// deleteSegment takes a segment's files away from the log: they are renamed at once, and removed when
// file.delete.delay.ms has passed. Ranges keep reading. With sync the names are durable on return. The
// segment is out of the readers' view already; appendMu is held.
func (l *Log) deleteSegment(s *LogSegment, sync bool) error {
	fsys := l.m.cfg.FS
	s.abandon() // first: a reader must not look for a file of that name any more
	var renamed []string
	for _, suffix := range segmentSuffixes {
		path := s.prefix() + suffix
		err := fsys.Rename(path, path+deletedFileSuffix)
		if isNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		renamed = append(renamed, path+deletedFileSuffix)
	}
	if sync {
		if err := fsys.SyncDir(l.path); err != nil {
			return err
		}
	}
	l.removeFilesLater(renamed)
	return nil
}

// removeFilesLater removes renamed files when file.delete.delay.ms has passed.
func (l *Log) removeFilesLater(paths []string) {
	l.m.janitor.after(msDuration(l.cfg.Load().FileDeleteDelayMs), func() {
		for _, path := range paths {
			if err := l.m.cfg.FS.Remove(path); err != nil && !isNotExist(err) {
				l.m.logger.Warn("could not remove a deleted file", "path", path, "err", err)
			}
		}
	})
}

// errIsFinal tells errors that concern one log from those that mean a failing disk.
func errIsFinal(err error) bool {
	return err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrStorage) && !errors.Is(err, ErrLogClosed) &&
		!isDiskFull(err)
}
