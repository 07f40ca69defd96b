package histogram

import (
	"testing"
	"time"
)

// Each duration is in the first bucket whose bound it does not exceed.
func TestBuckets(t *testing.T) {
	const us = time.Microsecond
	for _, c := range []struct{ d, bound time.Duration }{
		{-1, 16 * us}, {0, 16 * us}, {1, 16 * us}, {16 * us, 16 * us}, {16*us + 1, 32 * us}, {32 * us, 32 * us}, {33 * us, 64 * us},
		{time.Millisecond, 1024 * us}, {us << 25, us << 25}, {us<<25 + 1, 0}, {time.Hour, 0},
	} {
		var h Histogram
		h.Observe(c.d)
		var s Snapshot
		s.Add(&h)
		var got time.Duration
		for bound, n := range s.Buckets() {
			if n > 0 {
				got = bound
				break
			}
		}
		if got != c.bound || s.Count() != 1 || s.Sum() != max(c.d, 0) {
			t.Errorf("%v is in the bucket of %v, count %d, sum %v; want bucket %v", c.d, got, s.Count(), s.Sum(), c.bound)
		}
	}
}

// A snapshot of several histograms has them all, and its buckets add up.
func TestSnapshot(t *testing.T) {
	var a, b Histogram
	a.Observe(time.Millisecond)
	b.Observe(time.Second)
	b.Observe(time.Hour)
	var s Snapshot
	s.Add(&a)
	s.Add(&b)
	var last int64
	for _, n := range s.Buckets() {
		if n < last {
			t.Fatalf("%d after %d", n, last)
		}
		last = n
	}
	if last != 2 || s.Count() != 3 || s.Sum() != time.Hour+time.Second+time.Millisecond {
		t.Errorf("%d in buckets of %d, sum %v", last, s.Count(), s.Sum())
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Second) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	for b.Loop() {
		h.Observe(100 * time.Microsecond)
	}
}
