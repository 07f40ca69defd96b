package controller

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kserver/protocol/recordbatch"
)

// rawRecord is one record of a log, undecoded.
type rawRecord struct {
	offset int64
	value  []byte
}

func rawRecords(t testing.TB, log *memLog) []rawRecord {
	t.Helper()
	var out []rawRecord
	err := log.Replay(func(b recordbatch.Batch) error {
		if b.IsControl() {
			return nil
		}
		for r, err := range b.Records(1 << 20) {
			if err != nil {
				return err
			}
			out = append(out, rawRecord{b.BaseOffset() + int64(r.OffsetDelta), bytes.Clone(r.Value)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// dumped is what Kafka's own decoder says of a record.
type dumped struct {
	Offset  int64
	Type    string
	Version int16
	Data    map[string]any
}

func dumpedByKafka(t *testing.T) map[int64]dumped {
	t.Helper()
	text, err := os.ReadFile("testdata/kafka-4.3.1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	out := map[int64]dumped{}
	for line := range strings.Lines(string(text)) {
		var d dumped
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		out[d.Offset] = d
	}
	return out
}

// inKafkasWords renders a record with the field names of Kafka's dump tool, which
// leaves out tagged fields that have their default.
func inKafkasWords(r Record) (name string, data map[string]any) {
	data = map[string]any{}
	set := func(key string, value any, present bool) {
		if present {
			data[key] = value
		}
	}
	list := func(v any) any {
		if reflect.ValueOf(v).IsNil() {
			return []any{}
		}
		return v
	}
	switch r := r.(type) {
	case *RegisterBrokerRecord:
		name = "REGISTER_BROKER_RECORD"
		endpoints, features := []any{}, []any{}
		for _, e := range r.Endpoints {
			endpoints = append(endpoints, map[string]any{"name": e.Name, "host": e.Host, "port": e.Port, "securityProtocol": e.SecurityProtocol})
		}
		for _, f := range r.Features {
			features = append(features, map[string]any{"name": f.Name, "minSupportedVersion": f.Min, "maxSupportedVersion": f.Max})
		}
		data = map[string]any{
			"brokerId": r.ID, "isMigratingZkBroker": false, "incarnationId": r.Incarnation.String(), "brokerEpoch": r.Epoch,
			"endPoints": endpoints, "features": features, "rack": r.Rack, "fenced": r.Fenced, "inControlledShutdown": r.InControlledShutdown,
		}
		set("logDirs", texts(r.LogDirs), len(r.LogDirs) > 0)
		set("cordonedLogDirs", texts(r.CordonedLogDirs), r.CordonedLogDirs != nil)
	case *BrokerRegistrationChangeRecord:
		name = "BROKER_REGISTRATION_CHANGE_RECORD"
		data = map[string]any{"brokerId": r.ID, "brokerEpoch": r.Epoch}
		if r.Fenced != nil {
			data["fenced"] = fencingChange(*r.Fenced)
		}
		set("inControlledShutdown", 1, r.InControlledShutdown)
		set("logDirs", texts(r.LogDirs), r.LogDirs != nil)
		set("cordonedLogDirs", texts(r.CordonedLogDirs), r.CordonedLogDirs != nil)
	case *TopicRecord:
		name, data = "TOPIC_RECORD", map[string]any{"name": r.Name, "topicId": r.ID.String()}
	case *RemoveTopicRecord:
		name, data = "REMOVE_TOPIC_RECORD", map[string]any{"topicId": r.ID.String()}
	case *PartitionRecord:
		name = "PARTITION_RECORD"
		data = map[string]any{
			"partitionId": r.Index, "topicId": r.TopicID.String(), "replicas": r.Replicas, "isr": r.ISR,
			"removingReplicas": list(r.Removing), "addingReplicas": list(r.Adding), "leader": r.Leader,
			"leaderEpoch": r.LeaderEpoch, "partitionEpoch": r.PartitionEpoch, "directories": texts(r.Directories),
		}
	case *PartitionChangeRecord:
		name = "PARTITION_CHANGE_RECORD"
		data = map[string]any{"partitionId": r.Index, "topicId": r.TopicID.String()}
		set("isr", r.ISR, r.ISR != nil)
		set("leader", r.Leader, r.Leader != nil)
		set("eligibleLeaderReplicas", r.ELR, r.ELR != nil)
		set("lastKnownElr", r.LastKnownELR, r.LastKnownELR != nil)
	case *ConfigRecord:
		name = "CONFIG_RECORD"
		data = map[string]any{"resourceType": r.Resource.Type, "resourceName": r.Resource.Name, "name": r.Name, "value": r.Value}
	case *FeatureLevelRecord:
		name, data = "FEATURE_LEVEL_RECORD", map[string]any{"name": r.Name, "featureLevel": r.Level}
	case *ProducerIDsRecord:
		name = "PRODUCER_IDS_RECORD"
		data = map[string]any{"brokerId": r.BrokerID, "brokerEpoch": r.BrokerEpoch, "nextProducerId": r.NextProducerID}
	case *ClientQuotaRecord:
		name = "CLIENT_QUOTA_RECORD"
		var entity []map[string]any
		for _, p := range r.Entity.Parts() {
			entity = append(entity, map[string]any{"entityType": p.Type, "entityName": p.Name})
		}
		data = map[string]any{"entity": entity, "key": r.Key, "value": r.Value, "remove": r.Remove}
	case NoOpRecord:
		name = "NO_OP_RECORD"
	case *BeginTransactionRecord:
		name, data = "BEGIN_TRANSACTION_RECORD", map[string]any{"name": r.Name}
	case EndTransactionRecord:
		name = "END_TRANSACTION_RECORD"
	case *SkippedRecord:
		return r.Name, nil
	}
	return name, data
}

func texts(ids []UUID) []string {
	out := []string{}
	for _, id := range ids {
		out = append(out, id.String())
	}
	return out
}

// TestRecordsOfKafka decodes a log that Kafka wrote, compares every field with
// what Kafka's own decoder says, and encodes the records again to the same bytes.
func TestRecordsOfKafka(t *testing.T) {
	want := dumpedByKafka(t)
	records := rawRecords(t, kafkaLog(t))
	if len(records) != len(want) {
		t.Fatalf("%d records, Kafka counts %d", len(records), len(want))
	}
	for _, raw := range records {
		r, err := decodeRecord(raw.value)
		if err != nil {
			t.Fatalf("offset %d: %v", raw.offset, err)
		}
		d := want[raw.offset]
		name, data := inKafkasWords(r)
		if name != d.Type {
			t.Errorf("offset %d: %s, Kafka says %s", raw.offset, name, d.Type)
		}
		if _, ok := r.(*SkippedRecord); ok {
			continue
		}
		text, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, d.Data) {
			t.Errorf("offset %d: %s\n got %v\nwant %v", raw.offset, name, got, d.Data)
		}
		// Kafka writes the newest version its metadata.version allows, we the
		// lowest that holds the fields: the third byte. All else is equal.
		again := appendRecord(nil, r)
		if again[2] > raw.value[2] {
			t.Errorf("offset %d: version %d, Kafka wrote %d", raw.offset, again[2], raw.value[2])
		}
		again[2] = raw.value[2]
		if !bytes.Equal(again, raw.value) {
			t.Errorf("offset %d: %s\n got %x\nwant %x", raw.offset, name, again, raw.value)
		}
	}
}

// TestImageOfKafka replays a log that Kafka wrote.
func TestImageOfKafka(t *testing.T) {
	m := loadImage(t, kafkaLog(t))
	if m.Version < 94 || m.NextProducerID != 1000 || m.TopicCount() != 2 {
		t.Errorf("version %d, next producer id %d, %d topics", m.Version, m.NextProducerID, m.TopicCount())
	}
	if m.Features()[MetadataVersionFeature] != 30 || m.Features()["group.version"] != 1 {
		t.Errorf("features %v", m.Features())
	}
	golden, ok := m.Topic("golden")
	if !ok || len(golden.Partitions) != 3 || len(golden.Configs) != 1 || golden.Configs["cleanup.policy"] != "compact,delete" {
		t.Fatalf("golden: %+v", golden)
	}
	p := golden.Partitions[2]
	if p.Leader != 1 || p.LeaderEpoch != 2 || p.PartitionEpoch != 2 || !reflect.DeepEqual(p.ISR, []int32{1}) || len(p.ELR) != 0 {
		t.Errorf("golden-2: %+v", p)
	}
	offsets, ok := m.Topic("__consumer_offsets")
	if !ok || !offsets.Internal || offsets.Configs["segment.bytes"] != "104857600" {
		t.Errorf("offsets topic: %+v", offsets)
	}
	if _, ok := m.Topic("gone"); ok {
		t.Error("deleted topic is there")
	}
	b, ok := m.Broker(1)
	if !ok || b.Fenced || b.InControlledShutdown || b.Epoch != 79 || b.Endpoints[0].Port != 24192 {
		t.Errorf("broker: %+v", b)
	}
	if v := m.Configs(ConfigResource{ResourceBroker, "1"})["log.cleaner.threads"]; v != "2" {
		t.Errorf("broker setting %q", v)
	}
	if v := m.Configs(ConfigResource{ResourceBroker, ""})["min.insync.replicas"]; v != "1" {
		t.Errorf("default of brokers %q", v)
	}
}

// allRecords has one of every type with every field set.
func allRecords() []Record {
	rack, text, yes, no, leader, state := "r", "x", true, false, int32(2), int8(1)
	dirs := []UUID{{1}, {2}}
	return []Record{
		&RegisterBrokerRecord{Broker{
			ID: 1, Epoch: 5, Incarnation: UUID{7}, Endpoints: []Endpoint{{"A", "h", 65535, 3}, {"B", "h2", 1, 0}}, Rack: &rack,
			Fenced: true, InControlledShutdown: true, Features: []FeatureRange{{"f", 1, 2}}, LogDirs: dirs, CordonedLogDirs: dirs,
		}},
		&RegisterBrokerRecord{Broker{ID: 1}},
		&UnregisterBrokerRecord{ID: 1, Epoch: 5},
		&BrokerRegistrationChangeRecord{ID: 1, Epoch: 5, Fenced: &yes},
		&BrokerRegistrationChangeRecord{ID: 1, Epoch: 5, Fenced: &no, InControlledShutdown: true, LogDirs: dirs, CordonedLogDirs: []UUID{}},
		&BrokerRegistrationChangeRecord{ID: 1, Epoch: 5, LogDirs: dirs},
		&TopicRecord{"t", UUID{3}},
		&RemoveTopicRecord{UUID{3}},
		&PartitionRecord{UUID{3}, 4, Partition{
			Leader: 1, LeaderEpoch: 2, PartitionEpoch: 3, RecoveryState: 1, Replicas: []int32{1, 2}, ISR: []int32{1},
			ELR: []int32{2}, LastKnownELR: []int32{1}, Adding: []int32{1}, Removing: []int32{2}, Directories: dirs,
		}},
		&PartitionRecord{UUID{3}, 4, Partition{Leader: -1, Replicas: []int32{1}, ISR: []int32{}, Directories: []UUID{{9}}}},
		&PartitionChangeRecord{TopicID: UUID{3}, Index: 1},
		&PartitionChangeRecord{
			TopicID: UUID{3}, Index: 1, ISR: []int32{1}, Leader: &leader, Replicas: []int32{1, 2}, Removing: []int32{}, Adding: []int32{2},
			RecoveryState: &state, ELR: []int32{}, LastKnownELR: []int32{3}, Directories: dirs,
		},
		&ConfigRecord{ConfigResource{ResourceTopic, "t"}, "k", &text},
		&ConfigRecord{ConfigResource{ResourceBroker, ""}, "k", nil},
		&ClientQuotaRecord{QuotaEntity{User: QuotaName{Set: true, Name: "u"}, ClientID: QuotaName{Set: true, Default: true}}, "k", 1.5, false},
		&ClientQuotaRecord{QuotaEntity{IP: QuotaName{Set: true, Name: "::1"}}, "k", 0, true},
		&FeatureLevelRecord{"f", 3},
		&ProducerIDsRecord{1, 5, 1000},
		NoOpRecord{},
		&BeginTransactionRecord{&text}, &BeginTransactionRecord{},
		EndTransactionRecord{},
		&AbortTransactionRecord{&text}, &AbortTransactionRecord{},
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	for _, r := range allRecords() {
		b := appendRecord(nil, r)
		got, err := decodeRecord(b)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%T: %v\n got %+v\nwant %+v", r, err, got, r)
		}
		if _, err := decodeRecord(append(b, 0)); !errors.Is(err, ErrRecord) {
			t.Errorf("%T with a byte too many: %v", r, err)
		}
	}
}

// TestRecordsCutShort cuts every record at every byte.
func TestRecordsCutShort(t *testing.T) {
	for _, r := range allRecords() {
		b := appendRecord(nil, r)
		for n := range b {
			if _, err := decodeRecord(b[:n]); !errors.Is(err, ErrRecord) {
				t.Errorf("%T cut at %d of %d: %v", r, n, len(b), err)
			}
		}
	}
}

func TestRecordsUnknown(t *testing.T) {
	for name, b := range map[string][]byte{
		"type":     {1, 99, 0, 0},
		"version":  {1, 2, 1, 0},
		"frame":    {2, 20, 0, 0},
		"huge":     {1, 20, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		"negative": {1, 9, 0xff, 0xff, 3, 0},
	} {
		if _, err := decodeRecord(b); !errors.Is(err, ErrRecordType) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{
		"null name":         append(append([]byte{1, 2, 0, 0}, make([]byte, 16)...), 0),
		"tags out of order": {1, 23, 0, 2, 1, 0, 1, 0},
		"tag too long":      {1, 23, 0, 1, 0, 9, 0},
		"tag with rest":     {1, 23, 0, 1, 0, 3, 2, 'x', 0},
		"fencing 7":         append([]byte{1, 17, 0, 0, 0, 0, 1}, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 1, 7),
	} {
		if r, err := decodeRecord(b); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	// Unknown tagged fields are skipped (KIP-482).
	if r, err := decodeRecord([]byte{1, 20, 0, 1, 9, 2, 1, 2}); err != nil || r != (NoOpRecord{}) {
		t.Errorf("unknown tag: %v, %v", r, err)
	}
}

// Partitions that are equal share their memory, and a change of one is not one of the others.
func TestEqualPartitionsShareMemory(t *testing.T) {
	d := newDelta(newImage("c"))
	id := UUID{1}
	records := []Record{&TopicRecord{Name: "t", ID: id}}
	part := Partition{Leader: 1, Replicas: []int32{1, 2}, ISR: []int32{1, 2}, Directories: []UUID{{7}, {8}}}
	for i := range int32(4) {
		p := part
		p.Replicas = slices.Clone(part.Replicas)
		if i == 3 {
			p.Directories = nil
		}
		records = append(records, &PartitionRecord{TopicID: id, Index: i, Partition: p})
	}
	if err := d.applyAll(records); err != nil {
		t.Fatal(err)
	}
	before, _ := d.image().Topic("t")
	if p := before.Partitions; p[0] != p[1] || p[1] != p[2] || p[2] == p[3] || p[3].Directories != nil {
		t.Errorf("%+v", p)
	}
	d = newDelta(d.next)
	if err := d.applyAll([]Record{&PartitionChangeRecord{TopicID: id, Index: 1, ISR: []int32{1}, Leader: new(int32(1))}}); err != nil {
		t.Fatal(err)
	}
	after, _ := d.image().Topic("t")
	for i, p := range after.Partitions {
		if changed := !p.equal(before.Partitions[i]); changed != (i == 1) {
			t.Errorf("partition %d: %+v, was %+v", i, p, before.Partitions[i])
		}
	}
}
