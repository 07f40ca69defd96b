package latency

import (
	"math"
	"testing"
	"time"
)

func near(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) <= 0.011*float64(want)+float64(time.Microsecond)
}

func TestMergedPercentiles(t *testing.T) {
	s := NewSet(3)
	for i := range 10000 {
		s[i%3].Record(time.Duration(i+1)*time.Microsecond, 1)
	}
	sum := s.Total()
	if sum.Count != 10000 || !near(sum.P50, 5*time.Millisecond) || !near(sum.P99, 9900*time.Microsecond) || !near(sum.Max, 10*time.Millisecond) || !near(sum.Mean, 5*time.Millisecond) {
		t.Errorf("summary %+v", sum)
	}
}

func TestRotateLosesNothing(t *testing.T) {
	s := NewSet(2)
	s[0].Record(time.Millisecond, 10)
	if got := s.Rotate(); got.Count != 10 {
		t.Errorf("first interval %+v", got)
	}
	s[1].Record(4*time.Millisecond, 5)
	if got := s.Rotate(); got.Count != 5 || !near(got.P50, 4*time.Millisecond) {
		t.Errorf("second interval %+v", got)
	}
	if got := s.Rotate(); got != (Summary{}) {
		t.Errorf("empty interval %+v", got)
	}
	s[1].Record(time.Second, 1)
	if got := s.Total(); got.Count != 16 || !near(got.Max, time.Second) || !near(got.P50, time.Millisecond) {
		t.Errorf("total %+v", got)
	}
}

func TestOutOfRangeIsClamped(t *testing.T) {
	s := NewSet(1)
	s[0].Record(-time.Second, 1)
	s[0].Record(time.Hour, 1)
	if got := s.Total(); got.Count != 2 || !near(got.Max, MaxTrackable) {
		t.Errorf("%+v", got)
	}
}
