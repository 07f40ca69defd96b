package coordinator

import (
	"encoding/binary"
	"fmt"

	"kserver/protocol/recordbatch"
)

// maxReplayBatchBytes bounds what one compressed batch may expand to.
const maxReplayBatchBytes = 1 << 30

// Control record types that concern a coordinator (Kafka's ControlRecordType).
const (
	controlAbort  = 0
	controlCommit = 1
)

// replay builds a new state from the shard's log and activates it. It returns
// the number of records read.
func (r *Runtime) replay(sh *shard) (n int, err error) {
	state := r.cfg.NewState(sh.partition)
	err = r.cfg.Storage.Replay(sh.partition, func(b recordbatch.Batch) error {
		if sh.getStatus() != statusLoading {
			return ErrUnloaded
		}
		read, err := replayBatch(state, b)
		n += read
		return err
	})
	if err != nil {
		return n, err
	}
	if !sh.activate(state) {
		return n, ErrUnloaded
	}
	return n, nil
}

// replayBatch applies one batch to state.
func replayBatch(state State, b recordbatch.Batch) (n int, err error) {
	for rec, err := range b.Records(maxReplayBatchBytes) {
		if err != nil {
			return n, fmt.Errorf("replay at offset %d: %w", b.BaseOffset(), err)
		}
		n++
		if b.IsControl() {
			err = replayControl(state, b, rec.Key)
		} else {
			err = state.Replay(ReplayedRecord{
				Offset:        b.BaseOffset() + int64(rec.OffsetDelta),
				TimestampMs:   b.Timestamp(&rec),
				ProducerID:    b.ProducerID(),
				ProducerEpoch: b.ProducerEpoch(),
				Transactional: b.IsTransactional(),
				Key:           rec.Key,
				Value:         rec.Value,
			})
		}
		if err != nil {
			return n, fmt.Errorf("replay at offset %d: %w", b.BaseOffset()+int64(rec.OffsetDelta), err)
		}
	}
	return n, nil
}

// replayControl applies a transaction marker; other control records (leader
// change, snapshot bounds) mean nothing here.
func replayControl(state State, b recordbatch.Batch, key []byte) error {
	if len(key) < 4 {
		return fmt.Errorf("control record key of %d bytes", len(key))
	}
	switch kind := binary.BigEndian.Uint16(key[2:]); kind {
	case controlAbort, controlCommit:
		return state.ReplayEndTransaction(b.ProducerID(), b.ProducerEpoch(), kind == controlCommit)
	}
	return nil
}
