package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"kserver/bench/internal/launch"
	"kserver/cmd/kbench/integrity"
)

func TestVerdict(t *testing.T) {
	tests := []struct {
		name string
		edit func(*result)
		want string
	}{
		{"good", func(*result) {}, ""},
		{"lost", func(r *result) { r.Integrity.Lost = 1 }, "1 lost"},
		{"repeated", func(r *result) { r.Integrity.Duplicate = 2 }, "2 repeated"},
		{"gaps", func(r *result) { r.Integrity.OffsetGaps = 3 }, "3 gaps"},
		{"foreign", func(r *result) { r.Integrity.Foreign = 1 }, "no producer wrote"},
		{"empty", func(r *result) { r.Integrity.Records = 0 }, "no record was read"},
		{"given up", func(r *result) { r.Failed = 4 }, "4 records were given up"},
		{"given up without power", func(r *result) { r.Failed, r.PowerLoss = 4, "ext4" }, ""},
		{"slow", func(r *result) { r.Serving.MaxMs = 1001 }, "1001 ms"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &result{Serving: launch.Summary{MaxMs: 999}, Integrity: integrity.Report{Records: 10, Acked: 10}}
			tt.edit(r)
			err := r.verdict(time.Second)
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

func TestValidate(t *testing.T) {
	good := options{cycles: 1, partitions: 1, producers: 1, recordSize: integrity.StampSize, rate: 1, maxUp: 1}
	o := good
	if err := o.validate(); err != nil || o.seed == 0 {
		t.Errorf("%v, seed %d", err, o.seed)
	}
	for name, edit := range map[string]func(*options){
		"cycles":      func(o *options) { o.cycles = 0 },
		"record size": func(o *options) { o.recordSize = integrity.StampSize - 1 },
		"up":          func(o *options) { o.minUp = 2 },
		"disk":        func(o *options) { o.powerLoss = "ntfs" },
		"early":       func(o *options) { o.early = 1.5 },
	} {
		o := good
		edit(&o)
		if err := o.validate(); err == nil {
			t.Errorf("bad %s was accepted", name)
		}
	}
}
