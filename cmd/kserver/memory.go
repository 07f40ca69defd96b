package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"kserver/cluster/configs"
)

// leastHeap is what the heap may grow to before it is collected more often, on
// however small a machine, in bytes.
const leastHeap = 128 << 20

// limitMemory sets the soft limit of the heap, unless GOMEMLIMIT in the
// environment has: three quarters of the memory there is, without what requests
// may take in the event loops, which is outside the heap. So a burst of requests
// is collected before the kernel has to end the process.
func limitMemory(b *configs.Broker) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapLimit(memoryOf("/"), b.Network.RequestMemoryBytes))
	}
}

// heapLimit is the soft limit of the heap, in bytes, for so much memory of which
// requests may take a part.
func heapLimit(memory, requests int64) int64 { return max(leastHeap, memory/4*3-requests) }

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
