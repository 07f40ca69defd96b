package interop

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// TestProduceErrors sends batches that are wrong in one place. Codes, offsets and the number of
// record errors are those of Apache Kafka 4.3.1.
func TestProduceErrors(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1, "max.message.bytes=5000", "segment.bytes=1048576")
	compacted := newTopic(t, 1, "cleanup.policy=compact")
	bounded := newTopic(t, 1, "message.timestamp.before.max.ms=60000", "message.timestamp.after.max.ms=60000")
	appendTime := newTopic(t, 1, "message.timestamp.type=LogAppendTime")
	conn := newConn(t)
	now := time.Now().UnixMilli()
	good := func() *wire.Batch { return wire.NewBatch(now, []byte("one"), []byte("two")) }
	with := func(change func(b *wire.Batch)) []byte {
		b := good()
		change(b)
		return b.Encode()
	}
	three, one := int32(3), int32(1)
	cases := []struct {
		name    string
		topic   string
		records []byte
		code    int16
		perRec  int // record errors
	}{
		{"too large", topic, wire.NewBatch(now, make([]byte, 5000)).Encode(), 10, 0},
		{"corrupt CRC", topic, with(func(b *wire.Batch) { b.CorruptCRC = true }), 2, 0},
		{"count above the records", topic, with(func(b *wire.Batch) { b.Count = &three }), 87, 0},
		{"count below the records", topic, with(func(b *wire.Batch) { b.Count = &one }), 87, 0},
		{"last offset delta above", topic, with(func(b *wire.Batch) { b.LastOffsetDelta = &three }), 87, 0},
		{"control batch", topic, with(func(b *wire.Batch) { b.Attributes |= wire.AttrControl }), 87, 0},
		// On a CreateTime topic Kafka overlooks the bit, so nothing is asked for there.
		{"log append time set by the client", appendTime, with(func(b *wire.Batch) { b.Attributes |= wire.AttrLogAppendTime }), 32, 2},
		{"producer id without sequence", topic, with(func(b *wire.Batch) { b.ProducerID, b.ProducerEpoch, b.BaseSequence = 1<<40, 0, -1 }), 87, 0},
		{"two batches", topic, append(good().Encode(), good().Encode()...), 87, 0},
		{"base offset not zero", topic, with(func(b *wire.Batch) { b.BaseOffset = 7 }), 87, 0},
		{"null key on a compacted topic", compacted, good().Encode(), 87, 2},
		{"time too early", bounded, wire.NewBatch(now-120_000, []byte("v")).Encode(), 32, 1},
		{"time too late", bounded, wire.NewBatch(now+120_000, []byte("v")).Encode(), 32, 1},
	}
	for _, c := range cases {
		p := produceBatch(t, conn, c.topic, 0, c.records)
		if p.ErrorCode != c.code || p.BaseOffset != -1 || len(p.ErrorRecords) != c.perRec {
			t.Errorf("%s: code %d offset %d, %d record errors (%v), want %d -1 %d",
				c.name, p.ErrorCode, p.BaseOffset, len(p.ErrorRecords), p.ErrorMessage, c.code, c.perRec)
		}
	}
	for _, name := range []string{topic, compacted, bounded, appendTime} {
		if batches := fetchBatches(t, conn, name, 0, 0); len(batches) != 0 {
			t.Errorf("%d refused batches are in the log", len(batches))
		}
	}
	p := produceBatch(t, conn, bounded, 0, wire.NewBatch(-1, []byte("v")).Encode())
	wantCode(t, "no timestamp at all", p.ErrorCode, 0)
}

// TestProduceUnknown produces to topics and partitions that do not exist, by name and by id. Produce
// never creates a topic.
func TestProduceUnknown(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	batch := wire.NewBatch(time.Now().UnixMilli(), []byte("v")).Encode()
	missing := uniqueName(t)
	wantCode(t, "unknown topic", produceBatch(t, conn, missing, 0, batch).ErrorCode, 3)
	wantCode(t, "unknown topic again", produceBatch(t, conn, missing, 0, batch).ErrorCode, 3)
	wantCode(t, "unknown partition", produceBatch(t, conn, topic, 7, batch).ErrorCode, 3)
	req := produceRequest(13, "", 0, batch)
	req.Topics[0].TopicID = [16]byte{1, 2, 3}
	wantCode(t, "unknown topic id", onlyProduced(t, ask[*kmsg.ProduceResponse](t, conn, req)).ErrorCode, 100)
	req.Topics[0].TopicID = topicID(t, conn, topic)
	if p := onlyProduced(t, ask[*kmsg.ProduceResponse](t, conn, req)); p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("by topic id: code %d, offset %d", p.ErrorCode, p.BaseOffset)
	}
}

