package interop

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var franz = library{
	name:       "franz-go",
	strategies: []string{"range", "roundrobin", "sticky", "cooperative-sticky"},
	produce:    franzProduce,
	consume:    franzConsume,
	join:       franzJoin,
}

func franzProduce(t *testing.T, topic string, o produceOptions, records []record) []record {
	t.Helper()
	codec := map[string]kgo.CompressionCodec{
		"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[o.codec]
	acks := map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks(), "": kgo.AllISRAcks()}[o.acks]
	opts := []kgo.Opt{
		kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec), kgo.RequiredAcks(acks),
		kgo.ProducerLinger(5 * time.Millisecond),
	}
	if !o.idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	if o.maxBytes > 0 {
		opts = append(opts, kgo.ProducerBatchMaxBytes(int32(o.maxBytes)))
	}
	client := newKgoAt(t, firstOf(o.addr, suite.endpoint), opts...)
	out := make([]*kgo.Record, len(records))
	for i, r := range records {
		k := &kgo.Record{Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Timestamp)}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		out[i] = k
	}
	if err := client.ProduceSync(testContext(t), out...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
	done := make([]record, len(records))
	for i := range records {
		done[i] = records[i]
		done[i].Partition, done[i].Offset = out[i].Partition, out[i].Offset
		if o.acks == "0" {
			done[i].Offset = -1
		}
	}
	return done
}

func fromKgo(r *kgo.Record) record {
	out := record{Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, header{h.Key, h.Value})
	}
	return out
}

func franzConsume(t *testing.T, o consumeOptions) []record {
	t.Helper()
	at := kgo.NewOffset().AtStart()
	if o.from >= 0 {
		at = kgo.NewOffset().At(o.from)
	}
	client := newKgoAt(t, firstOf(o.addr, suite.endpoint), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.topic: {o.partition: at}}))
	ctx := testContext(t)
	var got []record
	for len(got) < o.count {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("consume %s/%d: %v after %d records of %d", o.topic, o.partition, err, len(got), o.count)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, fromKgo(r)) })
	}
	return got
}

var franzBalancers = map[string]func() kgo.GroupBalancer{
	"range": kgo.RangeBalancer, "roundrobin": kgo.RoundRobinBalancer,
	"sticky": kgo.StickyBalancer, "cooperative-sticky": kgo.CooperativeStickyBalancer,
}

// franzMember polls on a goroutine of its own until close.
type franzMember struct {
	client *kgo.Client
	cancel context.CancelFunc
	done   chan struct{}
}

func franzJoin(t *testing.T, o memberOptions) member {
	t.Helper()
	opts := []kgo.Opt{
		kgo.ConsumerGroup(o.group), kgo.ConsumeTopics(o.topic), kgo.Balancers(franzBalancers[o.strategy]()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(30 * time.Second), kgo.HeartbeatInterval(200 * time.Millisecond), kgo.RebalanceTimeout(60 * time.Second),
		kgo.OnPartitionsAssigned(func(_ context.Context, c *kgo.Client, p map[string][]int32) {
			_, generation := c.GroupMetadata()
			o.ledger.assigned(o.name, generation, p[o.topic])
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, c *kgo.Client, p map[string][]int32) {
			if err := c.CommitUncommittedOffsets(ctx); err != nil {
				o.ledger.complain("%s: commit on revoke: %v", o.name, err)
			}
			o.ledger.revoked(o.name, p[o.topic])
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) {
			if len(p[o.topic]) > 0 {
				o.ledger.complain("%s: lost %v", o.name, p[o.topic])
			}
			o.ledger.revoked(o.name, p[o.topic])
		}),
	}
	if o.instance != "" {
		opts = append(opts, kgo.InstanceID(o.instance))
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &franzMember{client: newKgoAt(t, firstOf(o.addr, suite.endpoint), opts...), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			fetches := m.client.PollRecords(ctx, 100)
			fetches.EachError(func(topic string, partition int32, err error) {
				if ctx.Err() == nil {
					o.ledger.note("%s: fetch %s/%d: %v", o.name, topic, partition, err)
				}
			})
			fetches.EachRecord(func(r *kgo.Record) { o.ledger.delivered(o.name, r.Partition, r.Offset) })
			m.client.AllowRebalance()
		}
	}()
	t.Cleanup(m.close)
	return m
}

func (m *franzMember) close() {
	m.cancel()
	<-m.done
	m.client.CloseAllowingRebalance()
}

// franzAutoProduce produces to a topic that is not there yet and lets the broker create it.
func franzAutoProduce(t *testing.T, topic string, records []record) []record {
	t.Helper()
	client := newKgo(t, kgo.AllowAutoTopicCreation(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	written := make([]record, len(records))
	for i, r := range records {
		k := &kgo.Record{Topic: topic, Partition: r.Partition, Value: r.Value, Timestamp: time.UnixMilli(r.Timestamp)}
		if err := client.ProduceSync(testContext(t), k).FirstErr(); err != nil {
			t.Fatal(err)
		}
		written[i] = r
		written[i].Offset = k.Offset
	}
	return written
}
