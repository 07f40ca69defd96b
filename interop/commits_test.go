package interop

import (
	"context"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitSteps is how a library commits, and resumes, in TestCommitAndResume: it reads count records
// of partition 0 as a member of the group, commits in the given manner, leaves, and returns them.
var commitSteps = map[string]func(t *testing.T, group, topic string, count int, async bool) []record{
	"franz-go":   franzCommitStep,
	"librdkafka": librdkafkaCommitStep,
}

func franzCommitStep(t *testing.T, group, topic string, count int, async bool) []record {
	t.Helper()
	client := newKgo(t, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	ctx := testContext(t)
	var got []record
	var polled []*kgo.Record
	for len(got) < count {
		fetches := client.PollRecords(ctx, count-len(got))
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got, polled = append(got, fromKgo(r)), append(polled, r) })
	}
	if !async {
		if err := client.CommitRecords(ctx, polled...); err != nil {
			t.Fatalf("commit: %v", err)
		}
		return got
	}
	last := polled[len(polled)-1]
	failed := make(chan error, 1)
	client.CommitOffsets(ctx, map[string]map[int32]kgo.EpochOffset{topic: {0: {Epoch: last.LeaderEpoch, Offset: last.Offset + 1}}},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) {
			failed <- err
		})
	if err := <-failed; err != nil {
		t.Fatalf("commit: %v", err)
	}
	return got
}

func librdkafkaCommitStep(t *testing.T, group, topic string, count int, async bool) []record {
	t.Helper()
	consumer := newRdConsumer(t, "", "group.id", group, "go.events.channel.enable", false,
		"enable.auto.commit", async, "auto.commit.interval.ms", 50, "enable.auto.offset.store", false)
	defer consumer.Close()
	if err := consumer.Subscribe(topic, nil); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(testTimeout)
	var got []record
	var stored kafka.Offset
	committed := false
	for len(got) < count || async && !committed {
		if time.Now().After(deadline) {
			t.Fatalf("%d records of %d, committed %v", len(got), count, committed)
		}
		switch event := consumer.Poll(50).(type) {
		case *kafka.Message:
			if len(got) == count {
				continue // read ahead of what this step commits
			}
			got = append(got, fromRd(event))
			if _, err := consumer.StoreMessage(event); err != nil {
				t.Fatal(err)
			}
			stored = event.TopicPartition.Offset + 1
		case kafka.OffsetsCommitted:
			for _, tp := range event.Offsets {
				committed = committed || event.Error == nil && tp.Error == nil && tp.Offset == stored && len(got) == count
			}
		}
	}
	if !async {
		if _, err := consumer.Commit(); err != nil {
			t.Fatalf("commit: %v", err)
		}
	}
	return got
}

// TestCommitAndResume reads a partition in portions, each by a new member that resumes where the last
// one of either library committed, synchronously and asynchronously.
func TestCommitAndResume(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"sync", "async"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			topic, group := newTopic(t, 1), uniqueName(t)
			written := franzProduce(t, topic, produceOptions{codec: "zstd"}, plainRecords(0, 100, "v"))
			at := 0
			for i, count := range []int{7, 13, 30, 50} {
				step := commitSteps[libraries[i%len(libraries)].name]
				got := step(t, group, topic, count, mode == "async")
				wantRecords(t, got, written[at:at+count])
				at += count
				wantCommitted(t, group, topic, at)
			}
		})
	}
}

