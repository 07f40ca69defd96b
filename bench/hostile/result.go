package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/dustin/go-humanize"

	"kserver/bench/internal/observe"
	"kserver/cmd/kbench/integrity"
)

// phase is what was seen while one kind attacked, or nobody.
type phase struct {
	name      string
	took, cpu time.Duration // cpu: of the broker
	others    time.Duration // processor time of what takes no part

	counts

	rss     int64 // largest sample
	latency *hdrhistogram.Histogram
}

// result is what a run found.
type result struct {
	seed          uint64
	quiet, attack *hdrhistogram.Histogram // attack: all kinds together
	phases        []phase
	control       *hdrhistogram.Histogram // beside the attack on the stand-in; nil when there was none
	controls      map[string]*hdrhistogram.Histogram
	largestRSS    int64
	endRSS        int64
	before, after observe.Descriptors
	attackerCPU   time.Duration

	threadsBefore, threadsAfter int

	alarms     []string
	alarmCount int
	report     integrity.Report
	errs       []error // what failed on the way
}

// verdict returns what did not hold, nil when all did.
func (r *result) verdict(o *options) error {
	errs := append([]error(nil), r.errs...)
	i := &r.report
	switch {
	case !i.OK() || i.Foreign > 0 || i.OffsetGaps > 0:
		errs = append(errs, fmt.Errorf("well-behaved client: %d lost, %d repeated, %d out of order, %d corrupt, %d foreign, %d offset gaps: %q",
			i.Lost, i.Duplicate, i.Disorder, i.Corrupt, i.Foreign, i.OffsetGaps, i.Examples))
	case i.Records == 0:
		errs = append(errs, errors.New("well-behaved client: no record was read"))
	}
	if r.largestRSS > o.maxRSSSize {
		errs = append(errs, fmt.Errorf("resident memory reached %s, more than %s", size(r.largestRSS), size(o.maxRSSSize)))
	}
	if times := r.times(r.attack); o.mostTimes > 0 && times > o.mostTimes {
		errs = append(errs, fmt.Errorf("well-behaved client: its 99th percentile was %.1f times as long beside the attack, more than %.1f", times, o.mostTimes))
	}
	if r.after.More(r.before) {
		added := r.after.Added(r.before)
		errs = append(errs, fmt.Errorf("descriptors: %v before, %v after, among them %q", r.before, r.after, added[:min(len(added), observe.MaxFindings)]))
	}
	if r.alarmCount > 0 {
		errs = append(errs, fmt.Errorf("%d alarming lines in the broker's log, the first: %q", r.alarmCount, r.alarms))
	}
	for _, p := range r.phases {
		if p.Strange > 0 {
			errs = append(errs, fmt.Errorf("%s: %d wrong or missing answers", p.name, p.Strange))
		}
	}
	return errors.Join(errs...)
}

// times is how many times as long as alone the 99th percentile of h is.
func (r *result) times(h *hdrhistogram.Histogram) float64 {
	return float64(h.ValueAtQuantile(99)) / float64(max(1, r.quiet.ValueAtQuantile(99)))
}

func (r *result) write(out io.Writer, verdict error) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight) // keeps everything until Flush, which reports what fails
	fmt.Fprintln(w, "kind\tinputs\tanswered\tclosed\tsilent\trefused\tseconds\tper second\tbroker CPU\tothers' CPU\tRSS\tgood p50\tgood p99\tgood max\tcontrol p99\t")
	row := func(name string, counts [5]int64, took, cpu, others time.Duration, rss int64, h, control *hdrhistogram.Histogram) {
		beside := "-"
		if control != nil {
			beside = millis(control.ValueAtQuantile(99))
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.0f\t%.1f\t%.1f\t%s\t%s\t%s\t%s\t%s\t\n", name, counts[0], counts[1], counts[2], counts[3], counts[4],
			took.Seconds(), float64(counts[0])/took.Seconds(), cpu.Seconds(), others.Seconds(), size(rss), millis(h.ValueAtQuantile(50)), millis(h.ValueAtQuantile(99)), millis(h.Max()), beside)
	}
	var sum [5]int64
	var took, cpu, others time.Duration
	for _, p := range r.phases {
		counts := [5]int64{p.Inputs, p.Answered, p.Closed, p.Silent, p.Refused}
		row(p.name, counts, p.took, p.cpu, p.others, p.rss, p.latency, r.controls[p.name])
		for i := range sum {
			sum[i] += counts[i]
		}
		took += p.took
		cpu += p.cpu
		others += p.others
	}
	row("all", sum, took, cpu, others, r.largestRSS, r.attack, r.control)
	if err := w.Flush(); err != nil {
		return err
	}
	i := &r.report
	word := "OK"
	if verdict != nil {
		word = "FAILED"
	}
	control := ""
	if r.control != nil {
		control = fmt.Sprintf("; %s beside the same attack on a server that does nothing, %.1f times", millis(r.control.ValueAtQuantile(99)), r.times(r.control))
	}
	_, err := fmt.Fprintf(out, "good client: %d acknowledged, %d read back, %d lost, %d repeated; p99 %s alone, %s beside the attack, %.1f times as long%s\n"+
		"attacker: %.1f s of processor time in %.1f s\nmemory: largest %s, at the end %s\ndescriptors: before %v; after %v\nthreads: before %d, after %d\nseed %d\nverdict %s\n",
		i.Acked, i.Records, i.Lost, i.Duplicate, millis(r.quiet.ValueAtQuantile(99)), millis(r.attack.ValueAtQuantile(99)),
		r.times(r.attack), control, r.attackerCPU.Seconds(), took.Seconds(),
		size(r.largestRSS), size(r.endRSS), r.before, r.after, r.threadsBefore, r.threadsAfter, r.seed, word)
	return err
}

func size(n int64) string { return humanize.IBytes(uint64(n)) }

func millis(us int64) string { return fmt.Sprintf("%.1fms", float64(us)/1e3) }
