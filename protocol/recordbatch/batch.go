package recordbatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// Sizes of the fixed part of a batch, in bytes.
const (
	// HeaderSize is the size of a batch without its records, and so the size of
	// the smallest batch.
	HeaderSize = 61
	// LengthOverhead is the size of the two fields the batch length does not
	// count: base offset and the length itself.
	LengthOverhead = 12
	// MinRecordSize is the size of the smallest record: length, attributes,
	// timestamp delta, offset delta, null key, null value and no headers take
	// one byte each. A batch cannot hold more than size/MinRecordSize records.
	MinRecordSize = 7
	// Magic is the only record format version this package speaks.
	Magic = 2
)

// Offsets of the header fields.
const (
	offBaseOffset      = 0
	offLength          = 8
	offLeaderEpoch     = 12
	offMagic           = 16
	offCRC             = 17
	offAttributes      = 21
	offLastOffsetDelta = 23
	offBaseTimestamp   = 27
	offMaxTimestamp    = 35
	offProducerID      = 43
	offProducerEpoch   = 51
	offBaseSequence    = 53
	offCount           = 57
)

// Bits of the attributes field.
const (
	attrCodecMask     = 0x07
	attrLogAppendTime = 1 << 3
	attrTransactional = 1 << 4
	attrControl       = 1 << 5
	attrDeleteHorizon = 1 << 6
)

// NoTimestamp is the record time of a client that sets none.
const NoTimestamp int64 = -1

// NoProducerID, NoProducerEpoch and NoSequence are the producer fields of a
// batch that is neither idempotent nor transactional.
const (
	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
	NoSequence      int32 = -1
)

var (
	// ErrTruncated says that the bytes end before the batch does. At the end of
	// a Fetch response or of a segment after a crash this is expected.
	ErrTruncated = errors.New("recordbatch: truncated batch")
	// ErrLength says that a batch length field is impossible: smaller than a
	// header, or so large that the total does not fit an int32.
	ErrLength = errors.New("recordbatch: invalid batch length")
	// ErrMagic says that the batch is not of format version 2.
	ErrMagic = errors.New("recordbatch: unsupported magic")
	// ErrCRC says that the checksum does not match the bytes.
	ErrCRC = errors.New("recordbatch: checksum mismatch")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// TimestampType says who set the timestamps of a batch.
type TimestampType int8

const (
	// CreateTime means that the producer set the time of each record.
	CreateTime TimestampType = 0
	// LogAppendTime means that the broker set one time for the whole batch, kept
	// as the max timestamp; the timestamps inside the records are ignored.
	LogAppendTime TimestampType = 1
)

// String returns Kafka's name of the type.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}

// Batch is a view over the bytes of exactly one RecordBatch v2. It owns
// nothing: the bytes belong to whoever made the view, and accessors may be
// called as long as those bytes live. A Batch comes from [Next], [Builder] or
// [ValidateProduce]; accessors of a slice shorter than [HeaderSize] panic.
type Batch []byte

// PeekSize returns the size in bytes of a whole batch from its first
// [LengthOverhead] bytes. Errors: ErrTruncated if header is shorter than that,
// ErrLength.
func PeekSize(header []byte) (size int, err error) {
	if len(header) < LengthOverhead {
		return 0, ErrTruncated
	}
	n := int32(binary.BigEndian.Uint32(header[offLength:]))
	if n < HeaderSize-LengthOverhead || n > math.MaxInt32-LengthOverhead {
		return 0, fmt.Errorf("%w: %d", ErrLength, n)
	}
	return int(n) + LengthOverhead, nil
}

// Next splits the first batch off b. The batch and rest alias b; the batch's
// capacity ends where it does, so that an append cannot reach into rest.
//
// Errors: ErrTruncated if b holds only a part of the batch (also if b is
// empty), ErrLength, ErrMagic. The length is believed only if the magic is
// right, which is looked at as soon as 17 bytes are there, because a batch of
// another version may legally be smaller than a v2 header.
func Next(b []byte) (batch Batch, rest []byte, err error) {
	if len(b) <= offMagic {
		return nil, b, ErrTruncated
	}
	if m := int8(b[offMagic]); m != Magic {
		return nil, b, fmt.Errorf("%w: %d", ErrMagic, m)
	}
	size, err := PeekSize(b)
	if err != nil {
		return nil, b, err
	}
	if size > len(b) {
		return nil, b, ErrTruncated
	}
	return Batch(b[:size:size]), b[size:], nil
}

// BaseOffset returns the offset of the first record the batch was made with
// (compaction may have removed that record).
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b[offBaseOffset:])) }

// LastOffset returns the offset of the last record, inclusive.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset returns the offset after the batch: LastOffset + 1.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// LastOffsetDelta returns the offset of the last record relative to BaseOffset.
func (b Batch) LastOffsetDelta() int32 { return b.int32(offLastOffsetDelta) }

// PartitionLeaderEpoch returns the epoch of the leader that appended the batch.
func (b Batch) PartitionLeaderEpoch() int32 { return b.int32(offLeaderEpoch) }

// CRC returns the stored checksum, CRC-32C of everything from the attributes on.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[offCRC:]) }

