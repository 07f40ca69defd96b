package interop

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"kserver/interop/wire"
)

// matrixClient is one row and one column of TestCodecMatrix. Its functions skip the test when the client
// is not installed.
type matrixClient struct {
	name string
	// write sends the records to partition 0 of each topic with the codec the topic is for, and
	// returns what a reader has to find: the records, but for what the client cannot express.
	write func(t *testing.T, topics map[string]string, records []record) []record
	// read reads count records from the start of partition 0 of each topic; nil for a client that
	// only writes.
	read func(t *testing.T, topics []string, count int) map[string][]record
	// sees turns a record into what read can tell of it; nil when that is everything.
	sees func(record) record
}

var matrixClients = []matrixClient{
	{name: "franz-go", write: eachTopic(franzProduce), read: franzReadTopics},
	{name: "librdkafka", write: eachTopic(librdkafkaProduce), read: librdkafkaReadTopics},
	{name: "sarama", write: eachTopic(saramaProduce), read: saramaReadTopics},
	{name: "kafka-go", write: eachTopic(kafkaGoProduce), read: kafkaGoReadTopics, sees: kafkaGoSees},
	programClient("confluent-kafka-python", pythonProgram("confluent_kafka_client.py")),
	programClient("kafka-python", pythonProgram("kafka_python_client.py")),
	programClient("aiokafka", pythonProgram("aiokafka_client.py")),
	programClient("kafkajs", nodeProgram("kafkajs_client.js")),
	programClient("platformatic-kafka", nodeProgram("platformatic_client.js")),
	programClient("java-2.1.1", javaRecords("2.1.1")),
	programClient("java-4.3.1", javaRecords("4.3.1")),
	{name: "kcat", write: kcatWrite, read: kcatRead, sees: kcatSees},
	{name: "rsyslog", write: rsyslogWrite},
	{name: "syslog-ng", write: syslogNGWrite},
}

// matrixRecords is what the clients write. It holds what all libraries can express: the Python ones
// refuse a record with neither key nor value, and some refuse null headers; TestCodecs has those. The first
// record shrinks under every codec even in a batch of its own.
func matrixRecords() []record {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	records := []record{
		{Key: []byte("compressible"), Value: bytes.Repeat([]byte("compressible "), 60)},
		{Value: []byte("no key")},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("tombstone")},
		{Key: []byte("headers"), Value: []byte("v"), Headers: []header{{"twice", []byte("1")}, {"twice", []byte("2")},
			{"empty", []byte{}}, {"ключ", []byte("unicode")}, {"binary", []byte{255, 0, 1, '\n', '\r', '\t'}}}},
		{Key: []byte{0, 255}, Value: every},
		{Key: []byte("large"), Value: bytes.Repeat(every, 80), Headers: []header{{"h", []byte("v")}}},
		{Key: []byte("last"), Value: []byte("last")},
	}
	// Times go back and forth, and are young enough for no retention to take the records away.
	now := time.Now().UnixMilli()
	for i := range records {
		records[i].Offset, records[i].Timestamp = int64(i), now-int64(i%3)*1000
	}
	return records
}

// matrixTopic is a topic somebody wrote.
type matrixTopic struct {
	name, writer, codec string
	want                []record
}

// TestCodecMatrix lets every client write with every codec, looks at the stored batches, and lets every
// client read all of it. A client starts twice: once to write all its topics, once to read all topics.
func TestCodecMatrix(t *testing.T) {
	t.Parallel()
	records := matrixRecords()
	topicOf := func(client, codec string) string { return fmt.Sprintf("%s.%s.%s", t.Name(), client, codec) }
	var names []string
	for _, c := range matrixClients {
		for _, codec := range codecs {
			names = append(names, topicOf(c.name, codec))
		}
	}
	newTopics(t, names...)

	var mu sync.Mutex
	var written []matrixTopic
	t.Run("write", func(t *testing.T) {
		for _, c := range matrixClients {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				topics := make(map[string]string)
				for _, codec := range codecs {
					topics[codec] = topicOf(c.name, codec)
				}
				want := c.write(t, topics, records)
				for _, codec := range codecs {
					wantStored(t, topics[codec], codec)
					mu.Lock()
					written = append(written, matrixTopic{name: topics[codec], writer: c.name, codec: codec, want: want})
					mu.Unlock()
				}
			})
		}
	})
	all := make([]string, len(written))
	for i, topic := range written {
		all[i] = topic.name
	}
	t.Run("read", func(t *testing.T) {
		for _, c := range matrixClients {
			if c.read == nil {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				got := c.read(t, all, len(records))
				for _, topic := range written {
					want := slices.Clone(topic.want)
					if c.sees != nil {
						for i := range want {
							want[i] = c.sees(want[i])
						}
					}
					if err := sameRecords(got[topic.name], want); err != nil {
						t.Errorf("written by %s with %s: %v", topic.writer, topic.codec, err)
					}
				}
			})
		}
	})
}

// wantStored checks that the broker keeps a topic's batches in the writer's codec. A client may leave a batch
// that would not shrink uncompressed, but not the one of the first record.
func wantStored(t *testing.T, topic, codec string) {
	t.Helper()
	for i, b := range fetchBatches(t, newConn(t), topic, 0, 0) {
		got := int(b.Attributes & wire.AttrCodecMask)
		if got != slices.Index(codecs, codec) && (i == 0 || got != 0) {
			t.Errorf("%s: the batch at %d is stored with codec %d", topic, b.BaseOffset, got)
		}
	}
}

// newTopics creates topics of one partition, deleted with the test, and waits until they can be used.
func newTopics(t *testing.T, names ...string) {
	t.Helper()
	ctx := testContext(t)
	admin := newAdmin(t)
	created, err := admin.CreateTopics(ctx, 1, 1, nil, names...)
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		t.Fatalf("create topics: %v", err)
	}
	t.Cleanup(func() { deleteTopics(suite.endpoint, names...) })
	eventually(t, "topics", func() error {
		offsets, err := admin.ListEndOffsets(ctx, names...)
		if err == nil {
			err = offsets.Error()
		}
		if err == nil && len(offsets) != len(names) {
			err = fmt.Errorf("%d of %d topics", len(offsets), len(names))
		}
		return err
	})
}

// eachTopic makes a matrix client's write of a library's produce.
func eachTopic(produce func(*testing.T, string, produceOptions, []record) []record) func(*testing.T, map[string]string, []record) []record {
	return func(t *testing.T, topics map[string]string, records []record) []record {
		var done []record
		for codec, topic := range topics {
			done = produce(t, topic, produceOptions{codec: codec, acks: "all", idempotent: true}, records)
			for i, r := range done {
				if r.Offset != int64(i) {
					t.Fatalf("%s: record %d got offset %d", codec, i, r.Offset)
				}
			}
		}
		return done
	}
}
