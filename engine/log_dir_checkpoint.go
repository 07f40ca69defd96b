package engine

import (
	"fmt"
	"maps"
	"path/filepath"

	"kserver/engine/vfs"
)

// checkpoint writes how far each log is durable, where it starts and what its high watermark is, after making
// durable what a recovery from there relies on. With final set it also writes what a clean start relies on;
// appends have ended then.
//
// A recovery relies, below the recovery point, on the indexes of sealed segments and on the leader epoch
// file. Their syncs go one by one while they are few; many are replaced by one sync of the file system.
func (d *logDir) checkpoint(final bool) error {
	if err := d.offline(); err != nil {
		return err
	}
	if err := d.flushJournal(); err != nil { // so that the next start has little to replay
		return err
	}
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	recovery := maps.Clone(d.recovery)
	starts, watermarks := maps.Clone(d.starts), maps.Clone(d.watermarks)
	live := make(map[TopicPartition]bool)
	var work checkpointWork
	for _, l := range sortedLogs(d.logs()) {
		live[l.tp] = true
		if !l.loaded.Load() {
			continue // its lines stay as they are
		}
		c, err := l.prepareCheckpoint(final, &work)
		if err != nil {
			return d.checkpointFailed(fmt.Errorf("checkpoint of %s: %w", l.tp, err))
		}
		c.put(l.tp, recovery, starts, watermarks)
	}
	if final && d.recoverer.unsynced.Load() {
		work.all = true
	}
	if err := work.finish(d); err != nil {
		return d.checkpointFailed(err)
	}
	for _, m := range []map[TopicPartition]int64{recovery, starts, watermarks} {
		maps.DeleteFunc(m, func(tp TopicPartition, _ int64) bool { return !live[tp] })
	}
	return d.writeCheckpointsLocked(recovery, starts, watermarks)
}

// checkpointFailed decides the fate of a failed checkpoint: without space it is tried again later, anything
// else is final for the directory.
func (d *logDir) checkpointFailed(err error) error {
	if isDiskFull(err) {
		return fmt.Errorf("%w: %w: %w", ErrStorage, ErrDiskFull, err)
	}
	return d.fail(err)
}

// checkpointWork collects what a checkpoint has to make durable.
type checkpointWork struct {
	files   []syncTarget
	renames []tempFile
	all     bool // sync the whole file system once
}

func (w *checkpointWork) add(other *checkpointWork) {
	w.files, w.renames = append(w.files, other.files...), append(w.renames, other.renames...)
}

// tempFile is a file of a partition that was written under a temporary name.
type tempFile struct {
	path   string // the final one
	dir    string
	failed func() // called if it does not get that name: it has to be written again
}

// replace notes that the file at path+tmpSuffix is to replace the one at path.
func (w *checkpointWork) replace(path, dir string, failed func()) {
	w.files = append(w.files, syncTarget{path: path + tmpSuffix, optional: true})
	w.renames = append(w.renames, tempFile{path, dir, failed})
}

// bulkSyncs is how many files are synced one by one before one sync of the whole file system is cheaper.
const bulkSyncs = 32

// finish syncs the files, then gives the temporary ones their names, then syncs those. A log deleted since
// has taken its files away. checkpointMu is held.
func (w *checkpointWork) finish(d *logDir) error {
	if err := w.sync(d); err != nil {
		return err
	}
	if err := w.rename(d); err != nil {
		return err
	}
	return w.sync(d)
}

// rename gives the temporary files their names, which are to be synced then. checkpointMu is held.
func (w *checkpointWork) rename(d *logDir) error {
	for _, t := range w.renames {
		if err := d.m.cfg.FS.Rename(t.path+tmpSuffix, t.path); err != nil && !isNotExist(err) {
			t.failed()
			return err
		}
		w.files = append(w.files, syncTarget{dir: t.dir, optional: true})
	}
	w.renames = nil
	return nil
}

func (w *checkpointWork) sync(d *logDir) error {
	if w.all || len(w.files) > bulkSyncs {
		w.files, w.all = nil, false
		return d.m.cfg.FS.SyncAll(d.path)
	}
	return w.syncEach(d)
}

// syncEach syncs the files one by one, however many they are.
func (w *checkpointWork) syncEach(d *logDir) error {
	files := w.files
	w.files = nil
	for i := range files {
		if err := files[i].sync(d.m.cfg.FS); err != nil {
			return err
		}
	}
	return nil
}

