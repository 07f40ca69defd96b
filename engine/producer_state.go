package engine

import (
	"fmt"
	"math"
	"sort"

	"kserver/protocol/recordbatch"
)

// cachedBatches is how many batches per producer are remembered to recognise duplicates. Kafka's
// ProducerStateEntry.NUM_BATCHES_TO_RETAIN; clients keep at most as many in flight.
const cachedBatches = 5

// maxProducers bounds the producer ids of one partition. When it is reached the longest idle ones go, as if
// they had expired.
const maxProducers = 100_000

// producerBatch is what is remembered of one appended batch.
type producerBatch struct {
	lastOffset  int64
	timestamp   int64
	lastSeq     int32
	offsetDelta int32
}

func (b producerBatch) firstOffset() int64 { return b.lastOffset - int64(b.offsetDelta) }

// firstSeq undoes the sequence's wraparound at 2^31.
func (b producerBatch) firstSeq() int32 { return recordbatch.AddSequence(b.lastSeq, -b.offsetDelta) }

// producerEntry is the state of one producer id. Kafka's ProducerStateEntry.
type producerEntry struct {
	lastTimestamp    int64
	txnFirstOffset   int64 // of the open transaction, -1 none
	coordinatorEpoch int32 // -1 unknown
	epoch            int16 // -1 unknown
	n                int8  // batches in use; the newest is the last
	batches          [cachedBatches]producerBatch
}

func (e *producerEntry) lastSeq() int32 {
	if e.n == 0 {
		return recordbatch.NoSequence
	}
	return e.batches[e.n-1].lastSeq
}

func (e *producerEntry) addBatch(b producerBatch) {
	if e.n == cachedBatches {
		copy(e.batches[:], e.batches[1:])
		e.n--
	}
	e.batches[e.n] = b
	e.n++
}

func (e *producerEntry) setEpoch(epoch int16) {
	if e.epoch != epoch {
		e.epoch, e.n = epoch, 0
	}
}

// producerState is the idempotence state of one log up to lastOffset (exclusive). It belongs to the holder of
// the log's append lock.
//
// States of a producer: unknown -> known (first batch) -> newer epoch (batch or marker) ... -> expired.
// Edges: update, applyMarker, expire.
type producerState struct {
	entries producerTable
	// open holds the producers with an open transaction, by its first offset.
	open map[int64]int64
	// ended collects transactions whose marker was applied, until the log takes them over: they hold the last
	// stable offset back while the marker is not below the high watermark.
	ended []endedTxn
	// aborted collects the aborted ones among them, until they are in the transaction index.
	aborted    []AbortedTxn
	end        int64 // state covers the log up to here
	snapshotAt int64 // end of the newest snapshot on disk, -1 none
}

// endedTxn is a transaction between its marker and the high watermark.
type endedTxn struct{ first, marker int64 }

func newProducerState() *producerState { return &producerState{snapshotAt: -1} }

// clear forgets everything, as of an empty log that starts at offset.
func (p *producerState) clear(offset int64) {
	p.entries, p.open, p.ended, p.aborted, p.end = producerTable{}, nil, nil, nil, offset
}

// duplicate looks for a batch among those remembered.
func (p *producerState) duplicate(b recordbatch.Batch) (producerBatch, bool) {
	e := p.entries.get(b.ProducerID())
	if e == nil || e.epoch != b.ProducerEpoch() {
		return producerBatch{}, false
	}
	first, last := b.BaseSequence(), b.LastSequence()
	for i := int(e.n) - 1; i >= 0; i-- {
		if e.batches[i].lastSeq == last && e.batches[i].firstSeq() == first {
			return e.batches[i], true
		}
	}
	return producerBatch{}, false
}

// startsAtZeroVersion is the first Produce version of transaction protocol 2 (KIP-890), where a producer id
// that is not known must begin with sequence 0.
const startsAtZeroVersion = 12

// check applies the rules of a client's append (Kafka's ProducerAppendInfo). It changes nothing.
func (p *producerState) check(b recordbatch.Batch, produceVersion int16) error {
	id, epoch, seq := b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()
	e := p.entries.get(id)
	if e == nil || e.epoch == recordbatch.NoProducerEpoch {
		if seq != 0 && b.IsTransactional() && produceVersion >= startsAtZeroVersion {
			return fmt.Errorf("%w: producer %d epoch %d starts a transaction with sequence %d", ErrOutOfOrderSequence, id, epoch, seq)
		}
		return nil
	}
	if epoch < e.epoch {
		return fmt.Errorf("%w: producer %d has epoch %d, the last known is %d", ErrInvalidProducerEpoch, id, epoch, e.epoch)
	}
	want := int32(0)
	if epoch == e.epoch {
		want = nextSequence(e.lastSeq())
	}
	if seq != want {
		return fmt.Errorf("%w: producer %d epoch %d sent sequence %d after %d", ErrOutOfOrderSequence, id, epoch, seq, e.lastSeq())
	}
	if e.txnFirstOffset >= 0 && !b.IsTransactional() {
		return fmt.Errorf("%w: producer %d has an open transaction from offset %d", ErrInvalidTxnState, id, e.txnFirstOffset)
	}
	return nil
}

