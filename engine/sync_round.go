package engine

import (
	"errors"
	"sync"

	"kserver/engine/vfs"
)

// syncTarget is one thing to make durable: an open file, a pinned segment, a file by path, or the names of a directory.
type syncTarget struct {
	file     vfs.File
	segment  *LogSegment // its syncMu is taken
	path     string
	dir      string
	optional bool // a missing file or directory is fine
}

func (t *syncTarget) sync(fsys vfs.FS) error {
	switch {
	case t.file != nil:
		return t.file.Sync()
	case t.segment != nil:
		return t.segment.syncLog()
	case t.dir != "":
		return t.unlessMissing(fsys.SyncDir(t.dir))
	}
	f, err := fsys.OpenReadWrite(t.path, false)
	if err != nil {
		return t.unlessMissing(err)
	}
	return errors.Join(f.Sync(), f.Close())
}

func (t *syncTarget) unlessMissing(err error) error {
	if t.optional && isNotExist(err) {
		return nil
	}
	return err
}

// roundSyncer syncs the files of one commit round, of segments or of the journal (here and in ring_syncer.go).
type roundSyncer interface {
	// syncRound returns when all targets are durable, or the first error. No target is touched any more
	// when it returns. Called by one goroutine at a time.
	syncRound(targets []syncTarget) error
	// name says which one it is, for the log.
	name() string
	// close gives back what it holds; called by the goroutine that called syncRound.
	close()
}

// threadSyncer syncs on a few goroutines that live for the round; a single target on the caller's.
type threadSyncer struct {
	fs      vfs.FS
	threads int
}

func (t *threadSyncer) name() string { return "fdatasync" }
func (t *threadSyncer) close()       {}

func (t *threadSyncer) syncRound(targets []syncTarget) error {
	if len(targets) == 1 {
		return targets[0].sync(t.fs)
	}
	var (
		mu    sync.Mutex
		next  int
		first error
		wg    sync.WaitGroup
	)
	work := func() {
		for {
			mu.Lock()
			i := next
			next++
			failed := first != nil
			mu.Unlock()
			if i >= len(targets) || failed {
				return
			}
			if err := targets[i].sync(t.fs); err != nil {
				mu.Lock()
				if first == nil {
					first = err
				}
				mu.Unlock()
			}
		}
	}
	for range min(t.threads, len(targets)) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return first
}
