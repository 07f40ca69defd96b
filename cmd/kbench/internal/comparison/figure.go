package comparison

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Figure is a number in the result of a run.
type Figure struct {
	Name  string // in scenario files
	Label string
	Unit  string
	path  string  // into the JSON, by dots
	scale float64 // from the JSON's unit to Unit
	// More says that more of it is better.
	More bool
}

const (
	perMilli = 1e-6 // nanoseconds to milliseconds
	perMB    = 1e-6 // bytes to 10^6 bytes
	perMiB   = 1.0 / (1 << 20)
)

var figures = []Figure{
	{"produce.records", "produced", "records/s", "produce.records_per_second", 1, true},
	{"produce.mb", "produced", "MB/s", "produce.bytes_per_second", perMB, true},
	{"produce.p50", "produce p50", "ms", "produce.latency.p50_ns", perMilli, false},
	{"produce.p99", "produce p99", "ms", "produce.latency.p99_ns", perMilli, false},
	{"produce.p999", "produce p99.9", "ms", "produce.latency.p999_ns", perMilli, false},
	{"produce.max", "produce max", "ms", "produce.latency.max_ns", perMilli, false},
	{"consume.records", "consumed", "records/s", "consume.records_per_second", 1, true},
	{"consume.mb", "consumed", "MB/s", "consume.bytes_per_second", perMB, true},
	{"fetch.p50", "fetch p50", "ms", "consume.latency.p50_ns", perMilli, false},
	{"fetch.p99", "fetch p99", "ms", "consume.latency.p99_ns", perMilli, false},
	{"e2e.p50", "end to end p50", "ms", "end_to_end.p50_ns", perMilli, false},
	{"e2e.p99", "end to end p99", "ms", "end_to_end.p99_ns", perMilli, false},
	{"e2e.p999", "end to end p99.9", "ms", "end_to_end.p999_ns", perMilli, false},
	{"broker.cpu_gb", "broker CPU", "s/GB", "broker.cpu_seconds_per_gb", 1, false},
	{"broker.cpu_record", "broker CPU", "us/record", "broker.cpu_seconds_per_million_records", 1, false},
	{"broker.cores", "broker CPU", "cores", "broker.cores", 1, false},
	{"broker.rss", "broker RSS", "MiB", "broker.max_rss_bytes", perMiB, false},
	{"client.cores", "client CPU", "cores", "client.cores", 1, false},
	{"others.cores", "CPU of others", "cores", "other_cores", 1, false},
	{"machine.stolen", "stolen by the hypervisor", "% of the processors", "stolen_percent", 1, false},
	{"start.first_ack", "exec to first acknowledgement", "ms", "first_ack.median_ms", 1, false},
	{"start.restart", "exec to acknowledgement after kill -9", "ms", "after_kill.median_ms", 1, false},
	{"start.idle_rss", "idle RSS", "MiB", "idle_rss", perMiB, false},
	{"start.idle_cpu", "idle CPU", "% of a core", "idle_cpu_percent", 1, false},
}

// otherCores is the figure that tells whether a run was disturbed.
var otherCores = Figure{path: "other_cores", scale: 1}

// FigureOf returns the figure of that name.
func FigureOf(name string) (Figure, error) {
	i := slices.IndexFunc(figures, func(f Figure) bool { return f.Name == name })
	if i < 0 {
		return Figure{}, fmt.Errorf("no figure is called %q", name)
	}
	return figures[i], nil
}

// String returns label and unit.
func (f Figure) String() string { return f.Label + ", " + f.Unit }

// in finds the figure in the JSON of a result; ok is false when it has none.
func (f Figure) in(result json.RawMessage) (v float64, ok bool) {
	raw, ok := lookUp(result, f.path)
	if !ok || json.Unmarshal(raw, &v) != nil {
		return 0, false
	}
	return v * f.scale, true
}

// lookUp follows a path of field names into JSON; null counts as nothing.
func lookUp(raw json.RawMessage, path string) (json.RawMessage, bool) {
	for name := range strings.SplitSeq(path, ".") {
		var fields map[string]json.RawMessage
		if json.Unmarshal(raw, &fields) != nil {
			return nil, false
		}
		var ok bool
		if raw, ok = fields[name]; !ok {
			return nil, false
		}
	}
	return raw, string(raw) != "null"
}

// number formats a figure with three significant digits, and all digits before the point.
func number(v float64) string {
	if v == 0 {
		return "0"
	}
	s := strconv.FormatFloat(v, 'g', 3, 64)
	if !strings.ContainsAny(s, "e") {
		return s
	}
	if v >= 1 || v <= -1 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 6, 64)
}
