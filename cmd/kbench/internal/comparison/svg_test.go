package comparison

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewAxis(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, tt := range map[string]struct {
		log       bool
		values    []float64
		low, high float64
		ticks     []float64
	}{
		"linear":          {false, []float64{3, 47, nan}, 0, 50, []float64{0, 10, 20, 30, 40, 50}},
		"linear, nothing": {false, nil, 0, 1, []float64{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1}},
		"linear, zeros":   {false, []float64{0}, 0, 1, []float64{0, 1}},
		"log":             {true, []float64{0.3, 20, 0, inf}, -1, 2, []float64{0.1, 1, 10, 100}},
		"log, one value":  {true, []float64{10}, 1, 2, []float64{10, 100}},
		"log, nothing":    {true, []float64{0, nan}, 0, 1, []float64{1, 10}},
	} {
		a := newAxis(tt.log, tt.values)
		if a.low != tt.low || a.high != tt.high {
			t.Errorf("%s: from %v to %v", name, a.low, a.high)
		}
		if diff := cmp.Diff(tt.ticks, a.ticks); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestPlace(t *testing.T) {
	linear, log := newAxis(false, []float64{50}), newAxis(true, []float64{1, 100})
	for _, tt := range []struct {
		a    axis
		v    float64
		want float64
		ok   bool
	}{
		{linear, 0, 0, true}, {linear, 25, 0.5, true}, {linear, 99, 1, true}, {linear, math.NaN(), 0, false},
		{log, 10, 0.5, true}, {log, 0, 0, false}, {log, 0.1, 0, true},
	} {
		if at, ok := tt.a.place(tt.v); at != tt.want || ok != tt.ok {
			t.Errorf("place(%v) = %v, %v", tt.v, at, ok)
		}
	}
}

// A place without a value is a gap in the line, and texts are escaped.
func TestPlotGaps(t *testing.T) {
	p := plot{title: "a < b", log: true, xNames: []string{"x", "", "&"}, curves: []curve{{y: []float64{1, 0, 10}}}}
	got := string(p.svg())
	for _, want := range []string{"a &lt; b", "&amp;", `d="M58 226M446 30"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if got := string(barsSVG("t", []bar{{name: "<x>"}})); !strings.Contains(got, "&lt;x&gt;") || !strings.Contains(got, ">-<") {
		t.Errorf("a bar without a value: %s", got)
	}
}
