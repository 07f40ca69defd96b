package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/internal/load"
	"kserver/cmd/kbench/internal/pace"
	"kserver/cmd/kbench/internal/report"
	"kserver/cmd/kbench/process"
)

// session is one run of produce, consume or e2e from flags to result.
type session struct {
	cmd    *cobra.Command
	o      *commonOptions
	target *target
	result *report.Result
	window load.Window
	end    int64 // when the measured time ended: the window's end or earlier
}

// newRun returns a number that tells this run's records from those of others; never 0.
func newRun() uint64 { return rand.Uint64() | 1 }

// begin measures the machine if asked to, and opens the endpoint. The caller closes s.target.
func begin(cmd *cobra.Command, o *commonOptions) (*session, error) {
	s := &session{cmd: cmd, o: o, result: &report.Result{
		Command: cmd.Name(), Version: report.Version(), Started: time.Now().UTC().Truncate(time.Millisecond), Labels: o.labels,
		Args: os.Args[1:], Settings: settings(cmd), Machine: report.ThisMachine(),
	}}
	if o.brokerPID > 0 {
		if _, err := process.Read(o.brokerPID); err != nil {
			return nil, fmt.Errorf("--broker-pid: %w", err)
		}
	}
	if o.limits {
		l, err := measureLimits(cmd.Context(), o.limitsDir, o.limitsTime)
		if err != nil {
			return nil, err
		}
		s.result.Limits = l
	}
	t, err := openTarget(cmd.Context(), o)
	if err != nil {
		return nil, err
	}
	s.target, s.result.Endpoint = t, t.endpoint
	return s, nil
}

// settings returns every flag of the command with its effective value.
func settings(cmd *cobra.Command) map[string]any {
	m := make(map[string]any)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			m[f.Name] = f.Value.String()
		}
	})
	return m
}

// measure runs f, which makes the load of the window, and meanwhile samples what broker and client cost and shows
// the live line that state returns.
func (s *session) measure(w load.Window, state func(since time.Duration) string, f func(ctx context.Context) error) error {
	ctx := s.cmd.Context()
	unpin, err := s.pin()
	if err != nil {
		return err
	}
	s.window = w
	live := report.StartLive(os.Stderr, state)
	costs := startCosts(s.o.brokerPID, w)
	err = f(ctx)
	s.end = min(pace.Now(), w.End)
	costErr := costs.stop(s.result)
	live.Stop()
	s.result.Interrupted = ctx.Err() != nil
	if s.result.Interrupted && errors.Is(err, context.Canceled) {
		err = nil
	}
	s.result.WarmUpSeconds = seconds(w.From - w.Start)
	return errors.Join(err, costErr, unpin())
}

// pin binds client and broker to the processors that --cpus and --broker-cpus name; unpin ends that.
func (s *session) pin() (unpin func() error, err error) {
	var releases []func() error
	unpin = func() error {
		var errs []error
		for _, release := range releases {
			errs = append(errs, release())
		}
		return errors.Join(errs...)
	}
	for _, p := range []struct {
		flag string
		pid  int
		cpus []int
	}{{"--cpus", os.Getpid(), s.o.cpus}, {"--broker-cpus", s.o.brokerPID, s.o.brokerCPUs}} {
		if len(p.cpus) == 0 {
			continue
		}
		release, err := process.Pin(p.pid, p.cpus)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", p.flag, err), unpin())
		}
		releases = append(releases, release)
	}
	return unpin, nil
}

func seconds(ns int64) float64 { return time.Duration(ns).Seconds() }

// flow turns a meter into figures.
func (s *session) flow(m *load.Meter, targetRate float64) *report.Flow {
	c := m.Counts()
	f := &report.Flow{
		Records: c.Records, Bytes: c.Bytes, TargetRate: targetRate, Failed: c.Failed, Unsent: c.Unsent,
		Latency: m.Latency.Total(), Errors: c.Errors,
	}
	if svc := m.Service.Total(); svc.Count > 0 {
		f.Service = &svc
	}
	if bytes, worst := m.Course(); len(bytes) > 0 {
		f.Series = &report.Series{Interval: load.CourseInterval, Bytes: bytes, Worst: worst}
	}
	if elapsed := seconds(s.end - s.window.From); elapsed > 0 {
		f.RecordsPerSecond = float64(c.Records) / elapsed
		f.BytesPerSecond = float64(c.Bytes) / elapsed
	}
	return f
}

