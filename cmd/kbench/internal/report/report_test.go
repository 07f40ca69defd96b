package report

import (
	"bytes"
	"encoding/json"
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

func result(rate float64, p99 time.Duration) *Result {
	return &Result{
		Command: "produce", Labels: map[string]string{"system": "ours"}, Machine: ThisMachine(),
		Produce: &Flow{Records: 10, RecordsPerSecond: rate, BytesPerSecond: rate * 1000, Latency: latency.Summary{Count: 10, P50: p99 / 2, P99: p99, P999: p99 * 2}},
	}
}

func TestResultRoundTripAndTable(t *testing.T) {
	r := result(12345, 3*time.Millisecond)
	r.Interrupted = true
	r.Limits = &limits.Limits{SyncedBytes: 1e9, CopyBytes: 1e10, SyncAppends: 5000}
	r.Integrity = &integrity.Report{Lost: 2, Examples: []string{"two are gone"}}
	r.Broker = &Cost{PID: 1, CPUPerGB: 1.5, RSSBytes: 20 << 20, MaxRSSBytes: 30 << 20}
	r.Produce.Errors = map[string]int64{"NOT_LEADER": 4}
	r.Produce.Series = &Series{Interval: time.Second, Bytes: []int64{1}, Worst: []time.Duration{2}}
	r.AgainstLimits()
	name := filepath.Join(t.TempDir(), "r.json")
	if err := WriteJSON(name, r); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	got := new(Result)
	if err := json.Unmarshal(b, got); err != nil {
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

func TestDuration(t *testing.T) {
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
