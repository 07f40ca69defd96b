package engine

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"sync"
	"sync/atomic"

	"kserver/engine/vfs"
)

// logDir is one log directory: its lock, its committer, its checkpoints, and whether it still works.
//
// States: online -> offline (fail: a write or sync failed; final until restart).
type logDir struct {
	m         *LogManager
	path      string
	lock      io.Closer
	meta      metaProperties
	committer *committer
	unclean   bool // the last stop was
	fresh     bool // nothing was there

	failure atomic.Pointer[error]

	// sinceCheckpoint and sinceSpaceCheck count appended bytes.
	sinceCheckpoint, sinceSpaceCheck atomic.Int64
	full                             atomic.Bool

	// checkpointMu is held while checkpoint files are read or written. It comes before a log's appendMu.
	checkpointMu sync.Mutex
	recovery     map[TopicPartition]int64 // contents of the files on disk
	starts       map[TopicPartition]int64
	watermarks   map[TopicPartition]int64
}

// checkpointedOffsets are what the checkpoint files say of one log.
type checkpointedOffsets struct {
	recoveryPoint, logStart, highWatermark int64
}

func (d *logDir) checkpointed(tp TopicPartition) checkpointedOffsets {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	return checkpointedOffsets{d.recovery[tp], d.starts[tp], d.watermarks[tp]}
}

// offline is why the directory cannot be used any more, or nil.
func (d *logDir) offline() error {
	if p := d.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// fail takes the directory offline for good and returns the error everybody gets from now on, which is the
// first one. Logs hear of it on the committer's goroutine. Callable under any lock.
func (d *logDir) fail(err error) error {
	wrapped := storageError(d.path, err)
	if d.failure.CompareAndSwap(nil, &wrapped) {
		d.m.logger.Error("log directory is offline", "dir", d.path, "err", err)
		d.committer.poke()
	}
	return d.offline()
}

// logs lists the directory's logs.
func (d *logDir) logs() []*Log {
	d.m.mu.RLock()
	defer d.m.mu.RUnlock()
	var logs []*Log
	for _, l := range d.m.logs {
		if l.dir == d {
			logs = append(logs, l)
		}
	}
	return logs
}

// appended counts written bytes, bringing checkpoints and checks of the free space forward.
func (d *logDir) appended(n int) {
	bytes := int64(n)
	if d.sinceCheckpoint.Add(bytes) >= d.m.cfg.CheckpointBytes {
		d.sinceCheckpoint.Store(0)
		d.m.janitor.after(0, func() { d.m.logCheckpointError(d.checkpoint(false)) })
	}
	if d.sinceSpaceCheck.Add(bytes) >= spaceCheckBytes {
		d.checkSpace()
	}
}

// spaceCheckBytes is how much may be appended between two looks at the free space.
const spaceCheckBytes = 16 << 20

// checkSpace compares the free space with the reserve. Not being able to tell counts as enough: a write that
// finds no space says so.
func (d *logDir) checkSpace() {
	d.sinceSpaceCheck.Store(0)
	free, total, err := d.m.cfg.FS.FreeBytes(d.path)
	d.full.Store(err == nil && free < d.m.cfg.reserve(total))
}

// belowReserve says whether clients' appends must be refused to leave space for everything else. While it is
// so, every call looks again.
func (d *logDir) belowReserve() bool {
	if d.full.Load() {
		d.checkSpace()
	}
	return d.full.Load()
}

// readCheckpoints reads the three checkpoint files. A damaged one counts as empty: everything is recovered.
func (d *logDir) readCheckpoints() error {
	read := func(name string) (map[TopicPartition]int64, error) {
		offsets, err := readOffsetCheckpoint(d.m.cfg.FS, filepath.Join(d.path, name))
		if err != nil && errIsFinal(err) {
			return nil, err
		}
		if err != nil {
			d.m.logger.Warn("checkpoint is damaged, recovering without it", "dir", d.path, "file", name, "err", err)
			d.unclean = true
			offsets = map[TopicPartition]int64{}
		}
		return offsets, nil
	}
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	var err error
	if d.recovery, err = read(recoveryPointFile); err != nil {
		return err
	}
	if d.starts, err = read(logStartFile); err != nil {
		return err
	}
	d.watermarks, err = read(highWatermarkFile)
	return err
}

// checkpoint writes how far each log is durable, where it starts and what its high watermark is, after making
// durable what a recovery from there relies on. With final set it also writes what a clean start relies on;
// appends have ended then.
func (d *logDir) checkpoint(final bool) error {
	if err := d.offline(); err != nil {
		return err
	}
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	recovery := maps.Clone(d.recovery)
	starts, watermarks := maps.Clone(d.starts), maps.Clone(d.watermarks)
	live := make(map[TopicPartition]bool)
	logs := d.logs()
	prepared, err := d.prepareCheckpoints(logs, final)
	if err != nil {
		return err
	}
	for i, l := range logs {
		live[l.tp] = true
		c := prepared[i]
		if !c.known {
			continue
		}
		recovery[l.tp], watermarks[l.tp] = c.recoveryPoint, c.highWatermark
		delete(starts, l.tp)
		if c.logStart > 0 {
			starts[l.tp] = c.logStart
		}
	}
	for _, m := range []map[TopicPartition]int64{recovery, starts, watermarks} {
		maps.DeleteFunc(m, func(tp TopicPartition, _ int64) bool { return !live[tp] })
	}
	return d.writeCheckpointsLocked(recovery, starts, watermarks)
}

// preparedLog is one log's line in the checkpoints; known is false for a log that was never opened, whose
// lines stay as they are.
type preparedLog struct {
	checkpointedOffsets
	known bool
}

// closeThreads is how many logs are written out at a time when the manager closes.
const closeThreads = 16

// prepareCheckpoints prepares every loaded log: one after another while the broker runs, so that commit rounds
// are not held up, many at a time at the end.
func (d *logDir) prepareCheckpoints(logs []*Log, final bool) ([]preparedLog, error) {
	prepared := make([]preparedLog, len(logs))
	threads := 1
	if final {
		threads = closeThreads
	}
	err := inParallel(len(logs), threads, func(i int) error {
		l := logs[i]
		if !l.loaded.Load() {
			return nil
		}
		c, err := l.prepareCheckpoint(final)
		switch {
		case isDiskFull(err):
			return fmt.Errorf("%w: %w: checkpoint of %s: %w", ErrStorage, ErrDiskFull, l.tp, err)
		case err != nil:
			return d.fail(fmt.Errorf("checkpoint of %s: %w", l.tp, err))
		}
		prepared[i] = preparedLog{c, true}
		return nil
	})
	return prepared, err
}

// writeCheckpointsLocked replaces the files whose contents changed. checkpointMu is held.
func (d *logDir) writeCheckpointsLocked(recovery, starts, watermarks map[TopicPartition]int64) error {
	for _, file := range []struct {
		name string
		old  *map[TopicPartition]int64
		new  map[TopicPartition]int64
	}{
		{logStartFile, &d.starts, starts},
		{highWatermarkFile, &d.watermarks, watermarks},
		{recoveryPointFile, &d.recovery, recovery},
	} {
		if maps.Equal(*file.old, file.new) {
			continue
		}
		if err := writeOffsetCheckpoint(d.m.cfg.FS, d.path, file.name, file.new); err != nil {
			if isDiskFull(err) {
				return fmt.Errorf("%w: %w: %s: %w", ErrStorage, ErrDiskFull, file.name, err)
			}
			return d.fail(fmt.Errorf("write of %s: %w", file.name, err))
		}
		*file.old = file.new
	}
	return nil
}

// withRecoveryPointAt runs f, which may cut the log back to offset, while the recovery point on disk is not
// above offset and no checkpoint can raise it.
func (d *logDir) withRecoveryPointAt(tp TopicPartition, offset int64, f func() error) error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	if d.recovery[tp] > offset {
		recovery := maps.Clone(d.recovery)
		recovery[tp] = offset
		if err := d.writeCheckpointsLocked(recovery, d.starts, d.watermarks); err != nil {
			return err
		}
	}
	return f()
}

