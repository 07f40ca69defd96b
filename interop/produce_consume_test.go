package interop

import (
	"fmt"
	"testing"
	"time"

	"kserver/interop/wire"
)

// TestCodecs produces odd records with every codec and acknowledgement level by every library,
// reads them back with every library, and looks at the stored batches: with the topic's default
// compression.type=producer the broker keeps the producer's codec.
func TestCodecs(t *testing.T) {
	modes := []produceOptions{{acks: "0"}, {acks: "1"}, {acks: "all"}, {acks: "all", idempotent: true}}
	const perMode = 64
	eachLibrary(t, func(t *testing.T, writer library) {
		for code, codec := range codecs {
			t.Run(codec, func(t *testing.T) {
				t.Parallel()
				topic := newTopic(t, len(modes))
				written := make([][]record, len(modes))
				for p, o := range modes {
					o.codec = codec
					written[p] = writer.produce(t, topic, o, oddRecords(int32(p), perMode))
				}
				for p, o := range modes {
					for _, reader := range libraries {
						got := reader.consume(t, consumeOptions{topic: topic, partition: int32(p), from: startOffset, count: perMode})
						t.Logf("acks=%s idempotent=%v read by %s", o.acks, o.idempotent, reader.name)
						wantRecords(t, got, written[p])
					}
					conn := newConn(t)
					for _, b := range fetchBatches(t, conn, topic, int32(p), 0) {
						// librdkafka leaves a batch uncompressed that would not shrink.
						if got := int(b.Attributes & wire.AttrCodecMask); got != code && got != 0 {
							t.Errorf("acks=%s: batch at %d is stored with codec %d, want %d", o.acks, b.BaseOffset, got, code)
						}
						if !b.CRCValid {
							t.Errorf("acks=%s: batch at %d has a wrong CRC", o.acks, b.BaseOffset)
						}
						if (b.ProducerID >= 0) != o.idempotent {
							t.Errorf("acks=%s idempotent=%v: producer id %d", o.acks, o.idempotent, b.ProducerID)
						}
					}
				}
			})
		}
	})
}

// TestOffsetsAreDense checks that acknowledged offsets have no gap and continue over producers.
func TestOffsetsAreDense(t *testing.T) {
	eachLibrary(t, func(t *testing.T, l library) {
		topic := newTopic(t, 1)
		var next int64
		for round := range 5 {
			o := produceOptions{acks: "all", idempotent: round%2 == 0}
			for _, r := range l.produce(t, topic, o, plainRecords(0, 20, fmt.Sprint(round))) {
				if r.Offset != next {
					t.Fatalf("round %d: offset %d, want %d", round, r.Offset, next)
				}
				next++
			}
		}
	})
}

// TestLargeRecords sends records of 1 MiB and 10 MiB through a topic that allows them.
func TestLargeRecords(t *testing.T) {
	const room = 12 << 20
	eachLibrary(t, func(t *testing.T, writer library) {
		topic := newTopic(t, 2, fmt.Sprintf("max.message.bytes=%d", room))
		for p, size := range []int{1 << 20, 10 << 20} {
			records := plainRecords(int32(p), 3, "large")
			for i := range records {
				records[i].Value = make([]byte, size)
				for j := range records[i].Value {
					records[i].Value[j] = byte(j * (i + 1) >> 3)
				}
			}
			written := writer.produce(t, topic, produceOptions{acks: "all", idempotent: true, maxBytes: room}, records)
			for _, reader := range libraries {
				// The readers keep their default limits, 1 MiB a partition: the first batch of a
				// response comes whole all the same (KIP-74).
				got := reader.consume(t, consumeOptions{topic: topic, partition: int32(p), from: startOffset, count: len(records)})
				wantRecords(t, got, written)
			}
		}
	})
}

// TestConsumeFromOffset assigns by hand and starts in the middle of a batch.
func TestConsumeFromOffset(t *testing.T) {
	eachLibrary(t, func(t *testing.T, l library) {
		topic := newTopic(t, 1)
		written := l.produce(t, topic, produceOptions{codec: "lz4"}, plainRecords(0, 100, "v"))
		for _, from := range []int64{0, 1, 50, 99} {
			got := l.consume(t, consumeOptions{topic: topic, from: from, count: 100 - int(from)})
			wantRecords(t, got, written[from:])
		}
	})
}

// TestLogAppendTime checks that a LogAppendTime topic replaces the producer's times by the time of
// the append, the same for all records of a batch, and says so in the batch and to the producer.
func TestLogAppendTime(t *testing.T) {
	eachLibrary(t, func(t *testing.T, l library) {
		topic := newTopic(t, 1, "message.timestamp.type=LogAppendTime")
		before := time.Now().UnixMilli()
		records := plainRecords(0, 10, "v")
		for i := range records {
			records[i].Timestamp = 1000 + int64(i)
		}
		l.produce(t, topic, produceOptions{acks: "all"}, records)
		after := time.Now().UnixMilli()
		for _, reader := range libraries {
			for _, r := range reader.consume(t, consumeOptions{topic: topic, from: startOffset, count: 10}) {
				if r.Timestamp < before || r.Timestamp > after {
					t.Errorf("%s: offset %d has time %d, not in [%d, %d]", reader.name, r.Offset, r.Timestamp, before, after)
				}
			}
		}
		for _, b := range fetchBatches(t, newConn(t), topic, 0, 0) {
			if b.Attributes&wire.AttrLogAppendTime == 0 || !b.CRCValid {
				t.Errorf("batch at %d: attributes %#x, CRC valid %v", b.BaseOffset, b.Attributes, b.CRCValid)
			}
		}
	})
}
