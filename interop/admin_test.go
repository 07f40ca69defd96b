package interop

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/broker"
	"kserver/interop/wire"
)

// TestTopicLife creates, describes, widens, deletes and recreates a topic, with data in between.
func TestTopicLife(t *testing.T) {
	t.Parallel()
	admin, ctx := newAdmin(t), testContext(t)
	topic := newTopic(t, 2, "retention.ms=1234567", "cleanup.policy=delete")
	franzProduce(t, topic, produceOptions{}, plainRecords(1, 10, "old"))

	details := func() kadm.TopicDetail {
		t.Helper()
		found, err := newAdmin(t).ListTopics(ctx, topic) // a used client answers from its cache
		if err != nil {
			t.Fatal(err)
		}
		return found[topic]
	}
	first := details()
	if first.Err != nil || len(first.Partitions) != 2 || first.IsInternal {
		t.Fatalf("described: %+v", first)
	}
	for _, p := range first.Partitions {
		if p.Err != nil || p.Leader < 0 || !slices.Equal(p.Replicas, []int32{p.Leader}) || !slices.Equal(p.ISR, p.Replicas) || p.LeaderEpoch != 0 || len(p.OfflineReplicas) != 0 {
			t.Errorf("partition: %+v", p)
		}
	}
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("second creation: %v", err)
	}

	widened, err := admin.CreatePartitions(ctx, 3, topic) // three more
	if err != nil || widened[topic].Err != nil {
		t.Fatalf("create partitions: %v, %v", err, widened[topic].Err)
	}
	eventually(t, "five partitions", func() error {
		if d := details(); len(d.Partitions) != 5 || d.ID != first.ID {
			return fmt.Errorf("%d partitions, id %v after %v", len(d.Partitions), d.ID, first.ID)
		}
		return nil
	})
	eventually(t, "the new partition's leader", func() error { // the clients' metadata may be behind
		ends, err := admin.ListEndOffsets(ctx, topic)
		return errors.Join(err, ends.Error())
	})
	franzProduce(t, topic, produceOptions{}, plainRecords(4, 10, "new"))

	deleted, err := admin.DeleteTopics(ctx, topic)
	if err != nil || deleted[topic].Err != nil {
		t.Fatalf("delete: %v, %v", err, deleted[topic].Err)
	}
	eventually(t, "the deletion", func() error {
		if d := details(); !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("still there: %v", d.Err)
		}
		return nil
	})
	newTopicAt(t, suite.endpoint, topic, 1)
	again := details()
	if again.ID == first.ID || len(again.Partitions) != 1 {
		t.Errorf("recreated with id %v (was %v), %d partitions", again.ID, first.ID, len(again.Partitions))
	}
	produced := franzProduce(t, topic, produceOptions{}, plainRecords(0, 5, "again"))
	if produced[0].Offset != 0 {
		t.Errorf("the recreated topic begins at offset %d", produced[0].Offset)
	}
	wantRecords(t, librdkafkaConsume(t, consumeOptions{topic: topic, from: startOffset, count: 5}), produced)

	// The old id leads nowhere.
	conn := newConn(t)
	req := fetchRequest(13, "", map[int32]int64{0: 0})
	req.Topics[0].TopicID = first.ID
	p, err := fetched(ask[*kmsg.FetchResponse](t, conn, req), 0)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, "fetch by the old topic id", p.ErrorCode, 100)
}

