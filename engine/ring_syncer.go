package engine

import (
	"fmt"
	"runtime"

	"kserver/engine/vfs"
	"kserver/netio/uring"
)

// newRoundSyncer takes the ring when the kernel lets us have one.
func newRoundSyncer(cfg *Config) roundSyncer {
	threads := &threadSyncer{fs: cfg.FS, threads: cfg.SyncThreads}
	if cfg.DisableUring || cfg.FS != vfs.OS || uring.Available() != nil {
		return threads
	}
	return &ringSyncer{threads: threads}
}

// ringSyncer syncs all files of a round by one submission to an io_uring. A round of one file goes by a
// direct fdatasync, which is faster, and one with names of new files by threads: the file system commits those together
// when they are asked for at the same time.
type ringSyncer struct {
	threads *threadSyncer
	ring    *uring.Ring // made by the first round that needs it, on the committer's thread
	refused bool        // the kernel gave none
	fds     []int
	errs    []error
}

func (r *ringSyncer) name() string { return "io_uring" }

func (r *ringSyncer) syncRound(targets []syncTarget) error {
	if len(targets) == 1 {
		return r.threads.syncRound(targets)
	}
	r.fds, r.errs = r.fds[:0], r.errs[:0]
	for i := range targets {
		f := targets[i].file
		if f == nil || f.Fd() < 0 {
			return r.threads.syncRound(targets)
		}
		r.fds, r.errs = append(r.fds, f.Fd()), append(r.errs, nil)
	}
	if !r.open() {
		return r.threads.syncRound(targets)
	}
	if err := r.ring.SyncAll(r.fds, r.errs); err != nil {
		return fmt.Errorf("commit ring: %w", err)
	}
	for i, err := range r.errs {
		if err != nil {
			return fmt.Errorf("sync of file %d of a round: %w", i, err)
		}
	}
	return nil
}

// open makes the ring; false when the kernel refuses, then threads do it. Its one-thread set-up ties the
// committer's goroutine to its thread.
func (r *ringSyncer) open() bool {
	if r.ring == nil && !r.refused {
		runtime.LockOSThread()
		ring, err := uring.New(uring.Options{})
		r.ring, r.refused = ring, err != nil
	}
	return !r.refused
}

func (r *ringSyncer) close() {
	if r.ring != nil {
		_ = r.ring.Close() // nothing is in flight; the kernel frees it with the process at the latest
		r.ring = nil
	}
}
