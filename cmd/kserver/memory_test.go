package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHeapLimit(t *testing.T) {
	for _, tc := range []struct{ memory, requests, want int64 }{
		{4 << 30, 128 << 20, 3<<30 - 128<<20},
		{256 << 20, 128 << 20, leastHeap},
		{1 << 20, 1 << 30, leastHeap},
	} {
		if got := heapLimit(tc.memory, tc.requests); got != tc.want {
			t.Errorf("%d bytes, %d for requests: %d, want %d", tc.memory, tc.requests, got, tc.want)
		}
	}
}

// The limit is low as long as little is alive, leaves garbage a third of it at least, and follows what stays.
func TestHeapFollows(t *testing.T) {
	h := &heap{most: 100 * leastHeap}
	for _, tc := range []struct{ live, beside, want int64 }{
		{0, 0, leastHeap},
		{leastHeap / 2, leastHeap / 12, leastHeap},
		{2 * leastHeap, leastHeap / 3, 4 * leastHeap},
		{leastHeap * 1000, 0, h.most},
	} {
		if got := h.limit(tc.live, tc.beside); got != tc.want {
			t.Errorf("%d bytes alive, %d beside: limit %d, want %d", tc.live, tc.beside, got, tc.want)
		}
	}
	for live := int64(0); live < 50*leastHeap; live += leastHeap / 10 {
		if room := h.limit(live, 0) - live; room < leastHeap/3-1 {
			t.Fatalf("%d bytes alive, room for %d", live, room)
		}
	}
}

// However little is alive, there is room for some garbage; from there on there is as much as is alive.
func TestGarbagePercent(t *testing.T) {
	for _, tc := range []struct {
		live int64
		want int
	}{{0, 100 * leastGarbage / leastLive}, {leastLive, 100 * leastGarbage / leastLive}, {leastGarbage / 4, 400}, {leastGarbage, collectPercent}, {1 << 40, collectPercent}} {
		if got := garbagePercent(tc.live); got != tc.want {
			t.Errorf("%d bytes alive: %d %%, want %d", tc.live, got, tc.want)
		}
	}
}

// Every collection sets the limit anew, not only the first.
func TestHeapWatched(t *testing.T) {
	h := &heap{most: 1 << 40}
	h.watch() // and it goes on: the limit of the other tests is one that follows
	for range 3 {
		debug.SetMemoryLimit(math.MaxInt64)
		for debug.SetMemoryLimit(-1) > h.most {
			runtime.GC()
			runtime.Gosched()
		}
	}
}

// What was a burst is collected soon after it; what stays alive, more and more rarely.
func TestHeapLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		h := &heap{collect: func() { n.Add(1) }}
		after := func(d time.Duration, want int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := int(n.Load()); got != want {
				t.Fatalf("collected %d times, want %d", got, want)
			}
		}
		h.lookAgain(false)
		after(lastLook, 0)
		h.lookAgain(true)
		h.lookAgain(true) // a collection that came meanwhile
		after(firstLook, 1)
		h.lookAgain(true)
		after(firstLook, 1)
		after(firstLook, 2)
		h.lookAgain(false)
		h.lookAgain(true)
		after(firstLook, 3)
		for i := range 40 {
			h.lookAgain(true)
			after(lastLook, 4+i)
		}
	})
}

func TestProcs(t *testing.T) {
	for _, tc := range []struct {
		processors, loops int
		told              bool
		want              int
	}{{2, 2, false, 5}, {1, 1, false, 3}, {1, 4, true, 2}, {8, 4, true, 8}} {
		if got := procs(tc.processors, tc.loops, tc.told); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}

func TestMemoryOf(t *testing.T) {
	machine := memoryOf(t.TempDir())
	if machine < 1<<20 {
		t.Fatalf("the machine has %d bytes", machine)
	}
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("proc/self/cgroup", "0::/a/b\n")
	write("sys/fs/cgroup/a/b/memory.max", "max\n")
	if got := memoryOf(root); got != machine {
		t.Errorf("without a limit %d, want the machine's %d", got, machine)
	}
	write("sys/fs/cgroup/a/memory.max", "65536\n")
	if got := memoryOf(root); got != 65536 {
		t.Errorf("%d, want the limit of the group above", got)
	}
}
