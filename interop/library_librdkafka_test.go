package interop

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

var librdkafka = library{
	name:       "librdkafka",
	strategies: []string{"range", "roundrobin", "cooperative-sticky"},
	produce:    librdkafkaProduce,
	consume:    librdkafkaConsume,
	join:       librdkafkaJoin,
}

// rdConfig is the configuration common to all librdkafka clients, changed by pairs of name and value.
func rdConfig(addr string, pairs ...any) *kafka.ConfigMap {
	config := kafka.ConfigMap{
		"bootstrap.servers":                       firstOf(addr, suite.endpoint),
		"client.id":                               "interop-rd",
		"broker.address.family":                   "v4",
		"socket.nagle.disable":                    true,
		"topic.metadata.refresh.fast.interval.ms": 50,
		"topic.metadata.propagation.max.ms":       10000,
		"reconnect.backoff.ms":                    20,
		"reconnect.backoff.max.ms":                200,
		"retry.backoff.ms":                        20,
		"log_level":                               2, // tests that restart brokers would fill the output
		"log.connection.close":                    false,
	}
	for i := 0; i < len(pairs); i += 2 {
		config[pairs[i].(string)] = pairs[i+1]
	}
	return &config
}

func librdkafkaProduce(t *testing.T, topic string, o produceOptions, records []record) []record {
	t.Helper()
	config := rdConfig(o.addr,
		"compression.type", firstOf(o.codec, "none"), "acks", firstOf(o.acks, "all"),
		"enable.idempotence", o.idempotent, "linger.ms", 5)
	if !o.idempotent {
		(*config)["max.in.flight.requests.per.connection"] = 1 // keeps the order
	}
	if o.maxBytes > 0 {
		(*config)["message.max.bytes"] = o.maxBytes
	}
	producer, err := kafka.NewProducer(config)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	done := make([]record, len(records))
	acks := make(chan kafka.Event, len(records))
	for i, r := range records {
		m := &kafka.Message{
			TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: r.Partition},
			Key:            r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Timestamp), Opaque: i,
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
		if err := producer.Produce(m, acks); err != nil {
			t.Fatalf("produce: %v", err)
		}
	}
	timeout := time.After(testTimeout)
	for range records {
		select {
		case event := <-acks:
			m := event.(*kafka.Message)
			if m.TopicPartition.Error != nil {
				t.Fatalf("produce: %v", m.TopicPartition.Error)
			}
			i := m.Opaque.(int)
			done[i] = records[i]
			done[i].Partition, done[i].Offset = m.TopicPartition.Partition, int64(m.TopicPartition.Offset)
			if o.acks == "0" {
				done[i].Offset = -1
			}
		case <-timeout:
			t.Fatal("produce: no delivery report")
		}
	}
	return done
}

func fromRd(m *kafka.Message) record {
	out := record{
		Partition: m.TopicPartition.Partition, Offset: int64(m.TopicPartition.Offset),
		Timestamp: m.Timestamp.UnixMilli(), Key: m.Key, Value: m.Value,
	}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, header{h.Key, h.Value})
	}
	return out
}

func newRdConsumer(t *testing.T, addr string, pairs ...any) *kafka.Consumer {
	t.Helper()
	config := rdConfig(addr, append([]any{
		"group.id", uniqueName(t), "enable.auto.commit", false, "auto.offset.reset", "earliest",
		"fetch.wait.max.ms", 250, "fetch.error.backoff.ms", 20,
	}, pairs...)...)
	consumer, err := kafka.NewConsumer(config)
	if err != nil {
		t.Fatal(err)
	}
	return consumer
}

func librdkafkaConsume(t *testing.T, o consumeOptions) []record {
	t.Helper()
	consumer := newRdConsumer(t, o.addr)
	defer consumer.Close()
	at := kafka.OffsetBeginning
	if o.from >= 0 {
		at = kafka.Offset(o.from)
	}
	if err := consumer.Assign([]kafka.TopicPartition{{Topic: &o.topic, Partition: o.partition, Offset: at}}); err != nil {
		t.Fatal(err)
	}
	return rdPoll(t, consumer, o.count)
}