// TestReadYourOwnWrite asks for more than Apache Kafka keeps, which answers admin requests before all
// of the broker knows: here a topic can be used by the next request on another connection, and what
// was deleted is gone.
func TestReadYourOwnWrite(t *testing.T) {
	if suite.spec.Kind == broker.Apache || suite.spec.Kind == "" {
		t.Skip("Apache Kafka does not promise this")
	}
	t.Parallel()
	admin, ctx := newAdmin(t), testContext(t)
	conn := newConn(t)
	for range 20 {
		topic := uniqueName(t)
		if _, err := admin.CreateTopic(ctx, 3, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
		for p := range int32(3) {
			mustProduce(t, conn, topic, p, wire.NewBatch(time.Now().UnixMilli(), []byte("v")))
		}
		if _, err := admin.DeleteTopic(ctx, topic); err != nil {
			t.Fatal(err)
		}
		p := produceBatch(t, conn, topic, 0, wire.NewBatch(time.Now().UnixMilli(), []byte("v")).Encode())
		wantCode(t, "produce after the deletion", p.ErrorCode, 3)
		if got := kgoTopic(t, conn, topic); got.ErrorCode != 3 {
			t.Errorf("metadata after the deletion: code %d", got.ErrorCode)
		}
	}
}

// kgoTopic asks for a topic's metadata without creating it.
func kgoTopic(t *testing.T, conn *wire.Conn, topic string) kmsg.MetadataResponseTopic {
	t.Helper()
	req := at(kmsg.NewPtrMetadataRequest(), 9)
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	return ask[*kmsg.MetadataResponse](t, conn, req).Topics[0]
}

// TestCreateTopicErrors asks for topics that cannot be. Codes as Apache Kafka 4.3.1 gives them.
func TestCreateTopicErrors(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	existing := newTopic(t, 1)
	create := func(change func(*kmsg.CreateTopicsRequestTopic)) int16 {
		t.Helper()
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = uniqueName(t), 1, 1
		change(&topic)
		req := at(kmsg.NewPtrCreateTopicsRequest(), 7)
		req.TimeoutMillis, req.ValidateOnly = 30_000, true
		req.Topics = append(req.Topics, topic)
		return ask[*kmsg.CreateTopicsResponse](t, conn, req).Topics[0].ErrorCode
	}
	name := func(n string) func(*kmsg.CreateTopicsRequestTopic) {
		return func(topic *kmsg.CreateTopicsRequestTopic) { topic.Topic = n }
	}
	config := func(name, value string) func(*kmsg.CreateTopicsRequestTopic) {
		return func(topic *kmsg.CreateTopicsRequestTopic) {
			topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: name, Value: &value}}
		}
	}
	assign := func(counts bool, replicas ...int32) func(*kmsg.CreateTopicsRequestTopic) {
		return func(topic *kmsg.CreateTopicsRequestTopic) {
			if !counts {
				topic.NumPartitions, topic.ReplicationFactor = -1, -1
			}
			topic.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: replicas}}
		}
	}
	node := kgoTopicLeader(t, conn, existing)
	for _, c := range []struct {
		name   string
		code   int16
		change func(*kmsg.CreateTopicsRequestTopic)
	}{
		{"good", 0, func(*kmsg.CreateTopicsRequestTopic) {}},
		{"defaults", 0, func(topic *kmsg.CreateTopicsRequestTopic) { topic.NumPartitions, topic.ReplicationFactor = -1, -1 }},
		{"exists", 36, name(existing)},
		{"empty name", 17, name("")},
		{"dot", 17, name(".")},
		{"slash", 17, name("a/b")},
		{"long name", 17, name(fmt.Sprintf("%0250d", 0))},
		{"no partitions", 37, func(topic *kmsg.CreateTopicsRequestTopic) { topic.NumPartitions = 0 }},
		{"no replicas", 38, func(topic *kmsg.CreateTopicsRequestTopic) { topic.ReplicationFactor = 0 }},
		{"more replicas than brokers", 38, func(topic *kmsg.CreateTopicsRequestTopic) { topic.ReplicationFactor = 3 }},
		{"unknown config", 40, config("no.such.config", "1")},
		{"bad number", 40, config("retention.ms", "soon")},
		{"out of range", 40, config("segment.bytes", "1000")},
		{"bad choice", 40, config("cleanup.policy", "sometimes")},
		{"assignment", 0, assign(false, node)},
		{"assignment and counts", 42, assign(true, node)},
		{"assignment to an unknown broker", 39, assign(false, 999)},
		{"assignment twice to a broker", 39, assign(false, node, node)},
	} {
		wantCode(t, c.name, create(c.change), c.code)
	}
	// Names that differ only in "." and "_" collide.
	dotted := "dotted.name-" + uniqueName(t)
	newTopicAt(t, suite.endpoint, dotted, 1)
	wantCode(t, "colliding name", create(name("dotted_name-"+dotted[len("dotted.name-"):])), 17)

	// A name twice in one request is refused for both.
	req := at(kmsg.NewPtrCreateTopicsRequest(), 7)
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = uniqueName(t), 1, 1
	req.Topics = append(req.Topics, topic, topic)
	req.TimeoutMillis = 30_000
	for _, r := range ask[*kmsg.CreateTopicsResponse](t, conn, req).Topics {
		wantCode(t, "twice in a request", r.ErrorCode, 42)
	}
}

