package interop

import (
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// timedTopic has one partition of ten batches of ten records; record i has the time base+10*i, but
// for record 47, which has the largest time of all, base+5000.
func timedTopic(t *testing.T) (topic string, base int64) {
	t.Helper()
	topic = newTopic(t, 1)
	conn := newConn(t)
	base = time.Now().Add(-time.Hour).UnixMilli()
	for b := range int64(10) {
		batch := wire.NewBatch(base+100*b, make([][]byte, 10)...)
		for i := range batch.Records {
			batch.Records[i].Value = []byte{byte(b), byte(i)}
			batch.Records[i].TimestampDelta = 10 * int64(i)
		}
		batch.MaxTimestamp = base + 100*b + 90
		if b == 4 {
			batch.Records[7].TimestampDelta = 5000 - 400
			batch.MaxTimestamp = base + 5000
		}
		if offset := mustProduce(t, conn, topic, 0, batch); offset != 10*b {
			t.Fatalf("batch %d got offset %d", b, offset)
		}
	}
	return topic, base
}

// TestListOffsets asks for every special timestamp at every version that has it, and for times
// before, between, at and after the records. Values as Apache Kafka 4.3.1 gives them.
func TestListOffsets(t *testing.T) {
	t.Parallel()
	topic, base := timedTopic(t)
	conn := newConn(t)
	versions := servedRange(t, 2)
	cases := []struct {
		name       string
		timestamp  int64
		minVersion int16
		offset     int64
		time       int64
		epoch      int32 // v4+
		code       int16
	}{
		{"latest", -1, 1, 100, -1, 0, 0},
		{"earliest", -2, 1, 0, -1, 0, 0},
		{"max timestamp", -3, 7, 47, base + 5000, 0, 0},
		{"earliest local", -4, 8, 0, -1, 0, 0},
		{"latest tiered", -5, 9, -1, -1, -1, 0},
		{"before all", base - 1000, 1, 0, base, 0, 0},
		{"at the first", base, 1, 0, base, 0, 0},
		{"within a batch", base + 123, 1, 13, base + 130, 0, 0},
		{"at a batch's last", base + 190, 1, 19, base + 190, 0, 0},
		{"between batches", base + 191, 1, 20, base + 200, 0, 0},
		{"overtaken by the largest", base + 480, 1, 47, base + 5000, 0, 0},
		{"after all but one", base + 4000, 1, 47, base + 5000, 0, 0},
		{"after all", base + 5001, 1, -1, -1, -1, 0},
		{"not a timestamp", -100, 1, -1, -1, -1, 35},
		{"max timestamp before its version", -3, 1, -1, -1, -1, 35},
	}
	for version := versions.MinVersion; version <= versions.MaxVersion; version++ {
		for _, c := range cases {
			if version < c.minVersion || c.name == "max timestamp before its version" && version >= 7 {
				continue
			}
			req := at(kmsg.NewPtrListOffsetsRequest(), version)
			req.ReplicaID = -1
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp = c.timestamp
			req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
			req.TimeoutMillis = 10_000
			got := ask[*kmsg.ListOffsetsResponse](t, conn, req).Topics[0].Partitions[0]
			if got.ErrorCode != c.code || got.Offset != c.offset || got.Timestamp != c.time || version >= 4 && got.LeaderEpoch != c.epoch {
				t.Errorf("v%d %s: code %d offset %d time %d epoch %d, want %d %d %d %d",
					version, c.name, got.ErrorCode, got.Offset, got.Timestamp, got.LeaderEpoch, c.code, c.offset, c.time, c.epoch)
			}
		}
	}
}

// TestListOffsetsErrors asks with epochs of the past and the future, for an unknown partition and
// twice for the same one.
func TestListOffsetsErrors(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	list := func(topic string, partitions ...kmsg.ListOffsetsRequestTopicPartition) []kmsg.ListOffsetsResponseTopicPartition {
		req := at(kmsg.NewPtrListOffsetsRequest(), 6)
		req.ReplicaID = -1
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: partitions}}
		return ask[*kmsg.ListOffsetsResponse](t, conn, req).Topics[0].Partitions
	}
	ask := func(partition, epoch int32) kmsg.ListOffsetsRequestTopicPartition {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.CurrentLeaderEpoch, p.Timestamp = partition, epoch, -1
		return p
	}
	wantCode(t, "current epoch", list(topic, ask(0, 0))[0].ErrorCode, 0)
	wantCode(t, "future epoch", list(topic, ask(0, 1))[0].ErrorCode, 75)
	wantCode(t, "unknown partition", list(topic, ask(1, -1))[0].ErrorCode, 3)
	wantCode(t, "unknown topic", list(uniqueName(t), ask(0, -1))[0].ErrorCode, 3)
	for _, p := range list(topic, ask(0, -1), ask(0, -1)) {
		wantCode(t, "partition named twice", p.ErrorCode, 42)
	}
}

