// Package heaptest measures the heap in tests of what things take of it.
package heaptest

import "runtime"

// InUse is what is alive on the heap, in bytes. Nothing else should allocate meanwhile.
func InUse() int64 {
	runtime.GC()
	runtime.GC() // what the first one put into the pools' second chance
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
