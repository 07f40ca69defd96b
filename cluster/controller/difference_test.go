package controller

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"kserver/protocol/recordbatch"
)

// randomMetadata applies random changes to a draft.
func randomMetadata(t *testing.T, rnd *rand.Rand, x *Draft, steps int) {
	t.Helper()
	value := func() *string { s := fmt.Sprint(rnd.IntN(3)); return &s }
	for range steps {
		m := x.Image()
		topics := slices.Collect(m.Topics())
		var r Record
		switch kind := rnd.IntN(8); {
		case kind == 0 || len(topics) == 0:
			name := fmt.Sprintf("t%d", rnd.IntN(20))
			if _, exists := m.Topic(name); exists {
				continue
			}
			r = &TopicRecord{Name: name, ID: UUID{byte(rnd.IntN(256)), byte(rnd.IntN(256)), 1}}
		case kind == 1:
			r = &RemoveTopicRecord{topics[rnd.IntN(len(topics))].ID}
		case kind < 4:
			topic := topics[rnd.IntN(len(topics))]
			r = &PartitionRecord{topic.ID, int32(rnd.IntN(len(topic.Partitions) + 1)), Partition{
				Leader: 1, LeaderEpoch: rnd.Int32N(9), Replicas: []int32{1}, ISR: []int32{1}, Directories: []UUID{{byte(rnd.IntN(2)), 7}},
			}}
		case kind == 4:
			c := &ConfigRecord{Resource: ConfigResource{ResourceTopic, topics[rnd.IntN(len(topics))].Name}, Name: fmt.Sprint("c", rnd.IntN(3)), Value: value()}
			if rnd.IntN(2) == 0 {
				c.Resource = ConfigResource{ResourceBroker, fmt.Sprint(rnd.IntN(2))}
			}
			if rnd.IntN(3) == 0 {
				c.Value = nil
			}
			r = c
		case kind == 5:
			r = &ClientQuotaRecord{Entity: QuotaEntity{User: QuotaName{Set: true, Name: *value()}}, Key: "producer_byte_rate", Value: rnd.Float64(), Remove: rnd.IntN(3) == 0}
		case kind == 6:
			r = &ProducerIDsRecord{NextProducerID: m.NextProducerID + 1 + rnd.Int64N(1000)}
		default:
			r = &FeatureLevelRecord{Name: fmt.Sprint("f", rnd.IntN(3)), Level: int16(rnd.IntN(3))}
		}
		applyRecords(t, x, []Record{r})
	}
}

// applyRecords takes records through their encoding into a draft.
func applyRecords(t *testing.T, x *Draft, records []Record) {
	t.Helper()
	data, err := EncodeBatches(records, x.Image().Version+1, 3, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		b, rest, err := recordbatch.Next(data)
		if err != nil || b.CheckCRC() != nil || b.PartitionLeaderEpoch() != 3 || b.BaseOffset() != x.Image().Version+1 {
			t.Fatalf("%v: batch at %d, epoch %d", err, b.BaseOffset(), b.PartitionLeaderEpoch())
		}
		if err := x.Apply(b); err != nil {
			t.Fatal(err)
		}
		data = rest
	}
}

// state is what two images must have in common to be the same.
func state(m *MetadataImage) map[string]any {
	topics := map[UUID]Topic{}
	for t := range m.Topics() {
		if c := *t; len(c.Configs) == 0 {
			c.Configs = nil
			topics[t.ID] = c
		} else {
			topics[t.ID] = c
		}
	}
	empty := func(n int, v any) any {
		if n == 0 {
			return nil
		}
		return v
	}
	return map[string]any{
		"topics": topics, "features": empty(len(m.features), m.features), "configs": empty(len(m.configs), m.configs),
		"quotas": empty(len(m.quotas), maps.Clone(m.quotas)), "producer ids": m.NextProducerID,
	}
}

// The difference of two images leads from the one to the other, and that of two equal ones is nothing.
func TestDifferenceLeadsFromOneImageToTheOther(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		from, to := NewDraft("c"), NewDraft("c")
		randomMetadata(t, rnd, from, rnd.IntN(60))
		applyRecords(t, to, Difference(newImage("c"), from.Image())) // what both have in common
		randomMetadata(t, rnd, to, rnd.IntN(60))
		to.d.next.NextProducerID = max(to.d.next.NextProducerID, from.d.next.NextProducerID)
		// Partitions never go: a topic that lost some is another one.
		applyRecords(t, from, Difference(from.Image(), to.Image()))
		if got, want := state(from.Image()), state(to.Image()); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d:\ngot  %+v\nwant %+v", seed, got, want)
		}
		if left := Difference(from.Image(), to.Image()); len(left) > 0 {
			t.Fatalf("seed %d: still %d differences, %+v", seed, len(left), left[0])
		}
	}
}

// Records go into as few batches as the bounds allow, and their offsets follow each other.
func TestEncodeBatchesKeepsTheBounds(t *testing.T) {
	x := NewDraft("c")
	var records []Record
	for i := range 2*maxRecordsPerBatch + 5 {
		v := fmt.Sprint(i)
		records = append(records, &ConfigRecord{Resource: ConfigResource{ResourceBroker, "1"}, Name: fmt.Sprint("k", i%7), Value: &v})
	}
	large := string(make([]byte, maxBatchBytes/3))
	for i := range 4 {
		records = append(records, &ConfigRecord{Resource: ConfigResource{ResourceBroker, "1"}, Name: fmt.Sprint("large", i), Value: &large})
	}
	applyRecords(t, x, records)
	if x.Image().Version != int64(len(records)-1) || x.Image().Configs(ConfigResource{ResourceBroker, "1"})["large3"] != large {
		t.Fatalf("version %d of %d records", x.Image().Version, len(records))
	}
}
