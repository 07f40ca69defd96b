package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
)

// verdict returns what did not hold, nil when all did.
func (r *result) verdict(b bounds) error {
	errs := append([]error(nil), r.errs...)
	i := &r.report
	switch {
	case !i.OK() || i.Foreign > 0 || i.OffsetGaps > 0:
		errs = append(errs, fmt.Errorf("tail: %d lost, %d repeated, %d out of order, %d corrupt, %d foreign, %d offset gaps: %q",
			i.Lost, i.Duplicate, i.Disorder, i.Corrupt, i.Foreign, i.OffsetGaps, i.Examples))
	case i.Records == 0:
		errs = append(errs, errors.New("tail: no record was read"))
	}
	if r.catchUp.records.Load() == 0 {
		errs = append(errs, errors.New("catch-up: no record was read"))
	}
	if r.churn.all.Load() == 0 {
		errs = append(errs, errors.New("churn: no topic has come and gone"))
	}
	if r.deletedTo == 0 {
		errs = append(errs, errors.New("retention has deleted nothing"))
	}
	if r.alarmCount > 0 {
		errs = append(errs, fmt.Errorf("%d alarming lines in the broker's log, the first: %q", r.alarmCount, r.alarms))
	}
	for _, t := range trends(r.rows, b) {
		if !t.held() {
			errs = append(errs, fmt.Errorf("%v, more than %g", &t, t.bound))
		}
	}
	return errors.Join(errs...)
}

// write prints what came of the run, behind its rows.
func (r *result) write(out io.Writer, b bounds, verdict error) error {
	i := &r.report
	w := &lines{out: out}
	w.printf("tail: %d acknowledged, %d read back, %d lost, %d repeated, %d out of order\n", i.Acked, i.Records, i.Lost, i.Duplicate, i.Disorder)
	w.printf("catch-up: %d times through the log, %d records; retention deleted %d, %d times what was about to be read\n",
		r.catchUp.passes.Load(), r.catchUp.records.Load(), r.deletedTo, r.catchUp.overtaken.Load())
	w.printf("churn: %d topics\n", r.churn.all.Load())
	for _, t := range trends(r.rows, b) {
		w.printf("%v\n", &t)
	}
	word := "OK"
	if verdict != nil {
		word = "FAILED"
	}
	w.printf("seed %d\nverdict %s\n", r.seed, word)
	return w.err
}

// lines keeps the first error of many lines.
type lines struct {
	out io.Writer
	err error
}

func (l *lines) printf(format string, args ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.out, format, args...)
	}
}

const (
	headFormat = "%8s %9s %9s %9s %9s %9s %9s %9s %6s %6s %6s %9s %10s %7s\n"
	rowFormat  = "%8s %9s %9s %9s %9s %9s %9s %9s %6d %6d %6.2f %9s %10s %7d\n"
)

func writeHead(out io.Writer) error {
	_, err := fmt.Fprintf(out, headFormat, "time", "ack p50", "ack p99", "ack max", "tail p99", "RSS", "peak", "heap", "fds", "gorout", "cores", "disk", "catch-up/s", "topics")
	return err
}

// write prints the row. took is the time it covers.
func (w *row) write(out io.Writer, took time.Duration) error {
	p := w.latencies.Produced
	_, err := fmt.Fprintf(out, rowFormat, w.at, micros(float64(p.ValueAtQuantile(50))), micros(float64(p.ValueAtQuantile(99))), micros(float64(p.Max())),
		micros(float64(w.latencies.Consumed.ValueAtQuantile(99))), size(float64(w.rss)), size(float64(w.rssPeak)), size(float64(w.heap)),
		w.descriptors, w.goroutines, w.cores, size(float64(w.disk)), size(float64(w.catchUpBytes)/took.Seconds()), w.topics)
	return err
}

func micros(us float64) string { return fmt.Sprintf("%.1fms", us/1e3) }

func size(n float64) string { return humanize.IBytes(uint64(n)) }

func count(n float64) string { return fmt.Sprintf("%.0f", n) }
