package handlers

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
)

// TestElectLeadersVersions has Kafka 4.3.1's answers of a single node.
func TestElectLeadersVersions(t *testing.T) {
	b := newAdminBroker(t, nil)
	makeTopic(t, b, "t", 1)
	request := func(kind int8, timeout int32, all bool) *kmsg.ElectLeadersRequest {
		req := kmsg.NewPtrElectLeadersRequest()
		req.ElectionType, req.TimeoutMillis = kind, timeout
		if !all {
			req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: []int32{0, 7}}}
		}
		return req
	}
	answer := func(r *kmsg.ElectLeadersResponse) string {
		out := fmt.Sprint(r.ErrorCode, " ", len(r.Topics))
		for _, topic := range r.Topics {
			for _, p := range topic.Partitions {
				out += fmt.Sprint(" ", p.Partition, ":", p.ErrorCode, " ", message(p.ErrorMessage))
			}
		}
		return out
	}
	for version := int16(0); version <= 2; version++ {
		named := "0 1 0:84 Leader election not needed for topic partition. 7:3 No such partition as t-7"
		unknown, timeout := "42 1 0:42 Unknown election type 5 7:42 Unknown election type 5", "7 1 0:7 null 7:7 null"
		if version == 0 { // no type, no top-level error
			unknown, timeout = named, "0 1 0:7 null 7:7 null"
		}
		for want, req := range map[string]*kmsg.ElectLeadersRequest{
			named: request(0, 1000, false), "0 1": request(0, 1000, true), timeout: request(0, 0, false),
		} {
			if got := answer(ask[*kmsg.ElectLeadersResponse](t, b, req, version)); got != want {
				t.Errorf("v%d: %s, want %s", version, got, want)
			}
		}
		if got := answer(ask[*kmsg.ElectLeadersResponse](t, b, request(5, 1000, false), version)); got != unknown {
			t.Errorf("v%d: %s, want %s", version, got, unknown)
		}
	}
}

func TestReassignmentHandlers(t *testing.T) {
	b := newAdminBroker(t, nil)
	makeTopic(t, b, "t", 1)
	for version := int16(0); version <= 1; version++ {
		for _, test := range []struct {
			timeout  int32
			replicas []int32
			want     string
		}{
			{1000, []int32{1}, "0 0 null"},
			{1000, nil, "0 85 null"},
			{1000, []int32{2}, "0 39 The manual partition assignment includes broker 2, but no such broker is registered."},
			{0, []int32{1}, "7 7 null"},
		} {
			req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
			req.TimeoutMillis, req.AllowReplicationFactorChange = test.timeout, false
			req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{
				Topic: "t", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: test.replicas}},
			}}
			r := ask[*kmsg.AlterPartitionAssignmentsResponse](t, b, req, version)
			p := r.Topics[0].Partitions[0]
			if got := fmt.Sprint(r.ErrorCode, " ", p.ErrorCode, " ", message(p.ErrorMessage)); got != test.want {
				t.Errorf("v%d %v: %s", version, test.replicas, got)
			}
			if version == 1 && r.AllowReplicationFactorChange {
				t.Errorf("v%d: replication factor may change", version)
			}
		}
	}
	for _, topics := range [][]kmsg.ListPartitionReassignmentsRequestTopic{nil, {{Topic: "t", Partitions: []int32{0, 7, -1}}, {Topic: "nope"}}} {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.Topics = topics
		if r := ask[*kmsg.ListPartitionReassignmentsResponse](t, b, req, 0); r.ErrorCode != 0 || len(r.Topics) != 0 {
			t.Errorf("%+v", r)
		}
	}
}

// TestDescribeQuorum asks for the one partition there is, and for others, which
// spoil the whole request as in Kafka.
func TestDescribeQuorum(t *testing.T) {
	b := newAdminBroker(t, nil)
	b.Endpoints = map[string]Endpoint{"PLAINTEXT": {Host: "one", Port: 9092}}
	quorum := func(version int16, topic string, partitions ...int32) *kmsg.DescribeQuorumResponse {
		req := kmsg.NewPtrDescribeQuorumRequest()
		rt := kmsg.DescribeQuorumRequestTopic{Topic: topic}
		for _, p := range partitions {
			rt.Partitions = append(rt.Partitions, kmsg.DescribeQuorumRequestTopicPartition{Partition: p})
		}
		req.Topics = append(req.Topics, rt)
		return ask[*kmsg.DescribeQuorumResponse](t, b, req, version)
	}
	for version := int16(0); version <= 2; version++ {
		r := quorum(version, "__cluster_metadata", 0)
		p := r.Topics[0].Partitions[0]
		end := b.Controller.Image().Version + 1
		if r.ErrorCode != 0 || p.ErrorCode != 0 || p.LeaderID != 1 || p.LeaderEpoch != 1 || p.HighWatermark != end || len(p.Observers) != 0 ||
			len(p.CurrentVoters) != 1 || p.CurrentVoters[0].ReplicaID != 1 || p.CurrentVoters[0].LogEndOffset != end {
			t.Errorf("v%d: %+v", version, r)
		}
		if fetched := p.CurrentVoters[0].LastFetchTimestamp > 0; fetched != (version > 0) {
			t.Errorf("v%d: last fetch %d", version, p.CurrentVoters[0].LastFetchTimestamp)
		}
		if version == 2 && (len(r.Nodes) != 1 || r.Nodes[0].Listeners[0].Port != 9092) {
			t.Errorf("nodes %+v", r.Nodes)
		}
		for _, r := range []*kmsg.DescribeQuorumResponse{
			quorum(version, "__cluster_metadata", 1), quorum(version, "t", 0), quorum(version, "__cluster_metadata", 0, 1),
		} {
			if p := r.Topics[0].Partitions[0]; r.ErrorCode != 0 || p.ErrorCode != 3 || len(p.CurrentVoters) != 0 || len(r.Nodes) != 0 {
				t.Errorf("v%d: %+v", version, r)
			}
		}
	}
}