// nextSequence is seq+1, where 2^31-1 is followed by 0.
func nextSequence(seq int32) int32 {
	if seq == math.MaxInt32 {
		return 0
	}
	return seq + 1
}

// apply takes a batch of the log, with its final offsets, into the state; it must continue it.
func (p *producerState) apply(b recordbatch.Batch) {
	if b.HasProducerID() {
		if b.IsControl() {
			p.applyControl(b)
		} else {
			p.update(b)
		}
	}
	p.end = b.NextOffset()
}

func (p *producerState) entry(id int64) *producerEntry {
	e := p.entries.get(id)
	if e == nil {
		if p.entries.len() >= maxProducers {
			p.dropIdle()
		}
		e = &producerEntry{epoch: recordbatch.NoProducerEpoch, coordinatorEpoch: -1, txnFirstOffset: -1}
		p.entries.add(id, e)
	}
	return e
}

func (p *producerState) update(b recordbatch.Batch) {
	e := p.entry(b.ProducerID())
	e.setEpoch(b.ProducerEpoch())
	e.addBatch(producerBatch{
		lastOffset: b.LastOffset(), timestamp: b.MaxTimestamp(),
		lastSeq: b.LastSequence(), offsetDelta: b.LastOffsetDelta(),
	})
	e.lastTimestamp = b.MaxTimestamp()
	if b.IsTransactional() && e.txnFirstOffset < 0 {
		e.txnFirstOffset = b.BaseOffset()
		if p.open == nil {
			p.open = make(map[int64]int64)
		}
		p.open[b.ProducerID()] = b.BaseOffset()
	}
}

// marker is a transaction marker: the one record of a control batch.
type marker struct {
	commit           bool
	coordinatorEpoch int32
}

// readMarker decodes a control batch; ok is false for control records that end no transaction.
func readMarker(b recordbatch.Batch) (m marker, ok bool) {
	for r, err := range b.Records(0) {
		if err != nil || len(r.Key) < 4 || len(r.Value) < 6 {
			return m, false
		}
		kind := int16(r.Key[2])<<8 | int16(r.Key[3])
		if kind != 0 && kind != 1 {
			return m, false
		}
		v := r.Value[2:6]
		m.coordinatorEpoch = int32(uint32(v[0])<<24 | uint32(v[1])<<16 | uint32(v[2])<<8 | uint32(v[3]))
		m.commit = kind == 1
		return m, true
	}
	return m, false
}

// checkMarker refuses a marker of a coordinator that has been replaced.
func (p *producerState) checkMarker(b recordbatch.Batch) error {
	e := p.entries.get(b.ProducerID())
	m, ok := readMarker(b)
	if e == nil || !ok {
		return nil
	}
	if b.ProducerEpoch() < e.epoch {
		return fmt.Errorf("%w: marker of producer %d has epoch %d, the last known is %d",
			ErrInvalidProducerEpoch, b.ProducerID(), b.ProducerEpoch(), e.epoch)
	}
	if m.coordinatorEpoch < e.coordinatorEpoch {
		return fmt.Errorf("%w: marker of producer %d has coordinator epoch %d, the last known is %d",
			ErrTransactionCoordinatorFenced, b.ProducerID(), m.coordinatorEpoch, e.coordinatorEpoch)
	}
	return nil
}

func (p *producerState) applyControl(b recordbatch.Batch) {
	m, ok := readMarker(b)
	if !ok {
		return
	}
	e := p.entry(b.ProducerID())
	e.setEpoch(b.ProducerEpoch())
	e.coordinatorEpoch = m.coordinatorEpoch
	e.lastTimestamp = b.MaxTimestamp()
	if e.txnFirstOffset >= 0 {
		p.ended = append(p.ended, endedTxn{e.txnFirstOffset, b.LastOffset()})
		delete(p.open, b.ProducerID())
		if !m.commit {
			p.aborted = append(p.aborted, AbortedTxn{
				ProducerID: b.ProducerID(), FirstOffset: e.txnFirstOffset, LastOffset: b.LastOffset(),
				LastStableOffset: min(p.firstOpen(), b.LastOffset()+1),
			})
		}
		e.txnFirstOffset = -1
	}
}

// firstOpen is the first offset of the oldest open transaction, MaxInt64 when there is none.
func (p *producerState) firstOpen() int64 {
	first := int64(math.MaxInt64)
	for _, offset := range p.open {
		first = min(first, offset)
	}
	return first
}

// expire drops the producers idle since before, which have no open transaction. Kafka's
// removeExpiredProducers.
func (p *producerState) expire(before int64) {
	for id, e := range p.entries.all() {
		if e.txnFirstOffset < 0 && e.lastTimestamp < before {
			p.entries.remove(id)
		}
	}
}

// dropIdle makes room by dropping the sixteenth of the producers that has been idle for longest.
func (p *producerState) dropIdle() {
	times := make([]int64, 0, p.entries.len())
	for _, e := range p.entries.all() {
		times = append(times, e.lastTimestamp)
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	p.expire(times[len(times)/16] + 1)
}
