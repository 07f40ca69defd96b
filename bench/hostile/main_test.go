package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"kserver/bench/internal/observe"
	"kserver/bench/internal/steady"
	"kserver/cmd/kbench/integrity"
)

func TestVerdict(t *testing.T) {
	const limit = 100
	tests := []struct {
		name string
		edit func(*result)
		want string
	}{
		{"good", func(*result) {}, ""},
		{"at the limits", func(r *result) { r.largestRSS, r.after = limit, r.before }, ""},
		{"lost", func(r *result) { r.report.Lost = 1 }, "1 lost"},
		{"foreign", func(r *result) { r.report.Foreign = 2 }, "2 foreign"},
		{"gaps", func(r *result) { r.report.OffsetGaps = 3 }, "3 offset gaps"},
		{"idle", func(r *result) { r.report = integrity.Report{} }, "no record"},
		{"memory", func(r *result) { r.largestRSS = limit + 1 }, "101 B, more than 100 B"},
		{"sockets", func(r *result) { r.after.Sockets = 3 }, "3 sockets"},
		{"files", func(r *result) { r.after.Files = []string{"a", "a", "b"} }, `["a" "b"]`},
		{"panic", func(r *result) { r.alarmCount, r.alarms = 1, []string{"handler panicked"} }, "handler panicked"},
		{"answers", func(r *result) { r.phases[0].Strange = 1 }, "x: 1 wrong"},
		{"slow", func(r *result) { _ = r.attack.RecordValue(31_000) }, "3.1 times"},
		{"slow beside anything", func(r *result) { r.control = steady.NewHistogram(); _ = r.control.RecordValue(31_000) }, ""},
		{"dead", func(r *result) { r.errs = []error{errors.New("the broker has ended")} }, "has ended"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &result{quiet: steady.NewHistogram(), attack: steady.NewHistogram(), report: integrity.Report{Records: 1, Acked: 1},
				before: observe.Descriptors{Sockets: 2, Files: []string{"a"}}, phases: []phase{{name: "x", latency: steady.NewHistogram()}}}
			_ = r.quiet.RecordValue(10_000)
			tt.edit(r)
			err := r.verdict(&options{maxRSSSize: limit, mostTimes: 3})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("verdict %v, want %q", err, tt.want)
			}
			var out bytes.Buffer
			if werr := r.write(&out, err); werr != nil || strings.Contains(out.String(), "FAILED") != (err != nil) {
				t.Errorf("%v\n%s", werr, out.String())
			}
		})
	}
}

func TestCount(t *testing.T) {
	weight := 0
	for _, k := range kinds {
		weight += k.weight
		if k.count(1) != 1 {
			t.Errorf("%s: no input of one", k.name)
		}
	}
	if weight != 1000 {
		t.Errorf("the weights add up to %d, not 1000", weight)
	}
}

func TestValidate(t *testing.T) {
	good := options{inputs: 1, rate: 1, recordSize: integrity.StampSize, maxRSS: "200MiB"}
	o := good
	if err := o.validate(); err != nil || o.seed == 0 || o.maxRSSSize != 200<<20 {
		t.Errorf("%v, seed %d, size %d", err, o.seed, o.maxRSSSize)
	}
	for name, edit := range map[string]func(*options){
		"inputs":   func(o *options) { o.inputs = 0 },
		"size":     func(o *options) { o.maxRSS = "much" },
		"kind":     func(o *options) { o.kinds = []string{"nice"} },
		"endpoint": func(o *options) { o.endpoint = "localhost:1" },
		"log":      func(o *options) { o.brokerLog = "x" },
		"record":   func(o *options) { o.recordSize = 1 },
	} {
		o := good
		edit(&o)
		if err := o.validate(); err == nil {
			t.Errorf("bad %s was accepted", name)
		}
	}
}

// The stand-in answers whole frames in order and ends with what cannot be one.
func TestStandIn(t *testing.T) {
	frames := []byte{
		0, 0, 0, 8, 0, 18, 0, 0, 0, 0, 0, 7,
		0, 0, 0, 10, 0, 3, 0, 9, 0, 0, 0, 8, 0xff, 0xff,
		0, 0, 0, 7, 0, 3, 0, 9, 0, 0, 0, 9,
	}
	var answers bytes.Buffer
	err := answerFrames(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(frames), &answers})
	if err == nil || !strings.Contains(err.Error(), "7 bytes") {
		t.Errorf("error %v", err)
	}
	if want := []byte{0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 8}; !bytes.Equal(answers.Bytes(), want) {
		t.Errorf("answers % x, want % x", answers.Bytes(), want)
	}
}
