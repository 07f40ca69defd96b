package engine

import (
	"encoding/binary"
	"flag"
	"fmt"
	"runtime"
	"testing"
)

var manyKeys = flag.Int("compaction.keys", 300_000, "distinct keys of the key map test; 10000000 is the long run")

// TestOffsetMapHoldsWhatItMay: the configured memory holds as many keys as it promises, is not exceeded, and
// finds every key again.
func TestOffsetMapHoldsWhatItMay(t *testing.T) {
	const load = 0.9
	memory := int64(float64(*manyKeys)*offsetSlotBytes/load) + 10*offsetSlotBytes
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var m offsetMap
	m.reset(1<<40, memory, load)
	key := make([]byte, 8)
	n := 0
	for ; ; n++ {
		binary.BigEndian.PutUint64(key, uint64(n))
		if !m.put(key, int64(n)) {
			break
		}
	}
	runtime.ReadMemStats(&after)
	if n < *manyKeys {
		t.Fatalf("%d bytes took %d keys, not %d", memory, n, *manyKeys)
	}
	if grew := int64(after.TotalAlloc - before.TotalAlloc); grew > memory+1<<20 {
		t.Fatalf("%d keys took %d bytes, %d were given", n, grew, memory)
	}
	for i := range n {
		binary.BigEndian.PutUint64(key, uint64(i))
		if got := m.get(key); got != int64(i) {
			t.Fatalf("key %d is at %d", i, got)
		}
	}
	if got := m.get([]byte("never put")); got != -1 {
		t.Fatalf("unknown key at %d", got)
	}
	if !m.put(key[:0:0], 5) && m.get(nil) != -1 {
		t.Fatal("a full map took a new key")
	}
	binary.BigEndian.PutUint64(key, 0)
	if !m.put(key, 1<<40) || m.get(key) != 1<<40 {
		t.Fatal("a full map does not update a known key")
	}
}

// TestOffsetMapSize: a map is as large as the keys at hand need, and keeps its memory for the next log.
func TestOffsetMapSize(t *testing.T) {
	var m offsetMap
	for _, c := range []struct {
		want, memory int64
		most         int
	}{{10, 1 << 20, 20}, {1 << 40, 240, 10}, {0, 1 << 20, 20}, {5, 0, 2}} {
		m.reset(c.want, c.memory, 0.9)
		if len(m.slots) > c.most || m.limit < 1 || m.limit >= len(m.slots) || int64(m.limit) < min(c.want, c.memory/offsetSlotBytes*9/10) {
			t.Fatalf("%+v: %d slots, %d keys", c, len(m.slots), m.limit)
		}
		for i := range m.limit {
			if !m.put(fmt.Append(nil, i), 7) {
				t.Fatalf("%+v: key %d of %d refused", c, i, m.limit)
			}
		}
	}
}

func BenchmarkOffsetMap(b *testing.B) {
	var m offsetMap
	m.reset(1<<40, 64<<20, 0.9)
	key := make([]byte, 16)
	for i := range b.N {
		binary.BigEndian.PutUint64(key, uint64(i)%uint64(m.limit))
		m.put(key, int64(i))
	}
}
