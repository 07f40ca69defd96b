package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"kserver/bench/internal/steady"
	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/wire"
)

func testRow(latency time.Duration, n int64) row {
	w := row{latencies: steady.Latencies{Produced: steady.NewHistogram(), Consumed: steady.NewHistogram()}}
	_ = w.latencies.Produced.RecordValue(latency.Microseconds())
	_ = w.latencies.Consumed.RecordValue(2 * latency.Microseconds())
	w.rss, w.descriptors, w.goroutines, w.disk = n, n, n, n
	return w
}

// goodResult is of a run of twelve rows in which nothing changed and nothing went wrong.
func goodResult() *result {
	o := &options{}
	r := &result{report: integrity.Report{Records: 1, Acked: 1}, catchUp: &catchUp{o: o}, churn: newChurn(o, ""), deletedTo: 1}
	r.catchUp.records.Store(1)
	r.churn.all.Store(1)
	for range 12 {
		r.rows = append(r.rows, testRow(10*time.Millisecond, 1000))
	}
	return r
}

func testBounds() (b bounds) {
	b.addFlags(pflag.NewFlagSet("", pflag.ContinueOnError)) // the defaults
	return b
}

func TestVerdict(t *testing.T) {
	last := func(f func(*row)) func(*result) { return func(r *result) { f(&r.rows[10]); f(&r.rows[11]) } }
	tests := []struct {
		name string
		edit func(*result)
		want string
	}{
		{"good", func(*result) {}, ""},
		{"at the bounds", last(func(w *row) { *w = testRow(19*time.Millisecond, 1250) }), ""},
		{"bad between", func(r *result) { r.rows[5] = testRow(time.Second, 1<<20) }, ""},
		{"slower", last(func(w *row) { *w = testRow(21*time.Millisecond, 1000) }), "produce p99: 10.0ms in the first sixth, 21.0ms in the last"},
		{"later", last(func(w *row) { _ = w.latencies.Consumed.RecordValue(90_000) }), "tail p99"},
		{"larger", last(func(w *row) { w.rss = 1251 }), "resident memory"},
		{"descriptors", last(func(w *row) { w.descriptors = 1251 }), "descriptors"},
		{"goroutines", last(func(w *row) { w.goroutines = 1251 }), "goroutines"},
		{"disk", last(func(w *row) { w.disk = 1251 }), "disk"},
		{"one row of the last", func(r *result) { r.rows[11].rss = 1600 }, "1.30 times, more than 1.25"},
		{"lost", func(r *result) { r.report.Lost = 1 }, "1 lost"},
		{"foreign", func(r *result) { r.report.Foreign = 2 }, "2 foreign"},
		{"gaps", func(r *result) { r.report.OffsetGaps = 3 }, "3 offset gaps"},
		{"idle tail", func(r *result) { r.report = integrity.Report{} }, "tail: no record"},
		{"idle catch-up", func(r *result) { r.catchUp.records.Store(0) }, "catch-up: no record"},
		{"idle churn", func(r *result) { r.churn.all.Store(0) }, "no topic"},
		{"nothing deleted", func(r *result) { r.deletedTo = 0 }, "retention"},
		{"panic", func(r *result) { r.alarmCount, r.alarms = 1, []string{"handler panicked"} }, "handler panicked"},
		{"failed on the way", func(r *result) { r.errs = []error{errors.New("topic 4: delete: no")} }, "topic 4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := goodResult()
			tt.edit(r)
			err := r.verdict(testBounds())
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("verdict %v, want %q", err, tt.want)
			}
			var out bytes.Buffer
			if werr := r.write(&out, testBounds(), err); werr != nil || strings.Contains(out.String(), "FAILED") != (err != nil) {
				t.Errorf("%v\n%s", werr, out.String())
			}
		})
	}
}

// Without bounds nothing is too much, and a broker without metrics has no goroutines to grow.
func TestUnbounded(t *testing.T) {
	r := goodResult()
	r.rows[11] = testRow(time.Minute, 1<<40)
	if err := r.verdict(bounds{}); err != nil {
		t.Error(err)
	}
	r = goodResult()
	for i := range r.rows {
		r.rows[i].goroutines = 0
	}
	if err := r.verdict(testBounds()); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	good := func() options {
		return options{
			duration: time.Hour, report: time.Minute, churn: time.Second, partitions: 16, recordSize: 1000,
			rate: "2MB", catchUp: "4MB", segment: "1MiB", retention: "4MiB",
		}
	}
	o := good()
	if err := o.validate(); err != nil || o.seed == 0 || o.rateBytes != 2_000_000 || o.retentionBytes != 4<<20 {
		t.Errorf("%v, %+v", err, o)
	}
	for name, edit := range map[string]func(*options){
		"few rows":    func(o *options) { o.report = 11 * time.Minute },
		"many rows":   func(o *options) { o.report = time.Millisecond },
		"warm-up":     func(o *options) { o.warmUp = -1 },
		"churn":       func(o *options) { o.churn = 0 },
		"partitions":  func(o *options) { o.partitions = 0 },
		"record size": func(o *options) { o.recordSize = integrity.StampSize - 1 },
		"rate":        func(o *options) { o.rate = "much" },
		"no rate":     func(o *options) { o.catchUp = "0B" },
		"retention":   func(o *options) { o.retention = "2TiB" },
	} {
		o := good()
		edit(&o)
		if err := o.validate(); err == nil {
			t.Errorf("bad %s was accepted", name)
		}
	}
}

