// Package latency collects latencies in HDR histograms: one Recorder per worker, merged when somebody looks.
//
// Values run from 1 microsecond to MaxTrackable with two significant digits, so a percentile is exact to 1 %;
// what is longer counts as MaxTrackable.
//
// Concurrency: a Recorder may be used by many goroutines, though one each is cheaper.
package latency

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// MaxTrackable is the longest latency told apart.
const MaxTrackable = 10 * time.Minute

const (
	lowest            = int64(time.Microsecond)
	significantDigits = 2
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(lowest, int64(MaxTrackable), significantDigits)
}

// Recorder counts latencies. Rotate takes what came since the last Rotate; Total is everything.
type Recorder struct {
	mu      sync.Mutex
	current *hdrhistogram.Histogram
	total   *hdrhistogram.Histogram // without current
}

// NewRecorder returns an empty recorder.
func NewRecorder() *Recorder {
	return &Recorder{current: newHistogram(), total: newHistogram()}
}

// Record counts d for n records.
func (r *Recorder) Record(d time.Duration, n int64) {
	d = min(max(d, 0), MaxTrackable)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.current.RecordValues(int64(d), n); err != nil {
		panic(err) // d is within the histogram's range
	}
}

// Set is the recorders of all workers of a run.
type Set []*Recorder

// NewSet returns n empty recorders.
func NewSet(n int) Set {
	s := make(Set, n)
	for i := range s {
		s[i] = NewRecorder()
	}
	return s
}

// Rotate returns a summary of what was recorded since the last Rotate.
func (s Set) Rotate() Summary {
	sum := newHistogram()
	for _, r := range s {
		r.mu.Lock()
		sum.Merge(r.current)
		r.total.Merge(r.current)
		r.current.Reset()
		r.mu.Unlock()
	}
	return summarise(sum)
}

// Total returns a summary of everything recorded.
func (s Set) Total() Summary {
	sum := newHistogram()
	for _, r := range s {
		r.mu.Lock()
		sum.Merge(r.total)
		sum.Merge(r.current)
		r.mu.Unlock()
	}
	return summarise(sum)
}

// Summary is a distribution in a few numbers. Durations are nanoseconds in JSON.
type Summary struct {
	Count  int64         `json:"count"`
	Min    time.Duration `json:"min_ns"`
	Mean   time.Duration `json:"mean_ns"`
	P50    time.Duration `json:"p50_ns"`
	P90    time.Duration `json:"p90_ns"`
	P99    time.Duration `json:"p99_ns"`
	P999   time.Duration `json:"p999_ns"`
	P9999  time.Duration `json:"p9999_ns"`
	Max    time.Duration `json:"max_ns"`
	StdDev time.Duration `json:"stddev_ns"`
}

func summarise(h *hdrhistogram.Histogram) Summary {
	if h.TotalCount() == 0 {
		return Summary{}
	}
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) }
	return Summary{
		Count: h.TotalCount(), Min: time.Duration(h.Min()), Mean: time.Duration(h.Mean()),
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), P9999: at(99.99),
		Max: time.Duration(h.Max()), StdDev: time.Duration(h.StdDev()),
	}
}
