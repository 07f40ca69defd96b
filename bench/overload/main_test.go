package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"kserver/bench/internal/observe"
)

func TestVerdict(t *testing.T) {
	const limit = 100
	for _, tt := range []struct {
		name string
		edit func(*result)
		want string
	}{
		{"good", func(*result) {}, ""},
		{"lost", func(r *result) { r.ends = 29 }, "30 records are acknowledged, the topic holds 29"},
		{"starved", func(r *result) { r.scenarios[0].clients[1].acked = 0 }, "x: a producer got nothing"},
		{"failed", func(r *result) { r.scenarios[0].clients[1].err = errors.New("broken") }, "producer 1: broken"},
		{"memory", func(r *result) { r.largestRSS = limit + 1 }, "101 B, more than 100 B"},
		{"descriptors", func(r *result) { r.after.Sockets = 3 }, "3 sockets"},
		{"panic", func(r *result) { r.alarmCount, r.alarms = 1, []string{"panic"} }, "1 alarming"},
	} {
		h := hdrhistogram.New(1, longestUs, 3)
		if err := h.RecordValue(1000); err != nil {
			t.Fatal(err)
		}
		r := &result{ends: 30, largestRSS: limit, before: observe.Descriptors{Sockets: 2}, after: observe.Descriptors{Sockets: 2},
			scenarios: []scenario{{name: "x", took: time.Second, clients: []client{{acked: 10, latency: h}, {acked: 20, latency: h}}}}}
		tt.edit(r)
		err := r.verdict(limit)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: verdict %v, want %q", tt.name, err, tt.want)
		}
		var out bytes.Buffer
		if werr := r.write(&out, err); werr != nil || strings.Contains(out.String(), "FAILED") != (err != nil) {
			t.Errorf("%s: %v\n%s", tt.name, werr, out.String())
		}
	}
}

func TestShares(t *testing.T) {
	h := hdrhistogram.New(1, longestUs, 3)
	s := scenario{took: 2 * time.Second, clients: []client{{acked: 100, latency: h}, {acked: 300, latency: h}}}
	if least, most := s.spread(); least != 100 || most != 300 || s.bytesPerSecond() != 200*recordBytes {
		t.Errorf("%d to %d, %v bytes per second", least, most, s.bytesPerSecond())
	}
}

func TestValidate(t *testing.T) {
	good := options{duration: 1, producers: 1, batchBytes: 1000, maxRSS: "1MiB"}
	o := good
	if err := o.validate(); err != nil || o.maxRSSSize != 1<<20 {
		t.Errorf("%v, %d", err, o.maxRSSSize)
	}
	for name, edit := range map[string]func(*options){
		"size":      func(o *options) { o.maxRSS = "much" },
		"duration":  func(o *options) { o.duration = 0 },
		"producers": func(o *options) { o.producers = 0 },
		"batch":     func(o *options) { o.batchBytes = 1 << 20 },
	} {
		o := good
		edit(&o)
		if err := o.validate(); err == nil {
			t.Errorf("bad %s was accepted", name)
		}
	}
}