// TestCommitMetadata stores offsets without membership, as monitoring tools and Storm do, and
// reads them back with metadata and leader epoch.
func TestCommitMetadata(t *testing.T) {
	t.Parallel()
	topic, group := newTopic(t, 3), uniqueName(t)
	admin, ctx := newAdmin(t), testContext(t)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 42, LeaderEpoch: 0, Metadata: "some metadata"})
	offsets.Add(kadm.Offset{Topic: topic, Partition: 2, At: 0, LeaderEpoch: -1, Metadata: ""})
	committed, err := admin.CommitOffsets(ctx, group, offsets)
	if err != nil || committed.Error() != nil {
		t.Fatal(err, committed.Error())
	}
	read, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[int32]kadm.Offset{
		0: {Topic: topic, Partition: 0, At: 42, LeaderEpoch: 0, Metadata: "some metadata"},
		2: {Topic: topic, Partition: 2, At: 0, LeaderEpoch: -1},
	} {
		got := read[topic][p].Offset
		got.TopicID = want.TopicID // filled in by newer versions of the request
		if got != want {
			t.Errorf("partition %d: %+v, want %+v", p, got, want)
		}
	}
	if _, found := read[topic][1]; found {
		t.Error("partition 1 has a committed offset, none was committed")
	}
	// librdkafka reads the same.
	consumer := newRdConsumer(t, "", "group.id", group)
	defer consumer.Close()
	tps, err := consumer.Committed([]kafka.TopicPartition{{Topic: &topic, Partition: 0}, {Topic: &topic, Partition: 1}, {Topic: &topic, Partition: 2}}, 30_000)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []kafka.Offset{42, kafka.OffsetInvalid, 0} {
		if tps[i].Offset != want || tps[i].Error != nil {
			t.Errorf("librdkafka: partition %d committed %v (%v), want %v", i, tps[i].Offset, tps[i].Error, want)
		}
	}
	if tps[0].Metadata == nil || *tps[0].Metadata != "some metadata" {
		t.Errorf("librdkafka: metadata %v", tps[0].Metadata)
	}
}

// TestCommitErrors checks the codes of commits that must not be stored. Codes as Apache Kafka 4.3.1
// gives them.
func TestCommitErrors(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := coordinatorConn(t, suite.endpoint, "any")
	commit := func(group string, generation int32, member, topic string, metadata int) int16 {
		t.Helper()
		text := string(make([]byte, metadata))
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset, p.Metadata = 1, &text
		req := at(kmsg.NewPtrOffsetCommitRequest(), 8)
		req.Group, req.Generation, req.MemberID = group, generation, member
		req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
		resp := ask[*kmsg.OffsetCommitResponse](t, conn, req)
		return resp.Topics[0].Partitions[0].ErrorCode
	}
	group := unknownGroup(t)
	wantCode(t, "simple commit", commit(group, -1, "", topic, 0), 0)
	wantCode(t, "metadata of 4096 bytes", commit(group, -1, "", topic, 4096), 0)
	wantCode(t, "metadata of 4097 bytes", commit(group, -1, "", topic, 4097), 12)
	wantCode(t, "topic that does not exist", commit(group, -1, "", uniqueName(t), 0), 3)
	wantCode(t, "generation of an unknown group", commit(unknownGroup(t), 5, "someone", topic, 0), 22)
	wantCode(t, "unknown member", commit(group, 1, "someone", topic, 0), 25)

	// Fetching what nobody committed is no error.
	req := at(kmsg.NewPtrOffsetFetchRequest(), 7)
	req.Group = unknownGroup(t)
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{0}}}
	resp := ask[*kmsg.OffsetFetchResponse](t, conn, req)
	p := resp.Topics[0].Partitions[0]
	if resp.ErrorCode != 0 || p.ErrorCode != 0 || p.Offset != -1 || p.LeaderEpoch != -1 || p.Metadata == nil || *p.Metadata != "" {
		t.Errorf("offset of an unknown group: %+v", resp)
	}
}

// TestDeleteGroup removes an empty group with its offsets and refuses one with members.
func TestDeleteGroup(t *testing.T) {
	t.Parallel()
	topic, group := newTopic(t, groupPartitions), uniqueName(t)
	admin, ctx := newAdmin(t), testContext(t)
	if !served(t, 42) {
		t.Skip("DeleteGroups is not served")
	}
	book := newLedger()
	m := franz.join(t, memberOptions{group: group, topic: topic, strategy: "range", ledger: book, name: "only"})
	book.awaitOwners(t, groupPartitions, "only")
	deleted, err := admin.DeleteGroups(ctx, group)
	if err != nil || deleted[group].Err == nil || deleted[group].Err.Error()[:15] != "NON_EMPTY_GROUP" {
		t.Errorf("delete with a member: %v, %v; want NON_EMPTY_GROUP", err, deleted[group].Err)
	}
	m.close()
	awaitGroupState(t, group, "Empty")
	if deleted, err = admin.DeleteGroups(ctx, group); err != nil || deleted[group].Err != nil {
		t.Fatalf("delete: %v, %v", err, deleted[group].Err)
	}
	offsets, err := admin.FetchOffsets(context.WithoutCancel(ctx), group)
	if err != nil || len(offsets) != 0 {
		t.Errorf("offsets after the deletion: %v, %v", offsets, err)
	}
}
