package recordbatch

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// capturedBatches returns the batches real clients sent, by file name.
func capturedBatches(t testing.TB) map[string]Batch {
	t.Helper()
	files, err := filepath.Glob("testdata/batches/*.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captured batches: %v", err)
	}
	batches := make(map[string]Batch)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		batches[strings.TrimSuffix(filepath.Base(f), ".bin")] = b
	}
	return batches
}

func TestCapturedBatches(t *testing.T) {
	for name, b := range capturedBatches(t) {
		t.Run(name, func(t *testing.T) {
			client, codec := name[:strings.LastIndexByte(name, '-')], name[strings.LastIndexByte(name, '-')+1:]
			if b.Codec().String() != codec {
				t.Errorf("codec %s", b.Codec())
			}
			v, err := ValidateProduce(bytes.Clone(b), &ValidateOptions{Topic: "t", Compacted: true, ProduceVersion: 9})
			if err != nil {
				t.Fatal(err)
			}
			if v.Rebuilt || !bytes.Equal(v.Batch, b) || v.MaxTimestamp != b.MaxTimestamp() {
				t.Error("the batch was changed")
			}
			count := 0
			for r, err := range b.Records(0) {
				if err != nil {
					t.Fatal(err)
				}
				n, ok := strings.CutPrefix(string(r.Key), "key")
				if want := "some value that repeats some value that repeats " + n; !ok || string(r.Value) != want {
					t.Errorf("record %d: %q = %q", count, r.Key, r.Value)
				}
				headers := slices.Collect(r.Headers())
				if client == "java" {
					if len(headers) != 0 {
						t.Errorf("record %d: headers %v", count, headers)
					}
				} else if len(headers) != 1 || headers[0].Key != "h" || string(headers[0].Value) != "v" {
					t.Errorf("record %d: headers %v", count, headers)
				}
				count++
			}
			if count != int(b.Count()) || count == 0 {
				t.Errorf("%d records, header says %d", count, b.Count())
			}
			for target := CompressionUncompressed; target <= CompressionZstd; target++ {
				v, err := ValidateProduce(bytes.Clone(b), &ValidateOptions{Compression: target})
				if err != nil {
					t.Fatalf("as %s: %v", target, err)
				}
				sameRecords(t, b, v.Batch)
			}
		})
	}
}

// What kgo encodes without compression must come out of the builder byte by byte.
func TestBuilderAgreesWithCaptured(t *testing.T) {
	for _, name := range []string{"kgo-none", "java-none", "librdkafka-none", "kafka-python-none"} {
		b := capturedBatches(t)[name]
		cfg := BuilderConfig{PartitionLeaderEpoch: b.PartitionLeaderEpoch(),
			Producer: &Producer{b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()}}
		w := NewBuilder(cfg)
		for r, err := range b.Records(0) {
			if err != nil {
				t.Fatal(err)
			}
			w.Append(b.Timestamp(&r), r.Key, r.Value, slices.Collect(r.Headers())...)
		}
		built, err := w.Build()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(built, b) {
			t.Errorf("%s: built\n% x, want\n% x", name, []byte(built), []byte(b))
		}
	}
}

// Batches of every codec must be readable by kgo's own decompressor and record
// parser.
func TestKgoReadsBuiltBatches(t *testing.T) {
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		b := build(t, BuilderConfig{Codec: codec}, 2000)
		fetched := kmsg.NewFetchResponseTopicPartition()
		fetched.RecordBatches = b
		p, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: 0, Topic: "t"}, &fetched, kgo.DefaultDecompressor(), nil)
		if p.Err != nil || len(p.Records) != 2000 {
			t.Fatalf("%s: %d records, %v", codec, len(p.Records), p.Err)
		}
		for i, r := range p.Records {
			if string(r.Value) != fmt.Sprintf("value %d", i) || r.Offset != int64(i) || r.Timestamp.UnixMilli() != now+int64(i) {
				t.Fatalf("%s: record %d: offset %d, time %d, %q", codec, i, r.Offset, r.Timestamp.UnixMilli(), r.Value)
			}
		}
	}
}

