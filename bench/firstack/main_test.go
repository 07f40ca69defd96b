package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"kserver/bench/internal/launch"
)

func TestJudge(t *testing.T) {
	o := &options{maxFirstAck: 30 * time.Millisecond, maxRestart: time.Second, maxIdleMiB: 25, maxBinaryMiB: 30}
	good := func() *result {
		return &result{
			FirstAck: launch.Summary{MedianMs: 29.9, MaxMs: 200}, AfterStop: launch.Summary{MedianMs: 10}, AfterKill: launch.Summary{MedianMs: 10},
			IdleRSS: 24 << 20, Executable: &executable{Bytes: 20 << 20, Static: true, Stripped: true},
		}
	}
	if err := o.judge(good()); err != nil {
		t.Error(err)
	}
	for want, edit := range map[string]func(*result){
		"first acknowledgement":      func(r *result) { r.FirstAck.MedianMs = 30.1 },
		"restart after a clean stop": func(r *result) { r.AfterStop.MedianMs = 1001 },
		"restart after kill -9":      func(r *result) { r.AfterKill.MedianMs = 1001 },
		"idle memory":                func(r *result) { r.IdleRSS = 26 << 20 },
		"31.0 MiB":                   func(r *result) { r.Executable.Bytes = 31 << 20 },
		"not static":                 func(r *result) { r.Executable.Static = false },
	} {
		r := good()
		edit(r)
		if err := o.judge(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("verdict %v, want %q", err, want)
		}
	}
	var out bytes.Buffer
	if err := good().write(&out); err != nil || !strings.Contains(out.String(), "29.9") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestInspect(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e, err := inspect(self)
	if err != nil || e.Bytes == 0 {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := inspect("main_test.go"); err == nil {
		t.Error("a text file passed as an executable")
	}
}
