package pagecache

import (
	"sync/atomic"
	"time"
)

// counters of a Warmer. They only grow.
type counters struct {
	resident, warmed, stalled, failures, missed   atomic.Uint64
	loadedBytes, aheadBytes, droppedBytes, yields atomic.Uint64
	yielded                                       atomic.Int64 // ns
}

// Stats counts what a Warmer answered and did. Numbers only grow, but for those marked "now".
type Stats struct {
	Resident uint64 // ranges that were ready at once
	Warmed   uint64 // ranges that waited until they were read
	Stalled  uint64 // ranges let through without knowing: no probe on this file system, or the queue was full
	Missed   uint64 // files found to be evicted although they were remembered as cached: see Warmer.Missed
	Errors   uint64 // reads that failed; the sender meets the error itself

	WarmedBytes  uint64 // read from devices
	AheadBytes   uint64 // ... of them, or to be, before their reader asked
	DroppedBytes uint64 // evicted behind readers

	Commits uint64        // told of by Commits
	Yields  uint64        // reads that waited for a commit
	Yielded time.Duration // for how long in sum

	Queued        int   // now: pieces of 256 KiB that wait to be read
	InFlightBytes int64 // now: being read
	MostInFlight  int64 // most bytes ever read from one device at a time
	Readers       int   // now: readers of cold files told apart
}

// Stats returns the counters. Any goroutine may call it.
func (w *Warmer) Stats() Stats {
	s := Stats{
		Resident: w.resident.Load(), Warmed: w.warmed.Load(), Stalled: w.stalled.Load(), Missed: w.missed.Load(),
		Errors: w.failures.Load(), WarmedBytes: w.loadedBytes.Load(), AheadBytes: w.aheadBytes.Load(),
		DroppedBytes: w.droppedBytes.Load(), Yields: w.yields.Load(), Yielded: time.Duration(w.yielded.Load()),
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.devices {
		s.Queued += d.queued
		s.InFlightBytes += d.inFlight
		s.Commits += d.commits.begun.Load()
		s.MostInFlight = max(s.MostInFlight, d.most)
	}
	s.Readers = w.streams.recent.Len()
	return s
}