// The reader notices every kind of record that is not what was written.
func TestVisitor(t *testing.T) {
	const run, partition = 7, 3
	batch := func(edit func(i int, s *integrity.Stamp), damage bool) []byte {
		b, err := wire.EncodeBatch(4, integrity.StampSize+8, wire.CodecNone, 1, func(i int, value []byte) {
			s := integrity.Stamp{Run: run, Partition: partition, Sequence: int64(i), Time: 9}
			edit(i, &s)
			s.Put(value)
			if damage && i == 2 {
				value[len(value)-1]++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	same := func(int, *integrity.Stamp) {}
	third := func(edit func(*integrity.Stamp)) func(int, *integrity.Stamp) {
		return func(i int, s *integrity.Stamp) {
			if i == 2 {
				edit(s)
			}
		}
	}
	tests := []struct {
		name    string
		from    int64
		batch   []byte
		records int64
		want    string
	}{
		{"good", 0, batch(same, false), 4, ""},
		{"from inside", 2, batch(same, false), 2, ""},
		{"behind a hole", -1, batch(same, false), 0, "offset 0 where -1 was expected"},
		{"damaged", 0, batch(same, true), 2, "offset 2: record hash"},
		{"repeated", 0, batch(third(func(s *integrity.Stamp) { s.Sequence = 1 }), false), 2, "Sequence:1"},
		{"of another partition", 0, batch(third(func(s *integrity.Stamp) { s.Partition = 0 }), false), 2, "Partition:0"},
		{"of another run", 0, batch(third(func(s *integrity.Stamp) { s.Run = 8 }), false), 2, "Run:8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := visitor{run: run, next: map[int32]int64{partition: tt.from}}
			err := v.batch(partition, tt.batch)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if v.records != tt.records || tt.want == "" && v.next[partition] != 4 {
				t.Errorf("%d records, next offset %d", v.records, v.next[partition])
			}
		})
	}
}

func TestPositions(t *testing.T) {
	next, to := map[int32]int64{1: 10, 2: 20, 3: 30}, map[int32]int64{1: 11, 2: 20, 3: 31}
	got := positions([]wire.FetchPosition{{Partition: 1}, {Partition: 2}, {Partition: 3}}, next, to)
	if diff := cmp.Diff([]wire.FetchPosition{{Partition: 3, Offset: 30}, {Partition: 1, Offset: 10}}, got); diff != "" {
		t.Error(diff)
	}
}

// The pace adds up what was read, forgets what a stall has cost, and ends with its context.
func TestPace(t *testing.T) {
	p := pace{rate: 1, began: time.Now().Add(-time.Hour)}
	if err := p.wait(t.Context(), 60); err != nil || time.Since(p.began) > time.Minute {
		t.Errorf("%v, %v behind", err, time.Since(p.began))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	was := p.began
	if err := p.wait(ctx, 3600); !errors.Is(err, context.Canceled) || p.began.Sub(was) < 59*time.Minute {
		t.Errorf("%v, due in %v", err, p.began.Sub(was))
	}
}

func TestParseMetrics(t *testing.T) {
	const text = "# HELP a of nobody\n# TYPE a gauge\na 1.5e+03\nab 2\nb{x=\"y\"} 3\n"
	got, err := parseMetrics(strings.NewReader(text), "a", "ab")
	if diff := cmp.Diff(map[string]float64{"a": 1500, "ab": 2}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := parseMetrics(strings.NewReader(text), "a", "b"); err == nil || !strings.Contains(err.Error(), "no metric b") {
		t.Errorf("a metric that is missing: %v", err)
	}
	if _, err := parseMetrics(strings.NewReader("a much\n"), "a"); err == nil {
		t.Error("a value that is no number was accepted")
	}
}

// A failure is told, and what comes of being stopped is none.
func TestGroup(t *testing.T) {
	g := newGroup(t.Context())
	g.start(func(ctx context.Context) error { <-ctx.Done(); return errors.New("cut off") })
	g.start(func(context.Context) error { return errors.New("broken") })
	if err := <-g.failed; err == nil || err.Error() != "broken" {
		t.Error(err)
	}
	g.stop()
	select {
	case err := <-g.failed:
		t.Error(err)
	default:
	}
}
