package interop

import (
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	rd "github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kgo"
)

func franzReadTopics(t *testing.T, topics []string, count int) map[string][]record {
	t.Helper()
	from := make(map[string]map[int32]kgo.Offset)
	for _, topic := range topics {
		from[topic] = map[int32]kgo.Offset{0: kgo.NewOffset().AtStart()}
	}
	client := newKgo(t, kgo.ConsumePartitions(from))
	ctx := testContext(t)
	got := make(map[string][]record)
	for seen := 0; seen < count*len(topics); {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%v after %d records", err, seen)
		}
		seen += fetches.NumRecords()
		fetches.EachRecord(func(r *kgo.Record) { got[r.Topic] = append(got[r.Topic], fromKgo(r)) })
	}
	return got
}

func librdkafkaReadTopics(t *testing.T, topics []string, count int) map[string][]record {
	t.Helper()
	consumer := newRdConsumer(t, "")
	defer consumer.Close()
	var partitions []rd.TopicPartition
	for i := range topics {
		partitions = append(partitions, rd.TopicPartition{Topic: &topics[i], Offset: rd.OffsetBeginning})
	}
	if err := consumer.Assign(partitions); err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]record)
	for _, m := range rdMessages(t, consumer, count*len(topics)) {
		topic := *m.TopicPartition.Topic
		got[topic] = append(got[topic], fromRd(m))
	}
	return got
}

// saramaProduce sends all records in one call, so that they share batches.
func saramaProduce(t *testing.T, topic string, o produceOptions, records []record) []record {
	t.Helper()
	config := saramaConfig()
	config.Producer.Compression = saramaCodec(o.codec)
	config.Producer.Partitioner = sarama.NewManualPartitioner
	producer, err := sarama.NewSyncProducer([]string{suite.endpoint}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	messages := make([]*sarama.ProducerMessage, len(records))
	for i, r := range records {
		messages[i] = &sarama.ProducerMessage{Topic: topic, Timestamp: time.UnixMilli(r.Timestamp)}
		if r.Key != nil {
			messages[i].Key = sarama.ByteEncoder(r.Key)
		}
		if r.Value != nil {
			messages[i].Value = sarama.ByteEncoder(r.Value)
		}
		for _, h := range r.Headers {
			messages[i].Headers = append(messages[i].Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
	}
	if err := producer.SendMessages(messages); err != nil {
		t.Fatal(err)
	}
	done := append([]record(nil), records...)
	for i, m := range messages {
		done[i].Offset = m.Offset
	}
	return done
}

func saramaCodec(name string) sarama.CompressionCodec {
	for code, codec := range codecs {
		if codec == name {
			return sarama.CompressionCodec(code)
		}
	}
	return sarama.CompressionNone
}

func saramaReadTopics(t *testing.T, topics []string, count int) map[string][]record {
	t.Helper()
	config := saramaConfig()
	config.Consumer.MaxWaitTime = 50 * time.Millisecond // a partition joins the fetches when one ends
	consumer, err := sarama.NewConsumer([]string{suite.endpoint}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	partitions := make(map[string]sarama.PartitionConsumer)
	for _, topic := range topics {
		if partitions[topic], err = consumer.ConsumePartition(topic, 0, sarama.OffsetOldest); err != nil {
			t.Fatalf("%s: %v", topic, err)
		}
		defer partitions[topic].AsyncClose()
	}
	ctx := testContext(t)
	got := make(map[string][]record)
	for _, topic := range topics {
		for len(got[topic]) < count {
			select {
			case m := <-partitions[topic].Messages():
				got[topic] = append(got[topic], fromSarama(m))
			case <-ctx.Done():
				t.Fatalf("%s: %d records of %d", topic, len(got[topic]), count)
			}
		}
	}
	return got
}

func fromSarama(m *sarama.ConsumerMessage) record {
	out := record{Partition: m.Partition, Offset: m.Offset, Timestamp: m.Timestamp.UnixMilli(), Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, header{string(h.Key), h.Value})
	}
	return out
}

// kafkaGoProduce sends all records as one batch; kafka-go has no idempotence and does not tell the offsets.
func kafkaGoProduce(t *testing.T, topic string, o produceOptions, records []record) []record {
	t.Helper()
	w := &kafka.Writer{Addr: kafka.TCP(suite.endpoint), Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond,
		Compression: kafka.Compression(compress.Compression(saramaCodec(o.codec)))}
	defer w.Close()
	messages := make([]kafka.Message, len(records))
	for i, r := range records {
		messages[i] = kafka.Message{Key: r.Key, Value: r.Value, Time: time.UnixMilli(r.Timestamp)}
		for _, h := range r.Headers {
			messages[i].Headers = append(messages[i].Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
	}
	if err := w.WriteMessages(testContext(t), messages...); err != nil {
		t.Fatal(err)
	}
	return records
}

func kafkaGoReadTopics(t *testing.T, topics []string, count int) map[string][]record {
	t.Helper()
	ctx := testContext(t)
	got := make(map[string][]record)
	for _, topic := range topics {
		reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{suite.endpoint}, Topic: topic, MaxWait: 50 * time.Millisecond})
		for range count {
			m, err := reader.ReadMessage(ctx)
			if err != nil {
				t.Fatalf("%s after %d records: %v", topic, len(got[topic]), err)
			}
			r := record{Partition: int32(m.Partition), Offset: m.Offset, Timestamp: m.Time.UnixMilli(), Key: m.Key, Value: m.Value}
			for _, h := range m.Headers {
				r.Headers = append(r.Headers, header{h.Key, h.Value})
			}
			got[topic] = append(got[topic], r)
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}
	return got
}

// kafkaGoSees is a record as kafka-go's Reader gives it: what is empty is nil.
func kafkaGoSees(r record) record {
	if len(r.Key) == 0 {
		r.Key = nil
	}
	if len(r.Value) == 0 {
		r.Value = nil
	}
	r.Headers = slices.Clone(r.Headers)
	for i, h := range r.Headers {
		if len(h.Value) == 0 {
			r.Headers[i].Value = nil
		}
	}
	return r
}
