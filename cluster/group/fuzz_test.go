package group_test

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/group"
	"kserver/internal/fuzzing"
	"kserver/protocol/recordbatch"
)

// goldenRecords calls f with the records of a log that Apache Kafka wrote.
func goldenRecords(t testing.TB, f func(key, value []byte)) {
	data, err := os.ReadFile("golden/kafka-4.3.1.log")
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		b, rest, err := recordbatch.Next(data)
		if err != nil {
			t.Fatal(err)
		}
		for r, err := range b.Records(1 << 20) {
			if err != nil {
				t.Fatal(err)
			}
			if !b.IsControl() && len(r.Value) < 200 {
				f(r.Key, r.Value)
			}
		}
		data = rest
	}
}

// FuzzReplay: whatever two records of the group topic say, the partition is either loaded, with groups whose parts
// agree with each other and which requests may use, or refused; and loading it again gives the same.
func FuzzReplay(f *testing.F) {
	var keys, values [][]byte
	goldenRecords(f, func(key, value []byte) { keys, values = append(keys, key), append(values, value) })
	for i := range keys {
		next := (i + 1) % len(keys)
		f.Add(keys[i], values[i], keys[next], values[next], int64(-1))
		f.Add(keys[i], values[i], keys[i], []byte(nil), int64(7))
	}
	// Two members of one id, one instance twice, and a leader that is none of them.
	value := kmsg.GroupMetadataValue{
		Version: 3, ProtocolType: "consumer", Generation: 1, Protocol: kmsg.StringPtr("range"), Leader: kmsg.StringPtr("nobody"),
		Members: []kmsg.GroupMetadataValueMember{{MemberID: "a"}, {MemberID: "a"}, {MemberID: "b", InstanceID: kmsg.StringPtr("i")}, {MemberID: "c", InstanceID: kmsg.StringPtr("i")}},
	}
	key := kmsg.GroupMetadataKey{Version: 2, Group: "g"}
	f.Add(key.AppendTo(nil), value.AppendTo(nil), key.AppendTo(nil), value.AppendTo(nil), int64(-1))
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2 []byte, producer int64) {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t)
			defer func() { s.coordinator.Close() }()
			b := recordbatch.NewBuilder(recordbatch.BuilderConfig{})
			b.Append(1, key1, value1)
			b.Append(1, key2, value2)
			if producer >= 0 {
				b.Reset(recordbatch.BuilderConfig{Producer: &recordbatch.Producer{ID: producer}, Transactional: true})
				b.Append(1, key2, value2)
			}
			batch, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			s.storage.AppendRaw(0, append(recordbatch.Batch(nil), batch...))
			reload := func() string {
				s.coordinator.Unload(0, -1)
				s.load()
				return s.coordinator.Dump(0, true)
			}
			first := reload()
			if err := s.coordinator.CheckInvariants(0); err != nil {
				t.Error(err)
			}
			if second := reload(); second != first {
				t.Errorf("loaded as\n%s\nthen as\n%s", first, second)
			}
			s.time.Advance(s.cfg.MaxSessionTimeout * 2) // members expire, groups rebalance
			synctest.Wait()
			if err := s.coordinator.CheckInvariants(0); err != nil {
				t.Errorf("later: %v", err)
			}
		})
	})
}

// FuzzSubscription: reading a subscription takes no more memory than its length allows, always says the same, and
// finds the topics that were written.
func FuzzSubscription(f *testing.F) {
	goldenRecords(f, func(_, value []byte) { f.Add(value) })
	for _, topics := range [][]string{nil, {"t"}, {"", "a", strings.Repeat("x", 300)}} {
		f.Add((&kmsg.ConsumerMemberMetadata{Version: 3, Topics: topics}).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var topics []string
		var err error
		fuzzing.Bounded(t, 64*uint64(len(b)), func() { topics, err = group.SubscribedTopics(b) })
		again, err2 := group.SubscribedTopics(b)
		if (err == nil) != (err2 == nil) || strings.Join(topics, "\x00") != strings.Join(again, "\x00") {
			t.Errorf("first %q, %v; then %q, %v", topics, err, again, err2)
		}
		if err != nil {
			return
		}
		written := (&kmsg.ConsumerMemberMetadata{Topics: topics}).AppendTo(nil)
		if back, err := group.SubscribedTopics(written); err != nil || strings.Join(back, "\x00") != strings.Join(topics, "\x00") {
			t.Errorf("%q came back as %q, %v", topics, back, err)
		}
	})
}