// TestOffsetForLeaderEpoch asks for the only epoch of a new topic, for a later one, and with a
// current epoch of the future.
func TestOffsetForLeaderEpoch(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	mustProduce(t, conn, topic, 0, wire.NewBatch(time.Now().UnixMilli(), []byte("a"), []byte("b")))
	versions := servedRange(t, 23)
	for version := versions.MinVersion; version <= versions.MaxVersion; version++ {
		for _, c := range []struct {
			current, asked, epoch int32
			end                   int64
			code                  int16
		}{
			{-1, 0, 0, 2, 0},
			{0, 0, 0, 2, 0},
			{0, 7, -1, -1, 0},
			{1, 0, -1, -1, 75},
		} {
			req := at(kmsg.NewPtrOffsetForLeaderEpochRequest(), version)
			req.ReplicaID = -1
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.CurrentLeaderEpoch, p.LeaderEpoch = c.current, c.asked
			req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{p}}}
			got := ask[*kmsg.OffsetForLeaderEpochResponse](t, conn, req).Topics[0].Partitions[0]
			if got.ErrorCode != c.code || got.LeaderEpoch != c.epoch || got.EndOffset != c.end {
				t.Errorf("v%d current %d asked %d: code %d epoch %d end %d, want %d %d %d",
					version, c.current, c.asked, got.ErrorCode, got.LeaderEpoch, got.EndOffset, c.code, c.epoch, c.end)
			}
		}
	}
}

// TestSeekFranz starts reading at times, at the ends and at offsets with franz-go.
func TestSeekFranz(t *testing.T) {
	t.Parallel()
	topic, base := timedTopic(t)
	first := func(o kgo.Offset) *kgo.Record {
		t.Helper()
		client := newKgo(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: o}}))
		defer client.Close()
		fetches := client.PollRecords(testContext(t), 1)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		return fetches.Records()[0]
	}
	for _, c := range []struct {
		name string
		at   kgo.Offset
		want int64
	}{
		{"start", kgo.NewOffset().AtStart(), 0},
		{"offset", kgo.NewOffset().At(33), 33},
		{"relative to the end", kgo.NewOffset().AtEnd().Relative(-5), 95},
		{"time", kgo.NewOffset().AfterMilli(base + 123), 13},
		{"time overtaken", kgo.NewOffset().AfterMilli(base + 4000), 47},
	} {
		if got := first(c.at).Offset; got != c.want {
			t.Errorf("%s: first offset %d, want %d", c.name, got, c.want)
		}
	}
	// A time after all records, and the end, wait for the next record.
	for name, o := range map[string]kgo.Offset{"end": kgo.NewOffset().AtEnd(), "time after all": kgo.NewOffset().AfterMilli(base + 10_000)} {
		client := newKgo(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: o}}))
		ctx := testContext(t)
		// The client looks the end up in the background: records are written until it sees one.
		fetched := make(chan *kgo.Record, 1)
		go func() {
			for _, r := range client.PollRecords(ctx, 1).Records() {
				fetched <- r
			}
		}()
		var got *kgo.Record
		for got == nil && ctx.Err() == nil {
			franzProduce(t, topic, produceOptions{}, plainRecords(0, 1, "new"))
			select {
			case got = <-fetched:
			case <-time.After(100 * time.Millisecond):
			}
		}
		if got == nil || got.Offset < 100 {
			t.Errorf("%s: got %v, want a new record", name, got)
		}
	}
}

// TestSeekLibrdkafka looks offsets up by time and seeks a running consumer back and forth.
func TestSeekLibrdkafka(t *testing.T) {
	t.Parallel()
	topic, base := timedTopic(t)
	consumer := newRdConsumer(t, "")
	defer consumer.Close()
	low, high, err := consumer.QueryWatermarkOffsets(topic, 0, 30_000)
	if err != nil || low != 0 || high != 100 {
		t.Fatalf("watermarks %d, %d, %v; want 0, 100", low, high, err)
	}
	for at, want := range map[int64]kafka.Offset{base: 0, base + 123: 13, base + 4000: 47, base + 5001: kafka.OffsetEnd} {
		found, err := consumer.OffsetsForTimes([]kafka.TopicPartition{{Topic: &topic, Offset: kafka.Offset(at)}}, 30_000)
		if err != nil || found[0].Offset != want {
			t.Errorf("time base+%d: %v, %v; want %v", at-base, found, err, want)
		}
	}
	if err := consumer.Assign([]kafka.TopicPartition{{Topic: &topic, Offset: kafka.OffsetTail(3)}}); err != nil {
		t.Fatal(err)
	}
	if got := rdPoll(t, consumer, 3)[0].Offset; got != 97 {
		t.Errorf("tail 3 begins at %d, want 97", got)
	}
	for _, to := range []int64{5, 99, 0, 47} {
		if err := consumer.Seek(kafka.TopicPartition{Topic: &topic, Offset: kafka.Offset(to)}, 30_000); err != nil {
			t.Fatal(err)
		}
		if got := rdPoll(t, consumer, 1)[0].Offset; got != to {
			t.Errorf("seek to %d read %d", to, got)
		}
	}
}

// TestOffsetOutOfRange fetches outside the log, by request and through the clients' reset policies.
func TestOffsetOutOfRange(t *testing.T) {
	t.Parallel()
	topic, _ := timedTopic(t)
	conn := newConn(t)
	for offset, code := range map[int64]int16{0: 0, 100: 0, 101: 1, 1 << 40: 1} {
		p, err := fetched(ask[*kmsg.FetchResponse](t, conn, fetchRequest(12, topic, map[int32]int64{0: offset})), 0)
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, "fetch", p.ErrorCode, code)
		wantHW := int64(100)
		if code != 0 {
			wantHW = -1
		}
		if p.HighWatermark != wantHW || p.RecordBatches == nil {
			t.Errorf("fetch at %d: high watermark %d, want %d; records null: %v", offset, p.HighWatermark, wantHW, p.RecordBatches == nil)
		}
	}
	for _, l := range libraries {
		if got := l.consume(t, consumeOptions{topic: topic, from: 1 << 40, count: 1})[0].Offset; got != 0 {
			t.Errorf("%s: reset to %d, want 0", l.name, got)
		}
	}
}
