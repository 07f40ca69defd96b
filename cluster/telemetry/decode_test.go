package telemetry

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"kserver/internal/fuzzing"
)

func TestDecode(t *testing.T) {
	points, dropped, err := decode(payload(
		gaugeMetric("g", 1.5, msg(7, text(1, "node"), msg(2, varint(3, 7))), msg(7, text(1, "on"), msg(2, varint(2, 1))), msg(7, text(1, "list"), msg(2, msg(5)))),
		sumMetric("cumulative", 2, true, 5),
		sumMetric("delta", 1, true, 6),
		sumMetric("updown", 2, false, -7),
		sumMetric("falling", 1, false, -7),
		histogramMetric("h", 2, 9, []float64{1, 2}, 3, 4, 5),
		gaugeMetric("nan", math.NaN()),
		msg(2, text(1, "infinite"), msg(7, msg(1, double(4, math.Inf(1))), varint(2, 1), varint(3, 1))),
		msg(2, text(1, "summary"), msg(11, msg(1), msg(1))),
		msg(2, text(1, "flagged"), msg(5, msg(1, double(4, 1), varint(8, 1)))),
		msg(2, text(1, "empty"), msg(5, msg(1))),
		histogramMetric("unequal", 2, 9, []float64{1, 2}, 3, 4),
		histogramMetric("unordered", 2, 9, []float64{2, 1}, 3, 4, 5),
	))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range points {
		got = append(got, fmt.Sprint(p.name, " ", p.kind, " ", p.value, " ", p.labels, p.bounds, p.counts))
	}
	want := []string{
		"g 0 1.5 [{client_rack r1} {node 7} {on true}] [] []",
		"cumulative 1 5 [{client_rack r1}] [] []",
		"delta 2 6 [{client_rack r1}] [] []",
		"updown 0 -7 [{client_rack r1}] [] []",
		"h 3 9 [{client_rack r1}] [1 2] [3 4 5]",
		"nan 0 NaN [{client_rack r1}] [] []",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if dropped != 6 {
		t.Errorf("%d dropped, want 6", dropped)
	}
}

func TestDecodeDamage(t *testing.T) {
	whole := payload(gaugeMetric("g", 1))
	for i, b := range [][]byte{
		whole[:len(whole)-1], []byte("hello"), {0xff}, payload(msg(2, text(1, "\xff"))), payload(msg(2, varint(1, 1))), payload(msg(2, text(1, "n"), varint(5, 1))),
	} {
		if _, _, err := decode(b); !errors.Is(err, errPayload) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if points, _, err := decode(nil); err != nil || len(points) > 0 {
		t.Error(points, err)
	}
	// What is not known is skipped.
	if points, _, err := decode(slices.Concat(varint(9, 1), text(1000, "x"), whole)); err != nil || len(points) != 1 {
		t.Error(points, err)
	}
}

func TestDecodeBounds(t *testing.T) {
	var metrics [][]byte
	for range maxPoints + 5 {
		metrics = append(metrics, gaugeMetric("g", 1))
	}
	points, dropped, err := decode(payload(metrics...))
	if len(points) != maxPoints || dropped != 5 || err != nil {
		t.Errorf("%d points, %d dropped, %v", len(points), dropped, err)
	}
	var attrs [][]byte
	for i := range maxLabels {
		attrs = append(attrs, attr(7, fmt.Sprint("a", i), "v"))
	}
	long := strings.Repeat("x", maxNameBytes+1)
	points, dropped, err = decode(payload(gaugeMetric("many", 1, attrs...), gaugeMetric(long, 1), gaugeMetric("ok", 1, attr(7, long, "v"))))
	if len(points) != 1 || dropped != 2 || err != nil || len(points[0].labels) != 1 {
		t.Errorf("%v, %d dropped, %v", points, dropped, err)
	}
}

// Whatever is pushed, the decoder and the store take it or refuse it, in bounded memory.
func FuzzDecode(f *testing.F) {
	f.Add(payload(gaugeMetric("g", 1, attr(7, "0", "v")), sumMetric("s", 1, true, 2), sumMetric("s", 2, true, 2), histogramMetric("h", 1, 1, []float64{1}, 1, 2)))
	f.Add(payload(msg(2, text(1, "summary"), msg(11, msg(1)))))
	f.Add([]byte{0x0b, 0x0b, 0x0c, 0x0c})
	f.Fuzz(func(t *testing.T, b []byte) {
		var points []point
		var err error
		fuzzing.Bounded(t, 16<<20+64*uint64(len(b)), func() { points, _, err = decode(b) })
		if err != nil {
			if !errors.Is(err, errPayload) {
				t.Errorf("%v does not wrap errPayload", err)
			}
			return
		}
		var m Metrics
		s := newStore(&m)
		for range 2 {
			s.put(ID{1}, &Client{}, points, epoch, epoch)
		}
		weight := 0
		for _, series := range s.clients(epoch)[0].Series {
			weight += series.weight()
			if !strings.HasPrefix(series.Name, namePrefix) || clean(series.Name) != series.Name {
				t.Errorf("name %q", series.Name)
			}
			for i, l := range series.Labels {
				if clean(l.Name) != l.Name || l.Name[0] >= '0' && l.Name[0] <= '9' || i > 0 && series.Labels[i-1].Name >= l.Name {
					t.Errorf("labels %q", series.Labels)
				}
			}
			if series.Kind == Counter && !(series.Value >= 0) {
				t.Errorf("counter %s is %v", series.Name, series.Value)
			}
		}
		if weight != s.weight || weight > MaxInstanceSeries {
			t.Errorf("weight %d, counted %d", weight, s.weight)
		}
		if s.forget(ID{1}); s.weight != 0 || len(s.names) != 0 {
			t.Errorf("after the end: weight %d, names %v", s.weight, s.names)
		}
	})
}
