package hostile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cmd/kbench/wire"
)

// Positions inside a record batch of magic 2.
const (
	batchLength  = 8
	batchCRC     = 17
	batchAttrs   = 21
	batchDelta   = 23
	batchCount   = 57
	batchRecords = 61
	validBatches = 16 // of each codec
	bombBytes    = 64 << 20
	snappyBytes  = 16 << 20 // snappy packs less; the batch must stay below what a broker takes
)

// Codecs is the number of compression formats, none among them: none, gzip, snappy, lz4, zstd.
const Codecs = 5

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// valid are batches nothing is wrong with, by codec. They are made once: compressing costs the attacker more than an
// attack costs the broker.
var valid = sync.OnceValue(func() (all [Codecs][validBatches][]byte) {
	rng := rand.New(rand.NewPCG(1, 1))
	for codec := range all {
		for i := range all[codec] {
			b, err := wire.EncodeBatch(1+rng.IntN(20), rng.IntN(200), wire.Codec(codec), time.Now().UnixMilli(), func(_ int, value []byte) {
				copy(value, RandomBytes(rng, len(value)/2))
			})
			if err != nil {
				panic(fmt.Sprintf("codec %d: %v", codec, err)) // the arguments are good
			}
			all[codec][i] = b.Bytes()
		}
	}
	return all
})

// RecordBatch returns a copy of a valid batch.
func RecordBatch(rng *rand.Rand, codec int) []byte {
	return slices.Clone(valid()[codec][rng.IntN(validBatches)])
}

// seal corrects length and checksum, so that the damage is found further in.
func seal(b []byte) {
	if len(b) > batchAttrs {
		binary.BigEndian.PutUint32(b[batchLength:], uint32(len(b)-batchLength-4))
		binary.BigEndian.PutUint32(b[batchCRC:], crc32.Checksum(b[batchAttrs:], castagnoli))
	}
}

// Produce returns a valid request around records.
func Produce(topic string, acks int16, records []byte) kmsg.Request {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 7, acks, 1000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = records
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// DamagedBatch returns a batch that is wrong in one way, or several of them, or half of one.
func DamagedBatch(rng *rand.Rand) []byte {
	b := RecordBatch(rng, rng.IntN(Codecs))
	switch rng.IntN(8) {
	case 0: // the count lies
		binary.BigEndian.PutUint32(b[batchCount:], uint32(largeCounts[rng.IntN(len(largeCounts))]))
	case 1: // so does the last offset, which may fit
		lie := uint32(largeCounts[rng.IntN(len(largeCounts))])
		binary.BigEndian.PutUint32(b[batchDelta:], lie)
		binary.BigEndian.PutUint32(b[batchCount:], lie+1)
	case 2: // any header field
		b = append(append(b[:batchAttrs:batchAttrs], RandomBytes(rng, batchRecords-batchAttrs)...), b[batchRecords:]...)
	case 3: // records
		b = append(b[:batchRecords:batchRecords], Damage(rng, slices.Clone(b[batchRecords:]))...)
	case 4: // huge variable integers
		b = append(b[:batchRecords:batchRecords], PutCount(rng, b[batchRecords:], rng.IntN(len(b)-batchRecords))...)
	case 5: // another codec than the records have, or none that exists
		b[batchAttrs+1] = b[batchAttrs+1]&^7 | byte(rng.IntN(8))
	case 6: // control, transactional, attributes nobody defined
		binary.BigEndian.PutUint16(b[batchAttrs:], uint16(rng.Uint32()))
	default: // several batches, or half of one
		if b = append(b, b...); rng.IntN(2) == 0 {
			b = b[:rng.IntN(len(b))]
		}
		return b
	}
	if rng.IntN(8) > 0 {
		seal(b)
	}
	return b
}

// Bomb returns a batch whose records grow when unpacked, or packed records whose declared sizes lie.
func Bomb(rng *rand.Rand) []byte {
	all := packed()
	var b []byte
	if rng.IntN(2) == 0 {
		b = slices.Clone(all[rng.IntN(len(all))])
		if rng.IntN(2) == 0 { // few records declared
			binary.BigEndian.PutUint32(b[batchDelta:], 0)
			binary.BigEndian.PutUint32(b[batchCount:], 1)
		}
	} else {
		b = append(RecordBatch(rng, 0)[:batchRecords], lyingFrame(rng)...)
		b[batchAttrs+1] = byte(1 + rng.IntN(Codecs-1))
	}
	seal(b)
	return b
}

// packed are batches that grow by a factor of hundreds, made once.
var packed = sync.OnceValue(func() [][]byte {
	var all [][]byte
	for _, codec := range []wire.Codec{wire.CodecGzip, wire.CodecSnappy, wire.CodecLZ4, wire.CodecZstd} {
		for _, records := range []int{1, 1000} {
			size := bombBytes
			if codec == wire.CodecSnappy {
				size = snappyBytes
			}
			b, err := wire.EncodeBatch(records, size/records, codec, time.Now().UnixMilli(), func(int, []byte) {})
			if err != nil {
				panic(fmt.Sprintf("%v: %v", codec, err)) // the arguments are good
			}
			all = append(all, b.Bytes())
		}
	}
	return all
})

// lyingFrame is the head of a compressed stream that declares a huge size or window, and some bytes.
func lyingFrame(rng *rand.Rand) []byte {
	var p []byte
	switch rng.IntN(4) {
	case 0: // snappy: decoded length 2^32-1
		p = binary.AppendUvarint(nil, math.MaxUint32)
	case 1: // snappy as Java frames it, with a chunk of 2 GiB
		p = append([]byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}, 0x7f, 0xff, 0xff, 0xff)
	case 2: // zstd: a window of 2^41 bytes, or a content size of 2^60
		p = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff}
		if rng.IntN(2) == 0 {
			p = append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, 0, 0, 0, 0, 0, 0, 0, 0x10)
		}
	default: // lz4: a content size of 2^60, blocks of 4 MiB
		p = append([]byte{0x04, 0x22, 0x4d, 0x18, 0x68, 0x70}, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x00, 0xff, 0xff, 0xff, 0x7f)
	}
	return append(p, RandomBytes(rng, rng.IntN(500))...)
}
