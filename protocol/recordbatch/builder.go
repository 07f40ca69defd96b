package recordbatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

var (
	// ErrEmptyBatch says that Build was called without a record.
	ErrEmptyBatch = errors.New("recordbatch: batch without records")
	// ErrBatchSize says that a batch would not fit its int32 length field.
	ErrBatchSize = errors.New("recordbatch: batch too large")
)

// Producer holds the producer fields of a batch.
type Producer struct {
	ID    int64
	Epoch int16
	// BaseSequence is the sequence of the first record, NoSequence in a control
	// batch.
	BaseSequence int32
}

// BuilderConfig says what a Builder makes. The zero value makes uncompressed
// batches without producer at base offset 0 and leader epoch 0.
type BuilderConfig struct {
	Codec Codec
	// Level of the codec; 0 is the codec's default. See Codec.CheckLevel.
	Level int
	// Producer is nil for a batch that is neither idempotent nor transactional.
	Producer      *Producer
	Transactional bool
	Control       bool
	BaseOffset    int64
	// PartitionLeaderEpoch; clients send -1, a leader overwrites it.
	PartitionLeaderEpoch int32
	// LogAppendTime, if not nil, is the time in ms the batch is stamped with.
	LogAppendTime *int64
}

// Builder collects records and makes a batch of them. It belongs to one
// goroutine. After Reset it may be used again and keeps its memory.
type Builder struct {
	cfg     BuilderConfig
	buf     []byte // header space, then uncompressed records
	count   int32
	baseTs  int64
	maxTs   int64
	tooMany bool
}

// NewBuilder returns an empty builder.
func NewBuilder(cfg BuilderConfig) *Builder {
	b := new(Builder)
	b.Reset(cfg)
	return b
}

// Reset empties the builder for a batch with the given configuration.
func (b *Builder) Reset(cfg BuilderConfig) {
	if cap(b.buf) < HeaderSize {
		b.buf = make([]byte, HeaderSize, 512)
	}
	*b = Builder{cfg: cfg, buf: b.buf[:HeaderSize], maxTs: NoTimestamp}
}

// Append adds a record with the next offset. ts is in ms since 1970; nil key
// and value are null. Nothing passed in is kept.
func (b *Builder) Append(ts int64, key, value []byte, headers ...Header) {
	if b.count == math.MaxInt32 || len(b.buf) > math.MaxInt32 {
		b.tooMany = true
		return
	}
	if b.count == 0 {
		b.baseTs = ts
	}
	b.maxTs = max(b.maxTs, ts)
	tsDelta, offDelta := ts-b.baseTs, int64(b.count)
	size := 1 + varintSize(tsDelta) + varintSize(offDelta) +
		bytesSize(key) + bytesSize(value) + varintSize(int64(len(headers)))
	for i := range headers {
		size += varintSize(int64(len(headers[i].Key))) + len(headers[i].Key) + bytesSize(headers[i].Value)
	}
	p := appendVarint(b.buf, int64(size))
	p = append(p, 0) // attributes
	p = appendVarint(p, tsDelta)
	p = appendVarint(p, offDelta)
	p = appendBytes(p, key)
	p = appendBytes(p, value)
	p = appendVarint(p, int64(len(headers)))
	for i := range headers {
		p = appendVarint(p, int64(len(headers[i].Key)))
		p = append(p, headers[i].Key...)
		p = appendBytes(p, headers[i].Value)
	}
	b.buf = p
	b.count++
}

func bytesSize(p []byte) int {
	if p == nil {
		return 1
	}
	return varintSize(int64(len(p))) + len(p)
}

func appendBytes(dst, p []byte) []byte {
	if p == nil {
		return appendVarint(dst, -1)
	}
	return append(appendVarint(dst, int64(len(p))), p...)
}

// Count returns the number of records appended.
func (b *Builder) Count() int { return int(b.count) }

// Size returns the size in bytes the batch has without compression.
func (b *Builder) Size() int { return len(b.buf) }

// Build returns the batch in memory of its own, which the caller owns; the
// builder keeps its records until Reset. Errors: ErrEmptyBatch, ErrBatchSize, a
// level the codec does not know.
func (b *Builder) Build() (Batch, error) {
	if b.count == 0 {
		return nil, ErrEmptyBatch
	}
	if b.tooMany {
		return nil, ErrBatchSize
	}
	records := b.buf[HeaderSize:]
	out := make([]byte, HeaderSize, HeaderSize+b.sizeHint(len(records)))
	out, err := appendCompressed(out, b.cfg.Codec, b.cfg.Level, records)
	if err != nil {
		return nil, err
	}
	if len(out) > math.MaxInt32 {
		return nil, fmt.Errorf("%w: %d bytes", ErrBatchSize, len(out))
	}
	batch := Batch(out[:len(out):len(out)])
	b.putHeader(batch)
	batch.UpdateCRC()
	return batch, nil
}

// sizeHint guesses the size of the compressed records, to allocate once.
func (b *Builder) sizeHint(records int) int {
	if b.cfg.Codec == CodecNone {
		return records
	}
	return records/2 + 64
}

func (b *Builder) putHeader(p Batch) {
	attrs := int16(b.cfg.Codec)
	maxTs := b.maxTs
	if b.cfg.LogAppendTime != nil {
		attrs |= attrLogAppendTime
		maxTs = *b.cfg.LogAppendTime
	}
	if b.cfg.Transactional {
		attrs |= attrTransactional
	}
	if b.cfg.Control {
		attrs |= attrControl
	}
	producer := Producer{NoProducerID, NoProducerEpoch, NoSequence}
	if b.cfg.Producer != nil {
		producer = *b.cfg.Producer
	}
	p.SetBaseOffset(b.cfg.BaseOffset)
	binary.BigEndian.PutUint32(p[offLength:], uint32(len(p)-LengthOverhead))
	p.SetPartitionLeaderEpoch(b.cfg.PartitionLeaderEpoch)
	p[offMagic] = Magic
	binary.BigEndian.PutUint16(p[offAttributes:], uint16(attrs))
	binary.BigEndian.PutUint32(p[offLastOffsetDelta:], uint32(b.count-1))
	binary.BigEndian.PutUint64(p[offBaseTimestamp:], uint64(b.baseTs))
	binary.BigEndian.PutUint64(p[offMaxTimestamp:], uint64(maxTs))
	binary.BigEndian.PutUint64(p[offProducerID:], uint64(producer.ID))
	binary.BigEndian.PutUint16(p[offProducerEpoch:], uint16(producer.Epoch))
	binary.BigEndian.PutUint32(p[offBaseSequence:], uint32(producer.BaseSequence))
	binary.BigEndian.PutUint32(p[offCount:], uint32(b.count))
}
