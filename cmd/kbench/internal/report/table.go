package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/internal/latency"
	"kserver/cmd/kbench/internal/limits"
)

// Rate formats bytes per second.
func Rate(bytesPerSecond float64) string {
	return humanize.Bytes(uint64(max(bytesPerSecond, 0))) + "/s"
}

// Count formats a number of records.
func Count(n float64) string { return humanize.CommafWithDigits(n, 0) }

// Duration formats a latency with three significant digits.
func Duration(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// WriteTable writes the result for people.
func (r *Result) WriteTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	e := &tableWriter{w: w}
	interrupted := ""
	if r.Interrupted {
		interrupted = ", INTERRUPTED: partial result"
	}
	e.line("kbench %s\t%s%s", r.Command, r.Version, interrupted)
	e.line("endpoint\t%s, APIs of %s, %d broker(s)", strings.Join(r.Endpoint.Bootstrap, ","), r.Endpoint.Guess, r.Endpoint.Brokers)
	e.line("topic\t%s, %d partition(s)", r.Endpoint.Topic, r.Endpoint.Partitions)
	e.line("machine\t%s, %d CPU(s) %s, %s, TCP %s", r.Machine.Kernel, r.Machine.CPUs, r.Machine.CPU, humanize.IBytes(uint64(r.Machine.MemoryBytes)), r.Machine.Congestion)
	e.line("measured\t%.1f s after %.1f s of warm-up", r.MeasuredSeconds, r.WarmUpSeconds)
	e.flow("produce", r.Produce)
	e.flow("consume", r.Consume)
	e.latencies(r)
	e.cost("broker", r.Broker)
	e.cost("client", &r.Client)
	if r.OtherCores != nil {
		e.line("others\t%.2f cores, used by neither broker nor client", *r.OtherCores)
	}
	if r.StolenPercent > 0 {
		e.line("stolen\t%.1f %% of the processors' time, by the hypervisor", r.StolenPercent)
	}
	for _, s := range r.OfLimits {
		e.line("%% of limit\t%5.1f %%  %s", s.Percent, s.Name)
	}
	e.integrity(r.Integrity)
	if e.err != nil {
		return e.err
	}
	return w.Flush()
}

// WriteLimits writes the machine's limits for people.
func WriteLimits(out io.Writer, l *limits.Limits) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	e := &tableWriter{w: w}
	e.line("disk measured in\t%s", l.Dir)
	e.line("4 KiB append + fdatasync\t%s/s\t%s each", Count(l.SyncAppends), Duration(time.Duration(1e9/max(l.SyncAppends, 1e-9))))
	e.line("4 KiB overwrite + fdatasync\t%s/s\t%s each", Count(l.SyncOverwrites), Duration(time.Duration(1e9/max(l.SyncOverwrites, 1e-9))))
	e.line("1 MiB append + fdatasync\t%s", Rate(l.SyncedBytes))
	e.line("sendfile over loopback\t%s", Rate(l.SendfileBytes))
	for _, a := range l.SendfileAnswers {
		e.line("sendfile answers of %s x %d\t%s\t%.3f CPU s/GB", humanize.Bytes(uint64(a.Bytes)), a.Connections, Rate(a.BytesPerSecond), a.CPUPerGB)
	}
	e.line("memory copy\t%s", Rate(l.CopyBytes))
	e.line("loopback round trip\t%s", Duration(l.RoundTrip))
	if e.err != nil {
		return e.err
	}
	return w.Flush()
}

// tableWriter keeps the first error.
type tableWriter struct {
	w   io.Writer
	err error
}

func (e *tableWriter) line(format string, args ...any) {
	if e.err == nil {
		_, e.err = fmt.Fprintf(e.w, format+"\n", args...)
	}
}

func (e *tableWriter) flow(name string, f *Flow) {
	if f == nil {
		return
	}
	target := ""
	if f.TargetRate > 0 {
		target = fmt.Sprintf(" (asked for %s, %.1f %%)", Count(f.TargetRate), 100*f.RecordsPerSecond/f.TargetRate)
	}
	e.line("%s\t%s records/s%s, %s", name, Count(f.RecordsPerSecond), target, Rate(f.BytesPerSecond))
	e.line("\t%s records, %s; %d failed, %d due but never sent", Count(float64(f.Records)), humanize.Bytes(uint64(f.Bytes)), f.Failed, f.Unsent)
	for _, text := range slices.Sorted(maps.Keys(f.Errors)) {
		e.line("\tfailure\t%d x %s", f.Errors[text], text)
	}
}

func (e *tableWriter) latencies(r *Result) {
	e.line("latency\tp50\tp90\tp99\tp99.9\tp99.99\tmax\tmean\tcount")
	row := func(name string, s *latency.Summary) {
		if s != nil && s.Count > 0 {
			e.line("  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d", name, Duration(s.P50), Duration(s.P90), Duration(s.P99),
				Duration(s.P999), Duration(s.P9999), Duration(s.Max), Duration(s.Mean), s.Count)
		}
	}
	if r.Produce != nil {
		row("produce, due to answer", &r.Produce.Latency)
		row("produce, sent to answer", r.Produce.Service)
	}
	if r.Consume != nil {
		row("fetch request", &r.Consume.Latency)
	}
	row("end to end", r.EndToEnd)
}

func (e *tableWriter) cost(name string, c *Cost) {
	if c == nil {
		return
	}
	perGB := ""
	if c.CPUPerGB > 0 {
		perGB = fmt.Sprintf(", %.2f CPU s/GB, %.2f CPU s/million records", c.CPUPerGB, c.CPUPerMillion)
	}
	e.line("%s CPU\t%.2f cores%s", name, c.Cores, perGB)
	if c.RSSBytes > 0 {
		e.line("%s memory\tRSS %s mean, %s max; %d threads", name, humanize.IBytes(uint64(c.RSSBytes)), humanize.IBytes(uint64(c.MaxRSSBytes)), c.Threads)
	}
	if c.WrittenBytes > 0 {
		e.line("%s disk\t%s written (%.2f per payload byte), %s read", name, humanize.Bytes(uint64(c.WrittenBytes)), c.WriteAmplified, humanize.Bytes(uint64(c.ReadBytes)))
	}
}

func (e *tableWriter) integrity(r *integrity.Report) {
	if r == nil {
		return
	}
	verdict := "OK"
	if !r.OK() {
		verdict = "FAILED"
	}
	e.line("integrity\t%s: %d read, %d acknowledged, %d lost, %d duplicate, %d out of order, %d corrupt (%d unacknowledged, %d foreign)",
		verdict, r.Records, r.Acked, r.Lost, r.Duplicate, r.Disorder, r.Corrupt, r.Unacked, r.Foreign)
	for _, x := range r.Examples {
		e.line("\t%s", x)
	}
}