// TestPeer sends batches to an Apache Kafka broker named by
// KSERVER_TEST_PEER=host:port and compares its verdicts with ours: error code,
// message (Kafka sends one only with bad records) and bad records. Without the
// variable it is skipped.
func TestPeer(t *testing.T) {
	addr := os.Getenv("KSERVER_TEST_PEER")
	if addr == "" {
		t.Skip("KSERVER_TEST_PEER is not set")
	}
	ctx := context.Background()
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(0, 12) // the last Produce that names topics
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MaxVersions(versions))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics := map[bool]string{}
	for compacted, policy := range map[bool]string{false: "delete", true: "compact"} {
		name := fmt.Sprintf("recordbatch-%s-%d", policy, os.Getpid())
		topics[compacted] = name
		req := kmsg.NewPtrCreateTopicsRequest()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
		for k, v := range map[string]string{"cleanup.policy": policy, "segment.bytes": "1048576", "max.message.bytes": "2000000"} {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = k, kmsg.StringPtr(v)
			topic.Configs = append(topic.Configs, c)
		}
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(ctx, client)
		if err != nil || resp.Topics[0].ErrorCode != 0 {
			t.Fatalf("create topic: %v, code %d", err, resp.Topics[0].ErrorCode)
		}
		defer func() {
			req := kmsg.NewPtrDeleteTopicsRequest()
			topic := kmsg.NewDeleteTopicsRequestTopic()
			topic.Topic = &name
			req.Topics, req.TopicNames = append(req.Topics, topic), []string{name}
			if _, err := req.RequestWith(ctx, client); err != nil {
				t.Error(err)
			}
		}()
	}
	for name, c := range peerCases(t) {
		t.Run(name, func(t *testing.T) {
			topic := topics[c.compacted]
			o := ValidateOptions{Topic: topic, MaxBatchBytes: 2_000_000, MaxSegmentBytes: 1 << 20, Compacted: c.compacted, ProduceVersion: 12}
			_, err := ValidateProduce(bytes.Clone(c.batch), &o)
			req := kmsg.NewPtrProduceRequest()
			req.Acks, req.TimeoutMillis = 1, 10_000
			pt := kmsg.NewProduceRequestTopic()
			pt.Topic = topic
			pp := kmsg.NewProduceRequestTopicPartition()
			pp.Records = c.batch
			pt.Partitions = append(pt.Partitions, pp)
			req.Topics = append(req.Topics, pt)
			resp, rerr := req.RequestWith(ctx, client)
			if rerr != nil {
				t.Fatal(rerr)
			}
			got := resp.Topics[0].Partitions[0]
			var kind Kind
			var message string
			var records []RecordError
			if invalid, ok := err.(*InvalidError); ok {
				kind, message, records = invalid.Kind, invalid.Message, invalid.Records
			}
			theirs := ""
			if got.ErrorMessage != nil {
				theirs = *got.ErrorMessage
			}
			if int16(kind) != got.ErrorCode {
				t.Errorf("code %d (%s), Kafka says %d (%s)", kind, message, got.ErrorCode, theirs)
			}
			if theirs != "" && message != theirs {
				t.Errorf("message\n%s\nKafka says\n%s", message, theirs)
			}
			if len(records) != len(got.ErrorRecords) {
				t.Fatalf("%d bad records, Kafka says %d", len(records), len(got.ErrorRecords))
			}
			for i, r := range got.ErrorRecords {
				if int(r.RelativeOffset) != records[i].Index || *r.ErrorMessage != records[i].Message {
					t.Errorf("bad record %+v, Kafka says %d %s", records[i], r.RelativeOffset, *r.ErrorMessage)
				}
			}
		})
	}
}

type peerCase struct {
	batch     []byte
	compacted bool
}

func peerCases(t testing.TB) map[string]peerCase {
	plain := build(t, BuilderConfig{}, 3)
	sequenced := build(t, BuilderConfig{Producer: &Producer{9, 0, 0}}, 3)
	nullKeys := func(codec Codec) Batch {
		w := NewBuilder(BuilderConfig{Codec: codec})
		for i := range 5 {
			w.Append(now, []byte("k")[:i%2:i%2], nil)
			w.Append(now, nil, []byte("v"))
		}
		b, err := w.Build()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	big := func(codec Codec, n int) Batch {
		w := NewBuilder(BuilderConfig{Codec: codec})
		for i := range n {
			w.Append(now, []byte("k"), bytes.Repeat([]byte{byte(i), 'x', byte(i >> 3)}, 400))
		}
		b, err := w.Build()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	future := NewBuilder(BuilderConfig{})
	future.Append(now, []byte("k"), nil)
	cases := map[string]peerCase{
		"valid":         {batch: plain},
		"empty":         {batch: []byte{}},
		"partial":       {batch: plain[:len(plain)-1]},
		"two batches":   {batch: append(bytes.Clone(plain), plain...)},
		"base offset":   {batch: patch(plain, func(b Batch) { b.SetBaseOffset(4) })},
		"too large":     {batch: big(CodecNone, 1800)},
		"segment":       {batch: big(CodecNone, 1000)},
		"checksum":      {batch: func() Batch { b := bytes.Clone(plain); b[80]++; return b }()},
		"range":         {batch: patch(plain, put32(offLastOffsetDelta, -2))},
		"count 0":       {batch: patch(plain, put32(offCount, 0))},
		"count":         {batch: patch(plain, put32(offLastOffsetDelta, 3))},
		"control":       {batch: build(t, BuilderConfig{Control: true}, 1)},
		"sequence":      {batch: patch(sequenced, put32(offBaseSequence, -1))},
		"missing":       {batch: patch(plain, func(b Batch) { put32(offCount, 4)(b); put32(offLastOffsetDelta, 3)(b) })},
		"remaining":     {batch: patch(plain, func(b Batch) { put32(offCount, 2)(b); put32(offLastOffsetDelta, 1)(b) })},
		"null keys":     {batch: nullKeys(CodecNone), compacted: true},
		"null keys lz4": {batch: nullKeys(CodecLZ4), compacted: true},
	}
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		cases["valid "+codec.String()] = peerCase{batch: big(codec, 700)}
	}
	for name, b := range capturedBatches(t) {
		if !b.HasProducerID() {
			cases["captured "+name] = peerCase{batch: b}
		}
	}
	return cases
}
