package protocol

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchVersions are the versions FetchRequest reads.
func fetchVersions(yield func(int16) bool) {
	for v := FetchMinVersion; v <= FetchMaxVersion && yield(v); v++ {
	}
}

// FuzzFetchRequest holds the decoder of the hot path against kmsg's, as FuzzProduceRequest does.
func FuzzFetchRequest(f *testing.F) {
	for _, c := range capturedFrames(f) {
		if h, body, err := ParseRequestHeader(c.frame); err == nil && h.Key == keyFetch {
			f.Add(h.Version, body)
		}
	}
	for v := range fetchVersions {
		for seed := range uint64(4) {
			req := NewRequest(keyFetch, v)
			fill(reflect.ValueOf(req).Elem(), rand.New(rand.NewPCG(seed, uint64(v))))
			f.Add(v, req.AppendTo(nil))
		}
	}
	var got FetchRequest
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < FetchMinVersion || version > FetchMaxVersion {
			return
		}
		var want kmsg.FetchRequest
		want.SetVersion(version)
		wantErr := Decode(&want, body)
		err := got.Decode(version, body)
		if (err == nil) != (wantErr == nil) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("error %v, kmsg's %v", err, wantErr)
		}
		if err == nil {
			sameFetch(t, &got, &want)
			if c, err := Check(keyFetch, version, body); err != nil || got.Elements != c.Elements {
				t.Errorf("%d elements, want %d (%v)", got.Elements, c.Elements, err)
			}
		}
	})
}

// sameFetch compares a decoded request with kmsg's.
func sameFetch(t *testing.T, got *FetchRequest, want *kmsg.FetchRequest) {
	t.Helper()
	replica := want.ReplicaID
	if want.Version >= 15 {
		replica = want.ReplicaState.ID
	}
	head := FetchRequest{
		Version: want.Version, ReplicaID: replica, MaxWaitMs: want.MaxWaitMillis, MinBytes: want.MinBytes, MaxBytes: want.MaxBytes,
		Isolation: want.IsolationLevel, SessionID: want.SessionID, SessionEpoch: want.SessionEpoch,
		Topics: got.Topics, Forgotten: got.Forgotten, Elements: got.Elements,
	}
	if !reflect.DeepEqual(*got, head) || len(got.Topics) != len(want.Topics) || len(got.Forgotten) != len(want.ForgottenTopics) {
		t.Fatalf("%+v, want %+v", got, want)
	}
	for i := range got.Topics {
		g, w := &got.Topics[i], &want.Topics[i]
		if string(g.Name) != w.Topic || g.ID != w.TopicID || len(g.Partitions) != len(w.Partitions) {
			t.Fatalf("topic %q %x with %d partitions; want %q %x, %d", g.Name, g.ID, len(g.Partitions), w.Topic, w.TopicID, len(w.Partitions))
		}
		for j, p := range g.Partitions {
			q := &w.Partitions[j]
			if want := (FetchRequestPartition{q.Partition, q.CurrentLeaderEpoch, q.FetchOffset, q.LastFetchedEpoch, q.PartitionMaxBytes}); p != want {
				t.Errorf("partition %+v, want %+v", p, want)
			}
		}
	}
	for i := range got.Forgotten {
		g, w := &got.Forgotten[i], &want.ForgottenTopics[i]
		if string(g.Name) != w.Topic || g.ID != w.TopicID || fmt.Sprint(g.Partitions) != fmt.Sprint(w.Partitions) {
			t.Errorf("forgotten %q %x %v; want %q %x %v", g.Name, g.ID, g.Partitions, w.Topic, w.TopicID, w.Partitions)
		}
	}
}

// Cut off anywhere, a request is malformed.
func TestFetchRequestTruncated(t *testing.T) {
	var r FetchRequest
	for v := range fetchVersions {
		body := fetchBody(v)
		if err := r.Decode(v, body); err != nil {
			t.Fatal(err)
		}
		for n := range body {
			if err := r.Decode(v, body[:n]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("version %d, %d of %d bytes: %v", v, n, len(body), err)
			}
		}
		if err := r.Decode(v, append(body, 0)); !errors.Is(err, ErrMalformed) {
			t.Fatalf("version %d with a byte too many: %v", v, err)
		}
	}
}

// A follower says who it is in a tagged field from version 15 on.
func TestFetchRequestReplica(t *testing.T) {
	var r FetchRequest
	for v := range fetchVersions {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.ReplicaID, req.ReplicaState.ID, req.ReplicaState.Epoch = v, 3, 4, 9
		want := int32(3)
		if v >= 15 {
			want = 4
		}
		if err := r.Decode(v, req.AppendTo(nil)); err != nil || r.ReplicaID != want {
			t.Errorf("version %d: replica %d, %v, want %d", v, r.ReplicaID, err, want)
		}
	}
}

// fetchBody is a request of two topics with two partitions each, that forgets three of another.
func fetchBody(version int16) []byte {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.Rack = version, 500, 1, 1<<20, "a"
	req.ReplicaState.ID = 1
	for i := range 2 {
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.TopicID = fmt.Sprint("orders-", i), [16]byte{byte(i + 1)}
		for j := range int32(2) {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.HighWatermark = j, 7, 1<<20, 12
			topic.Partitions = append(topic.Partitions, p)
		}
		req.Topics = append(req.Topics, topic)
	}
	gone := kmsg.NewFetchRequestForgottenTopic()
	gone.Topic, gone.Partitions = "payments", []int32{1, 2, 3}
	req.ForgottenTopics = append(req.ForgottenTopics, gone)
	return req.AppendTo(nil)
}

func TestFetchRequestAllocates(t *testing.T) {
	var r FetchRequest
	for v := range fetchVersions {
		body := fetchBody(v)
		if n := testing.AllocsPerRun(50, func() {
			if err := r.Decode(v, body); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("version %d: %v allocations", v, n)
		}
	}
}
