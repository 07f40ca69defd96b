package wire

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Offsets inside a v2 record batch.
const (
	batchLengthOffset   = 8
	batchMagicOffset    = 16
	batchCRCOffset      = 17
	batchAttrOffset     = 21 // the CRC covers everything from here on
	batchLastDelta      = 23
	batchBaseTimeOffset = 27
	batchProducerOffset = 43 // producer id int64, producer epoch int16, base sequence int32
	batchCountOffset    = 57
	batchHeaderSize     = 61
	batchLengthPreamble = 12 // base offset and length, not counted by length
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Codec is a compression type as record batches number them.
type Codec int8

// The codecs of Kafka.
const (
	CodecNone Codec = iota
	CodecGzip
	CodecSnappy
	CodecLZ4
	CodecZstd
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

func (c Codec) String() string { return codecNames[c] }

// ParseCodec returns the codec that Kafka calls by this name.
func ParseCodec(name string) (Codec, error) {
	for i, n := range codecNames {
		if n == name {
			return Codec(i), nil
		}
	}
	return 0, fmt.Errorf("codec %q is none of %q", name, codecNames)
}

// ErrCompressed is returned where records are wanted one by one and the batch is compressed.
var ErrCompressed = errors.New("record batch is compressed")

// Batch is one encoded record batch (magic 2). With CodecNone its values can be changed in place; call Seal after.
type Batch struct {
	bytes  []byte
	values []int // offset of each value; nil when compressed
	size   int   // bytes of each value
	count  int
}

// EncodeBatch encodes count records of size bytes each, without keys and headers, with all timestamps timestampMs
// and no producer id. fill writes the value of record i, which starts zeroed.
func EncodeBatch(count, size int, codec Codec, timestampMs int64, fill func(i int, value []byte)) (*Batch, error) {
	if count < 1 || size < 0 {
		return nil, fmt.Errorf("a batch of %d records of %d bytes", count, size)
	}
	b := &Batch{size: size, count: count, values: make([]int, count)}
	b.bytes = make([]byte, batchHeaderSize, batchHeaderSize+count*(size+16))
	for i := range count {
		// attributes, timestamp delta, offset delta, null key, value, no headers
		body := 1 + 1 + varintSize(int64(i)) + 1 + varintSize(int64(size)) + size + 1
		b.bytes = binary.AppendVarint(b.bytes, int64(body))
		b.bytes = append(b.bytes, 0, 0)
		b.bytes = binary.AppendVarint(b.bytes, int64(i))
		b.bytes = binary.AppendVarint(b.bytes, -1)
		b.bytes = binary.AppendVarint(b.bytes, int64(size))
		b.values[i] = len(b.bytes)
		b.bytes = append(b.bytes, make([]byte, size+1)...)
		fill(i, b.Value(i))
	}
	if codec != CodecNone {
		packed, err := compress(codec, b.bytes[batchHeaderSize:])
		if err != nil {
			return nil, fmt.Errorf("compress with %s: %w", codec, err)
		}
		b.bytes = append(b.bytes[:batchHeaderSize:batchHeaderSize], packed...)
		b.values = nil
	}
	h := b.bytes
	binary.BigEndian.PutUint32(h[batchLengthOffset:], uint32(len(h)-batchLengthPreamble))
	binary.BigEndian.PutUint32(h[batchLengthPreamble:], ^uint32(0)) // leader epoch -1
	h[batchMagicOffset] = 2
	binary.BigEndian.PutUint16(h[batchAttrOffset:], uint16(codec))
	binary.BigEndian.PutUint32(h[batchLastDelta:], uint32(count-1))
	binary.BigEndian.PutUint64(h[batchBaseTimeOffset:], uint64(timestampMs))
	binary.BigEndian.PutUint64(h[batchBaseTimeOffset+8:], uint64(timestampMs))
	binary.BigEndian.PutUint32(h[batchCountOffset:], uint32(count))
	b.SetProducer(-1, -1, -1)
	b.Seal()
	return b, nil
}

// BatchBytes returns the size of an uncompressed batch of count records of size bytes.
func BatchBytes(count, size int) int {
	n := batchHeaderSize
	for i := range count {
		body := 1 + 1 + varintSize(int64(i)) + 1 + varintSize(int64(size)) + size + 1
		n += varintSize(int64(body)) + body
	}
	return n
}

// Bytes returns the encoded batch; it belongs to b.
func (b *Batch) Bytes() []byte { return b.bytes }

// Count returns the number of records.
func (b *Batch) Count() int { return b.count }

// Value returns the value of record i inside the encoded batch, to be changed in place. It panics when the batch is
// compressed.
func (b *Batch) Value(i int) []byte { return b.bytes[b.values[i] : b.values[i]+b.size] }

// SetProducer sets producer id, epoch and base sequence (-1 each for a producer without idempotence). Seal must follow.
func (b *Batch) SetProducer(id int64, epoch int16, baseSequence int32) {
	p := b.bytes[batchProducerOffset:]
	binary.BigEndian.PutUint64(p, uint64(id))
	binary.BigEndian.PutUint16(p[8:], uint16(epoch))
	binary.BigEndian.PutUint32(p[10:], uint32(baseSequence))
}

// Seal computes the batch's checksum anew.
func (b *Batch) Seal() {
	binary.BigEndian.PutUint32(b.bytes[batchCRCOffset:], crc32.Checksum(b.bytes[batchAttrOffset:], castagnoli))
}

func varintSize(v int64) int {
	var buf [binary.MaxVarintLen64]byte
	return binary.PutVarint(buf[:], v)
}

func compress(codec Codec, p []byte) ([]byte, error) {
	var out bytes.Buffer
	switch codec {
	case CodecGzip:
		w := gzip.NewWriter(&out)
		_, err := w.Write(p)
		err = errors.Join(err, w.Close())
		return out.Bytes(), err
	case CodecSnappy:
		return s2.EncodeSnappy(nil, p), nil
	case CodecLZ4:
		w := lz4.NewWriter(&out)
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil {
			return nil, err
		}
		_, err := w.Write(p)
		err = errors.Join(err, w.Close())
		return out.Bytes(), err
	case CodecZstd:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		packed := w.EncodeAll(p, nil)
		return packed, w.Close()
	}
	return nil, fmt.Errorf("unknown codec %d", codec)
}

// VisitRecords calls f with the offset and the value of every record of one uncompressed batch. The values are
// slices of batch. It checks the batch's checksum and shape, and returns ErrCompressed when there is a codec.
func VisitRecords(batch []byte, f func(offset int64, value []byte) error) error {
	if len(batch) < batchHeaderSize || batch[batchMagicOffset] != 2 {
		return fmt.Errorf("record batch of %d bytes is too short or not of magic 2", len(batch))
	}
	if got, want := crc32.Checksum(batch[batchAttrOffset:], castagnoli), binary.BigEndian.Uint32(batch[batchCRCOffset:]); got != want {
		return fmt.Errorf("record batch checksum is %08x, header says %08x", got, want)
	}
	attrs := binary.BigEndian.Uint16(batch[batchAttrOffset:])
	if attrs&7 != 0 {
		return ErrCompressed
	}
	if attrs&(1<<5) != 0 {
		return nil // control batch
	}
	base := int64(binary.BigEndian.Uint64(batch))
	rest := batch[batchHeaderSize:]
	for range binary.BigEndian.Uint32(batch[batchCountOffset:]) {
		size, n := binary.Varint(rest)
		if n <= 0 || size < 1 || size > int64(len(rest)-n) {
			return errBadRecord
		}
		rec := rest[n : n+int(size)]
		rest = rest[n+int(size):]
		delta, value, err := recordValue(rec)
		if err != nil {
			return err
		}
		if err := f(base+delta, value); err != nil {
			return err
		}
	}
	return nil
}

var errBadRecord = errors.New("record does not parse")

// recordValue picks offset delta and value out of a record without its length. A null value is nil.
func recordValue(rec []byte) (delta int64, value []byte, err error) {
	rec = rec[1:] // attributes
	field := func() int64 {
		v, n := binary.Varint(rec)
		if n <= 0 {
			err = errBadRecord
			return 0
		}
		rec = rec[n:]
		return v
	}
	blob := func() []byte {
		n := field()
		if n > int64(len(rec)) {
			err = errBadRecord
		}
		if err != nil || n < 0 {
			return nil
		}
		b := rec[:n]
		rec = rec[n:]
		return b
	}
	field() // timestamp delta
	delta = field()
	blob() // key
	value = blob()
	return delta, value, err
}
