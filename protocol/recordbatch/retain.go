package recordbatch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// NoDeleteHorizon says that tombstones get no time from which they may go.
const NoDeleteHorizon int64 = -1

// Retainer makes batches with a part of the records of others, as compaction
// does: base offset, last offset, sequences and all other fields of the header
// stay, so a batch covers the same offsets with fewer records. It belongs to one
// goroutine and keeps its memory, which grows to the largest batch it has seen
// decompressed; the zero value is ready.
type Retainer struct {
	records []byte // those kept, uncompressed
	moved   []byte // the same against another base timestamp
	out     []byte
}

// RetainOptions say what Retain does besides dropping records.
type RetainOptions struct {
	// Limit of decompressed bytes; 0 is DefaultMaxDecompressed.
	Limit int64
	// DeleteHorizon, in ms since 1970, is given to a batch that has none and
	// keeps a tombstone, a record without value (KIP-534); NoDeleteHorizon
	// leaves it.
	DeleteHorizon int64
	// Marker: the batch gets the horizon without a tombstone. A marker of a
	// transaction whose records are gone is kept as long as a tombstone.
	Marker bool
}

// Retain returns the batch with the records for which keep is true, and how many
// those are; with none the batch is nil. It is b itself if nothing changes, else
// it lies in the Retainer's memory until the next call. The records are encoded
// in the codec of b, at the codec's default level, and the checksum is
// new. The checksum of b is not looked at.
//
// As in Kafka, the largest timestamp is that of the kept records, and a batch
// with a delete horizon has it in place of its base timestamp.
//
// Errors: those of [Batch.Records], ErrBatchSize.
func (t *Retainer) Retain(b Batch, o RetainOptions, keep func(r *Record) bool) (Batch, int, error) {
	kept, tombstone, maxTs, err := t.collect(b, o.Limit, keep)
	if err != nil || kept == 0 {
		return nil, 0, err
	}
	horizon := o.DeleteHorizon >= 0 && !b.HasDeleteHorizon() && (tombstone || o.Marker)
	if kept == int(b.Count()) && !horizon {
		return b, kept, nil
	}
	records, baseTs, attrs := t.records, b.BaseTimestamp(), b.Attributes()
	if horizon {
		attrs |= attrDeleteHorizon
		records, baseTs = t.move(baseTs, o.DeleteHorizon), o.DeleteHorizon
	}
	if b.TimestampType() == LogAppendTime {
		maxTs = b.MaxTimestamp()
	}
	t.out = append(t.out[:0], b[:HeaderSize]...)
	t.out, err = appendCompressed(t.out, b.Codec(), DefaultLevel, records)
	if err != nil {
		return nil, 0, err
	}
	if len(t.out) > math.MaxInt32 {
		return nil, 0, fmt.Errorf("%w: %d bytes", ErrBatchSize, len(t.out))
	}
	out := Batch(t.out)
	binary.BigEndian.PutUint32(out[offLength:], uint32(len(out)-LengthOverhead))
	binary.BigEndian.PutUint16(out[offAttributes:], uint16(attrs))
	binary.BigEndian.PutUint64(out[offBaseTimestamp:], uint64(baseTs))
	binary.BigEndian.PutUint64(out[offMaxTimestamp:], uint64(maxTs))
	binary.BigEndian.PutUint32(out[offCount:], uint32(kept))
	out.UpdateCRC()
	return out, kept, nil
}

// collect gathers the bytes of the records to keep.
func (t *Retainer) collect(b Batch, limit int64, keep func(*Record) bool) (kept int, tombstone bool, maxTs int64, err error) {
	t.records, maxTs = t.records[:0], NoTimestamp
	take := func(body []byte, r *Record) {
		if !keep(r) {
			return
		}
		t.records = append(appendVarint(t.records, int64(len(body))), body...)
		kept++
		tombstone = tombstone || r.Value == nil
		maxTs = max(maxTs, b.BaseTimestamp()+r.TimestampDelta)
	}
	err = b.eachBody(limit, take)
	return kept, tombstone, maxTs, err
}

// eachBody calls visit for every record with its bytes behind the length, which
// live until visit returns.
func (b Batch) eachBody(limit int64, visit func(body []byte, r *Record)) error {
	if b.Codec() != CodecNone {
		return b.eachCompressedBody(limit, visit)
	}
	rest := b.Payload()
	if err := checkCount(b.Count(), int64(len(rest))); err != nil {
		return err
	}
	for range b.Count() {
		var r Record
		n, err := r.parse(rest)
		if err != nil {
			return err
		}
		_, w := varint(rest)
		visit(rest[w:n], &r)
		rest = rest[n:]
	}
	if len(rest) != 0 {
		return errRecordsRemain
	}
	return nil
}

func (b Batch) eachCompressedBody(limit int64, visit func(body []byte, r *Record)) error {
	s, err := openStream(b.Codec(), b.Payload(), limit)
	if err != nil {
		return err
	}
	defer s.close()
	if err := checkCount(b.Count(), s.limit); err != nil {
		return err
	}
	for range b.Count() {
		body, err := s.recordBody()
		if err != nil {
			return err
		}
		var r Record
		if err := r.parseBody(body); err != nil {
			return err
		}
		visit(body, &r)
	}
	return s.expectEnd()
}

// move rewrites the collected records so that their times stay the same against
// another base timestamp.
func (t *Retainer) move(from, to int64) []byte {
	t.moved = t.moved[:0]
	for rest := t.records; len(rest) > 0; {
		length, w := varint(rest)
		body := rest[w : w+int(length)]
		rest = rest[w+int(length):]
		delta, w := varlong(body[1:])
		tail := body[1+w:]
		delta += from - to
		t.moved = appendVarint(t.moved, int64(1+varintSize(delta)+len(tail)))
		t.moved = append(t.moved, body[0])
		t.moved = append(appendVarint(t.moved, delta), tail...)
	}
	return t.moved
}

// Shrink gives memory back that is larger than n bytes a buffer.
func (t *Retainer) Shrink(n int) {
	for _, b := range []*[]byte{&t.records, &t.moved, &t.out} {
		if cap(*b) > n {
			*b = nil
		}
	}
}

// Empty returns a batch without records that covers the offsets of b and keeps
// its producer, sequences, epoch, largest timestamp and kind: what compaction
// leaves of the last batch of a producer. It lies in memory of its own.
func (b Batch) Empty() Batch {
	out := make(Batch, HeaderSize)
	copy(out, b[:HeaderSize])
	binary.BigEndian.PutUint32(out[offLength:], HeaderSize-LengthOverhead)
	binary.BigEndian.PutUint16(out[offAttributes:], uint16(b.Attributes()&(attrLogAppendTime|attrTransactional|attrControl)))
	noTimestamp := NoTimestamp
	binary.BigEndian.PutUint64(out[offBaseTimestamp:], uint64(noTimestamp))
	binary.BigEndian.PutUint32(out[offCount:], 0)
	out.UpdateCRC()
	return out
}
