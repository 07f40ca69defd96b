package interop

import (
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Monitoring programs cannot be had as packages here: kafka_exporter and kminion are no modules of Go's proxy.
// These tests ask what the two ask, by the libraries they are built on, and compute what they export.

// monitored makes a topic of 30 records and a group that has committed up to 12.
func monitored(t *testing.T) (topic, group string) {
	t.Helper()
	topic, group = newTopic(t, 1, "retention.ms=7654321"), uniqueName(t)
	franzProduce(t, topic, produceOptions{}, plainRecords(0, 30, "v"))
	commitAt(t, suite.endpoint, group, topic, 12)
	return topic, group
}

// TestMonitorByOldVersions asks as kafka_exporter does: sarama at Kafka 2.0, groups by the first versions,
// and OffsetFetch for all topics of a group by naming none.
func TestMonitorByOldVersions(t *testing.T) {
	t.Parallel()
	topic, group := monitored(t)
	config := sarama.NewConfig()
	config.Version = sarama.V2_0_0_0
	client, err := sarama.NewClient([]string{suite.endpoint}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	end, err := client.GetOffset(topic, 0, sarama.OffsetNewest)
	if err != nil || end != 30 {
		t.Errorf("newest offset %d, want 30: %v", end, err)
	}
	if oldest, err := client.GetOffset(topic, 0, sarama.OffsetOldest); err != nil || oldest != 0 {
		t.Errorf("oldest offset %d, want 0: %v", oldest, err)
	}
	replicas, err1 := client.Replicas(topic, 0)
	inSync, err2 := client.InSyncReplicas(topic, 0)
	leader, err3 := client.Leader(topic, 0)
	if err1 != nil || err2 != nil || err3 != nil || len(replicas) != 1 || len(inSync) != 1 || leader.ID() != replicas[0] {
		t.Fatalf("replicas %v, in sync %v, leader %v: %v %v %v", replicas, inSync, leader, err1, err2, err3)
	}
	if err := leader.Open(config); err != nil && err != sarama.ErrAlreadyConnected {
		t.Fatal(err)
	}
	groups, err := leader.ListGroups(&sarama.ListGroupsRequest{})
	if err != nil || groups.Groups[group] != "consumer" && groups.Groups[group] != "" {
		t.Errorf("groups: protocol type %q: %v", groups.Groups[group], err)
	}
	if _, listed := groups.Groups[group]; !listed {
		t.Errorf("%s is not listed", group)
	}
	described, err := leader.DescribeGroups(&sarama.DescribeGroupsRequest{Groups: []string{group}})
	if err != nil || len(described.Groups) != 1 || described.Groups[0].State != "Empty" || len(described.Groups[0].Members) != 0 {
		t.Errorf("described %+v: %v", described, err)
	}
	committed, err := leader.FetchOffset(&sarama.OffsetFetchRequest{ConsumerGroup: group, Version: 4})
	if err != nil {
		t.Fatal(err)
	}
	if block := committed.GetBlock(topic, 0); len(committed.Blocks) != 1 || block == nil || end-block.Offset != 18 {
		t.Errorf("committed %+v, want a lag of 18", committed.Blocks)
	}
}

// TestMonitorByAdmin asks as kminion does when it reads groups from the administrator's requests.
func TestMonitorByAdmin(t *testing.T) {
	t.Parallel()
	topic, group := monitored(t)
	admin, ctx := newAdmin(t), testContext(t)
	lags, err := admin.Lag(ctx, group)
	if err == nil {
		err = lags.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	if lag, found := lags[group].Lag.Lookup(topic, 0); !found || lag.Lag != 18 || lags[group].State != "Empty" {
		t.Errorf("lag %+v in state %s, want 18 and Empty", lag, lags[group].State)
	}
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, ofBroker := range dirs {
		for path, dir := range ofBroker {
			if dir.Err != nil {
				t.Errorf("%s: %v", path, dir.Err)
			}
			if p, ok := dir.Topics[topic][0]; ok {
				found++
				if p.Size <= 0 || p.OffsetLag != 0 || p.IsFuture {
					t.Errorf("%s: %+v", path, p)
				}
			}
		}
	}
	if found != 1 {
		t.Errorf("%s is in %d log directories, want 1", topic, found)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	if got := configValue(configs, "retention.ms"); got != "7654321" {
		t.Errorf("retention.ms is %q", got)
	}
}

// TestMonitorByOffsetsTopic reads what groups committed from __consumer_offsets, as kminion and Burrow do.
func TestMonitorByOffsetsTopic(t *testing.T) {
	t.Parallel()
	topic, group := monitored(t)
	client := newKgo(t, kgo.ConsumeTopics("__consumer_offsets"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx := testContext(t)
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			key, value := kmsg.NewOffsetCommitKey(), kmsg.NewOffsetCommitValue()
			if len(r.Key) < 2 || r.Key[1] > 1 || key.ReadFrom(r.Key) != nil || key.Group != group || len(r.Value) == 0 {
				continue // a group's own record, another group, or a tombstone
			}
			if err := value.ReadFrom(r.Value); err != nil {
				t.Fatal(err)
			}
			if key.Topic != topic || key.Partition != 0 || value.Offset != 12 {
				t.Errorf("%s committed %+v for %s/%d, want 12", group, value, key.Topic, key.Partition)
			}
			return
		}
	}
}