// forget removes what the checkpoints say of a log whose directory was deleted, before the name is used again.
func (d *logDir) forget(tp TopicPartition) error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	recovery, starts, watermarks := maps.Clone(d.recovery), maps.Clone(d.starts), maps.Clone(d.watermarks)
	for _, m := range []map[TopicPartition]int64{recovery, starts, watermarks} {
		delete(m, tp)
	}
	return d.writeCheckpointsLocked(recovery, starts, watermarks)
}

// writeLogStarts makes the current log start offsets of the directory durable.
func (d *logDir) writeLogStarts() error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	starts := maps.Clone(d.starts)
	for _, l := range d.logs() {
		if l.loaded.Load() {
			if at := l.logStart.Load(); at > 0 {
				starts[l.tp] = at
			}
		}
	}
	return d.writeCheckpointsLocked(d.recovery, starts, d.watermarks)
}

// prepareCheckpoint makes durable what a recovery of this log from the returned point relies on: the indexes
// of sealed segments and the leader epochs. With final set also everything a clean start reads instead of the
// log: the active segment's indexes and the producer snapshot.
func (l *Log) prepareCheckpoint(final bool) (c checkpointedOffsets, err error) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	l.viewMu.Lock()
	c = checkpointedOffsets{l.lastFlushed, l.logStart.Load(), l.highWatermark.Load()}
	end := l.logEnd.Load()
	l.viewMu.Unlock()
	if l.deleted {
		return c, nil
	}
	for _, s := range l.segments {
		if !s.indexUnsynced {
			continue
		}
		if err := s.syncIndexes(); err != nil {
			return c, err
		}
		s.indexUnsynced = false
	}
	if b := l.epochs.take(); b != nil {
		if err := vfs.ReplaceFileDurably(l.m.cfg.FS, l.path, filepath.Join(l.path, leaderEpochFile), b); err != nil {
			l.epochs.failed()
			return c, err
		}
	}
	if !final {
		if l.unsnapshotted >= snapshotBytes {
			err = l.snapshot()
		}
		return c, err
	}
	if !l.changed {
		return c, nil // the files are as they were found
	}
	if active := l.activeLocked(); active.size.Load() > 0 {
		if err := l.sealActive(active); err != nil {
			return c, err
		}
		if err := active.syncIndexes(); err != nil {
			return c, err
		}
	}
	if l.producers.snapshotAt != end && len(l.producers.entries) > 0 {
		if err := l.snapshot(); err != nil {
			return c, err
		}
	}
	return c, l.m.cfg.FS.SyncDir(l.path)
}
