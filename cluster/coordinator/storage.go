package coordinator

import (
	"kserver/protocol/recordbatch"
)

// Record is one key and value to write. A nil Value deletes the key when the
// log is compacted. The runtime keeps neither slice.
type Record struct {
	Key   []byte
	Value []byte
}

// ReplayedRecord is one data record read back from the log. Key and Value are
// valid during the call only.
type ReplayedRecord struct {
	Offset        int64
	TimestampMs   int64
	ProducerID    int64 // -1: not written by a producer
	ProducerEpoch int16
	Transactional bool
	Key           []byte
	Value         []byte // nil: tombstone
}

// Storage is the log behind the shards: the partitions of one internal topic
// that this broker leads. It may be called for several partitions at once, but
// is called for one partition by one goroutine at a time.
//
// Errors carry a Kafka code (protocol.CodeOf): NOT_LEADER_OR_FOLLOWER when the
// partition is not led here in leaderEpoch, KAFKA_STORAGE_ERROR when its log
// directory failed, NOT_ENOUGH_REPLICAS below min.insync.replicas.
type Storage interface {
	// Append appends one batch to the log of partition, as its leader in
	// leaderEpoch, and returns without waiting for the disk. It stamps the
	// batch in place, keeps no reference to it, and returns the offset of its
	// first record. An error means that nothing was appended. Otherwise done is
	// called exactly once, from any goroutine and possibly before Append
	// returns, with nil when the batch is durable (below the high watermark),
	// and with an error when it is lost or its fate cannot be known.
	Append(partition, leaderEpoch int32, batch recordbatch.Batch, done func(error)) (firstOffset int64, err error)

	// Replay calls fn for every batch of the partition's log, control batches
	// included, in offset order. When it returns nil, all that fn saw is
	// durable. The batch is valid during the call only. It stops at fn's first
	// error and returns it. It may block on the disk.
	Replay(partition int32, fn func(b recordbatch.Batch) error) error

	// MaxBatchBytes is the largest batch, in bytes, that Append accepts for
	// the partition (the topic's max.message.bytes).
	MaxBatchBytes(partition int32) int
}
