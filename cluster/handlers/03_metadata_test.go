package handlers

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
	"kserver/protocol"
)

func metadataRequest(names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: str(name)})
	}
	return req
}

// described renders the topics of an answer.
func described(resp *kmsg.MetadataResponse) (out []string) {
	for _, t := range resp.Topics {
		name := "-"
		if t.Topic != nil {
			name = *t.Topic
		}
		out = append(out, fmt.Sprintf("%s %d %d", name, t.ErrorCode, len(t.Partitions)))
	}
	return out
}

func TestMetadataVersions(t *testing.T) {
	b := newAdminBroker(t, nil)
	id := makeTopic(t, b, "a", 2)
	for version := int16(0); version <= 13; version++ {
		resp := ask[*kmsg.MetadataResponse](t, b, metadataRequest("a", "a"), version)
		if len(resp.Brokers) != 1 || resp.Brokers[0].Host != "one" || resp.Brokers[0].Port != 9092 || resp.Brokers[0].NodeID != 1 {
			t.Fatalf("v%d: brokers %+v", version, resp.Brokers)
		}
		if version >= 1 && (resp.ControllerID != 1 || *resp.Brokers[0].Rack != "r1") {
			t.Errorf("v%d: controller %d", version, resp.ControllerID)
		}
		if version >= 2 && *resp.ClusterID != "some-cluster" {
			t.Errorf("v%d: cluster %s", version, *resp.ClusterID)
		}
		if len(resp.Topics) != 1 || *resp.Topics[0].Topic != "a" || len(resp.Topics[0].Partitions) != 2 {
			t.Fatalf("v%d: %v", version, described(resp))
		}
		if version >= 10 && resp.Topics[0].TopicID != id {
			t.Errorf("v%d: id %x", version, resp.Topics[0].TopicID)
		}
		p := resp.Topics[0].Partitions[1]
		if p.Partition != 1 || p.Leader != 1 || !slices.Equal(p.Replicas, []int32{1}) || !slices.Equal(p.ISR, []int32{1}) || len(p.OfflineReplicas) != 0 {
			t.Errorf("v%d: %+v", version, p)
		}
		if version >= 7 && p.LeaderEpoch != 0 {
			t.Errorf("v%d: leader epoch %d", version, p.LeaderEpoch)
		}
	}
}

func TestMetadataAllAndNone(t *testing.T) {
	b := newAdminBroker(t, nil)
	for _, name := range []string{"c", "a", "b"} {
		makeTopic(t, b, name, 1)
	}
	all := kmsg.NewPtrMetadataRequest()
	for _, version := range []int16{1, 4, 9, 13} {
		if got := described(ask[*kmsg.MetadataResponse](t, b, all, version)); !slices.Equal(got, []string{"a 0 1", "b 0 1", "c 0 1"}) {
			t.Errorf("v%d: all are %v", version, got)
		}
		if got := described(ask[*kmsg.MetadataResponse](t, b, metadataRequest(), version)); len(got) != 0 {
			t.Errorf("v%d: none are %v", version, got)
		}
	}
	if got := described(ask[*kmsg.MetadataResponse](t, b, metadataRequest(), 0)); len(got) != 3 {
		t.Errorf("v0: all are %v", got)
	}
}

func TestMetadataUnknown(t *testing.T) {
	b := newAdminBroker(t, nil)
	makeTopic(t, b, "a", 1)
	resp := ask[*kmsg.MetadataResponse](t, b, metadataRequest("none", "a", "x y", "", "none", "__consumer_offsets"), 9)
	if got, want := described(resp), []string{"none 3 0", "a 0 1", "x y 17 0", " 17 0", "__consumer_offsets 3 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !resp.Topics[4].IsInternal || resp.Topics[0].IsInternal {
		t.Error("internal")
	}
	if b.Controller.Image().TopicCount() != 1 {
		t.Error("a topic was created although that was not allowed")
	}
}

