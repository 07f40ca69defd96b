package engine

import (
	"errors"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// recoverer is how the logs of a directory are recovered after an unclean stop: each by its first use, on the
// goroutine that asks, and all others meanwhile by Config.RecoveryThreads goroutines that go through them once. So a
// start waits for none of it, and who asks for a log never waits behind others'.
//
// The background keeps out of the way. It does not load what nobody has asked for: it leaves each log on disk as a
// clean stop would, and takes no memory for it. It makes durable what it recovers log by log (settle), since one sync
// of the file system for all would have everybody wait for whatever any program has written there. Most logs need
// none of it: what is not behind its last checkpoint is unchanged (Log.openUnchanged).
//
// States of a log after an unclean stop: unrecovered -> loaded (Log.load), or unrecovered -> written (writeUnused) ->
// recovered (checkpointRecovered) -> loaded. A written log counts as unrecovered: who uses it then checks it again.
type recoverer struct {
	d    *logDir
	logs []*Log // found unrecovered, by name

	// durable is how far the commit journal vouches for a log, by the name of its directory: everything up to there was
	// durable when the newest frame with bytes of the log was written. Not changed after the replay.
	durable map[string]logPosition

	stopping atomic.Bool
	over     atomic.Bool // the background has gone through all
	// unsynced: there are logs whose side files a clean start relies on, and no sync has covered.
	unsynced atomic.Bool
	wg       sync.WaitGroup
	took     atomic.Int64 // ns, once all were gone through

	namesMu      sync.Mutex // a leaf, held while the directory is synced
	namesSettled bool       // the names in the log directory itself are durable
}

// logPosition is a position in the segment of a base offset.
type logPosition struct{ base, position int64 }

// vouched says that bytes of the log at or behind a position are known to have been durable.
func (r *recoverer) vouched(l *Log, base, position int64) bool {
	d, ok := r.durable[l.tp.String()]
	return ok && (base < d.base || base == d.base && position < d.position)
}

// errStopping ends a recovery that is under way when the manager is closed.
var errStopping = errors.New("the logs are being closed")

// recoveryBatch is how many logs the background recovers between two checkpoints of them.
const recoveryBatch = 1024

// start begins to recover all logs in the background.
func (r *recoverer) start() {
	if len(r.logs) == 0 {
		r.over.Store(true)
		return
	}
	if r.d.m.cfg.stepped {
		r.d.m.janitor.after(0, r.run)
		return
	}
	r.wg.Go(r.run)
}

// stop ends that after the logs it is at, and returns when it has ended.
func (r *recoverer) stop() {
	r.stopping.Store(true)
	r.wg.Wait()
}

// run recovers what nobody has asked for. The directory's failure ends it.
func (r *recoverer) run() {
	d := r.d
	began := d.m.cfg.Clock.Now()
	logs := r.logs
	r.logs = nil
	for batch := range slices.Chunk(logs, recoveryBatch) {
		if err := r.batch(batch); err != nil {
			return
		}
	}
	r.over.Store(true)
	took := d.m.cfg.Clock.Now().Sub(began)
	r.took.Store(int64(took))
	d.m.logger.Info("recovered logs after an unclean stop", "dir", d.path, "logs", d.recovered.Load(), "ms", took.Milliseconds())
	// Those in use wait for the next checkpoint, which may sync the whole file system.
	if len(logs) >= recoveryBatch {
		debug.FreeOSMemory() // garbage of some 10 KiB for each log, and nobody may make more for long
	}
}

func (r *recoverer) threads() int {
	if r.d.m.cfg.stepped {
		return 1
	}
	return r.d.m.cfg.RecoveryThreads
}

// batch recovers some logs and then writes their lines of the checkpoints. A corrupt log is unusable alone, one that
// lacks room is tried again when it is used, and one that was deleted meanwhile is nobody's business; the log has said
// so, or the directory has failed.
func (r *recoverer) batch(logs []*Log) error {
	var (
		mu      sync.Mutex
		work    checkpointWork
		written []recoveredLog
	)
	err := inParallel(len(logs), r.threads(), func(i int) error {
		if r.stopping.Load() {
			return errStopping
		}
		if err := r.d.offline(); err != nil {
			return err
		}
		var own checkpointWork
		c, ok := logs[i].writeUnused(&own)
		if !ok {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		work.add(&own)
		written = append(written, c)
		return nil
	})
	if len(written) > 0 {
		if cerr := r.d.checkpointRecovered(written, &work); cerr != nil && r.d.offline() == nil {
			r.d.m.logCheckpointError(cerr) // no room: they stay unrecovered
		}
	}
	return err
}

// recoveredLog is a log the background has recovered, and its lines of the checkpoints. They are true until the log is
// read once more.
type recoveredLog struct {
	log      *Log
	readings int
	file     checkpointedOffsets
}

// checkpointRecovered makes durable what the background has written of some logs, as a checkpoint does, and then they
// count as recovered. Those that somebody has begun to use meanwhile are as any other: even one that is only being read
// has its side files made anew, which the lines must not vouch for.
func (d *logDir) checkpointRecovered(logs []recoveredLog, work *checkpointWork) error {
	if err := work.syncEach(d); err != nil {
		return d.checkpointFailed(err)
	}
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	if err := work.rename(d); err != nil {
		return d.checkpointFailed(err)
	}
	if err := work.syncEach(d); err != nil {
		return d.checkpointFailed(err)
	}
	recovery, starts, watermarks := maps.Clone(d.recovery), maps.Clone(d.starts), maps.Clone(d.watermarks)
	var lines []*Log
	for _, r := range logs {
		l, ok := d.m.Log(r.log.tp)
		if !ok || l != r.log || !l.loadMu.TryLock() {
			continue
		}
		defer l.loadMu.Unlock() // nobody begins to read it before its lines are written
		if l.readings != r.readings {
			continue
		}
		r.file.put(r.log.tp, recovery, starts, watermarks)
		lines = append(lines, r.log)
	}
	if err := d.writeCheckpointsLocked(recovery, starts, watermarks); err != nil {
		return err
	}
	for _, l := range lines {
		if l.unrecovered.Swap(false) {
			d.recovered.Add(1)
		}
	}
	return nil
}

// writeUnused recovers the log, unless it is in use, writes what a clean start reads, and lets go of it: it holds no
// memory, no descriptor, and is not loaded. It returns its lines of the checkpoints, which are true when work is done.
//
// It writes no producer snapshot. That holds the last batch of each producer only, and clients will send again all that
// the crash kept from being answered: the first use has to read those batches, to know them.
func (l *Log) writeUnused(work *checkpointWork) (r recoveredLog, ok bool) {
	l.loadMu.Lock()
	defer l.loadMu.Unlock()
	if l.loaded.Load() || l.loadErr != nil || !l.unrecovered.Load() {
		return r, false
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	err := l.readFiles()
	defer l.unload()
	if err != nil {
		return r, false
	}
	if l.changed {
		l.dir.recoverer.unsynced.Store(true)
		if active := l.activeLocked(); active.size.Load() > 0 {
			err = l.sealActive(active) // a clean stop syncs it
			active.indexUnsynced = false
		}
	}
	if err == nil {
		r.file, err = l.prepareCheckpointLocked(work)
	}
	if err != nil {
		_ = l.dir.checkpointFailed(err) // no room: its first use tries again
	}
	r.log, r.readings = l, l.readings
	return r, err == nil
}

// unload forgets what was read of a log that nobody has begun to use. loadMu and appendMu are held.
func (l *Log) unload() {
	for _, s := range l.segments {
		s.abandon()
	}
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	l.segments, l.endedTxns, l.openTxn, l.dirtyNames = nil, nil, noOffset, false
	l.producers, l.snapshots, l.unsnapshotted, l.changed = nil, nil, 0, false
	l.epochs.forget()
}

// unrecovered counts the logs of the directory that have to be recovered before they can be used.
func (d *logDir) unrecovered() (n int) {
	for _, l := range d.logs() {
		if l.unrecovered.Load() {
			n++
		}
	}
	return n
}

// settle makes durable what the last process wrote to the log behind the recovery point: the segments that may have
// bytes there and, as far as they may be new, their names and partition.metadata, which the log's first commit round
// covered before there was a recovery point. loadMu is held.
func (l *Log) settle(files *logFiles, recoveryPoint int64) error {
	if planted(bugRecoveryNotSynced) {
		return nil
	}
	var targets []syncTarget
	for i, base := range files.bases {
		if i+1 == len(files.bases) || files.bases[i+1] > recoveryPoint {
			targets = append(targets, syncTarget{path: filepath.Join(l.path, offsetFileName(base)+segmentSuffix[logFile])})
		}
	}
	if recoveryPoint == 0 {
		if err := l.dir.recoverer.settleNames(); err != nil {
			return err
		}
		targets = append(targets, syncTarget{path: filepath.Join(l.path, partitionMetadataFile), optional: true})
	}
	if !files.quiet() || files.bases[len(files.bases)-1] >= recoveryPoint {
		targets = append(targets, syncTarget{dir: l.path})
	}
	for _, t := range targets {
		if err := t.sync(l.m.cfg.FS); err != nil {
			return err
		}
	}
	return nil
}

// settleNames makes the names in the log directory durable, once.
func (r *recoverer) settleNames() error {
	r.namesMu.Lock()
	defer r.namesMu.Unlock()
	if r.namesSettled {
		return nil
	}
	if err := r.d.m.cfg.FS.SyncDir(r.d.path); err != nil {
		return err
	}
	r.namesSettled = true
	return nil
}

// inParallel calls f for 0..n-1 on at most threads goroutines and returns the first error, after which no
// further call begins.
func inParallel(n, threads int, f func(i int) error) error {
	var (
		next   atomic.Int64
		failed atomic.Pointer[error]
		wg     sync.WaitGroup
	)
	for range min(threads, n) {
		wg.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if p := failed.Load(); p != nil {
		return *p
	}
	return nil
}

// recoveryTime is how long the background has taken to go through all logs, 0 while it has not.
func (r *recoverer) recoveryTime() time.Duration { return time.Duration(r.took.Load()) }
