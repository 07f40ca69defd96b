package interop

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
)

// saramaConfig is sarama's configuration for Kafka 2.8, its default, which uses mostly old versions.
func saramaConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Group.Session.Timeout = 30 * time.Second
	return config
}

// saramaReader collects what a sarama consumer group delivers and marks it.
type saramaReader struct {
	want int
	got  []record
	stop context.CancelFunc
}

func (*saramaReader) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*saramaReader) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (r *saramaReader) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for m := range claim.Messages() {
		r.got = append(r.got, record{Partition: m.Partition, Offset: m.Offset, Timestamp: m.Timestamp.UnixMilli(), Key: m.Key, Value: m.Value})
		session.MarkMessage(m, "")
		if len(r.got) == r.want {
			session.Commit()
			r.stop()
		}
	}
	return nil
}

// TestSarama produces with every codec and reads back as a group.
func TestSarama(t *testing.T) {
	t.Parallel()
	topic, group := newTopic(t, 1), uniqueName(t)
	var written []record
	for code := range codecs {
		config := saramaConfig()
		config.Producer.Compression = sarama.CompressionCodec(code)
		producer, err := sarama.NewSyncProducer([]string{suite.endpoint}, config)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			r := record{Offset: int64(len(written)), Timestamp: time.Now().UnixMilli(), Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "%s %0500d", codecs[code], i)}
			m := &sarama.ProducerMessage{Topic: topic, Key: sarama.ByteEncoder(r.Key), Value: sarama.ByteEncoder(r.Value), Timestamp: time.UnixMilli(r.Timestamp)}
			if _, offset, err := producer.SendMessage(m); err != nil || offset != r.Offset {
				t.Fatalf("offset %d, want %d: %v", offset, r.Offset, err)
			}
			written = append(written, r)
		}
		if err := producer.Close(); err != nil {
			t.Error(err)
		}
	}
	consumer, err := sarama.NewConsumerGroup([]string{suite.endpoint}, group, saramaConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	reader := &saramaReader{want: len(written), stop: cancel}
	for ctx.Err() == nil {
		if err := consumer.Consume(ctx, []string{topic}, reader); err != nil && !errors.Is(err, sarama.ErrClosedConsumerGroup) {
			t.Fatal(err)
		}
	}
	if err := consumer.Close(); err != nil {
		t.Error(err)
	}
	wantRecords(t, reader.got, written)
	wantCommitted(t, group, topic, len(written))
	wantRecords(t, franzConsume(t, consumeOptions{topic: topic, from: startOffset, count: len(written)}), written)
}

// TestKafkaGo does the same with segmentio's kafka-go, which frames requests by its own tables.
func TestKafkaGo(t *testing.T) {
	t.Parallel()
	topic, group := newTopic(t, 1), uniqueName(t)
	ctx := testContext(t)
	total := 0
	for code := range codecs {
		w := &kafka.Writer{Addr: kafka.TCP(suite.endpoint), Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond,
			Compression: kafka.Compression(compress.Compression(code))}
		var messages []kafka.Message
		for range 20 {
			messages = append(messages, kafka.Message{Key: fmt.Append(nil, total), Value: fmt.Appendf(nil, "%s %0500d", codecs[code], total),
				Headers: []kafka.Header{{Key: "h", Value: []byte("v")}}})
			total++
		}
		if err := w.WriteMessages(ctx, messages...); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{suite.endpoint}, GroupID: group, Topic: topic,
		MaxWait: 250 * time.Millisecond, StartOffset: kafka.FirstOffset})
	for i := range total {
		m, err := reader.ReadMessage(ctx) // commits, too
		if err != nil {
			t.Fatal(err)
		}
		if m.Offset != int64(i) || string(m.Key) != fmt.Sprint(i) || len(m.Headers) != 1 {
			t.Fatalf("message %d: offset %d, key %q, %d headers", i, m.Offset, m.Key, len(m.Headers))
		}
	}
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	wantCommitted(t, group, topic, total)
}