// finish completes the result, prints and writes it, and says how the run ended. err is the failure of the load, if
// any; the figures are printed all the same.
func (s *session) finish(err error) error {
	r := s.result
	if nothing(r.Produce) && nothing(r.Consume) && err != nil {
		return err
	}
	r.MeasuredSeconds = max(0, seconds(s.end-s.window.From))
	var bytes, records float64
	for _, f := range []*report.Flow{r.Produce, r.Consume} {
		if f != nil {
			bytes += float64(f.Bytes)
			records += float64(f.Records)
		}
	}
	perUnit(r.Broker, bytes, records)
	perUnit(&r.Client, bytes, records)
	r.AgainstLimits()
	outErr := r.WriteTable(s.cmd.OutOrStdout())
	if s.o.jsonFile != "" {
		outErr = errors.Join(outErr, report.WriteJSON(s.o.jsonFile, r))
	}
	switch {
	case err != nil || outErr != nil:
		return errors.Join(err, outErr)
	case r.Integrity != nil && !r.Integrity.OK():
		return errIntegrity
	case r.Interrupted:
		return errInterrupted
	case r.Produce != nil && r.Produce.Failed+r.Produce.Unsent > 0:
		return fmt.Errorf("%d records failed and %d were never sent", r.Produce.Failed, r.Produce.Unsent)
	}
	return nil
}

// nothing reports whether a flow has no figure worth showing.
func nothing(f *report.Flow) bool {
	return f == nil || f.Records == 0 && f.Failed == 0 && f.Latency.Count == 0
}

// perUnit relates a cost to what was moved: bytes and records produced plus consumed.
func perUnit(c *report.Cost, bytes, records float64) {
	if c == nil || bytes <= 0 || records <= 0 {
		return
	}
	c.CPUPerGB = c.CPUSeconds / (bytes / report.GB)
	c.CPUPerMillion = c.CPUSeconds / (records / 1e6)
	c.WriteAmplified = float64(c.WrittenBytes) / bytes
}

// liveState returns the text of the live line for a flow.
func liveState(name string, m *load.Meter) func(since time.Duration) string {
	var last load.Counts
	return func(since time.Duration) string {
		c := m.Counts()
		interval := m.Latency.Rotate()
		records, bytes := float64(c.AllRecords-last.AllRecords), float64(c.AllBytes-last.AllBytes)
		last = c
		text := fmt.Sprintf("%s %s records/s  %s", name, report.Count(records/since.Seconds()), report.Rate(bytes/since.Seconds()))
		if interval.Count > 0 {
			text += fmt.Sprintf("  p50 %s  p99 %s", report.Duration(interval.P50), report.Duration(interval.P99))
		}
		if c.Failed > 0 {
			text += fmt.Sprintf("  %d failed", c.Failed)
		}
		return clock(m.Window) + "  " + text
	}
}

// clock returns the time of the run for the live line.
func clock(w load.Window) string {
	now := pace.Now()
	switch {
	case now < w.From:
		return fmt.Sprintf("warm-up %.0fs", seconds(w.From-now))
	case w.End-w.From >= int64(unlimited):
		return fmt.Sprintf("%.0fs", seconds(now-w.From))
	case now >= w.End:
		return "waiting for answers"
	}
	return fmt.Sprintf("%.0f/%.0fs", seconds(now-w.From), seconds(w.End-w.From))
}

// writeManifest writes what was acknowledged to the file that --manifest names, if it does.
func (s *session) writeManifest(m *integrity.Manifest) (err error) {
	if s.o.manifest == "" || m == nil {
		return nil
	}
	f, err := os.Create(s.o.manifest)
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return m.Write(f)
}
