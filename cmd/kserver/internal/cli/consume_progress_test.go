package cli

import "testing"

func TestProgressEnds(t *testing.T) {
	p := newProgress(true)
	if p.done() {
		t.Error("done before any partition is known")
	}
	if p.add("t", 0, 5, 5) {
		t.Error("something to read of an empty partition")
	}
	if !p.done() {
		t.Error("not done with an empty partition only")
	}
	if !p.add("t", 1, 0, 2) || p.done() {
		t.Error("nothing to read of a partition with two records")
	}
	for _, c := range []struct {
		offset          int64
		wanted, reached bool
	}{{0, true, false}, {1, true, true}, {2, false, true}} {
		if wanted, reached := p.saw("t", 1, c.offset); wanted != c.wanted || reached != c.reached {
			t.Errorf("offset %d: %t, %t", c.offset, wanted, reached)
		}
	}
	if !p.done() {
		t.Error("not done behind the end")
	}
}

// TestProgressGap: the last records may be gone, so that one behind the end is the first to be seen.
func TestProgressGap(t *testing.T) {
	p := newProgress(true)
	p.add("t", 0, 0, 10)
	if wanted, reached := p.saw("t", 0, 12); wanted || !reached || !p.done() {
		t.Error(wanted, reached, p.done())
	}
}

func TestProgressOfGroup(t *testing.T) {
	p := newProgress(true)
	p.saw("t", 0, 7) // arrives before it is known how far to read
	p.retain(map[partitionID]bool{{"t", 0}: true, {"t", 1}: true})
	if !p.add("t", 0, 3, 9) || !p.add("t", 1, 0, 4) || p.done() {
		t.Error("nothing left to read")
	}
	if p.add("t", 0, 3, 8) {
		t.Error("what was seen before does not count")
	}
	p.retain(map[partitionID]bool{{"t", 0}: true}) // another member reads the other one now
	if p.has("t", 1) || !p.done() {
		t.Error("waits for a partition of another member")
	}
	p.retain(nil)
	if !p.done() {
		t.Error("a member without partitions waits")
	}
}

func TestProgressWithoutEnd(t *testing.T) {
	p := newProgress(false)
	if !p.add("t", 0, 5, 0) || p.done() {
		t.Error("a partition that is followed has an end")
	}
	if wanted, reached := p.saw("t", 0, 5); !wanted || reached {
		t.Error(wanted, reached)
	}
}