// TestInternalTopicsRefuseProduce checks that clients cannot write the coordinators' topics.
func TestInternalTopicsRefuseProduce(t *testing.T) {
	t.Parallel()
	coordinatorConn(t, suite.endpoint, "any") // makes the topic
	batch := wire.NewBatch(time.Now().UnixMilli(), []byte("v")).Encode()
	wantCode(t, "__consumer_offsets", produceBatch(t, newConn(t), "__consumer_offsets", 0, batch).ErrorCode, 17)
}

// TestProduceAcks checks the acks field: values other than 0, 1 and -1 are refused per partition,
// and acks=0 has no response at all, so that the next response on the connection belongs to the
// next request.
func TestProduceAcks(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	batch := wire.NewBatch(time.Now().UnixMilli(), []byte("v")).Encode()
	for _, acks := range []int16{2, -2, 100} {
		req := produceRequest(9, topic, 0, batch)
		req.Acks = acks
		wantCode(t, fmt.Sprintf("acks=%d", acks), onlyProduced(t, ask[*kmsg.ProduceResponse](t, conn, req)).ErrorCode, 21)
	}
	for range 3 {
		req := produceRequest(9, topic, 0, batch)
		req.Acks = 0
		if _, err := conn.Send(req); err != nil {
			t.Fatal(err)
		}
	}
	req := produceRequest(9, topic, 0, batch)
	req.Acks = 1
	if p := onlyProduced(t, ask[*kmsg.ProduceResponse](t, conn, req)); p.ErrorCode != 0 || p.BaseOffset != 3 {
		t.Errorf("after three acks=0: code %d offset %d, want 0 3", p.ErrorCode, p.BaseOffset)
	}
}

// TestProduceAcksZeroError checks that an acks=0 request that fails closes the connection: the
// client has no other way to learn of it.
func TestProduceAcksZeroError(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	req := produceRequest(9, uniqueName(t), 0, wire.NewBatch(time.Now().UnixMilli(), []byte("v")).Encode())
	req.Acks = 0
	if _, err := conn.Send(req); err != nil {
		t.Fatal(err)
	}
	if err := conn.WaitClosed(30 * time.Second); err != nil {
		t.Error(err)
	}
}

// TestProduceSeveralPartitions checks that a refused partition does not touch its neighbours and that
// the answer lists every partition.
func TestProduceSeveralPartitions(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 3)
	conn := newConn(t)
	now := time.Now().UnixMilli()
	bad := wire.NewBatch(now, []byte("v"))
	bad.CorruptCRC = true
	req := produceRequest(9, topic, 0, wire.NewBatch(now, []byte("v")).Encode())
	for i, records := range [][]byte{bad.Encode(), wire.NewBatch(now, []byte("v"), []byte("w")).Encode()} {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i+1), records
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
	}
	resp := ask[*kmsg.ProduceResponse](t, conn, req)
	got := make(map[int32]int16)
	for _, p := range resp.Topics[0].Partitions {
		got[p.Partition] = p.ErrorCode
	}
	if want := map[int32]int16{0: 0, 1: 2, 2: 0}; len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("codes %v, want %v", got, want)
	}
}

// TestMagic checks that batches of other formats than v2 are refused: by Apache Kafka 4.3.1 with 87
// for the older ones, and with 2 for a magic that never was.
func TestMagic(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	for magic, code := range map[int8]int16{0: 87, 1: 87, 3: 2, -1: 2} {
		b := wire.NewBatch(time.Now().UnixMilli(), []byte("v"))
		b.Magic = magic
		wantCode(t, fmt.Sprintf("magic %d", magic), produceBatch(t, conn, topic, 0, b.Encode()).ErrorCode, code)
	}
	if batches := fetchBatches(t, conn, topic, 0, 0); len(batches) != 0 {
		t.Errorf("%d batches of a wrong magic are in the log", len(batches))
	}
}

// TestStoredBytes checks what a broker may change in a batch: base offset and leader epoch, and no
// other byte.
func TestStoredBytes(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	b := wire.NewBatch(time.Now().UnixMilli(), []byte("a"), []byte("b"))
	b.Records[0].Headers = []wire.Header{{Key: "h", Value: []byte("v")}}
	sent := b.Encode()
	mustProduce(t, conn, topic, 0, b)
	mustProduce(t, conn, topic, 0, b)
	p, err := fetched(ask[*kmsg.FetchResponse](t, conn, fetchRequest(12, topic, map[int32]int64{0: 2})), 0)
	if err != nil {
		t.Fatal(err)
	}
	headers, partial := wire.SplitBatches(p.RecordBatches)
	if len(headers) != 1 || partial != 0 || headers[0].BaseOffset != 2 || headers[0].PartitionLeaderEpoch != 0 {
		t.Fatalf("batches %+v, %d bytes behind", headers, partial)
	}
	if !bytes.Equal(p.RecordBatches[16:], sent[16:]) {
		t.Error("bytes behind the leader epoch changed")
	}
}
