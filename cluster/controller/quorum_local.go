package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kserver/engine"
	"kserver/protocol/recordbatch"
)

// Log is the log of partition 0 of __cluster_metadata, as the local quorum needs it.
// Its methods are called by one goroutine at a time.
type Log interface {
	// Append writes whole batches, with the given partition leader epoch, after
	// all others, sets their offsets in place, and returns the first one's. It
	// may return before the batches are durable.
	Append(batches []byte, leaderEpoch int32) (baseOffset int64, err error)
	// WaitDurable returns when every record below end is on stable storage, or
	// with the reason why it will not be.
	WaitDurable(ctx context.Context, end int64) error
	// Replay calls fn for every batch in the log, in order of offset. The batch
	// is valid during the call. It stops at the first error and returns it.
	Replay(fn func(recordbatch.Batch) error) error
}

// MetadataTopicID is the id of __cluster_metadata in every cluster (Kafka's
// Uuid.METADATA_TOPIC_ID).
var MetadataTopicID = UUID{15: 1}

// LogConfig is the configuration of the metadata log: nothing is ever removed by
// retention, and every append is durable before it counts.
func LogConfig() engine.LogConfig {
	c := engine.DefaultLogConfig()
	c.Delete = false
	c.RetentionMs, c.RetentionBytes = -1, -1
	c.SegmentMs = 1 << 62
	c.MaxMessageBytes = maxBatchBytes
	c.FlushMessages = 1
	return c
}

const (
	// maxBatchBytes bounds one batch of the metadata log (Kafka's
	// KafkaRaftClient.MAX_BATCH_SIZE_BYTES).
	maxBatchBytes = 8 << 20
	// maxRecordsPerBatch bounds the records one request may make (Kafka's
	// QuorumController.MAX_RECORDS_PER_USER_OP).
	maxRecordsPerBatch = 10_000
	// localEpoch is the leader epoch of a quorum of one, which never elects again.
	localEpoch = QuorumEpoch
)

// errClosed is the answer to what comes after Close.
var errClosed = errors.New("the controller is closed")

// QuorumEpoch is the leader epoch of the metadata log.
const QuorumEpoch int32 = 1

// localQuorum is the Quorum of a single voter: what is durable in its log is
// committed.
type localQuorum struct {
	log   Log
	now   func() time.Time
	apply func(Committed) error
	buf   []byte

	// failed is why nothing can be committed any more. After a failed write or
	// sync the log may hold records that were never applied: only a restart,
	// which replays it, tells.
	failed error
}

// NewLocalQuorum makes the quorum of a single voter on log. now gives the
// timestamps of the records.
func NewLocalQuorum(log Log, now func() time.Time) Quorum {
	return &localQuorum{log: log, now: now}
}

// Start implements Quorum.
func (q *localQuorum) Start(apply func(Committed) error) error {
	q.apply = apply
	return q.log.Replay(func(b recordbatch.Batch) error {
		c, err := decodeBatch(b)
		if err != nil {
			return err
		}
		return apply(c)
	})
}

// decodeBatch reads the records of one batch of the metadata log.
func decodeBatch(b recordbatch.Batch) (Committed, error) {
	c := Committed{BaseOffset: b.BaseOffset(), LastOffset: b.LastOffset()}
	if b.IsControl() {
		return c, nil
	}
	c.Records = make([]Record, 0, max(0, min(int(b.Count()), maxRecordsPerBatch))) // a count below 0 is refused below
	for r, err := range b.Records(maxBatchBytes) {
		if err != nil {
			return c, fmt.Errorf("metadata batch at offset %d: %w", c.BaseOffset, err)
		}
		rec, err := decodeRecord(r.Value)
		if err != nil {
			return c, fmt.Errorf("metadata offset %d: %w", c.BaseOffset+int64(r.OffsetDelta), err)
		}
		c.Records = append(c.Records, rec)
	}
	if got, want := int64(len(c.Records)), c.LastOffset-c.BaseOffset+1; got != want {
		return c, fmt.Errorf("metadata batch at offset %d: %w: %d records for %d offsets", c.BaseOffset, ErrRecord, got, want)
	}
	return c, nil
}

// Propose implements Quorum: one write and one wait for the disk for all.
func (q *localQuorum) Propose(batches [][]Record) []error {
	errs := make([]error, len(batches))
	base, err := q.commit(batches)
	for i, records := range batches {
		if err != nil {
			errs[i] = fmt.Errorf("%w: %w", ErrNotCommitted, err)
			continue
		}
		last := base + int64(len(records)) - 1
		errs[i] = q.apply(Committed{BaseOffset: base, LastOffset: last, Records: records})
		base = last + 1
	}
	return errs
}

// commit writes the batches and waits until they are durable. It returns the
// offset of the first record.
func (q *localQuorum) commit(batches [][]Record) (int64, error) {
	if q.failed != nil {
		return 0, q.failed
	}
	var count int64
	q.buf = q.buf[:0]
	nowMs := q.now().UnixMilli()
	for _, records := range batches {
		b, err := encodeBatch(records, nowMs)
		if err != nil {
			return 0, err // nothing is written yet
		}
		q.buf = append(q.buf, b...)
		count += int64(len(records))
	}
	base, err := q.log.Append(q.buf, localEpoch)
	if errors.Is(err, engine.ErrDiskFull) {
		return 0, err // nothing is written; the next one may find room
	}
	if err == nil {
		err = q.log.WaitDurable(context.Background(), base+count)
	}
	if err != nil {
		q.failed = err
		return 0, err
	}
	return base, nil
}

// encodeBatch makes a batch of the metadata log.
func encodeBatch(records []Record, nowMs int64) (recordbatch.Batch, error) {
	if len(records) > maxRecordsPerBatch {
		panic(fmt.Sprintf("controller: batch of %d records", len(records)))
	}
	builder := recordbatch.NewBuilder(recordbatch.BuilderConfig{PartitionLeaderEpoch: localEpoch})
	var value []byte
	for _, r := range records {
		value = appendRecord(value[:0], r)
		builder.Append(nowMs, nil, value)
	}
	b, err := builder.Build()
	if err == nil && len(b) > maxBatchBytes {
		err = fmt.Errorf("batch of %d bytes, the most is %d", len(b), maxBatchBytes)
	}
	return b, err
}

// Close implements Quorum.
func (q *localQuorum) Close() error {
	if q.failed == nil {
		q.failed = errClosed
	}
	return nil
}
