package cluster

import (
	"errors"
	"fmt"

	"kserver/engine"
	"kserver/protocol/recordbatch"
)

// replayChunk is how much of a log is read at a time; a larger batch is read
// whole.
const replayChunk = 1 << 20

// replay calls fn for every batch of log below upTo, in offset order. The batch
// is valid during the call. It stops at the first error and returns it.
func replay(log *engine.Log, upTo int64, fn func(recordbatch.Batch) error) error {
	var buf []byte
	for next := log.LogStartOffset(); next < upTo; {
		info, err := log.Read(next, replayChunk, upTo, true)
		if err != nil {
			return fmt.Errorf("replay %s at offset %d: %w", log.TopicPartition(), next, err)
		}
		if info.Range == nil {
			return nil
		}
		before := next
		next, buf, err = replayRange(info.Range, next, upTo, buf, fn)
		if err != nil {
			return fmt.Errorf("replay %s at offset %d: %w", log.TopicPartition(), next, err)
		}
		if next == before {
			return fmt.Errorf("replay %s at offset %d: %w: no whole batch", log.TopicPartition(), next, engine.ErrCorrupt)
		}
	}
	return nil
}

// replayRange reads r into buf, calls fn for its whole batches from offset next
// on, releases r, and returns the offset after the last batch and the buffer.
func replayRange(r *engine.Range, next, upTo int64, buf []byte, fn func(recordbatch.Batch) error) (int64, []byte, error) {
	defer r.Release()
	if cap(buf) < r.Len() {
		buf = make([]byte, r.Len())
	}
	buf = buf[:r.Len()]
	if _, err := r.ReadAt(buf, r.Offset()); err != nil {
		return next, buf, err
	}
	for rest := buf; len(rest) > 0; {
		b, tail, err := recordbatch.Next(rest)
		if errors.Is(err, recordbatch.ErrTruncated) {
			break // cut at the byte limit
		}
		if err == nil {
			err = b.CheckCRC()
		}
		if err != nil {
			return next, buf, err
		}
		rest = tail
		if b.NextOffset() <= next {
			continue // before the position asked for
		}
		if b.BaseOffset() >= upTo {
			break
		}
		if err := fn(b); err != nil {
			return next, buf, err
		}
		next = b.NextOffset()
	}
	return next, buf, nil
}
