package engine

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// recoverer is how the logs of a directory are recovered after an unclean stop: each by its first use, on the
// goroutine that asks, and all others meanwhile by Config.RecoveryThreads goroutines that go through them once. So a
// start waits for none of it, and who asks for a log never waits behind others'.
//
// What the last process wrote may be in the page cache only. Before any of it counts as durable it is made so
// (settle): a first use does it for its own log; behind many logs one sync of the file system does it for all.
type recoverer struct {
	d    *logDir
	logs []*Log // found unrecovered, by name

	settled  atomic.Bool // everything the last process wrote is durable
	stopping atomic.Bool
	over     atomic.Bool // the background has gone through all
	wg       sync.WaitGroup
	took     atomic.Int64 // ns, once all were gone through

	namesMu      sync.Mutex // a leaf, held while the directory is synced
	namesSettled bool       // the names in the log directory itself are durable
}

// errStopping ends a recovery that is under way when the manager is closed.
var errStopping = errors.New("the logs are being closed")

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
	// Behind many logs: one flush of the file system takes the place of several for each log.
	if len(r.logs) > bulkSyncs && !planted(bugRecoveryNotSynced) {
		if err := d.m.cfg.FS.SyncAll(d.path); err != nil {
			d.fail(err)
			return
		}
		r.settled.Store(true)
	}
	err := inParallel(len(r.logs), r.threads(), func(i int) error {
		if r.stopping.Load() {
			return errStopping
		}
		if err := d.offline(); err != nil {
			return err
		}
		r.one(r.logs[i])
		return nil
	})
	r.logs = nil
	if err != nil {
		return
	}
	r.over.Store(true)
	took := d.m.cfg.Clock.Now().Sub(began)
	r.took.Store(int64(took))
	d.m.logger.Info("recovered logs after an unclean stop", "dir", d.path, "logs", d.recovered.Load(), "ms", took.Milliseconds())
	if err := d.checkpoint(false); err != nil && d.offline() == nil {
		d.m.logCheckpointError(err)
	}
}

func (r *recoverer) threads() int {
	if r.d.m.cfg.stepped {
		return 1
	}
	return r.d.m.cfg.RecoveryThreads
}

// one recovers a log and gives its descriptors back: it may not be used soon. A corrupt log is unusable alone, one
// that lacks room is tried again when it is used, and one that was deleted meanwhile is nobody's business; the log
// has said so, or the directory has failed.
func (r *recoverer) one(l *Log) {
	if l.loaded.Load() || l.load() != nil {
		return
	}
	for _, s := range l.segmentList() {
		s.closeIdle()
	}
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

// settle makes durable what the last process wrote to the log: the segments that may have bytes behind the recovery
// point, partition.metadata, and the names. loadMu is held.
func (l *Log) settle(files *logFiles, recoveryPoint int64) error {
	r := l.dir.recoverer
	if r.settled.Load() || planted(bugRecoveryNotSynced) {
		return nil
	}
	if err := r.settleNames(); err != nil {
		return err
	}
	targets := []syncTarget{{path: filepath.Join(l.path, partitionMetadataFile), optional: true}}
	for i, base := range files.bases {
		if i+1 == len(files.bases) || files.bases[i+1] > recoveryPoint {
			targets = append(targets, syncTarget{path: filepath.Join(l.path, offsetFileName(base)+segmentSuffix[logFile])})
		}
	}
	for _, t := range append(targets, syncTarget{dir: l.path}) {
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
