package main

import (
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Memory is given back once, when the process uses next to no processor time, and if there is some to give.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used, live, spare, released atomic.Int64
		r := &rest{
			used:    func() time.Duration { return time.Duration(used.Load()) },
			heap:    func() (int64, int64) { return live.Load(), spare.Load() },
			release: func() { released.Add(1) },
		}
		after := func(busy time.Duration, want int64) {
			t.Helper()
			used.Add(int64(busy))
			time.Sleep(restLook)
			synctest.Wait()
			if got := released.Load(); got != want {
				t.Fatalf("released %d times, want %d", got, want)
			}
		}
		const busy = restLook / 10
		spare.Store(leastSpare)
		after(0, 0) // the heap was not collected
		r.await()
		r.await()
		after(busy, 0)
		after(busy, 0)
		after(restLook/100, 1)
		after(0, 1)
		r.await()
		after(0, 2)
		spare.Store(leastSpare - 1)
		r.await()
		after(0, 2)
		after(0, 2)
		spare.Store(2 * leastSpare)
		live.Store(8*leastSpare + 1) // and spareShare of it is more
		r.await()
		after(0, 2)
		live.Add(-1)
		r.await()
		after(0, 3)
	})
}

func TestHeapMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // garbage stays
	debug.FreeOSMemory()
	_, before := heapMemory()
	for range 32 {
		garbage = make([]byte, 1<<20)
	}
	garbage = nil
	if _, got := heapMemory(); got-before < 20<<20 {
		t.Errorf("%d bytes to spare, and %d with 32 MiB of garbage more", before, got)
	}
	if used := processorTime(); used <= 0 {
		t.Errorf("%v of processor time", used)
	}
}

// garbage keeps the compiler from making it on the stack.
var garbage []byte