func kgoTopicLeader(t *testing.T, conn *wire.Conn, topic string) int32 {
	t.Helper()
	return kgoTopic(t, conn, topic).Partitions[0].Leader
}

// TestCreateTopicResponse checks what CreateTopics tells beyond the code: id, counts and the
// effective configs (KIP-525).
func TestCreateTopicResponse(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = uniqueName(t), 3, 1
	topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms", Value: kmsg.StringPtr("7777777")}}
	req := at(kmsg.NewPtrCreateTopicsRequest(), 7)
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 30_000
	got := ask[*kmsg.CreateTopicsResponse](t, conn, req).Topics[0]
	if got.ErrorCode != 0 || got.NumPartitions != 3 || got.ReplicationFactor != 1 || got.TopicID == [16]byte{} {
		t.Errorf("created: %+v", got)
	}
	found := false
	for _, c := range got.Configs {
		if c.Name == "retention.ms" {
			found = c.Value != nil && *c.Value == "7777777" && c.Source == 1
		}
	}
	if !found || len(got.Configs) < 20 {
		t.Errorf("%d configs, retention.ms right: %v", len(got.Configs), found)
	}
	if _, err := newAdmin(t).DeleteTopic(testContext(t), topic.Topic); err != nil {
		t.Error(err)
	}
}

// TestCreatePartitionsErrors asks for counts that cannot be.
func TestCreatePartitionsErrors(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	topic := newTopic(t, 3)
	for _, c := range []struct {
		name  string
		topic string
		count int32
		code  int16
	}{
		{"more", topic, 4, 0}, {"as many", topic, 3, 37}, {"fewer", topic, 2, 37}, {"unknown topic", uniqueName(t), 4, 3},
	} {
		req := at(kmsg.NewPtrCreatePartitionsRequest(), 3)
		req.TimeoutMillis, req.ValidateOnly = 30_000, true
		req.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: c.topic, Count: c.count}}
		wantCode(t, c.name, ask[*kmsg.CreatePartitionsResponse](t, conn, req).Topics[0].ErrorCode, c.code)
	}
}

