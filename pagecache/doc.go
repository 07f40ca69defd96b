// Package pagecache answers whether a range of a file can be sent without waiting for the disk, brings cold ranges
// in without holding up the caller, takes them out again behind readers that catch up, and paces writeback. It knows
// files and byte ranges, nothing of Kafka.
//
// A Warmer's answer comes from two sources, cheapest first:
//
//	pieces     which aligned pieces of 256 KiB were read or found lately: no system call
//	Resident   cachestat(2), and preadv2(RWF_NOWAIT) of one byte in the first and in the last page: about 1 us
//
// What is not there takes this way, off the caller:
//
//	Ready -> stream's queue -> device: in turn, within its budget -> read -> wake
//	           ^ ahead of readers that go on          ^ yields to commits
//
// and leaves again: a piece that a Warmer brought in, that its reader has passed and no other one is near, and that
// does not lie in the tail of a log, is dropped 8 MiB of passed pieces later. So readers that catch up leave the page
// cache as they found it, and what producers wrote and tail consumers read stays.
//
// A wrong "resident" (the kernel evicts when memory is short) costs one stall of the sender, never wrong data; see
// Warmer.Missed.
//
// # Why these budgets
//
// A disk serves what it is given in order, or nearly so: a sync that comes behind 8 MiB of reads takes as long as
// they do. Measured on a virtual disk of 1.5 GB/s, one fdatasync of 4 KiB every 2 ms, p50 and p99, beside reads of
//
//	nothing                  0.32  0.66 ms
//	8 at a time of 1 MiB       67    80 ms   1.45 GB/s
//	2 at a time of 1 MiB      3.8    22 ms   1.40 GB/s
//	2 at a time of 256 KiB   1.11  1.91 ms   1.17 GB/s
//	the same, yielding       0.43  1.42 ms   1.08 GB/s
//
// So there is little in flight beside commits, and reads wait while one runs, each for a millisecond at most. Small
// reads cost more (0.5 CPU-s/GB against 0.26 with 1 MiB), which is why a device without commits gets larger ones.
//
// # Concurrency
//
// Every function and method is safe for concurrent use, and none blocks its caller, except StartWriteback when the
// device queue is full. A Warmer has one lock, held for short times, never during a system call on a file and never
// while another lock is taken but that of a Commits. It has no idle goroutines: as many run as the budgets let read
// at a time, and only while there is work. File's methods are called without a lock.
//
// Files: warmer.go the answer; piece.go, stream.go, device.go what is known of pieces, readers and devices; work.go
// reading and dropping; disk.go, hints.go system calls.
package pagecache
