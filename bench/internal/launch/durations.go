package launch

import (
	"fmt"
	"slices"
	"time"
)

// Durations are measurements of the same thing.
type Durations []time.Duration

// Summary is their spread, in milliseconds.
type Summary struct {
	Runs     int     `json:"runs"`
	MinMs    float64 `json:"min_ms"`
	MedianMs float64 `json:"median_ms"`
	MaxMs    float64 `json:"max_ms"`
}

// Summary returns the spread; zero when there is none.
func (d Durations) Summary() Summary {
	if len(d) == 0 {
		return Summary{}
	}
	s := slices.Sorted(slices.Values(d))
	n := len(s)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	return Summary{Runs: n, MinMs: ms(s[0]), MedianMs: ms((s[(n-1)/2] + s[n/2]) / 2), MaxMs: ms(s[n-1])}
}

// Row returns the spread as tab-separated columns.
func (s Summary) Row() string {
	return fmt.Sprintf("%.1f\t%.1f\t%.1f\t%d", s.MinMs, s.MedianMs, s.MaxMs, s.Runs)
}
