package fuzzing

import (
	"fmt"
	"testing"
)

// failures counts what a test would have reported.
type failures struct{ n int }

func (*failures) Helper()                 {}
func (f *failures) Errorf(string, ...any) { f.n++ }

var sink []byte

func TestBounded(t *testing.T) {
	const large = 8 << 20
	for _, c := range []struct {
		limit uint64
		want  int
	}{{0, 1}, {large / 2, 1}, {large, 0}, {2 * large, 0}} {
		var f failures
		Bounded(&f, c.limit, func() { sink = make([]byte, large) })
		if f.n != c.want {
			t.Errorf("limit %d: %d failures, want %d", c.limit, f.n, c.want)
		}
	}
	// What is allocated once, to be kept, is no growth with the input.
	var f failures
	first := true
	Bounded(&f, 0, func() {
		if first {
			sink = make([]byte, large)
			first = false
		}
	})
	if f.n != 0 {
		t.Error("a first allocation was held against the function")
	}
}

func TestAllocated(t *testing.T) {
	const n = 4 << 20
	if got := Allocated(func() { sink = make([]byte, n) }); got < n || got > n+Slack {
		t.Errorf("%d bytes were counted as %d", n, got)
	}
	_ = fmt.Sprint(len(sink))
}