func TestUpdateFeaturesVersions(t *testing.T) {
	b := newAdminBroker(t, nil)
	for version := int16(0); version <= 2; version++ {
		req := kmsg.NewPtrUpdateFeaturesRequest()
		req.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: "metadata.version", MaxVersionLevel: 30, UpgradeType: 1}}
		r := ask[*kmsg.UpdateFeaturesResponse](t, b, req, version)
		if r.ErrorCode != 0 || version < 2 && (len(r.Results) != 1 || message(r.Results[0].ErrorMessage) != "NONE") {
			t.Errorf("v%d: %+v", version, r)
		}
		req.FeatureUpdates[0].MaxVersionLevel = 99
		r = ask[*kmsg.UpdateFeaturesResponse](t, b, req, version)
		const want = "The update failed for all features since the following feature had an error: Invalid update version 99 for feature metadata.version. Local controller 1 only supports versions 30-30"
		if r.ErrorCode != 95 || message(r.ErrorMessage) != want || len(r.Results) != 0 {
			t.Errorf("v%d: %+v", version, r)
		}
	}
}

// A broker that is gone is forgotten, the one that runs is not.
func TestUnregisterBroker(t *testing.T) {
	b := newAdminBroker(t, nil, &controller.RegisterBrokerRecord{Broker: controller.Broker{ID: 2, Epoch: 1, Incarnation: controller.UUID{2}}})
	if _, ok := b.Controller.Image().Broker(2); !ok {
		t.Fatal("broker 2 is not registered to begin with")
	}
	for _, test := range []struct {
		id   int32
		want string
	}{
		{1, "42 Broker ID 1 is the broker that runs here: without it the cluster would have none."},
		{2, "0 null"},
		{2, "102 Broker ID 2 is not currently registered"},
	} {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = test.id
		r := ask[*kmsg.UnregisterBrokerResponse](t, b, req, 0)
		if got := fmt.Sprint(r.ErrorCode, " ", message(r.ErrorMessage)); got != test.want {
			t.Errorf("broker %d: %s", test.id, got)
		}
	}
}

// The answers of a quorum whose voters stand in the configuration, and of a broker
// without users, are Kafka's (interop/differential has more of them).
func TestRaftVotersAndUsers(t *testing.T) {
	b := newAdminBroker(t, nil)
	add := kmsg.NewPtrAddRaftVoterRequest()
	add.VoterID, add.VoterDirectoryID = 7, [16]byte{7}
	for version := int16(0); version <= 1; version++ {
		add.Listeners = nil
		if r := ask[*kmsg.AddRaftVoterResponse](t, b, add, version); r.ErrorCode != 42 {
			t.Errorf("v%d without listeners: %d %s", version, r.ErrorCode, message(r.ErrorMessage))
		}
		add.Listeners = []kmsg.AddRaftVoterRequestListener{{Name: "CONTROLLER", Host: "h", Port: 1}}
		if r := ask[*kmsg.AddRaftVoterResponse](t, b, add, version); r.ErrorCode != 35 {
			t.Errorf("v%d: %d %s", version, r.ErrorCode, message(r.ErrorMessage))
		}
	}
	remove := kmsg.NewPtrRemoveRaftVoterRequest()
	if r := ask[*kmsg.RemoveRaftVoterResponse](t, b, remove, 0); r.ErrorCode != 42 {
		t.Errorf("remove without directory: %d %s", r.ErrorCode, message(r.ErrorMessage))
	}
	users := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	if r := ask[*kmsg.DescribeUserSCRAMCredentialsResponse](t, b, users, 0); r.ErrorCode != 0 || len(r.Results) != 0 {
		t.Errorf("%+v", r)
	}
	users.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: "a"}, {Name: "b"}, {Name: "a"}}
	r := ask[*kmsg.DescribeUserSCRAMCredentialsResponse](t, b, users, 0)
	if len(r.Results) != 2 || r.Results[0].ErrorCode != 92 || r.Results[1].ErrorCode != 91 {
		t.Errorf("%+v", r)
	}
}