func TestMetadataCreatesTopics(t *testing.T) {
	b := newAdminBroker(t, nil)
	for _, version := range []int16{0, 3, 4, 13} {
		name := fmt.Sprintf("auto%d", version)
		req := metadataRequest(name)
		req.AllowAutoTopicCreation = true // before v4 it is not sent, and true
		if got := described(ask[*kmsg.MetadataResponse](t, b, req, version)); !slices.Equal(got, []string{name + " 3 0"}) {
			t.Errorf("v%d: %v", version, got)
		}
		makeTopic(t, b, "after."+name, 1) // answered after what was asked before it
		if got := described(ask[*kmsg.MetadataResponse](t, b, req, version)); !slices.Equal(got, []string{name + " 0 4"}) {
			t.Errorf("v%d again: %v", version, got)
		}
	}
	b.Configs.Topics.AutoCreate = false
	req := metadataRequest("not.now")
	req.AllowAutoTopicCreation = true
	ask[*kmsg.MetadataResponse](t, b, req, 9)
	makeTopic(t, b, "later", 1)
	if _, ok := b.Controller.Image().Topic("not.now"); ok {
		t.Error("created with auto.create.topics.enable=false")
	}
}

func TestMetadataByID(t *testing.T) {
	b := newAdminBroker(t, nil)
	id := makeTopic(t, b, "a", 1)
	req := metadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{{TopicID: id}, {TopicID: [16]byte{9}}, {TopicID: id}, {Topic: str("a")}}
	resp := ask[*kmsg.MetadataResponse](t, b, req, 12)
	if got := described(resp); !slices.Equal(got, []string{"a 0 1", "- 100 0"}) || resp.Topics[1].TopicID != [16]byte{9} {
		t.Errorf("%v", got)
	}
	for _, test := range []struct {
		version int16
		topic   kmsg.MetadataRequestTopic
	}{{10, kmsg.MetadataRequestTopic{TopicID: id, Topic: str("a")}}, {11, kmsg.MetadataRequestTopic{TopicID: id}}, {11, kmsg.MetadataRequestTopic{}}, {12, kmsg.MetadataRequestTopic{}}} {
		req.Topics = []kmsg.MetadataRequestTopic{test.topic}
		resp := ask[*kmsg.MetadataResponse](t, b, req, test.version)
		if len(resp.Brokers) != 0 || resp.ControllerID != -1 || resp.ClusterID != nil || len(resp.Topics) != 1 ||
			resp.Topics[0].ErrorCode != int16(protocol.InvalidRequest) || resp.Topics[0].TopicID != test.topic.TopicID {
			t.Errorf("v%d %+v: %+v", test.version, test.topic, resp)
		}
	}
}

func TestMetadataAuthorizedOperations(t *testing.T) {
	b := newAdminBroker(t, nil)
	makeTopic(t, b, "a", 1)
	req := metadataRequest("a", "none")
	const unasked = -2147483648
	for version := int16(8); version <= 13; version++ {
		req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = false, false
		resp := ask[*kmsg.MetadataResponse](t, b, req, version)
		if resp.AuthorizedOperations != unasked || resp.Topics[0].AuthorizedOperations != unasked {
			t.Errorf("v%d: not asked for", version)
		}
		req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
		resp = ask[*kmsg.MetadataResponse](t, b, req, version)
		if resp.Topics[0].AuthorizedOperations != 3576 || resp.Topics[1].AuthorizedOperations != 3576 {
			t.Errorf("v%d: topic %d", version, resp.Topics[0].AuthorizedOperations)
		}
		if want := int32(8096); version <= 10 && resp.AuthorizedOperations != want {
			t.Errorf("v%d: cluster %d", version, resp.AuthorizedOperations)
		}
	}
}