// prepareCheckpoint returns a log's lines of the checkpoint, adding to work what must be durable before they
// are written. With final set it also writes what a clean start reads instead of the log: the active
// segment's indexes and the producer snapshot.
func (l *Log) prepareCheckpoint(final bool, work *checkpointWork) (c checkpointedOffsets, err error) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if final && l.changed && !l.deleted && !l.unborn.Load() {
		if err := l.writeForCleanStart(work); err != nil {
			return c, err
		}
	}
	return l.prepareCheckpointLocked(work)
}

// prepareCheckpointLocked is prepareCheckpoint of one that is not final. appendMu is held.
func (l *Log) prepareCheckpointLocked(work *checkpointWork) (c checkpointedOffsets, err error) {
	l.viewMu.Lock()
	c = checkpointedOffsets{l.committed, l.logStart.Load(), l.highWatermark.Load()}
	l.viewMu.Unlock()
	if planted(bugCheckpointAhead) {
		c.recoveryPoint = l.logEnd.Load()
	}
	if end := l.logEnd.Load(); end != l.checkpointEnd {
		l.checkpointEnd = end
	} else {
		l.trim()
	}
	if l.deleted || l.unborn.Load() {
		return c, nil
	}
	if l.unsnapshotted >= snapshotBytes {
		if err := l.snapshot(); err != nil {
			return c, err
		}
	}
	newSums := l.txnSumsLost
	for _, s := range l.segments {
		if s.indexUnsynced {
			if err := s.flushPinned(); err != nil {
				return c, err
			}
			work.files = append(work.files, syncTarget{path: s.prefix() + offsetCodec.suffix, optional: true},
				syncTarget{path: s.prefix() + timeCodec.suffix, optional: true})
			s.indexUnsynced = false
		}
		unsynced, err := s.txns.toSync(l.m.cfg.FS)
		if err != nil {
			return c, err
		}
		newSums = newSums || unsynced
		if unsynced {
			work.files = append(work.files, syncTarget{path: s.txns.path(), optional: true}, syncTarget{dir: l.path, optional: true})
		}
	}
	if newSums {
		l.txnSumsLost = true
		if err := l.writeTxnSums(work); err != nil {
			return c, err
		}
		l.txnSumsLost = false
	}
	if b := l.epochs.take(); b != nil {
		path := filepath.Join(l.path, leaderEpochFile)
		if err := vfs.WriteFile(l.m.cfg.FS, path+tmpSuffix, b); err != nil {
			l.epochs.failed()
			return c, err
		}
		work.replace(path, l.path, l.epochs.failed)
	}
	return c, nil
}

// trim lets go of memory that only makes the next append, or a read near the end, faster. appendMu is held.
func (l *Log) trim() {
	l.viewMu.Lock()
	l.recent = recentBatches{}
	if len(l.dirty) == 0 {
		l.dirty = nil
	}
	l.viewMu.Unlock()
	for _, s := range l.segments {
		s.offsets.trim()
		s.times.trim()
	}
}

// writeForCleanStart writes the files a clean start relies on. appendMu is held.
func (l *Log) writeForCleanStart(work *checkpointWork) error {
	if active := l.activeLocked(); active.size.Load() > 0 {
		if err := l.sealActive(active); err != nil {
			return err
		}
	}
	if p := l.producers; p.snapshotAt != p.end && p.entries.len() > 0 {
		if err := l.snapshot(); err != nil {
			return err
		}
		work.files = append(work.files, syncTarget{path: filepath.Join(l.path, offsetFileName(p.end)+snapshotSuffix)})
	}
	l.unsnapshotted = 0
	work.files = append(work.files, syncTarget{dir: l.path})
	return nil
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
	if err := d.lowerCleaned(tp, offset); err != nil {
		return err
	}
	if d.recovery[tp] > offset && !planted(bugPointNotLowered) {
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
	if err := d.forgetCleaned(tp); err != nil {
		return err
	}
	if !knows(d.recovery, tp) && !knows(d.starts, tp) && !knows(d.watermarks, tp) {
		return nil // as of every new name, of which there may be thousands
	}
	recovery, starts, watermarks := maps.Clone(d.recovery), maps.Clone(d.starts), maps.Clone(d.watermarks)
	for _, m := range []map[TopicPartition]int64{recovery, starts, watermarks} {
		delete(m, tp)
	}
	return d.writeCheckpointsLocked(recovery, starts, watermarks)
}

func knows(offsets map[TopicPartition]int64, tp TopicPartition) bool {
	_, ok := offsets[tp]
	return ok
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
