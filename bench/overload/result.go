package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/dustin/go-humanize"

	"kserver/bench/internal/observe"
)

// scenario is what was seen in one.
type scenario struct {
	name    string
	took    time.Duration
	cpu     time.Duration // of the broker
	clients []client
	rss     []int64 // largest in each tenth of the time
	remark  string
}

func (s *scenario) acked() (n int64) {
	for i := range s.clients {
		n += s.clients[i].acked
	}
	return n
}

func (s *scenario) bytesPerSecond() float64 {
	return float64(s.acked()*recordBytes) / s.took.Seconds()
}

// spread returns the least and the most records a producer got.
func (s *scenario) spread() (least, most int64) {
	by := func(a, b client) int { return cmp.Compare(a.acked, b.acked) }
	return slices.MinFunc(s.clients, by).acked, slices.MaxFunc(s.clients, by).acked
}

// quantiles returns a quantile of all requests, and of the best and the worst producer.
func (s *scenario) quantiles(q float64) (all, best, worst int64) {
	sum := hdrhistogram.New(1, longestUs, 3)
	for i := range s.clients {
		h := s.clients[i].latency
		sum.Merge(h)
		v := h.ValueAtQuantile(q)
		if i == 0 || v < best {
			best = v
		}
		worst = max(worst, v)
	}
	return sum.ValueAtQuantile(q), best, worst
}

// result is what a run found.
type result struct {
	scenarios     []scenario
	ends          int64 // records in the topic afterwards
	before, after observe.Descriptors
	largestRSS    int64
	alarms        []string
	saturated     []string // the first lines in which the broker says so
	alarmCount    int
	errs          []error
}

// verdict returns what did not hold, nil when all did.
func (r *result) verdict(maxRSS int64) error {
	errs := slices.Clone(r.errs)
	var acked int64
	for i := range r.scenarios {
		s := &r.scenarios[i]
		acked += s.acked()
		for n := range s.clients {
			if err := s.clients[n].err; err != nil {
				errs = append(errs, fmt.Errorf("%s: producer %d: %w", s.name, n, err))
			}
		}
		if least, _ := s.spread(); least == 0 {
			errs = append(errs, fmt.Errorf("%s: a producer got nothing acknowledged", s.name))
		}
	}
	if r.ends < acked {
		errs = append(errs, fmt.Errorf("%d records are acknowledged, the topic holds %d", acked, r.ends))
	}
	if r.largestRSS > maxRSS {
		errs = append(errs, fmt.Errorf("resident memory reached %s, more than %s", size(r.largestRSS), size(maxRSS)))
	}
	if r.after.Sockets > r.before.Sockets { // files are those of the segments that were written
		errs = append(errs, fmt.Errorf("descriptors: %v before, %v after", r.before, r.after))
	}
	if r.alarmCount > 0 {
		errs = append(errs, fmt.Errorf("%d alarming lines in the broker's log, the first: %q", r.alarmCount, r.alarms))
	}
	return errors.Join(errs...)
}

func (r *result) write(out io.Writer, verdict error) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight) // keeps everything until Flush, which reports what fails
	fmt.Fprintln(w, "scenario\tproducers\tMB/s\tleast share\tmost share\tp50\tp99\tp99 best\tp99 worst\tmax\tbroker CPU\t")
	for i := range r.scenarios {
		s := &r.scenarios[i]
		least, most := s.spread()
		even := float64(max(1, s.acked())) / float64(len(s.clients))
		p50, _, _ := s.quantiles(50)
		p99, best, worst := s.quantiles(99)
		longest, _, _ := s.quantiles(100)
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.0f %%\t%.0f %%\t%s\t%s\t%s\t%s\t%s\t%.1f s\t\n", s.name, len(s.clients), s.bytesPerSecond()/1e6,
			100*float64(least)/even, 100*float64(most)/even, millis(p50), millis(p99), millis(best), millis(worst), millis(longest), s.cpu.Seconds())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var lines strings.Builder
	for i := range r.scenarios {
		s := &r.scenarios[i]
		fmt.Fprintf(&lines, "memory during %s:", s.name)
		for _, n := range s.rss {
			fmt.Fprintf(&lines, " %s", size(n))
		}
		lines.WriteByte('\n')
		if s.remark != "" {
			fmt.Fprintf(&lines, "%s: %s\n", s.name, s.remark)
		}
	}
	if len(r.saturated) == 0 {
		lines.WriteString("the broker did not say that anything is saturated\n")
	}
	for _, line := range r.saturated {
		fmt.Fprintf(&lines, "broker: %s\n", line)
	}
	word := "OK"
	if verdict != nil {
		word = "FAILED"
	}
	_, err := fmt.Fprintf(out, "%sdescriptors: before %v; after %v\nverdict %s\n", lines.String(), r.before, r.after, word)
	return err
}

func size(n int64) string { return humanize.IBytes(uint64(n)) }

func millis(us int64) string { return fmt.Sprintf("%.1fms", float64(us)/1e3) }