// TestMetadataOfPartitionsInTrouble looks at partitions whose leader or replicas
// cannot be reached.
func TestMetadataOfPartitionsInTrouble(t *testing.T) {
	id := controller.UUID{5}
	part := func(index, leader int32, replicas ...int32) controller.Record {
		return &controller.PartitionRecord{TopicID: id, Index: index, Partition: controller.Partition{Leader: leader, LeaderEpoch: 4, Replicas: replicas, ISR: replicas}}
	}
	b := newAdminBroker(t, nil,
		&controller.RegisterBrokerRecord{Broker: controller.Broker{ID: 2, Endpoints: []controller.Endpoint{{Name: "OTHER", Host: "two", Port: 1}}}},
		&controller.RegisterBrokerRecord{Broker: controller.Broker{ID: 3, Fenced: true, Endpoints: []controller.Endpoint{{Name: "PLAINTEXT", Host: "three", Port: 1}}}},
		&controller.TopicRecord{Name: "a", ID: id},
		part(0, -1, 1), part(1, 2, 2, 1), part(2, 1, 1, 3), part(3, 9, 9),
	)
	for version, want := range map[int16][]string{
		0:  {"-1 [1] [] 5", "-1 [1] [] 5", "1 [1] [] 9", "-1 [] [] 5"},
		5:  {"-1 [1] [] 5", "-1 [2 1] [2] 5", "1 [1 3] [3] 0", "-1 [9] [9] 5"},
		13: {"-1 [1] [] 5", "-1 [2 1] [2] 72", "1 [1 3] [3] 0", "-1 [9] [9] 5"},
	} {
		resp := ask[*kmsg.MetadataResponse](t, b, metadataRequest("a"), version)
		var got []string
		for _, p := range resp.Topics[0].Partitions {
			got = append(got, fmt.Sprint(p.Leader, " ", p.Replicas, " ", p.OfflineReplicas, " ", p.ErrorCode))
		}
		if !slices.Equal(got, want) {
			t.Errorf("v%d: got %q, want %q", version, got, want)
		}
		if len(resp.Brokers) != 1 {
			t.Errorf("v%d: brokers %v", version, resp.Brokers)
		}
	}
	cluster := kmsg.NewPtrDescribeClusterRequest()
	cluster.EndpointType = 1
	if resp := ask[*kmsg.DescribeClusterResponse](t, b, cluster, 2); len(resp.Brokers) != 1 {
		t.Errorf("cluster: %+v", resp.Brokers)
	}
	cluster.IncludeFencedBrokers = true
	if resp := ask[*kmsg.DescribeClusterResponse](t, b, cluster, 2); len(resp.Brokers) != 2 || !resp.Brokers[1].IsFenced || resp.Brokers[1].NodeID != 3 {
		t.Errorf("cluster with fenced: %+v", resp.Brokers)
	}
}

// TestMetadataOfManyTopics is described on a worker.
func TestMetadataOfManyTopics(t *testing.T) {
	id := func(i int) controller.UUID { return controller.UUID{1, byte(i >> 8), byte(i)} }
	var records []controller.Record
	const n = metadataOnLoop + 100
	for i := range n {
		records = append(records, &controller.TopicRecord{Name: fmt.Sprintf("t%04d", i), ID: id(i)},
			&controller.PartitionRecord{TopicID: id(i), Partition: controller.Partition{Leader: 1, Replicas: []int32{1}, ISR: []int32{1}}})
	}
	b := newAdminBroker(t, nil, records...)
	workers := 0
	b.Workers = func(_ int64, f func()) { workers++; go f() }
	if resp := ask[*kmsg.MetadataResponse](t, b, kmsg.NewPtrMetadataRequest(), 12); len(resp.Topics) != n || *resp.Topics[n-1].Topic != fmt.Sprintf("t%04d", n-1) {
		t.Errorf("%d topics", len(resp.Topics))
	}
	if workers != 1 {
		t.Errorf("handed to %d workers", workers)
	}
	if resp := ask[*kmsg.MetadataResponse](t, b, metadataRequest("t0001"), 12); len(resp.Topics) != 1 || workers != 1 {
		t.Errorf("one topic: %d, %d workers", len(resp.Topics), workers)
	}
}
