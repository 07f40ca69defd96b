package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// Attribute bits of a record batch, format v2.
const (
	AttrCodecMask     = 0x07
	AttrLogAppendTime = 0x08
	AttrTransactional = 0x10
	AttrControl       = 0x20
)

// batchHeaderSize is the size of a v2 batch before its records.
const batchHeaderSize = 61

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is one record of a Batch. A nil Key or Value is null on the wire.
type Record struct {
	TimestampDelta int64
	OffsetDelta    int32
	Key, Value     []byte
	Headers        []Header
}

// Header is a record header; a nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// Batch is a record batch v2 with every field open, so that a test can send one that is wrong in
// exactly one place. Records are written uncompressed, whatever Attributes say.
type Batch struct {
	BaseOffset           int64
	PartitionLeaderEpoch int32
	Magic                int8
	Attributes           int16
	BaseTimestamp        int64 // ms since the epoch
	MaxTimestamp         int64
	ProducerID           int64
	ProducerEpoch        int16
	BaseSequence         int32
	Records              []Record

	// Count and LastOffsetDelta replace what follows from Records when set.
	Count, LastOffsetDelta *int32
	// CorruptCRC flips a bit of the checksum.
	CorruptCRC bool
}

// NewBatch makes a correct batch of the given values at timestamp ms, without a producer id.
func NewBatch(timestampMs int64, values ...[]byte) *Batch {
	b := &Batch{
		PartitionLeaderEpoch: -1,
		Magic:                2,
		BaseTimestamp:        timestampMs,
		MaxTimestamp:         timestampMs,
		ProducerID:           -1,
		ProducerEpoch:        -1,
		BaseSequence:         -1,
	}
	for i, v := range values {
		b.Records = append(b.Records, Record{OffsetDelta: int32(i), Value: v})
	}
	return b
}

// WithProducer sets the idempotent producer's fields and returns b.
func (b *Batch) WithProducer(id int64, epoch int16, baseSequence int32) *Batch {
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, epoch, baseSequence
	return b
}

// Encode returns the batch's bytes.
func (b *Batch) Encode() []byte {
	count := int32(len(b.Records))
	lastDelta := count - 1
	if b.Count != nil {
		count = *b.Count
	}
	if b.LastOffsetDelta != nil {
		lastDelta = *b.LastOffsetDelta
	}
	be := binary.BigEndian
	p := be.AppendUint64(nil, uint64(b.BaseOffset))
	p = be.AppendUint32(p, 0) // length, below
	p = be.AppendUint32(p, uint32(b.PartitionLeaderEpoch))
	p = append(p, byte(b.Magic))
	p = be.AppendUint32(p, 0) // CRC, below
	p = be.AppendUint16(p, uint16(b.Attributes))
	p = be.AppendUint32(p, uint32(lastDelta))
	p = be.AppendUint64(p, uint64(b.BaseTimestamp))
	p = be.AppendUint64(p, uint64(b.MaxTimestamp))
	p = be.AppendUint64(p, uint64(b.ProducerID))
	p = be.AppendUint16(p, uint16(b.ProducerEpoch))
	p = be.AppendUint32(p, uint32(b.BaseSequence))
	p = be.AppendUint32(p, uint32(count))
	for i := range b.Records {
		p = b.Records[i].append(p)
	}
	be.PutUint32(p[8:], uint32(len(p)-12))
	crc := crc32.Checksum(p[21:], castagnoli)
	if b.CorruptCRC {
		crc ^= 1
	}
	be.PutUint32(p[17:], crc)
	return p
}

func (r *Record) append(dst []byte) []byte {
	body := []byte{0} // attributes
	body = binary.AppendVarint(body, r.TimestampDelta)
	body = binary.AppendVarint(body, int64(r.OffsetDelta))
	body = appendBytes(body, r.Key)
	body = appendBytes(body, r.Value)
	body = binary.AppendVarint(body, int64(len(r.Headers)))
	for _, h := range r.Headers {
		body = binary.AppendVarint(body, int64(len(h.Key)))
		body = append(body, h.Key...)
		body = appendBytes(body, h.Value)
	}
	dst = binary.AppendVarint(dst, int64(len(body)))
	return append(dst, body...)
}

func appendBytes(dst, p []byte) []byte {
	if p == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(p)))
	return append(dst, p...)
}

// BatchHeader is what a test looks at in a fetched batch.
type BatchHeader struct {
	BaseOffset           int64
	Size                 int // bytes, header included
	PartitionLeaderEpoch int32
	Magic                int8
	Attributes           int16
	LastOffsetDelta      int32
	BaseTimestamp        int64
	MaxTimestamp         int64
	ProducerID           int64
	ProducerEpoch        int16
	BaseSequence         int32
	Count                int32
	CRCValid             bool
}

// NextOffset is the offset that follows the batch.
func (h BatchHeader) NextOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) + 1 }

// SplitBatches parses the headers of the whole batches in records and returns the number of
// bytes of a partial batch at the end.
func SplitBatches(records []byte) (headers []BatchHeader, partial int) {
	be := binary.BigEndian
	for len(records) >= batchHeaderSize {
		size := 12 + int(int32(be.Uint32(records[8:])))
		if size < batchHeaderSize || size > len(records) {
			break
		}
		b := records[:size]
		headers = append(headers, BatchHeader{
			BaseOffset:           int64(be.Uint64(b)),
			Size:                 size,
			PartitionLeaderEpoch: int32(be.Uint32(b[12:])),
			Magic:                int8(b[16]),
			CRCValid:             be.Uint32(b[17:]) == crc32.Checksum(b[21:], castagnoli),
			Attributes:           int16(be.Uint16(b[21:])),
			LastOffsetDelta:      int32(be.Uint32(b[23:])),
			BaseTimestamp:        int64(be.Uint64(b[27:])),
			MaxTimestamp:         int64(be.Uint64(b[35:])),
			ProducerID:           int64(be.Uint64(b[43:])),
			ProducerEpoch:        int16(be.Uint16(b[51:])),
			BaseSequence:         int32(be.Uint32(b[53:])),
			Count:                int32(be.Uint32(b[57:])),
		})
		records = records[size:]
	}
	return headers, len(records)
}
