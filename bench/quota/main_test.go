package main

import (
	"strings"
	"testing"
	"time"
)

// What is judged is what doc.go says, and each fault is found.
func TestJudge(t *testing.T) {
	good := func() []phase {
		calm := service{records: 1000, due: 1000, p50: time.Millisecond, p99: 5 * time.Millisecond}
		return []phase{
			{name: "alone", neighbour: calm},
			{name: "produce", quota: 100, rate: 95, unit: "bytes/s", judged: true, neighbour: calm},
			{name: "consume", quota: 100, rate: 105, unit: "bytes/s", judged: true, neighbour: calm},
			{name: "request 2%", quota: 2, rate: 50, unit: "requests/s", neighbour: calm},
			{name: "request 4%", quota: 4, rate: 105, unit: "requests/s", neighbour: calm},
		}
	}
	o := &options{tolerance: 0.1, timeShare: 0.25}
	if faults := o.judge(good()); len(faults) != 0 {
		t.Errorf("faults %q", faults)
	}
	for want, spoil := range map[string]func([]phase){
		"produce: 88 bytes/s is 0.88":                     func(p []phase) { p[1].rate = 88 },
		"consume: 120 bytes/s is 1.20":                    func(p []phase) { p[2].rate = 120 },
		"2.0 times the request_percentage gives 2.60":     func(p []phase) { p[4].rate = 130 },
		"2.0 times the request_percentage gives NaN":      func(p []phase) { p[3].rate, p[4].rate = 0, 0 },
		"produce: 970 of 1000 records":                    func(p []phase) { p[1].neighbour.records = 970 },
		"consume: the neighbour's median is 4ms, alone 1": func(p []phase) { p[2].neighbour.p50 = 4 * time.Millisecond },
	} {
		p := good()
		spoil(p)
		if faults := o.judge(p); len(faults) != 1 || !strings.Contains(faults[0], want) {
			t.Errorf("%q: %q", want, faults)
		}
	}
	var out strings.Builder
	if err := write(&out, good(), nil); err != nil || strings.Count(out.String(), "\n") != 7 {
		t.Errorf("%v\n%s", err, out.String())
	}
}
