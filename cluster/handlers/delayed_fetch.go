package handlers

import "sync"

// The waiting half of a fetch. A partition that moved signals the fetch with
// its index; the fetch keeps a sum of what each partition could give, so that
// a signal looks at one partition however many are watched.
//
//	handle01Fetch -> wait -> Signal ... Signal -> complete -> (loop) finish
//	                      \-> deadline, connection closed

// waitingBytes is what the signals of a waiting fetch have counted.
type waitingBytes struct {
	mu    sync.Mutex
	parts []int64 // by partition, what it could give
	total int64
}

// wait parks the fetch until min_bytes are there or maxWait has passed. Loop only.
func (f *delayedFetch) wait() {
	f.r.Async()
	f.waiting.parts = resized(f.waiting.parts, len(f.parts))
	f.r.Await(f.maxWait, f.due, f.late)
	f.r.WaitIn(f)
	f.watched = true
	f.r.Metrics.waitingFetches(+1)
	if len(f.parts) > fetchWatched {
		return
	}
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

// Signal implements purgatory.Watcher. Any goroutine.
func (f *delayedFetch) Signal(token int32) (done bool) {
	if f.delayed.Completed() {
		return true
	}
	if f.enough(token) && f.delayed.Complete() {
		f.r.Due()
	}
	return f.delayed.Completed()
}

// enough counts the partition anew and says whether the wait is over: enough
// bytes, an error, or a read position in an older segment than the end (more
// bytes of that segment will not come).
func (f *delayedFetch) enough(token int32) bool {
	bytes, older, err := f.parts[token].Available(&f.ctx.Partitions[token].FetchRequest)
	if err != nil || older {
		return true
	}
	w := &f.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total += bytes - w.parts[token]
	w.parts[token] = bytes
	return w.total >= f.minBytes
}

// unwatch leaves the partitions. Afterwards no signal is under way. Loop only.
func (f *delayedFetch) unwatch() {
	if !f.watched {
		return
	}
	f.watched = false
	f.r.Metrics.waitingFetches(-1)
	for i, p := range f.parts {
		if p != nil {
			p.Forget(f, int32(i))
		}
	}
}
