// Package fuzzing holds what fuzz targets of several rooms check about a decoder besides its answers: that the memory
// it takes follows the bytes it was given, and not the numbers written in them.
package fuzzing

import "runtime/metrics"

// allocated is the counter of all bytes ever allocated on the heap. The runtime adds small objects to it a span at a
// time, so differences are short or long by some spans; Slack is more than that.
const allocated = "/gc/heap/allocs:bytes"

// Slack is what a bound has to leave for the counter and for pools that are filled on first use, in bytes.
const Slack = 1 << 20

// attempts is how often f may run: other goroutines of the process allocate too, though hardly each time.
const attempts = 4

// TB is the part of testing.TB this package uses. A test does not have to be one to use it, and the package does not
// import package testing.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
}

// Bounded fails the test when f allocates more than limit and Slack together. f may run several times.
func Bounded(t TB, limit uint64, f func()) {
	t.Helper()
	var least uint64
	for i := range attempts {
		n := Allocated(f)
		if n <= limit+Slack {
			return
		}
		if least = min(least, n); i == 0 {
			least = n
		}
	}
	t.Errorf("allocates %d bytes, more than %d", least, limit+Slack)
}

// Allocated returns about how many bytes the process allocates on the heap while f runs.
func Allocated(f func()) uint64 {
	s := []metrics.Sample{{Name: allocated}}
	metrics.Read(s)
	before := s[0].Value.Uint64()
	f()
	metrics.Read(s)
	return s[0].Value.Uint64() - before
}
