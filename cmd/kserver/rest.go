package main

import (
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// rest gives memory back to the system when the process has come to rest: what a burst has left, such as the creation
// of thousands of partitions. Go itself gives back what is beyond the heap's goal, which allows for leastGarbage, and
// collects a heap in which nothing is allocated every two minutes only.
//
// It looks when the broker starts, and when the heap was collected, because memory grows to no purpose only by garbage,
// and from then on every restLook until the process is at rest. So one that stays at rest is not woken.
//
// States: still -> looking (await) -> still, once at rest.
type rest struct {
	used    func() time.Duration // processor time of the process so far
	heap    func() (live, spare int64)
	release func()

	looking atomic.Bool
}

const (
	restLook = 500 * time.Millisecond
	// restShare is the share of a processor that a process at rest uses at most.
	restShare = 0.02
	// leastSpare is what is worth a collection, in bytes: it, and spareShare of what is alive.
	leastSpare = 4 << 20
	spareShare = 0.25
)

func newRest() *rest {
	return &rest{used: processorTime, heap: heapMemory, release: debug.FreeOSMemory}
}

// await begins to look, if nobody does. Any goroutine may call it.
func (r *rest) await() {
	if r.looking.CompareAndSwap(false, true) {
		r.lookAfter(r.used())
	}
}

// lookAfter looks in restLook whether much more than used was used by then.
func (r *rest) lookAfter(used time.Duration) {
	time.AfterFunc(restLook, func() {
		if now := r.used(); float64(now-used) > restShare*float64(restLook) {
			r.lookAfter(now)
			return
		}
		r.looking.Store(false)
		if live, spare := r.heap(); spare >= leastSpare && float64(spare) >= spareShare*float64(live) {
			r.release() // its collection begins another look, which finds no more
		}
	})
}

// processorTime is what the process has used of the processors, in user and kernel mode.
func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no other errors than for a bad argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heapMemory is what was alive on the heap when it was last collected, and the memory of the heap beside that which the
// system has not got back: it holds nothing, or what was allocated since, most of which may be garbage. In bytes.
func heapMemory() (live, spare int64) {
	s := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	free, objects, alive := s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64()
	return int64(alive), int64(free + objects - min(objects, alive))
}
