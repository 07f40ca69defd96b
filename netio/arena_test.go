package netio

import (
	"bytes"
	"testing"
)

// receive fills a block piece by piece, as the input of a connection does, up to a frame of n bytes.
func receive(a *arena, n int) []byte {
	b, used := a.get(lengthBytes), lengthBytes
	for i := range used {
		b[i] = byte(i)
	}
	for used < n {
		next := min(used+4096, n)
		if next > len(b) {
			b = a.grow(b, used, min(max(next, 2*len(b)), n), n)
		}
		for i := used; i < next; i++ {
			b[i] = byte(i)
		}
		used = next
	}
	return b
}

// One large frame after another lies in the memory of the one before, and moves there at once.
func TestArenaLargeFramesReuseMemory(t *testing.T) {
	const n = 270_000
	want := make([]byte, n)
	for i := range want {
		want[i] = byte(i)
	}
	var a arena
	defer a.close()
	first := receive(&a, n)
	at := &first[0]
	a.put(first)
	for range 3 {
		b := receive(&a, n)
		if &b[0] != at {
			t.Fatal("the next frame got memory of its own")
		}
		if !bytes.Equal(b[:n], want) {
			t.Fatal("bytes were lost on the way")
		}
		if a.inUse != int64(len(b)) || a.bigN != 0 {
			t.Fatalf("%d bytes in use, %d kept, beside a block of %d", a.inUse, a.bigN, len(b))
		}
		a.put(b)
	}
	if a.inUse != 0 || a.bigN != len(first) {
		t.Fatalf("%d bytes in use and %d kept, want 0 and %d", a.inUse, a.bigN, len(first))
	}
}

// A frame that announces much more than a kept block has does not get one: memory follows the bytes.
func TestArenaHugeFramesFollowTheirBytes(t *testing.T) {
	var a arena
	defer a.close()
	a.put(a.get(1 << 20))
	b := a.grow(a.get(lengthBytes), lengthBytes, 8<<10, 100<<20)
	if len(b) != 8<<10 {
		t.Fatalf("a block of %d bytes for 4 that arrived of 100 MiB", len(b))
	}
	a.put(b)
	// One that announces much less does not take it either.
	if b = a.grow(a.get(lengthBytes), lengthBytes, 8<<10, 100<<10); len(b) != 8<<10 {
		t.Fatalf("a block of %d bytes for a frame of 100 KiB", len(b))
	}
	a.put(b)
}