// TestDescribeConfigs reads a topic's and the broker's configs through both libraries.
func TestDescribeConfigs(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	topic := newTopic(t, 1, "max.message.bytes=54321", "cleanup.policy=compact,delete")
	admin := newAdmin(t)
	described, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil || described[0].Err != nil {
		t.Fatal(err, described)
	}
	want := map[string]string{
		"max.message.bytes": "54321", "cleanup.policy": "compact,delete", "min.insync.replicas": "1",
		"message.timestamp.type": "CreateTime", "compression.type": "producer",
	}
	seen := 0
	for _, c := range described[0].Configs {
		value, asked := want[c.Key]
		if !asked {
			continue
		}
		seen++
		ofTopic := c.Key == "max.message.bytes" || c.Key == "cleanup.policy"
		if c.MaybeValue() != value || (c.Source == kmsg.ConfigSourceDynamicTopicConfig) != ofTopic || c.Sensitive {
			t.Errorf("%s = %q from %v, want %q, set for the topic: %v", c.Key, c.MaybeValue(), c.Source, value, ofTopic)
		}
	}
	if seen != len(want) {
		t.Errorf("%d of %d configs shown", seen, len(want))
	}

	rd, err := kafka.NewAdminClient(rdConfig(""))
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	results, err := rd.DescribeConfigs(ctx, []kafka.ConfigResource{{Type: kafka.ResourceTopic, Name: topic}})
	if err != nil || results[0].Error.Code() != kafka.ErrNoError || results[0].Config["max.message.bytes"].Value != "54321" {
		t.Errorf("librdkafka: %v, %v", err, results)
	}

	cluster, err := admin.BrokerMetadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	brokers, err := admin.DescribeBrokerConfigs(ctx, cluster.Brokers[0].NodeID)
	if err != nil || brokers[0].Err != nil {
		t.Fatal(err, brokers)
	}
	names := make(map[string]bool)
	for _, c := range brokers[0].Configs {
		names[c.Key] = true
	}
	for _, name := range []string{"message.max.bytes", "auto.create.topics.enable", "node.id", "log.dirs", "num.partitions"} {
		if !names[name] {
			t.Errorf("broker config %s is not shown", name)
		}
	}

	conn := newConn(t)
	req := at(kmsg.NewPtrDescribeConfigsRequest(), 4)
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: uniqueName(t)}}
	wantCode(t, "configs of an unknown topic", ask[*kmsg.DescribeConfigsResponse](t, conn, req).Resources[0].ErrorCode, 3)
}

// TestDescribeCluster compares what DescribeCluster, Metadata and librdkafka say about the cluster.
func TestDescribeCluster(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	metadata := ask[*kmsg.MetadataResponse](t, conn, at(kmsg.NewPtrMetadataRequest(), 9))
	if len(metadata.Brokers) == 0 || metadata.ClusterID == nil || len(*metadata.ClusterID) != 22 {
		t.Fatalf("metadata: %d brokers, cluster %v", len(metadata.Brokers), metadata.ClusterID)
	}
	node := metadata.Brokers[0]
	if fmt.Sprintf("%s:%d", node.Host, node.Port) != suite.endpoint {
		t.Logf("the broker calls itself %s:%d, it was reached at %s", node.Host, node.Port, suite.endpoint)
	}
	req := at(kmsg.NewPtrDescribeClusterRequest(), 1)
	req.EndpointType = 1
	cluster := ask[*kmsg.DescribeClusterResponse](t, conn, req)
	if cluster.ErrorCode != 0 || cluster.ClusterID != *metadata.ClusterID || len(cluster.Brokers) != len(metadata.Brokers) ||
		cluster.Brokers[0].NodeID != node.NodeID || cluster.Brokers[0].Host != node.Host || cluster.Brokers[0].Port != node.Port {
		t.Errorf("describe cluster %+v, metadata %+v", cluster, metadata.Brokers)
	}
	rd, err := kafka.NewAdminClient(rdConfig(""))
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	if id, err := rd.ClusterID(testContext(t)); err != nil || id != cluster.ClusterID {
		t.Errorf("librdkafka: cluster %q, %v", id, err)
	}
	if _, err := rd.ControllerID(testContext(t)); err != nil {
		t.Errorf("librdkafka: controller: %v", err)
	}
}

