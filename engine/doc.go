// Package engine stores partitions: a Log is a sequence of record batches in segment files of Kafka's format,
// with its indexes, producer state, leader epochs, recovery, retention and checkpoints; a LogManager owns the
// logs of the log directories and makes what is appended durable.
//
// It knows record batches (protocol/recordbatch), files (engine/vfs) and page cache hints (pagecache). It does
// not know requests, connections, topics' metadata, replicas or groups; who may append or read, and what the
// high watermark is, others decide.
//
//	append:  bytes -> ValidateProduce -> [append lock] producer rules, offsets, one write, indexes
//	                                  -> committer round -> DurableListener
//	read:    offset -> memory of the newest batches, or offset index and batch headers -> Range (file, position, size)
//
// A Range pins its segment: roll, retention and delete never take the bytes away from under it. No record byte
// is read on the way to one.
//
// # Durability
//
// With flush.messages=1, the default, DurableEndOffset and the DurableListener speak only of bytes that were
// synced. Each directory has one committer that works in rounds: all logs that were written to since the last
// round began are synced together, then all their durable ends move. A failed write or sync is final for the
// directory: everything in it fails with ErrStorage until the broker is started again. A full disk fails the
// one append and nothing else.
//
// # Concurrency
//
// Everything exported is safe for concurrent use. There is one goroutine per directory (its committer) and one
// per manager (its janitor: checkpoints, retention, delayed removal), the threads that compact
// (log.cleaner.threads), some that recover logs after a crash and then end
// (num.recovery.threads.per.data.dir), none per log. DESIGN.md has the lock order, FORMAT.md every file on disk.
package engine
