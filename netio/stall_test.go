package netio

import (
	"testing"
	"time"
)

// A source that keeps the loop waiting although it said that it would not is counted
// and told, whatever way its bytes take.
func TestSendStallsAreCountedAndTold(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		for _, tt := range []struct {
			name string
			n    int
			slow time.Duration
		}{
			{"small range", 1000, 2 * sendStall},
			{"large range", 300_000, 2 * sendStall},
			{"quick", 1000, 0},
		} {
			t.Run(tt.name, func(t *testing.T) {
				src := newSource(t, 5, tt.n, false)
				src.slow = tt.slow
				s := serve(t, b, Config{}, &testHandler{request: func(r *Request) {
					r.Response().File(src, 0, tt.n)
					r.Respond()
				}})
				c := s.dial()
				c.send([]byte("more"))
				if got := c.receive(); len(got) != tt.n {
					t.Fatalf("%d bytes", len(got))
				}
				st := s.Stats()
				if st.SendStalls != src.missed.Load() {
					t.Errorf("%d stalls, the source was told of %d", st.SendStalls, src.missed.Load())
				}
				if tt.slow > 0 && (st.SendStalls == 0 || st.SendStalled < tt.slow) {
					t.Errorf("%+v", st)
				}
				eventually(t, "the turn is over", func() bool { return s.LongestTurns()[0] >= tt.slow })
			})
		}
	})
}

func TestPeakIsOfTheLastMinutes(t *testing.T) {
	const minute = int64(time.Minute)
	var p peak
	for _, step := range []struct{ at, observe, want int64 }{
		{1, 5, 5}, {2, 3, 5}, {minute + 1, 2, 5}, {minute + 2, 0, 5}, {2 * minute, 1, 2}, {5 * minute, 4, 4}, {5*minute + 1, 0, 4},
	} {
		p.observe(step.observe, step.at)
		if got := p.read(step.at); got != step.want {
			t.Errorf("at %v: %d, want %d", time.Duration(step.at), got, step.want)
		}
	}
	if got := p.read(6 * minute); got != 4 {
		t.Errorf("a minute later: %d", got)
	}
	if got := p.read(7 * minute); got != 0 {
		t.Errorf("two minutes later: %d", got)
	}
}
