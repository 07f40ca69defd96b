package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceVersions are the versions ProduceRequest reads.
func produceVersions(yield func(int16) bool) {
	for v := ProduceMinVersion; v <= ProduceMaxVersion && yield(v); v++ {
	}
}

// FuzzProduceRequest holds the decoder of the hot path against kmsg's: both take the same bodies and make the same
// of them, whatever was decoded before.
func FuzzProduceRequest(f *testing.F) {
	for _, c := range capturedFrames(f) {
		if h, body, err := ParseRequestHeader(c.frame); err == nil && h.Key == keyProduce {
			f.Add(h.Version, body)
		}
	}
	for v := range produceVersions {
		req := NewRequest(keyProduce, v)
		fill(reflect.ValueOf(req).Elem(), rand.New(rand.NewPCG(1, uint64(v))))
		f.Add(v, req.AppendTo(nil))
	}
	var got ProduceRequest
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < ProduceMinVersion || version > ProduceMaxVersion {
			return
		}
		var want kmsg.ProduceRequest
		want.SetVersion(version)
		wantErr := Decode(&want, body)
		err := got.Decode(version, body, MaxElements)
		if (err == nil) != (wantErr == nil) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("error %v, kmsg's %v", err, wantErr)
		}
		if err == nil {
			sameProduce(t, &got, &want)
		}
	})
}

// sameProduce compares a decoded request with kmsg's.
func sameProduce(t *testing.T, got *ProduceRequest, want *kmsg.ProduceRequest) {
	t.Helper()
	if (got.TransactionID == nil) != (want.TransactionID == nil) ||
		want.TransactionID != nil && string(got.TransactionID) != *want.TransactionID {
		t.Errorf("transactional id %q, want %v", got.TransactionID, want.TransactionID)
	}
	if got.Acks != want.Acks || got.TimeoutMs != want.TimeoutMillis || len(got.Topics) != len(want.Topics) {
		t.Fatalf("acks %d, timeout %d, %d topics; want %d, %d, %d", got.Acks, got.TimeoutMs, len(got.Topics),
			want.Acks, want.TimeoutMillis, len(want.Topics))
	}
	for i := range got.Topics {
		g, w := &got.Topics[i], &want.Topics[i]
		if g.Name != w.Topic || g.ID != w.TopicID || len(g.Partitions) != len(w.Partitions) {
			t.Fatalf("topic %q %x with %d partitions; want %q %x, %d", g.Name, g.ID, len(g.Partitions), w.Topic, w.TopicID, len(w.Partitions))
		}
		for j := range g.Partitions {
			p, q := &g.Partitions[j], &w.Partitions[j]
			if p.Index != q.Partition || !bytes.Equal(p.Records, q.Records) || (p.Records == nil) != (q.Records == nil) {
				t.Errorf("partition %d with %x, want %d with %x", p.Index, p.Records, q.Partition, q.Records)
			}
		}
	}
}

// Cut off anywhere, a request is malformed.
func TestProduceRequestTruncated(t *testing.T) {
	var r ProduceRequest
	for v := range produceVersions {
		body := produceBody(v, 2, 3)
		if err := r.Decode(v, body, MaxElements); err != nil {
			t.Fatal(err)
		}
		for n := range body {
			if err := r.Decode(v, body[:n], MaxElements); !errors.Is(err, ErrMalformed) {
				t.Fatalf("version %d, %d of %d bytes: %v", v, n, len(body), err)
			}
		}
		if err := r.Decode(v, append(body, 0), MaxElements); !errors.Is(err, ErrMalformed) {
			t.Fatalf("version %d with a byte too many: %v", v, err)
		}
	}
}

func TestProduceRequestElements(t *testing.T) {
	var r ProduceRequest
	body := produceBody(9, 2, 3)
	if err := r.Decode(9, body, 8); err != nil {
		t.Error("as many as allowed:", err)
	}
	if err := r.Decode(9, body, 7); !errors.Is(err, ErrElements) {
		t.Errorf("one more than allowed: %v", err)
	}
}

// produceBody is a request of so many topics with so many partitions each.
func produceBody(version int16, topics, partitions int) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, 30_000
	for i := range topics {
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic, topic.TopicID = fmt.Sprint("orders-", i), [16]byte{byte(i + 1)}
		for j := range partitions {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition, p.Records = int32(j), bytes.Repeat([]byte{0x55}, 100)
			topic.Partitions = append(topic.Partitions, p)
		}
		req.Topics = append(req.Topics, topic)
	}
	return req.AppendTo(nil)
}

func TestProduceRequestAllocates(t *testing.T) {
	var r ProduceRequest
	for v := range produceVersions {
		body := produceBody(v, 2, 3)
		if n := testing.AllocsPerRun(50, func() {
			if err := r.Decode(v, body, MaxElements); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("version %d: %v allocations", v, n)
		}
	}
}

// Whatever an answer holds, its bytes are kmsg's.
func TestAppendProduceResponse(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 3))
	for v := range produceVersions {
		for n := range 50 {
			resp := kmsg.NewPtrProduceResponse()
			if n > 0 {
				fill(reflect.ValueOf(resp).Elem(), random)
				dropTags(reflect.ValueOf(resp).Elem())
			}
			resp.SetVersion(v)
			if n%5 == 1 {
				for i := range resp.Topics {
					for j := range resp.Topics[i].Partitions {
						resp.Topics[i].Partitions[j].CurrentLeader.Default()
					}
				}
			}
			want := resp.AppendTo(AppendResponseHeader(nil, keyProduce, v, 7))
			if got := AppendProduceResponse(nil, 7, resp); !bytes.Equal(got, want) {
				t.Fatalf("version %d of %+v:\n% x, want\n% x", v, resp, got, want)
			}
		}
	}
}

// dropTags empties the unknown tags of a message, which brokers do not send.
func dropTags(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			dropTags(v.Index(i))
		}
	case reflect.Struct:
		if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
			*tags = kmsg.Tags{}
			return
		}
		for i := range v.NumField() {
			dropTags(v.Field(i))
		}
	}
}

func TestAppendProduceResponseAllocates(t *testing.T) {
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = ProduceMaxVersion
	topic := kmsg.NewProduceResponseTopic()
	topic.Partitions = append(topic.Partitions, kmsg.NewProduceResponseTopicPartition())
	resp.Topics = append(resp.Topics, topic)
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(50, func() { AppendProduceResponse(buf, 7, resp) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