// TestMetadataForms asks for all topics, none and some, by name and by id.
func TestMetadataForms(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 2)
	conn := newConn(t)
	id := topicID(t, conn, topic)
	metadata := func(version int16, topics []kmsg.MetadataRequestTopic) []kmsg.MetadataResponseTopic {
		t.Helper()
		req := at(kmsg.NewPtrMetadataRequest(), version)
		req.Topics = topics
		return ask[*kmsg.MetadataResponse](t, conn, req).Topics
	}
	all := func(topics []kmsg.MetadataResponseTopic) bool {
		return slices.ContainsFunc(topics, func(m kmsg.MetadataResponseTopic) bool { return m.Topic != nil && *m.Topic == topic })
	}
	if !all(metadata(0, []kmsg.MetadataRequestTopic{})) {
		t.Error("v0: an empty list means all topics")
	}
	if !all(metadata(1, nil)) || !all(metadata(12, nil)) {
		t.Error("a null list means all topics")
	}
	if got := metadata(1, []kmsg.MetadataRequestTopic{}); len(got) != 0 {
		t.Errorf("v1: an empty list means none, got %d topics", len(got))
	}
	got := metadata(12, []kmsg.MetadataRequestTopic{{TopicID: id}})
	if len(got) != 1 || got[0].ErrorCode != 0 || got[0].Topic == nil || *got[0].Topic != topic || len(got[0].Partitions) != 2 {
		t.Errorf("by id: %+v", got)
	}
	got = metadata(12, []kmsg.MetadataRequestTopic{{TopicID: [16]byte{7}}})
	if len(got) != 1 || got[0].ErrorCode != 100 {
		t.Errorf("by an unknown id: %+v", got)
	}
	bad := "not a name!"
	got = metadata(9, []kmsg.MetadataRequestTopic{{Topic: &bad}})
	if len(got) != 1 || got[0].ErrorCode != 17 {
		t.Errorf("by a bad name: %+v", got)
	}
}

// TestAutoCreate lets producers and metadata requests create topics, and consumers not.
func TestAutoCreate(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	ask9 := func(topic string, allow bool) kmsg.MetadataResponseTopic {
		t.Helper()
		req := at(kmsg.NewPtrMetadataRequest(), 9)
		req.AllowAutoTopicCreation = allow
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
		return ask[*kmsg.MetadataResponse](t, conn, req).Topics[0]
	}
	byMetadata := uniqueName(t)
	wantCode(t, "without leave", ask9(byMetadata, false).ErrorCode, 3)
	wantCode(t, "still without", ask9(byMetadata, false).ErrorCode, 3)
	// Apache Kafka says 3 to the request that creates, and 5 to one in between.
	if code := ask9(byMetadata, true).ErrorCode; code != 3 && code != 5 {
		t.Errorf("the creating request: code %d, want 3", code)
	}
	eventually(t, "the created topic", func() error { return kerr.ErrorForCode(ask9(byMetadata, false).ErrorCode) })

	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			topic := uniqueName(t)
			records := plainRecords(0, 3, "v")
			var written []record
			if l.name == franz.name {
				written = franzAutoProduce(t, topic, records)
			} else {
				written = l.produce(t, topic, produceOptions{}, records) // librdkafka allows it by default
			}
			wantRecords(t, l.consume(t, consumeOptions{topic: topic, from: startOffset, count: 3}), written)
			if _, err := newAdmin(t).DeleteTopic(testContext(t), topic); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := newAdmin(t).DeleteTopic(testContext(t), byMetadata); err != nil {
		t.Error(err)
	}
}

// TestDeleteRecords raises the log start offset.
func TestDeleteRecords(t *testing.T) {
	t.Parallel()
	if !served(t, 21) {
		t.Skip("DeleteRecords is not served")
	}
	admin, ctx := newAdmin(t), testContext(t)
	topic := newTopic(t, 1)
	franzProduce(t, topic, produceOptions{}, plainRecords(0, 50, "v"))
	remove := func(offset int64) (int64, error) {
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: offset})
		got, err := admin.DeleteRecords(ctx, offsets)
		if err != nil {
			return 0, err
		}
		return got[topic][0].LowWatermark, got[topic][0].Err
	}
	if low, err := remove(20); err != nil || low != 20 {
		t.Errorf("delete up to 20: %d, %v", low, err)
	}
	if got := librdkafkaConsume(t, consumeOptions{topic: topic, from: startOffset, count: 30})[0].Offset; got != 20 {
		t.Errorf("first offset %d, want 20", got)
	}
	if _, err := remove(51); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("delete above the high watermark: %v", err)
	}
	if low, err := remove(-1); err != nil || low != 50 {
		t.Errorf("delete everything: %d, %v", low, err)
	}
}