// rdPoll reads count records from an assigned consumer.
func rdPoll(t *testing.T, consumer *kafka.Consumer, count int) []record {
	t.Helper()
	var got []record
	for _, m := range rdMessages(t, consumer, count) {
		got = append(got, fromRd(m))
	}
	return got
}

func rdMessages(t *testing.T, consumer *kafka.Consumer, count int) []*kafka.Message {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	var got []*kafka.Message
	for len(got) < count {
		if time.Now().After(deadline) {
			t.Fatalf("consume: %d records of %d", len(got), count)
		}
		switch event := consumer.Poll(100).(type) {
		case *kafka.Message:
			got = append(got, event)
		case kafka.Error:
			if event.IsFatal() {
				t.Fatalf("consume: %v", event)
			}
			t.Logf("consume: %v", event)
		}
	}
	return got
}

// rdMember polls on a goroutine of its own until close; librdkafka runs the rebalance callback
// inside Poll.
type rdMember struct {
	consumer *kafka.Consumer
	cancel   context.CancelFunc
	done     chan struct{}
}

func librdkafkaJoin(t *testing.T, o memberOptions) member {
	t.Helper()
	pairs := []any{
		"group.id", o.group, "partition.assignment.strategy", o.strategy,
		"session.timeout.ms", 30000, "heartbeat.interval.ms", 200, "max.poll.interval.ms", 60000,
		// Offsets are stored by hand: Close takes messages off the queue and drops them, and
		// stored by itself they would be committed although nobody saw them.
		"enable.auto.offset.store", false,
	}
	if o.instance != "" {
		pairs = append(pairs, "group.instance.id", o.instance)
	}
	consumer := newRdConsumer(t, o.addr, pairs...)
	if err := consumer.Subscribe(o.topic, o.rebalance); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &rdMember{consumer: consumer, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			switch event := consumer.Poll(50).(type) {
			case *kafka.Message:
				o.ledger.delivered(o.name, event.TopicPartition.Partition, int64(event.TopicPartition.Offset))
				if _, err := consumer.StoreMessage(event); err != nil {
					o.ledger.complain("%s: store offset: %v", o.name, err)
				}
			case kafka.Error:
				o.ledger.note("%s: %v", o.name, event)
			}
		}
		if err := consumer.Close(); err != nil {
			o.ledger.complain("%s: close: %v", o.name, err)
		}
	}()
	t.Cleanup(m.close)
	return m
}

// rebalance follows the assignment for eager and cooperative strategies and keeps the ledger.
func (o memberOptions) rebalance(c *kafka.Consumer, event kafka.Event) error {
	cooperative := c.GetRebalanceProtocol() == "COOPERATIVE"
	switch event := event.(type) {
	case kafka.AssignedPartitions:
		o.ledger.assigned(o.name, -1, rdPartitions(event.Partitions))
		if cooperative {
			return c.IncrementalAssign(event.Partitions)
		}
		return c.Assign(event.Partitions)
	case kafka.RevokedPartitions:
		if c.AssignmentLost() && len(event.Partitions) > 0 {
			o.ledger.complain("%s: lost %v", o.name, event.Partitions)
		} else if _, err := c.Commit(); err != nil {
			var ke kafka.Error
			if !errors.As(err, &ke) || ke.Code() != kafka.ErrNoOffset {
				o.ledger.complain("%s: commit on revoke: %v", o.name, err)
			}
		}
		o.ledger.revoked(o.name, rdPartitions(event.Partitions))
		if cooperative {
			return c.IncrementalUnassign(event.Partitions)
		}
		return c.Unassign()
	}
	return nil
}

func rdPartitions(tps []kafka.TopicPartition) []int32 {
	out := make([]int32, len(tps))
	for i, tp := range tps {
		out[i] = tp.Partition
	}
	return out
}

func (m *rdMember) close() {
	m.cancel()
	<-m.done
}
