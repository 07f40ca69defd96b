package integrity

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testRun = 77

func value(producer uint32, partition int32, seq int64) []byte {
	v := bytes.Repeat([]byte{0xa5}, StampSize+24)
	Stamp{Run: testRun, Producer: producer, Partition: partition, Sequence: seq, Time: 5}.Put(v)
	return v
}

func TestStampRoundTripAndDamage(t *testing.T) {
	want := Stamp{Run: 1 << 60, Producer: 9, Partition: 3, Sequence: 1 << 40, Time: -4}
	v := make([]byte, 100)
	want.Put(v)
	got, err := ParseChecked(v)
	if err != nil || got != want {
		t.Fatalf("ParseChecked = %+v, %v", got, err)
	}
	for i := range v {
		v[i] ^= 1
		_, err := ParseChecked(v)
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign) {
			t.Errorf("flipped bit in byte %d went unnoticed: %v", i, err)
		}
		v[i] ^= 1
	}
	if _, err := Parse(v[:StampSize-1]); !errors.Is(err, ErrForeign) {
		t.Errorf("short value: %v", err)
	}
}

func TestRangeSetAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s RangeSet
	model := map[int64]bool{}
	for range 5000 {
		a := rng.Int64N(300)
		if rng.IntN(3) == 0 {
			if got := s.Remove(a); got != model[a] {
				t.Fatalf("Remove(%d) = %v, want %v", a, got, model[a])
			}
			delete(model, a)
		} else {
			b := a + rng.Int64N(6)
			if err := s.Add(a, b); err != nil {
				t.Fatal(err)
			}
			for ; a <= b; a++ {
				model[a] = true
			}
		}
		if s.Len() != int64(len(model)) {
			t.Fatalf("Len = %d, want %d", s.Len(), len(model))
		}
		last := int64(-2)
		for _, r := range s.Ranges() {
			if r[0] <= last+1 || r[1] < r[0] {
				t.Fatalf("ranges not sorted and separate: %v", s.Ranges())
			}
			last = r[1]
		}
	}
	for i := range int64(310) {
		if s.Contains(i) != model[i] {
			t.Fatalf("Contains(%d) = %v", i, s.Contains(i))
		}
	}
}

func TestRangeSetBound(t *testing.T) {
	var s RangeSet
	for i := range int64(MaxRanges) {
		if err := s.Add(2*i, 2*i); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add(10*MaxRanges, 10*MaxRanges); !errors.Is(err, ErrTooManyRanges) {
		t.Fatalf("err = %v", err)
	}
}

// TestPlantedFaults shows the checker one healthy stream with one fault each and expects that fault and no other.
func TestPlantedFaults(t *testing.T) {
	type rec struct {
		partition int32
		value     []byte
	}
	healthy := func() []rec {
		var rs []rec
		for seq := range int64(10) {
			rs = append(rs, rec{0, value(1, 0, seq)})
		}
		return rs
	}
	tests := []struct {
		name string
		edit func([]rec) []rec
		want Report
	}{
		{"healthy", func(r []rec) []rec { return r }, Report{Records: 10}},
		{"lost in the middle", func(r []rec) []rec { return append(r[:4], r[5:]...) }, Report{Records: 9, Lost: 1}},
		{"lost tail", func(r []rec) []rec { return r[:7] }, Report{Records: 7, Lost: 1}},
		{"all lost", func(r []rec) []rec { return nil }, Report{Lost: 8}},
		{"repeated", func(r []rec) []rec { return append(r, r[3]) }, Report{Records: 10, Duplicate: 1}},
		{"swapped", func(r []rec) []rec { r[2], r[3] = r[3], r[2]; return r }, Report{Records: 10, Disorder: 1}},
		{"changed", func(r []rec) []rec { r[5].value[50] ^= 1; return r }, Report{Records: 9, Corrupt: 1, Lost: 1}},
		{"foreign", func(r []rec) []rec { return append(r, rec{0, []byte("hello")}) }, Report{Records: 10, Foreign: 1}},
		{"wrong partition", func(r []rec) []rec { return append(r, rec{1, value(1, 0, 11)}) }, Report{Records: 10, Corrupt: 1}},
		{"never attempted", func(r []rec) []rec { return append(r, rec{0, value(1, 0, 10)}) }, Report{Records: 11, Corrupt: 1}},
		{"unknown stream", func(r []rec) []rec { return append(r, rec{0, value(2, 0, 0)}) }, Report{Records: 11, Corrupt: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ledger := NewLedger()
			stream := Stream{1, 0}
			if first := ledger.Next(stream, 10); first != 0 {
				t.Fatalf("first = %d", first)
			}
			ledger.Ack(stream, 3, 5) // 0..7 acknowledged, 8 and 9 not
			ledger.Ack(stream, 0, 3)
			m, err := ledger.Manifest("t", testRun)
			if err != nil {
				t.Fatal(err)
			}
			c := NewChecker(testRun)
			next := map[int32]int64{}
			for _, r := range tt.edit(healthy()) {
				if err := c.Observe(r.partition, next[r.partition], r.value); err != nil {
					t.Fatal(err)
				}
				next[r.partition]++
			}
			got := c.Report(m)
			if !got.OK() && len(got.Examples) == 0 {
				t.Error("a fault without an example")
			}
			tt.want.Acked = 8
			got.Unacked, got.Examples = 0, nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckerWithoutManifest(t *testing.T) {
	c := NewChecker(0)
	for i, seq := range []int64{0, 1, 4, 5} {
		if err := c.Observe(2, int64(i*10), value(0, 2, seq)); err != nil {
			t.Fatal(err)
		}
	}
	r := c.Report(nil)
	if r.Lost != 2 || r.Records != 4 || r.OffsetGaps != 3 {
		t.Errorf("report %+v", r)
	}
}

func TestUnacked(t *testing.T) {
	l := NewLedger()
	l.Next(Stream{0, 0}, 5)
	l.Ack(Stream{0, 0}, 0, 2)
	m, err := l.Manifest("t", testRun)
	if err != nil {
		t.Fatal(err)
	}
	c := NewChecker(testRun)
	for seq := range int64(4) {
		if err := c.Observe(0, seq, value(0, 0, seq)); err != nil {
			t.Fatal(err)
		}
	}
	if r := c.Report(m); !r.OK() || r.Unacked != 2 || r.Acked != 2 {
		t.Errorf("report %+v", r)
	}
}

func TestManifestRoundTrip(t *testing.T) {
	l := NewLedger()
	l.Next(Stream{4, 1}, 9)
	l.Ack(Stream{4, 1}, 0, 3)
	l.Ack(Stream{4, 1}, 5, 2)
	want, err := l.Manifest("topic", 1<<63+5)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := want.Write(&buf); err != nil {
		t.Fatal(err)
	}
	got, err := ReadManifest(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Acked() != 5 {
		t.Errorf("Acked = %d", got.Acked())
	}
	if _, err := ReadManifest(bytes.NewReader([]byte(`{"streams":[{"attempted":2,"acked":[[0,2]]}]}`))); err == nil {
		t.Error("a range beyond what was attempted was accepted")
	}
}
