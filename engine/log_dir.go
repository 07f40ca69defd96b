package engine

import (
	"cmp"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	journal   *commitJournal
	keeper    *journalKeeper
	unclean   bool // the last stop was
	fresh     bool // nothing was there

	failure atomic.Pointer[error]

	// written counts appended bytes; checkpointAt is what it was at the last checkpoint.
	written, checkpointAt atomic.Int64
	space                 diskSpace

	recoverer *recoverer
	recovered atomic.Int64 // logs, since the start

	// checkpointMu is held while checkpoint files are read or written. It comes before a log's appendMu.
	checkpointMu sync.Mutex
	recovery     map[TopicPartition]int64 // contents of the files on disk
	starts       map[TopicPartition]int64
	watermarks   map[TopicPartition]int64
	cleaned      map[TopicPartition]int64 // up to where each log has been compacted
}

// checkpointedOffsets are what the checkpoint files say of one log.
type checkpointedOffsets struct {
	recoveryPoint, logStart, highWatermark int64
}

// put enters them for a log in the contents of the three files. A log start of 0 has no line.
func (c *checkpointedOffsets) put(tp TopicPartition, recovery, starts, watermarks map[TopicPartition]int64) {
	recovery[tp], watermarks[tp] = c.recoveryPoint, c.highWatermark
	delete(starts, tp)
	if c.logStart > 0 {
		starts[tp] = c.logStart
	}
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

// sortedLogs puts logs in the order of their names, so that what is done for all is done in the same order always.
func sortedLogs(logs []*Log) []*Log {
	slices.SortFunc(logs, func(a, b *Log) int {
		return cmp.Or(strings.Compare(a.tp.Topic, b.tp.Topic), cmp.Compare(a.tp.Partition, b.tp.Partition))
	})
	return logs
}

// appended counts written bytes, bringing checkpoints and checks of the free space forward.
func (d *logDir) appended(n int) {
	written := d.written.Add(int64(n))
	if written-d.checkpointAt.Load() >= d.m.cfg.CheckpointBytes {
		d.checkpointAt.Store(written)
		d.m.janitor.after(0, func() { d.m.logCheckpointError(d.checkpoint(false)) })
	}
	if written-d.space.checkedAt.Load() >= spaceCheckBytes {
		d.checkSpace()
	}
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
	if d.watermarks, err = read(highWatermarkFile); err != nil {
		return err
	}
	return d.readCleanerCheckpoint()
}
