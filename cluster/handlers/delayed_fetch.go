package handlers

import "sync"

// The waiting half of a fetch. A partition that moved signals the fetch with
// its index; the fetch keeps a sum of what each partition could give, so that
// a signal looks at one partition however many are watched. A session watches
// its partitions itself, and counts for the fetch.
//
//	handle01Fetch -> wait -> Signal, Counted ... -> complete -> (loop) finish
//	                      \-> deadline, connection closed

// waitingBytes is what the signals of a waiting fetch have counted.
type waitingBytes struct {
	mu    sync.Mutex
	parts []int64 // by partition, what it could give; not of a session
	total int64
}

// wait parks the fetch until min_bytes are there or maxWait has passed. Loop only.
func (f *delayedFetch) wait() {
	f.r.Async()
	f.r.Await(f.maxWait, f.due, f.late)
	f.r.WaitIn(f)
	f.watched = true
	f.r.Metrics.waitingFetches(+1)
	switch {
	case f.ctx.InSession():
		f.ctx.Wait(f, f.parts)
	case len(f.parts) <= fetchWatched:
		f.watch()
	}
}

// watch has the partitions signal.
func (f *delayedFetch) watch() {
	f.waiting.parts = resized(f.waiting.parts, len(f.parts))
	for i, p := range f.parts {
		if p == nil {
			continue
		}
		p.Watch(f, int32(i))
		// What was appended between the read and Watch has signalled nobody.
		if f.Signal(int32(i)) {
			return
		}
	}
}

// Hurry implements Waiting, and is what the deadline does: the fetch is answered
// with what there is.
func (f *delayedFetch) Hurry() {
	if f.delayed.Complete() {
		f.finish()
	}
}

// Cancel implements Waiting.
func (f *delayedFetch) Cancel() {
	if f.delayed.Complete() {
		f.unwatch()
		f.r.NoResponse()
	}
}

// Signal implements purgatory.Watcher: it counts a partition anew. The wait is over with
// enough bytes, an error, or a read position in an older segment than the end (more
// bytes of that segment will not come). Any goroutine.
func (f *delayedFetch) Signal(token int32) (done bool) {
	if f.delayed.Completed() {
		return true
	}
	bytes, older, err := f.parts[token].Available(&f.ctx.Partitions[token].FetchRequest)
	w := &f.waiting
	w.mu.Lock()
	more := bytes - w.parts[token]
	w.parts[token] = bytes
	w.mu.Unlock()
	return f.Counted(more, older || err != nil)
}

// Counted implements replica.Waiter. Any goroutine.
func (f *delayedFetch) Counted(more int64, over bool) (done bool) {
	w := &f.waiting
	w.mu.Lock()
	w.total += more
	over = over || w.total >= f.minBytes
	w.mu.Unlock()
	if over && f.delayed.Complete() {
		f.r.Due()
	}
	return f.delayed.Completed()
}

// unwatch leaves the partitions. Afterwards no signal is under way. Loop only.
func (f *delayedFetch) unwatch() {
	if !f.watched {
		return
	}
	f.watched = false
	f.r.Metrics.waitingFetches(-1)
	if f.ctx.InSession() {
		f.ctx.Unwait(f)
		return
	}
	for i, p := range f.parts {
		if p != nil {
			p.Forget(f, int32(i))
		}
	}
}
