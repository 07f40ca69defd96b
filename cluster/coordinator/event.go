package coordinator

import (
	"time"

	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// Event is one step of a shard's state machine, handed to the function that
// takes it. It is valid until that function returns, and only there.
type Event struct {
	sh      *shard
	now     time.Time
	entry   *entry // set by the first Write
	answers []answer
}

// Now is the time at which the event began.
func (ev *Event) Now() time.Time { return ev.now }

// NowMs is Now in milliseconds since the epoch, the unit of Kafka's records.
func (ev *Event) NowMs() int64 { return ev.now.UnixMilli() }

// Write appends the records, at least one, as one batch to the shard's log and
// returns the offset of the first. The caller then changes its state as the
// records say. After an error, whose code AppendError maps, nothing was written
// and the state must stay as it is. Records too large for one batch give
// MESSAGE_TOO_LARGE.
func (ev *Event) Write(records ...Record) (firstOffset int64, err error) {
	sh := ev.sh
	batch, err := buildBatch(records, ev.NowMs())
	if err != nil {
		return 0, err
	}
	if limit := sh.storage.MaxBatchBytes(sh.partition); len(batch) > limit {
		return 0, protocol.Errorf(protocol.MessageTooLarge,
			"batch of %d records is %d bytes, the limit of %s-%d is %d",
			len(records), len(batch), sh.topic, sh.partition, limit)
	}
	if ev.entry == nil {
		ev.entry = sh.answers.push(ev.now)
	}
	e := ev.entry
	sh.answers.hold(e)
	firstOffset, err = sh.storage.Append(sh.partition, sh.epoch.Load(), batch, func(err error) {
		if err != nil {
			sh.fail(err)
		}
		sh.answers.settle(e)
	})
	if err != nil {
		sh.answers.settle(e)
		return 0, err
	}
	return firstOffset, nil
}

// Answer queues f until everything written so far in the shard is durable;
// then f is called with NONE, on any goroutine and without locks. If that
// fails f is called with the code to answer instead.
func (ev *Event) Answer(f func(code protocol.ErrorCode)) {
	ev.answers = append(ev.answers, f)
}

// After runs f as an event of the same shard once d has passed, unless it is
// stopped or the shard is unloaded first. A Stop that comes too late to
// prevent the call is harmless only if f checks the state; f always should.
func (ev *Event) After(d time.Duration, f func(ev *Event)) Handle {
	sh := ev.sh
	return sh.timer.After(d, func() { sh.step(f) })
}

// buildBatch encodes records into one uncompressed batch stamped nowMs.
func buildBatch(records []Record, nowMs int64) (recordbatch.Batch, error) {
	b := recordbatch.NewBuilder(recordbatch.BuilderConfig{})
	for i := range records {
		b.Append(nowMs, records[i].Key, records[i].Value)
	}
	batch, err := b.Build()
	if err != nil { // too large for a batch's length field
		return nil, protocol.Errorf(protocol.MessageTooLarge, "%d records: %v", len(records), err)
	}
	return batch, nil
}