// Attributes returns the raw attribute bits.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[offAttributes:])) }

// Codec returns how the records are compressed. The value may be one of the
// numbers 5 to 7, which no codec has; see [Codec.Valid].
func (b Batch) Codec() Codec { return Codec(b.Attributes() & attrCodecMask) }

// TimestampType returns who set the timestamps.
func (b Batch) TimestampType() TimestampType {
	if b.Attributes()&attrLogAppendTime != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// IsTransactional reports whether the records belong to a transaction.
func (b Batch) IsTransactional() bool { return b.Attributes()&attrTransactional != 0 }

// IsControl reports whether the batch holds a control record, which consumers
// skip (transaction markers, quorum records).
func (b Batch) IsControl() bool { return b.Attributes()&attrControl != 0 }

// HasDeleteHorizon reports whether BaseTimestamp is the time from which the
// cleaner may drop tombstones and markers of this batch (KIP-534).
func (b Batch) HasDeleteHorizon() bool { return b.Attributes()&attrDeleteHorizon != 0 }

// BaseTimestamp returns the time, in ms since 1970, the record deltas refer to,
// or the delete horizon; see HasDeleteHorizon.
func (b Batch) BaseTimestamp() int64 { return b.int64(offBaseTimestamp) }

// MaxTimestamp returns the largest record time in ms, or the append time if
// TimestampType is LogAppendTime, or NoTimestamp.
func (b Batch) MaxTimestamp() int64 { return b.int64(offMaxTimestamp) }

// ProducerID returns the id of the idempotent producer, or NoProducerID.
func (b Batch) ProducerID() int64 { return b.int64(offProducerID) }

// HasProducerID reports whether an idempotent or transactional producer made
// the batch.
func (b Batch) HasProducerID() bool { return b.ProducerID() > NoProducerID }

// ProducerEpoch returns the epoch that fences older instances of the producer.
func (b Batch) ProducerEpoch() int16 {
	return int16(binary.BigEndian.Uint16(b[offProducerEpoch:]))
}

// BaseSequence returns the producer's sequence number of the first record.
func (b Batch) BaseSequence() int32 { return b.int32(offBaseSequence) }

// LastSequence returns the sequence number of the last record. Sequence numbers
// wrap from 2^31-1 to 0. It is NoSequence if BaseSequence is.
func (b Batch) LastSequence() int32 {
	if b.BaseSequence() == NoSequence {
		return NoSequence
	}
	return AddSequence(b.BaseSequence(), b.LastOffsetDelta())
}

// AddSequence returns the producer sequence number n >= 0 records after seq,
// wrapping from 2^31-1 to 0 (Kafka's DefaultRecordBatch.incrementSequence).
func AddSequence(seq, n int32) int32 {
	return int32((uint32(seq) + uint32(n)) & math.MaxInt32)
}

// Count returns the number of records the header claims.
func (b Batch) Count() int32 { return b.int32(offCount) }

// Size returns the size of the whole batch in bytes.
func (b Batch) Size() int { return len(b) }

// Payload returns the records as they lie in the batch, compressed if Codec says so.
func (b Batch) Payload() []byte { return b[HeaderSize:] }

// SetBaseOffset stores the offset of the first record; the CRC does not cover it.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b[offBaseOffset:], uint64(offset))
}

// SetPartitionLeaderEpoch stores the leader epoch; the CRC does not cover it.
func (b Batch) SetPartitionLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[offLeaderEpoch:], uint32(epoch))
}

// SetLogAppendTime marks the batch as stamped by the broker at ms since 1970
// and computes the CRC anew. The base timestamp stays.
func (b Batch) SetLogAppendTime(ms int64) {
	binary.BigEndian.PutUint16(b[offAttributes:], uint16(b.Attributes()|attrLogAppendTime))
	binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(ms))
	b.UpdateCRC()
}

// SetMaxTimestamp stores the largest record time, in ms since 1970, and
// computes the CRC anew.
func (b Batch) SetMaxTimestamp(ms int64) {
	binary.BigEndian.PutUint64(b[offMaxTimestamp:], uint64(ms))
	b.UpdateCRC()
}

// UpdateCRC stores the checksum of the batch as it is now.
func (b Batch) UpdateCRC() {
	binary.BigEndian.PutUint32(b[offCRC:], b.ComputeCRC())
}

// ComputeCRC returns the CRC-32C of the bytes from the attributes on.
func (b Batch) ComputeCRC() uint32 { return crc32.Checksum(b[offAttributes:], castagnoli) }

// CheckCRC compares the stored checksum with the bytes and returns nil or an
// error that wraps ErrCRC.
func (b Batch) CheckCRC() error {
	if stored, computed := b.CRC(), b.ComputeCRC(); stored != computed {
		return fmt.Errorf("%w: stored %d, computed %d", ErrCRC, stored, computed)
	}
	return nil
}

func (b Batch) int32(off int) int32 { return int32(binary.BigEndian.Uint32(b[off:])) }
func (b Batch) int64(off int) int64 { return int64(binary.BigEndian.Uint64(b[off:])) }
