package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/internal/latency"
	"kserver/cmd/kbench/internal/limits"
)

func result(scenario, system string, rate float64, p99 time.Duration) *Result {
	return &Result{
		Command: "produce", Labels: map[string]string{LabelScenario: scenario, LabelSystem: system}, Machine: ThisMachine(),
		Produce: &Flow{Records: 10, RecordsPerSecond: rate, BytesPerSecond: rate * 1000, Latency: latency.Summary{Count: 10, P50: p99 / 2, P99: p99, P999: p99 * 2}},
	}
}

func TestCompareMediansAndDirection(t *testing.T) {
	results := []*Result{
		result("s", "ours", 300, time.Millisecond), result("s", "base", 100, 2*time.Millisecond),
		result("s", "ours", 200, time.Millisecond), result("s", "base", 100, 4*time.Millisecond),
		result("s", "ours", 500, time.Millisecond), result("s", "base", 100, 6*time.Millisecond),
	}
	rows, err := Compare(results, "base")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Spread{}
	for _, r := range rows {
		got[r.Metric] = r.Ratio
	}
	if diff := cmp.Diff(Spread{3, 3, 2, 5}, got["produce records/s"]); diff != "" {
		t.Errorf("records/s:\n%s", diff)
	}
	if diff := cmp.Diff(Spread{3, 4, 2, 6}, got["produce p99 ms"]); diff != "" {
		t.Errorf("p99 (lower is better):\n%s", diff)
	}
	if _, ok := got["consume MB/s"]; ok {
		t.Error("a figure nobody has was compared")
	}
	results[0].Produce.TargetRate = 100
	paced, err := Compare(results[:2], "base")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range paced {
		if r.Metric == "produce records/s" {
			t.Error("the throughput of a schedule was compared")
		}
	}
	var out bytes.Buffer
	if err := WriteComparison(&out, rows); err != nil || !strings.Contains(out.String(), "3.00") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestCompareRefuses(t *testing.T) {
	cut := result("s", "base", 1, 1)
	cut.Interrupted = true
	for name, rs := range map[string][]*Result{
		"no labels":   {{Command: "produce"}},
		"no baseline": {result("s", "ours", 1, 1)},
		"interrupted": {cut},
	} {
		if _, err := Compare(rs, "base"); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestResultRoundTripAndTable(t *testing.T) {
	r := result("s", "ours", 12345, 3*time.Millisecond)
	r.Interrupted = true
	r.Limits = &limits.Limits{SyncedBytes: 1e9, CopyBytes: 1e10, SyncAppends: 5000}
	r.Integrity = &integrity.Report{Lost: 2, Examples: []string{"two are gone"}}
	r.Broker = &Cost{PID: 1, CPUPerGB: 1.5, RSSBytes: 20 << 20, MaxRSSBytes: 30 << 20}
	r.Produce.Errors = map[string]int64{"NOT_LEADER": 4}
	r.AgainstLimits()
	name := filepath.Join(t.TempDir(), "r.json")
	if err := WriteJSON(name, r); err != nil {
		t.Fatal(err)
	}
	got, err := ReadResult(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Error(diff)
	}
	if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) != 1 {
		t.Errorf("files %v, %v", left, err)
	}
	var out bytes.Buffer
	if err := r.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"12,345 records/s", "INTERRUPTED", "FAILED", "two are gone", "4 x NOT_LEADER", "1.50 CPU s/GB", "% of limit", "3ms"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("table lacks %q:\n%s", want, out.String())
		}
	}
}

func TestFigureAndDuration(t *testing.T) {
	for v, want := range map[float64]string{0.01234: "0.0123", 1.5: "1.50", 99.6: "99.6", 123456: "123456", 0: "0.00000000"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) = %s, want %s", v, got, want)
		}
	}
	for d, want := range map[time.Duration]string{1234567: "1.23ms", 123456: "123µs", 12345678901: "12.3s", 123456789: "123.5ms"} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) = %s, want %s", d, got, want)
		}
	}
}

func TestLiveIsSilentOnAFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := StartLive(f, func(time.Duration) string { t.Error("state asked for"); return "" })
	l.Stop()
	if st, err := f.Stat(); err != nil || st.Size() != 0 {
		t.Errorf("%v, %v", st, err)
	}
}
