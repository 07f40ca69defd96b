// Package replica is the broker's data plane: the Partition, which joins an
// engine log to its leadership, high watermark and waiters, and the Manager,
// which finds partitions and follows the metadata image.
//
// # Offsets
//
//	LogStartOffset <= LastStableOffset <= HighWatermark <= DurableEndOffset <= LogEndOffset
//
// A record is acknowledged, and shown to consumers, when it is below the high
// watermark; the high watermark is the least durable end offset of the in-sync
// replicas. With one replica that is the log's own durable end.
//
// # Who signals whom
//
// The log's committer tells the Partition that its durable end has moved; the
// Partition raises the high watermark, serves the produce waiters in order and
// signals the fetch watchers. All of that runs on the committer's goroutine;
// waiters post to their event loop.
//
// # Locks
//
// Manager.mu, then none: a Partition has no lock of its own beside those of
// its log and its waiters.
package replica
