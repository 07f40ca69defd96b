package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// spread is n latencies of which the last hundredth and more are late.
func spread(n int, most, late time.Duration) (d durations) {
	for i := range n {
		if i < n*98/100 {
			d = append(d, most)
		} else {
			d = append(d, late)
		}
	}
	return d
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*result)
		want string
	}{
		{"good", func(*result) {}, ""},
		{"late acknowledgements", func(r *result) { r.loaded[0].produce = spread(1000, time.Millisecond, 4*time.Millisecond) }, "produce: loaded p99 is 2.00"},
		{"late at the tail", func(r *result) { r.loaded[0].tail = spread(1000, time.Millisecond, 5*time.Millisecond) }, "tail: loaded p99 is 2.50"},
		{"slow readers", func(r *result) { r.loaded[0].read[1].bytes = 100 }, "the readers got"},
		{"nothing consumed", func(r *result) { r.loaded[0].tail = nil }, "tail: nothing was measured"},
	} {
		o := &options{maxRatio: 1.5, minBytes: 1500}
		quiet := phase{took: time.Second, produce: spread(1000, time.Millisecond, 2*time.Millisecond), tail: spread(1000, time.Millisecond, 2*time.Millisecond)}
		loaded := quiet
		loaded.read = []transfer{{1000, time.Second}, {2000, 2 * time.Second}}
		r := &result{quiet: []phase{quiet}, loaded: []phase{loaded}}
		tt.edit(r)
		err := o.verdict(r)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: verdict %v, want %q", tt.name, err, tt.want)
		}
		var out bytes.Buffer
		if err := r.write(&out); err != nil || !strings.Contains(out.String(), "all loaded") {
			t.Errorf("%s: %v\n%s", tt.name, err, out.String())
		}
	}
}

func TestEvictNamesWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	if err := evict(dir); err == nil {
		t.Error("no file of the cold topic, no error")
	}
	partition := filepath.Join(dir, coldTopic+"-0")
	if err := os.MkdirAll(partition, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(partition, "0.log"), make([]byte, 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := evict(dir); err != nil {
		t.Error(err)
	}
	if rate, err := diskRate(t.Context(), dir, 2); err != nil || rate <= 0 {
		t.Errorf("%v, %v", rate, err)
	}
}

func TestValidate(t *testing.T) {
	good := options{rounds: 1, quiet: 1, readers: 2, cold: "1GB", minRate: "1GB", fetchBytes: 1, producers: 1, rate: 1, batchBytes: 1000}
	o := good
	if err := o.validate(); err != nil || o.coldBytes != 1e9 || o.minBytes != 1e9 {
		t.Errorf("%v, %+v", err, o)
	}
	for name, edit := range map[string]func(*options){
		"cold size": func(o *options) { o.cold = "much" },
		"cold log":  func(o *options) { o.cold = "900kB" },
		"rate":      func(o *options) { o.rate = 0 },
		"batch":     func(o *options) { o.batchBytes = 1 << 20 },
		"ratio":     func(o *options) { o.maxRatio = -1 },
	} {
		o := good
		edit(&o)
		if err := o.validate(); err == nil {
			t.Errorf("bad %s was accepted", name)
		}
	}
}

func TestFloor(t *testing.T) {
	dir := t.TempDir()
	partition := filepath.Join(dir, coldTopic+"-0")
	if err := os.MkdirAll(partition, 0o755); err != nil {
		t.Fatal(err)
	}
	const size = 1_000_000
	if err := os.WriteFile(filepath.Join(partition, "0.log"), make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &options{readers: 1, producers: 2, rate: 100, batchBytes: 10_000, quiet: time.Millisecond}
	o.BaseDir = t.TempDir()
	for _, rate := range []float64{0, 1e9} {
		ph, err := o.measureFloor(t.Context(), dir, rate)
		if err != nil {
			t.Fatal(err)
		}
		if rate > 0 && (len(ph.read) != 1 || ph.read[0].bytes != size || ph.read[0].took <= 0) {
			t.Errorf("read %+v, want %d bytes", ph.read, size)
		}
	}
	if left, err := os.ReadDir(o.BaseDir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
