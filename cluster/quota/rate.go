package quota

import "time"

// How rates are measured: the defaults of Kafka's quota.window.num and
// quota.window.size.seconds.
const (
	Windows    = 11
	WindowSize = time.Second
)

// rate measures what was recorded in a second, over the last Windows samples
// (Kafka's Rate of a SampledStat). The zero value is ready.
type rate struct {
	// One sample more than Windows: the oldest may overlap the time measured.
	samples [Windows + 1]sample
	count   int // of samples in use
	current int
}

// sample is what was recorded from start on, for at most WindowSize.
type sample struct {
	start, last time.Time // last is when something was recorded
	value       float64
}

// record adds value, which is negative to take back.
func (r *rate) record(now time.Time, value float64) {
	switch s := &r.samples[r.current]; {
	case r.count == 0:
		r.count = 1
		*s = sample{start: now}
	case now.Sub(s.start) >= WindowSize:
		r.current = (r.current + 1) % len(r.samples)
		r.count = max(r.count, r.current+1)
		r.samples[r.current] = sample{start: now}
	}
	s := &r.samples[r.current]
	s.value += value
	s.last = now
}

// measure returns the sum of the samples and the time they stand for, which is
// never shorter than all windows but the current one: a rate is not judged by its
// first moment.
func (r *rate) measure(now time.Time) (sum float64, window time.Duration) {
	oldest := now
	for i := range r.count {
		s := &r.samples[i]
		if now.Sub(s.last) >= Windows*WindowSize {
			*s = sample{start: now, last: now}
		}
		sum += s.value
		if s.start.Before(oldest) {
			oldest = s.start
		}
	}
	window = now.Sub(oldest)
	if full := window / WindowSize; full < Windows-1 {
		window += (Windows - 1 - full) * WindowSize
	}
	return sum, window
}

// idle reports whether nothing recorded counts any more.
func (r *rate) idle(now time.Time) bool {
	return now.Sub(r.samples[r.current].last) >= Windows*WindowSize
}
