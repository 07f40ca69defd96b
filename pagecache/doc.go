// Package pagecache answers whether a range of a file can be sent without waiting for the disk, brings cold
// ranges in without holding up the caller, and paces writeback. It knows files and byte ranges, nothing of
// Kafka.
//
// The answer comes from three sources, cheapest first:
//
//	Tracker    which 1 MiB windows were appended or read lately: no system call
//	Resident   preadv2(RWF_NOWAIT) of one byte in the first and in the last page: about 1 us
//	Warmer     reads the range on one of a few goroutines, then wakes the caller
//
// cachestat(2) is not used: it counts pages whose read is still under way, so it cannot promise that a send
// will not wait. A wrong "resident" costs one stall of the sender, never wrong data.
//
// Concurrency: every function and method is safe for concurrent use. Nothing here blocks its caller except
// Resident's probes (which do not wait for I/O) and StartWriteback when the device queue is full. The Warmer
// has no idle goroutines: at most Config.Concurrency run, and only while there is work.
package pagecache
