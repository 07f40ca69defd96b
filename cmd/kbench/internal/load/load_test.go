package load

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kserver/cmd/kbench/wire"
)

func TestRecordsPerBatchFits(t *testing.T) {
	if n := (&ProduceOptions{RecordSize: 100, BatchBytes: 1000, BatchRecords: 77}).recordsPerBatch(); n != 77 {
		t.Errorf("%d records, asked for 77", n)
	}
	for _, size := range []int{0, 1, 40, 100, 1024, 5000, 1 << 20} {
		for _, batch := range []int{0, 61, 1000, 16384, 1 << 20} {
			o := &ProduceOptions{RecordSize: size, BatchBytes: batch}
			n := o.recordsPerBatch()
			if n < 1 || n > 1 && wire.BatchBytes(n, size) > batch {
				t.Errorf("size %d batch %d: %d records take %d bytes", size, batch, n, wire.BatchBytes(n, size))
			}
			if n > 1 && wire.BatchBytes(n+n/10+2, size) <= batch {
				t.Errorf("size %d batch %d: %d records leave more than a tenth free", size, batch, n)
			}
		}
	}
}

func TestRawLanesCoverEveryPartition(t *testing.T) {
	leaders := map[int32]string{0: "a", 1: "b", 2: "a", 3: "a"}
	lanes := rawLanes(3, leaders)
	if len(lanes) != 6 {
		t.Fatalf("%d lanes", len(lanes))
	}
	var share float64
	seen := map[string]int{}
	for _, l := range lanes {
		share += l.share
		for _, p := range l.partitions {
			if leaders[p] != l.addr {
				t.Errorf("partition %d goes to %s", p, l.addr)
			}
			seen[fmt.Sprint(l.worker, "/", p)]++
		}
	}
	if len(seen) != 12 || share < 0.999 || share > 1.001 {
		t.Errorf("%d pairs, share %v", len(seen), share)
	}
}

func TestReads(t *testing.T) {
	leaders := map[int32]string{0: "", 1: "", 2: "", 3: "", 4: ""}
	tests := []struct {
		consumers int
		fanOut    bool
		want      [][]int32
	}{
		{1, false, [][]int32{{0, 1, 2, 3, 4}}},
		{2, false, [][]int32{{0, 2, 4}, {1, 3}}},
		{2, true, [][]int32{{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}},
		{7, false, [][]int32{{0}, {1}, {2}, {3}, {4}, {0}, {1}}},
	}
	for _, tt := range tests {
		o := &ConsumeOptions{Leaders: leaders, Consumers: tt.consumers, FanOut: tt.fanOut}
		var got [][]int32
		for i := range tt.consumers {
			got = append(got, o.reads(i))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%d consumers, fan-out %v:\n%s", tt.consumers, tt.fanOut, diff)
		}
	}
}

func TestAtEnd(t *testing.T) {
	tests := []struct {
		next, from, to int64
		rule           AtEnd
		done, rewind   bool
	}{
		{5, 0, 10, AtEndStop, false, false},
		{10, 0, 10, AtEndStop, true, false},
		{10, 0, 10, AtEndWait, false, false},
		{12, 0, 10, AtEndRewind, false, true},
		{0, 0, 0, AtEndRewind, true, false}, // an empty partition must not be rewound for ever
		{0, 0, 0, AtEndWait, false, false},
	}
	for _, tt := range tests {
		p := &position{next: tt.next, from: tt.from, to: tt.to}
		if done, rewind := p.atEnd(tt.rule); done != tt.done || rewind != tt.rewind {
			t.Errorf("%+v: done %v rewind %v", tt, done, rewind)
		}
	}
}

func TestMeterWindow(t *testing.T) {
	m := NewMeter(Window{Start: 0, From: 100, End: 200}, 1)
	m.Done(0, 50, 50, 60, 1, 10)    // warm-up
	m.Done(0, 90, 95, 110, 2, 20)   // due before, answered inside: counts for the rate only
	m.Done(0, 150, 150, 160, 4, 40) // inside
	m.Done(0, 199, 199, 300, 8, 80) // due inside, answered after: counts for the latency only
	m.Fail(3, fmt.Errorf("broken"))
	c := m.Counts()
	if c.Records != 6 || c.Bytes != 60 || c.AllRecords != 15 || c.Failed != 3 || c.Errors["broken"] != 3 || c.Last != 300 {
		t.Errorf("counts %+v", c)
	}
	if s := m.Latency.Total(); s.Count != 12 {
		t.Errorf("%d latencies, want 12", s.Count)
	}
}

func TestMeterCourse(t *testing.T) {
	const i = int64(CourseInterval)
	m := NewMeter(Window{Start: 0, From: i, End: 3*i + 1}, 1)
	m.Done(0, 0, 0, i-1, 1, 1)        // before
	m.Done(0, i-5, i, i, 1, 2)        // first moment
	m.Done(0, i, i, 2*i-1, 1, 4)      // last of the first interval
	m.Done(0, 2*i, 2*i, 2*i+3, 1, 8)  // second
	m.Took(0, 2*i, 2*i+9)             // a request without records
	m.Done(0, 3*i, 3*i, 3*i, 1, 16)   // the window's last, begun interval
	m.Done(0, 3*i, 3*i, 3*i+1, 1, 32) // after the end
	bytes, worst := m.Course()
	if diff := cmp.Diff([]int64{6, 8, 16}, bytes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]time.Duration{time.Duration(i - 1), 9, 1}, worst); diff != "" {
		t.Error(diff)
	}
	if bytes, _ := NewMeter(NewWindow(0, 100*time.Hour), 1).Course(); bytes != nil {
		t.Errorf("a course of %d intervals", len(bytes))
	}
}

func TestMeterBoundsErrorKinds(t *testing.T) {
	m := NewMeter(NewWindow(0, time.Second), 1)
	for i := range 10 * maxErrorKinds {
		m.Fail(1, fmt.Errorf("error %d", i))
	}
	if c := m.Counts(); len(c.Errors) > maxErrorKinds+1 || c.Failed != 10*maxErrorKinds {
		t.Errorf("%d kinds, %d failures", len(c.Errors), c.Failed)
	}
}
