// Package histogram counts durations in buckets of powers of two. Recording is two atomic additions and allocates
// nothing, so that the busiest paths can afford it.
package histogram

import (
	"iter"
	"math/bits"
	"sync/atomic"
	"time"
)

// The bounds of the buckets: the first one ends at 16 us, each following one at twice the time, the last one at 33.6 s.
// One more bucket has what took longer.
const (
	first   = 4 // 2^4 us
	last    = 25
	buckets = last - first + 1
)

// Histogram counts durations. Its zero value is empty and ready. It may be used from any goroutine.
type Histogram struct {
	counts [buckets + 1]atomic.Int64
	nanos  atomic.Int64
}

// Observe counts d. A negative one, from a clock that is read once in a while, counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(d)].Add(1)
	h.nanos.Add(int64(d))
}

// bucket is the index of the first bucket whose bound is not below d.
func bucket(d time.Duration) int {
	if d == 0 {
		return 0
	}
	return min(max(bits.Len64(uint64((d-1)/time.Microsecond)), first)-first, buckets)
}

// Snapshot is what a Histogram, or several, had counted. Its zero value is empty.
type Snapshot struct {
	counts [buckets + 1]int64
	sum    time.Duration
}

// Add adds what h has counted so far. The counters are read one after another, not at one instant.
func (s *Snapshot) Add(h *Histogram) {
	for i := range s.counts {
		s.counts[i] += h.counts[i].Load()
	}
	s.sum += time.Duration(h.nanos.Load())
}

// Count is how many durations were counted.
func (s *Snapshot) Count() (n int64) {
	for _, c := range s.counts {
		n += c
	}
	return n
}

// Sum is all durations together.
func (s *Snapshot) Sum() time.Duration { return s.sum }

// Buckets are the bounds, ascending, each with the number of durations that were not longer. Those longer than the
// last bound are in Count only.
func (s *Snapshot) Buckets() iter.Seq2[time.Duration, int64] {
	return func(yield func(time.Duration, int64) bool) {
		var n int64
		for i := range buckets {
			n += s.counts[i]
			if !yield(time.Microsecond<<(first+i), n) {
				return
			}
		}
	}
}
