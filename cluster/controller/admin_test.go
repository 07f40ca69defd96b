package controller

import (
	"fmt"
	"strings"
	"testing"

	"kserver/protocol"
)

// withPartitions opens a controller on a log that has brokers 1 (this one), 2, 3
// (fenced) and a topic with the given partitions.
func withPartitions(t *testing.T, partitions ...Partition) *Controller {
	t.Helper()
	log := &memLog{}
	records := []Record{
		&FeatureLevelRecord{Name: MetadataVersionFeature, Level: MetadataVersion},
		&RegisterBrokerRecord{Broker{ID: 2, Epoch: 1, LogDirs: []UUID{{2}}}},
		&RegisterBrokerRecord{Broker{ID: 3, Epoch: 2, Fenced: true, LogDirs: []UUID{{3}}}},
		&TopicRecord{Name: "t", ID: UUID{9}},
	}
	for i := range partitions {
		records = append(records, &PartitionRecord{TopicID: UUID{9}, Index: int32(i), Partition: partitions[i]})
	}
	b, err := encodeBatch(records, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(b, 1); err != nil {
		t.Fatal(err)
	}
	return open(t, testConfig(log.copyOf()))
}

// placed is a partition with one directory for each replica.
func placed(leader int32, replicas, isr []int32) Partition {
	p := Partition{Leader: leader, LeaderEpoch: 4, Replicas: replicas, ISR: isr}
	for _, id := range replicas {
		p.Directories = append(p.Directories, UUID{byte(id)})
	}
	return p
}

func outcomes(list []PartitionsOutcome) string {
	var out []string
	for _, o := range list {
		for _, p := range o.Partitions {
			text := "ok"
			if p.Err != nil {
				text = p.Err.Error()
			}
			out = append(out, fmt.Sprintf("%s-%d %s", o.Topic, p.Index, text))
		}
	}
	return strings.Join(out, "\n")
}

func TestElectLeaders(t *testing.T) {
	c := withPartitions(t,
		placed(1, []int32{1, 2}, []int32{1, 2}),        // 0: as it should be
		placed(2, []int32{1, 2}, []int32{2, 1}),        // 1: the second leads
		placed(2, []int32{1, 2}, []int32{2}),           // 2: the first is not in sync
		placed(2, []int32{3, 2}, []int32{2, 3}),        // 3: the first is fenced
		placed(NoLeader, []int32{3, 1}, []int32{3}),    // 4: only an unclean election helps
		placed(NoLeader, []int32{3}, []int32{3}),       // 5: nothing helps
		placed(NoLeader, []int32{3, 2}, []int32{2, 3}), // 6: the second can
	)
	elect := func(kind ElectionType, topics []TopicPartitions) string {
		t.Helper()
		got, err := c.ElectLeaders(t.Context(), kind, topics)
		if err != nil {
			t.Fatal(err)
		}
		return outcomes(got)
	}
	notNeeded := "ELECTION_NOT_NEEDED: " + protocol.ElectionNotNeeded.Message()
	preferred := "PREFERRED_LEADER_NOT_AVAILABLE: " + protocol.PreferredLeaderNotAvailable.Message()
	eligible := "ELIGIBLE_LEADERS_NOT_AVAILABLE: " + protocol.EligibleLeadersNotAvailable.Message()
	if got, want := elect(ElectPreferred, []TopicPartitions{{"t", []int32{0, 7}}, {"nope", []int32{0}}}),
		"t-0 "+notNeeded+"\nt-7 UNKNOWN_TOPIC_OR_PARTITION: No such partition as t-7\nnope-0 UNKNOWN_TOPIC_OR_PARTITION: No such topic as nope"; got != want {
		t.Errorf("named:\n%s", got)
	}
	if got, want := elect(ElectPreferred, nil), "t-1 ok\nt-2 "+preferred+"\nt-3 "+preferred+"\nt-4 "+preferred+"\nt-5 "+preferred+"\nt-6 ok"; got != want {
		t.Errorf("all:\n%s", got)
	}
	if got, want := elect(ElectUnclean, nil), "t-4 ok\nt-5 "+eligible; got != want {
		t.Errorf("unclean:\n%s", got)
	}
	topic, _ := c.Image().Topic("t")
	for i, want := range []string{"1 4 [1 2]", "1 5 [2 1]", "2 4 [2]", "2 4 [2 3]", "1 5 [1]", "-1 4 [3]", "2 5 [2 3]"} {
		p := topic.Partitions[i]
		if got := fmt.Sprint(p.Leader, p.LeaderEpoch, p.ISR); got != want {
			t.Errorf("partition %d: leader, epoch, ISR %s, want %s", i, got, want)
		}
	}
}

// TestAlterReassignments has Kafka 4.3.1's messages but for the last refusal.
func TestAlterReassignments(t *testing.T) {
	moving := placed(2, []int32{1, 2}, []int32{1, 2})
	moving.Adding = []int32{2}
	lost := placed(2, []int32{1, 2}, []int32{2})
	lost.Adding = []int32{2}
	c := withPartitions(t, placed(1, []int32{1}, []int32{1}), moving, lost)
	got, err := c.AlterReassignments(t.Context(), []Reassignment{
		{"t", []PartitionReassignment{
			{0, []int32{1}}, {0, nil}, {0, []int32{}}, {0, []int32{9}}, {0, []int32{1, 1}}, {0, []int32{2}}, {1, nil}, {2, nil}, {7, nil},
		}},
		{"nope", []PartitionReassignment{{0, nil}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const manual = "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes "
	want := "t-0 ok\n" +
		"t-0 NO_REASSIGNMENT_IN_PROGRESS: " + protocol.NoReassignmentInProgress.Message() + "\n" +
		"t-0 " + manual + "an empty replica list.\n" +
		"t-0 " + manual + "broker 9, but no such broker is registered.\n" +
		"t-0 " + manual + "the broker 1 more than once.\n" +
		"t-0 INVALID_REPLICA_ASSIGNMENT: Partition t:0 cannot move from brokers [1] to [2]: this version runs as a single node.\n" +
		"t-1 ok\n" +
		"t-2 INVALID_REPLICA_ASSIGNMENT: Unable to revert partition assignment for t:2 because it would require an unclean leader election.\n" +
		"t-7 UNKNOWN_TOPIC_OR_PARTITION: Unable to find partition t:7.\n" +
		"nope-0 UNKNOWN_TOPIC_OR_PARTITION: Unable to find a topic named nope."
	if text := outcomes(got); text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	topic, _ := c.Image().Topic("t")
	p := topic.Partitions[1]
	if p.Reassigning() || fmt.Sprint(p.Leader, p.Replicas, p.ISR, len(p.Directories)) != "1 [1] [1] 1" {
		t.Errorf("after a cancel: %+v", p)
	}
	if !topic.Partitions[2].Reassigning() {
		t.Error("a cancel that was refused took effect")
	}
}

// TestUpdateFeatures has Kafka 4.3.1's messages.
func TestUpdateFeatures(t *testing.T) {
	c := open(t, testConfig(&memLog{}))
	version := c.Image().Version
	for _, test := range []struct {
		update FeatureUpdate
		want   string
	}{
		{FeatureUpdate{MetadataVersionFeature, MetadataVersion, Upgrade}, ""},
		{FeatureUpdate{MetadataVersionFeature, MetadataVersion, SafeDowngrade}, ""},
		{FeatureUpdate{MetadataVersionFeature, MetadataVersion, 0}, "30 for feature metadata.version. The controller does not support the given upgrade type."},
		{FeatureUpdate{MetadataVersionFeature, -1, Upgrade}, "-1 for feature metadata.version. A feature version cannot be less than 0."},
		{FeatureUpdate{MetadataVersionFeature, 99, Upgrade}, "99 for feature metadata.version. Local controller 1 only supports versions 30-30"},
		{FeatureUpdate{"nope", 1, Upgrade}, "1 for feature nope. Local controller 1 does not support this feature."},
		{FeatureUpdate{"nope", 0, SafeDowngrade}, "0 for feature nope. Feature nope not found."},
	} {
		want := ""
		if test.want != "" {
			want = "INVALID_UPDATE_VERSION: Invalid update version " + test.want
		}
		got := ""
		if err := c.UpdateFeatures(t.Context(), []FeatureUpdate{test.update}, false); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%+v: %s", test.update, got)
		}
	}
	if c.Image().Version != version {
		t.Error("an update to the level there is wrote to the log")
	}
}
