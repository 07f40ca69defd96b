package engine

import (
	"fmt"
	"sync"
	"sync/atomic"

	"kserver/pagecache"
)

// journalKeeper does for a directory's commit journal what no round shall wait for: it makes the files, and syncs the
// segments behind the journal before that is full. One goroutine, run.
type journalKeeper struct {
	d       *logDir
	flushMu sync.Mutex    // one flush at a time; before any lock of a log
	wake    chan struct{} // capacity 1
	done    chan struct{}
	stopped atomic.Bool
}

func newJournalKeeper(d *logDir) *journalKeeper {
	return &journalKeeper{d: d, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

func (k *journalKeeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run is the keeper's goroutine. It ends after stop, or when the directory fails.
func (k *journalKeeper) run() {
	defer close(k.done)
	for !k.stopped.Load() && k.d.offline() == nil {
		if !k.turn() {
			<-k.wake
		}
	}
}

// stop ends the goroutine after what it is at. Calls after the first do nothing.
func (k *journalKeeper) stop() {
	k.stopped.Store(true)
	k.poke()
	if !k.d.m.cfg.stepped {
		<-k.done
	}
}

// turn does one thing that is due; false when there was none.
func (k *journalKeeper) turn() bool {
	if k.d.offline() != nil || k.stopped.Load() {
		return false
	}
	switch i, make, flush := k.d.journal.due(); {
	case make:
		k.makeFile(i)
	case flush:
		_ = k.d.flushJournal() // the directory has failed
	default:
		return false
	}
	return true
}

// due says what there is to do: whether to make the i-th file, or else to flush.
func (j *commitJournal) due() (i int, make, flush bool) {
	used, size := j.used()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.released {
		return 0, false, false
	}
	if i = len(j.files); i < j.wanted {
		return i, true, false
	}
	return 0, false, j.full || used > size/2 || j.kept.Load() > int64(j.d.m.cfg.MaxOpenFiles/2)
}

// makeFile makes one more file for the journal. It takes nothing from the reserve, and without room there is no more
// of a journal than there is, until rounds ask again.
func (k *journalKeeper) makeFile(i int) {
	d, j := k.d, k.d.journal
	free, total, err := d.m.cfg.FS.FreeBytes(d.path)
	if err != nil || free-j.fileBytes < d.m.cfg.reserve(total) {
		j.wantNoMore()
		return
	}
	err = j.makeFile(i)
	switch {
	case isDiskFull(err):
		j.wantNoMore()
	case err != nil:
		j.wantNoMore()
		d.fail(fmt.Errorf("make %s: %w", journalFileName(i), err))
	case i > 0: // with one file there would be no place for the tail
		j.ready.Store(true)
	}
}

// want asks for a journal of at least so many files.
func (j *commitJournal) want(n int) {
	j.mu.Lock()
	j.wanted = max(j.wanted, n)
	j.mu.Unlock()
	j.d.keeper.poke()
}

func (j *commitJournal) wantNoMore() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wanted = len(j.files)
	j.full = false
}

// flushJournal syncs in their segments all bytes that are durable by the journal so far, and frees what it holds of
// them. Rounds go on meanwhile. An error is the directory's end.
func (d *logDir) flushJournal() error {
	j := d.journal
	if !j.ready.Load() {
		return nil
	}
	d.keeper.flushMu.Lock()
	defer d.keeper.flushMu.Unlock()
	if err := d.offline(); err != nil {
		return err
	}
	j.mu.Lock()
	logs, upTo := j.unsynced, j.seq
	j.unsynced = nil
	j.mu.Unlock()
	flushes := make([]flush, 0, len(logs))
	for _, l := range logs {
		flushes = append(flushes, l.beginFlush())
	}
	err := d.syncFlushes(flushes)
	for i := range flushes {
		flushes[i].end(err)
	}
	if err != nil {
		return d.fail(fmt.Errorf("flush of the commit journal: %w", err))
	}
	if len(logs) > 0 {
		j.flushes.Add(1)
	}
	j.freed(upTo)
	return nil
}

// freed notes that no frame up to seq is needed any more.
func (j *commitJournal) freed(seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tail = max(j.tail, seq+1)
	j.full = false
	for tp, at := range j.deleted {
		if at < j.durableTail {
			delete(j.deleted, tp)
		}
	}
}

// syncFlushes makes the captured segments and names durable. Their bytes are written out first, one file after the
// other so that rounds find the disk free, and through the descriptors they were written by, which tell of errors.
func (d *logDir) syncFlushes(flushes []flush) error {
	if planted(bugJournalFreedEarly) {
		return nil
	}
	var targets []syncTarget
	fresh := false
	for i := range flushes {
		f := &flushes[i]
		if f.err != nil {
			return f.err
		}
		for _, s := range f.segments {
			file, err := s.file(logFile, false)
			if err != nil {
				return err
			}
			if fd := file.Fd(); fd >= 0 {
				if err := pagecache.WriteOut(fd); err != nil {
					return fmt.Errorf("write out %s.log: %w", s.prefix(), err)
				}
			}
		}
		targets = f.targets(targets)
		fresh = fresh || f.syncParent
	}
	if fresh {
		targets = append(targets, syncTarget{dir: d.path})
	}
	if len(targets) > bulkSyncs {
		return d.m.cfg.FS.SyncAll(d.path)
	}
	for i := range targets {
		if err := targets[i].sync(d.m.cfg.FS); err != nil {
			return err
		}
	}
	return nil
}
