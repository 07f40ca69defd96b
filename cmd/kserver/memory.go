package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kserver/cluster/configs"
)

// leastHeap is what Go's memory may grow to before the heap is collected more often
// than its live part alone asks for, in bytes.
const leastHeap = 84 << 20

// leastGarbage is what may become garbage before the heap is collected, in bytes, however
// little of it is alive. A broker keeps a few megabytes only; with as much garbage as
// that, one stream of requests of many elements had the heap collected fifty times a
// second, and event loops and committers had to help with it for up to 44 ms.
const leastGarbage = leastHeap / 3

// collectPercent is Go's own setting: garbage in percent of what is alive.
const collectPercent = 100

// limitMemory bounds Go's memory, unless GOMEMLIMIT in the environment does. Requests
// in the event loops are outside of it.
func limitMemory(b *configs.Broker) {
	if os.Getenv("GOMEMLIMIT") == "" {
		r := newRest()
		h := &heap{
			most: heapLimit(memoryOf("/"), b.Network.RequestMemoryBytes), pace: os.Getenv("GOGC") == "",
			collect: runtime.GC, collected: r.await,
		}
		h.adjust()
		h.watch()
		r.await() // for the end of the start
	}
}

// heapLimit is the most the soft limit of Go's memory may be, in bytes, for so much
// memory of which requests may take a part: three quarters without that part. So a
// burst of requests is collected before the kernel has to end the process.
func heapLimit(memory, requests int64) int64 { return max(leastHeap, memory/4*3-requests) }

// heap keeps the soft limit of Go's memory near what is alive. Go alone lets the heap
// grow to twice its live part, so that one burst of large requests, alive when the
// heap happened to be collected, would allow for several times as much garbage after
// it. A fixed low limit on the other hand would have the collector never rest once
// much is alive for good.
type heap struct {
	most    int64
	pace    bool // whether to say how often it is collected
	percent int  // what was said last

	collected func() // told of each collection, unless nil
	collect   func()
	looking   atomic.Bool   // it will be collected again soon
	wait      time.Duration // how soon
}

// watched is what the collector finds dead each time it has run. It has a pointer,
// or it would share its memory with others.
type watched struct{ _ *watched }

// watch adjusts the limit after every collection.
func (h *heap) watch() {
	runtime.AddCleanup(new(watched), func(h *heap) {
		h.adjust()
		if h.collected != nil {
			h.collected()
		}
		h.watch()
	}, h)
}

// adjust sets the limit by what was alive at the last collection.
func (h *heap) adjust() {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
	}
	metrics.Read(s)
	beside := s[1].Value.Uint64() // the runtime's own and stacks
	for _, part := range s[2:] {
		beside -= min(beside, part.Value.Uint64())
	}
	live := int64(s[0].Value.Uint64())
	limit := h.limit(live, int64(beside))
	debug.SetMemoryLimit(limit)
	h.lookAgain(limit > leastHeap)
	if p := garbagePercent(live); h.pace && p != h.percent {
		h.percent = p
		debug.SetGCPercent(p)
	}
}

// The heap is collected again firstLook after a collection that found much alive, and
// twice as long after each further one, at most lastLook, which is the runtime's own period.
const (
	firstLook = 100 * time.Millisecond
	lastLook  = 2 * time.Minute
)

// lookAgain has the heap collected once more when much of it was alive: of a burst that
// has ended meanwhile, the memory would stay, and as much garbage again come to it before
// the limit is reached that it has raised.
func (h *heap) lookAgain(much bool) {
	if !much {
		h.wait = firstLook
		return
	}
	if !h.looking.CompareAndSwap(false, true) {
		return
	}
	h.wait = max(h.wait, firstLook)
	time.AfterFunc(h.wait, func() {
		h.looking.Store(false) // the collection's own look may be the next
		h.collect()
	})
	h.wait = min(2*h.wait, lastLook)
}

// garbagePercent is how much garbage there may be beside so many living bytes, in
// percent of them: as much as Go allows, but leastGarbage at least.
func garbagePercent(live int64) int {
	return max(collectPercent, int(100*leastGarbage/max(live, leastLive)))
}

// leastLive is what is taken for the living part when it is smaller, or not known yet:
// the smallest heap that Go's percentages hold for.
const leastLive = 4 << 20

// limit is the soft limit of Go's memory with so many bytes alive on the heap and
// so many beside it: leastHeap as long as that leaves a third of it for garbage,
// then as much for garbage as is alive, less that third, and never more than most.
func (h *heap) limit(live, beside int64) int64 {
	return min(h.most, max(leastHeap, beside+2*live-leastHeap/3))
}

// memoryOf is the memory the process may use: the machine's, or that of its
// control group (memory.max of cgroup version 2), in bytes. root is where the file
// systems are mounted.
func memoryOf(root string) int64 {
	memory := int64(math.MaxInt64)
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		memory = int64(uint64(info.Totalram) * uint64(info.Unit))
	}
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return memory
	}
	for _, line := range strings.Split(string(groups), "\n") {
		path, ok := strings.CutPrefix(line, "0::")
		if !ok {
			continue
		}
		// A group's limit holds for all below it.
		for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
			text, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup", dir, "memory.max"))
			if limit, perr := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && perr == nil {
				memory = min(memory, limit)
			}
			if dir == "/" || dir == "." {
				break
			}
		}
	}
	return memory
}
