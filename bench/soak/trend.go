package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"kserver/bench/internal/steady"
)

// maxRows bounds the rows that are kept.
const maxRows = 10_000

// row is a time of --report.
type row struct {
	at           time.Duration // its end, since the warm-up
	latencies    steady.Latencies
	catchUpBytes int64
	topics       int64 // that have come and gone
	sample
}

// bounds are how many times as much the last sixth may be as the first; 0 is without bound.
type bounds struct{ p99, rss, descriptors, goroutines, disk float64 }

func (b *bounds) addFlags(f *pflag.FlagSet) {
	f.Float64Var(&b.p99, "max-p99-ratio", 2, "how many times as long the 99th percentiles of the last sixth may be as those of the first, 0 for any")
	f.Float64Var(&b.rss, "max-rss-growth", 1.25, "how many times as much the resident memory may be, 0 for any")
	f.Float64Var(&b.descriptors, "max-descriptor-growth", 1.25, "how many times as many the descriptors may be, 0 for any")
	f.Float64Var(&b.goroutines, "max-goroutine-growth", 1.25, "how many times as many the goroutines may be, 0 for any")
	f.Float64Var(&b.disk, "max-disk-growth", 1.25, "how many times as much the disk may hold, 0 for any")
}

// trend is a figure of the first sixth of the rows, and of the last.
type trend struct {
	name        string
	first, last float64
	bound       float64
	show        func(float64) string
}

// ratio is how many times as much the last is, 0 of what is not measured.
func (t *trend) ratio() float64 {
	if t.first <= 0 {
		return 0
	}
	return t.last / t.first
}

// held says whether the ratio is within its bound.
func (t *trend) held() bool { return t.bound <= 0 || t.ratio() <= t.bound }

// trends compares the ends of the rows, of which there are at least six. Of memory it takes the mean of each sixth,
// and of latencies the percentile of all its records.
func trends(rows []row, b bounds) []trend {
	n := max(1, len(rows)/6)
	first, last := rows[:n], rows[len(rows)-n:]
	of := func(name string, bound float64, show func(float64) string, figure func([]row) float64) trend {
		return trend{name, figure(first), figure(last), bound, show}
	}
	mean := func(value func(*row) int64) func([]row) float64 {
		return func(rows []row) (sum float64) {
			for i := range rows {
				sum += float64(value(&rows[i]))
			}
			return sum / float64(len(rows))
		}
	}
	return []trend{
		of("produce p99", b.p99, micros, func(rows []row) float64 {
			h := steady.NewHistogram()
			for i := range rows {
				h.Merge(rows[i].latencies.Produced)
			}
			return float64(h.ValueAtQuantile(99))
		}),
		of("tail p99", b.p99, micros, func(rows []row) float64 {
			h := steady.NewHistogram()
			for i := range rows {
				h.Merge(rows[i].latencies.Consumed)
			}
			return float64(h.ValueAtQuantile(99))
		}),
		of("resident memory", b.rss, size, mean(func(w *row) int64 { return w.rss })),
		of("descriptors", b.descriptors, count, mean(func(w *row) int64 { return w.descriptors })),
		of("goroutines", b.goroutines, count, mean(func(w *row) int64 { return w.goroutines })),
		of("disk", b.disk, size, mean(func(w *row) int64 { return w.disk })),
	}
}

func (t *trend) String() string {
	return fmt.Sprintf("%s: %s in the first sixth, %s in the last, %.2f times", t.name, t.show(t.first), t.show(t.last), t.ratio())
}
