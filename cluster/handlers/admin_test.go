package handlers

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
	"kserver/protocol"
)

func message(m *string) string {
	if m == nil {
		return "null"
	}
	return *m
}

func TestCreateTopicsVersions(t *testing.T) {
	b := newAdminBroker(t, nil)
	for version := int16(2); version <= 7; version++ {
		good, bad := kmsg.NewCreateTopicsRequestTopic(), kmsg.NewCreateTopicsRequestTopic()
		good.Topic, good.NumPartitions, good.ReplicationFactor = fmt.Sprintf("t%d", version), -1, -1
		good.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms", Value: str("60000")}}
		bad.Topic, bad.NumPartitions, bad.ReplicationFactor = "bad", 1, 3
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis, req.Topics = 10000, append(req.Topics, good, bad)
		resp := ask[*kmsg.CreateTopicsResponse](t, b, req, version)
		if len(resp.Topics) != 2 || resp.Topics[0].ErrorCode != 0 || resp.Topics[0].ErrorMessage != nil {
			t.Fatalf("v%d: %+v", version, resp.Topics)
		}
		if r := resp.Topics[1]; r.ErrorCode != int16(protocol.InvalidReplicationFactor) || r.ErrorMessage == nil {
			t.Errorf("v%d: %d %s", version, r.ErrorCode, message(r.ErrorMessage))
		}
		topic, ok := b.Controller.Image().Topic(good.Topic)
		if !ok || topic.Configs["retention.ms"] != "60000" || topic.Name != fmt.Sprintf("t%d", version) {
			t.Fatalf("v%d: %+v", version, topic)
		}
		if version < 5 {
			continue
		}
		r := resp.Topics[0]
		if r.NumPartitions != 4 || r.ReplicationFactor != 1 || r.ConfigErrorCode != 0 || len(r.Configs) < 25 {
			t.Errorf("v%d: %+v", version, r)
		}
		at := slices.IndexFunc(r.Configs, func(c kmsg.CreateTopicsResponseTopicConfig) bool { return c.Name == "retention.ms" })
		if at < 0 || *r.Configs[at].Value != "60000" || r.Configs[at].Source != 1 {
			t.Errorf("v%d: %+v", version, r.Configs)
		}
		if e := resp.Topics[1]; e.NumPartitions != -1 || e.ReplicationFactor != -1 || e.Configs == nil || len(e.Configs) != 0 {
			t.Errorf("v%d: error %+v", version, e)
		}
		if version == 7 && r.TopicID != topic.ID {
			t.Errorf("id %x", r.TopicID)
		}
	}
}

// TestAdminTimeout sends requests whose time has run out on arrival.
func TestAdminTimeout(t *testing.T) {
	b := newAdminBroker(t, nil)
	makeTopic(t, b, "there", 1)
	for _, timeout := range []int32{0, -1} {
		create := kmsg.NewPtrCreateTopicsRequest()
		create.TimeoutMillis = timeout
		create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "a", NumPartitions: 1, ReplicationFactor: 1}}
		if r := ask[*kmsg.CreateTopicsResponse](t, b, create, 5).Topics[0]; r.ErrorCode != 7 || r.ErrorMessage != nil {
			t.Errorf("create: %+v", r)
		}
		remove := kmsg.NewPtrDeleteTopicsRequest()
		remove.TimeoutMillis, remove.TopicNames = timeout, []string{"there"}
		if r := ask[*kmsg.DeleteTopicsResponse](t, b, remove, 5).Topics[0]; r.ErrorCode != 7 || r.ErrorMessage != nil || *r.Topic != "there" {
			t.Errorf("delete: %+v", r)
		}
		grow := kmsg.NewPtrCreatePartitionsRequest()
		grow.TimeoutMillis, grow.Topics = timeout, []kmsg.CreatePartitionsRequestTopic{{Topic: "there", Count: 2}}
		if r := ask[*kmsg.CreatePartitionsResponse](t, b, grow, 3).Topics[0]; r.ErrorCode != 7 || r.ErrorMessage != nil {
			t.Errorf("partitions: %+v", r)
		}
	}
	if n := b.Controller.Image().TopicCount(); n != 1 {
		t.Errorf("%d topics", n)
	}
}

func TestDeleteTopicsVersions(t *testing.T) {
	b := newAdminBroker(t, nil)
	for version := int16(1); version <= 6; version++ {
		name := fmt.Sprintf("t%d", version)
		id := makeTopic(t, b, name, 1)
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis, req.TopicNames = 10000, []string{"none", name}
		req.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: str("none")}, {TopicID: id}}
		resp := ask[*kmsg.DeleteTopicsResponse](t, b, req, version)
		if len(resp.Topics) != 2 || resp.Topics[0].ErrorCode != 3 || resp.Topics[1].ErrorCode != 0 || *resp.Topics[1].Topic != name {
			t.Fatalf("v%d: %+v", version, resp.Topics)
		}
		want := "null"
		if version >= 5 {
			want = "This server does not host this topic-partition."
		}
		if got := message(resp.Topics[0].ErrorMessage); got != want {
			t.Errorf("v%d: %s", version, got)
		}
		if version == 6 && resp.Topics[1].TopicID != id {
			t.Errorf("id %x", resp.Topics[1].TopicID)
		}
	}
}

func TestDeleteTopicsDisabled(t *testing.T) {
	b := newAdminBroker(t, func(c *controller.Config) { c.DisableDelete = true })
	makeTopic(t, b, "a", 1)
	for version, code := range map[int16]protocol.ErrorCode{
		1: protocol.InvalidRequest, 2: protocol.InvalidRequest, 3: protocol.TopicDeletionDisabled, 6: protocol.TopicDeletionDisabled,
	} {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis, req.TopicNames, req.Topics = 10000, []string{"a"}, []kmsg.DeleteTopicsRequestTopic{{Topic: str("a")}}
		if r := ask[*kmsg.DeleteTopicsResponse](t, b, req, version).Topics[0]; r.ErrorCode != int16(code) || r.ErrorMessage != nil {
			t.Errorf("v%d: %+v", version, r)
		}
	}
}

func TestCreatePartitionsHandler(t *testing.T) {
	b := newAdminBroker(t, nil)
	makeTopic(t, b, "a", 1)
	grow := func(version int16, validate bool, topic kmsg.CreatePartitionsRequestTopic) kmsg.CreatePartitionsResponseTopic {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis, req.ValidateOnly, req.Topics = 10000, validate, []kmsg.CreatePartitionsRequestTopic{topic}
		return ask[*kmsg.CreatePartitionsResponse](t, b, req, version).Topics[0]
	}
	empty := []kmsg.CreatePartitionsRequestTopicAssignment{}
	one := []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: []int32{1}}}
	for _, test := range []struct {
		topic   kmsg.CreatePartitionsRequestTopic
		code    int16
		message string
	}{
		{kmsg.CreatePartitionsRequestTopic{Topic: "a", Count: 1}, 37, "Topic already has 1 partition(s)."},
		{kmsg.CreatePartitionsRequestTopic{Topic: "none", Count: 1}, 3, "null"},
		{kmsg.CreatePartitionsRequestTopic{Topic: "a", Count: 2, Assignment: empty}, 39, "Attempted to add 1 additional partition(s), but only 0 assignment(s) were specified."},
		{kmsg.CreatePartitionsRequestTopic{Topic: "a", Count: 2, Assignment: one}, 0, "null"},
		{kmsg.CreatePartitionsRequestTopic{Topic: "a", Count: 2}, 0, "null"},
	} {
		for version := int16(0); version <= 3; version++ {
			if r := grow(version, true, test.topic); r.ErrorCode != test.code || message(r.ErrorMessage) != test.message {
				t.Errorf("v%d %+v: %d %s", version, test.topic, r.ErrorCode, message(r.ErrorMessage))
			}
		}
	}
	for version := int16(0); version <= 3; version++ {
		if r := grow(version, false, kmsg.CreatePartitionsRequestTopic{Topic: "a", Count: int32(version) + 2}); r.ErrorCode != 0 {
			t.Errorf("v%d: %d", version, r.ErrorCode)
		}
	}
	if topic, _ := b.Controller.Image().Topic("a"); len(topic.Partitions) != 5 {
		t.Errorf("%d partitions", len(topic.Partitions))
	}
}

func TestInitProducerID(t *testing.T) {
	b := newAdminBroker(t, nil)
	for version := int16(0); version <= 5; version++ {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionTimeoutMillis = -1
		if r := ask[*kmsg.InitProducerIDResponse](t, b, req, version); r.ErrorCode != 0 || r.ProducerID != int64(version) || r.ProducerEpoch != 0 {
			t.Errorf("v%d: %+v", version, r)
		}
	}
	for _, test := range []struct {
		transactional *string
		id            int64
		epoch         int16
		code          protocol.ErrorCode
	}{
		{nil, 5, 1, protocol.None}, // a client that has an id gets a new one
		{nil, 5, -1, protocol.InvalidRequest},
		{nil, -1, 5, protocol.InvalidRequest},
		{str(""), -1, -1, protocol.InvalidRequest},
		{str("tx"), -1, -1, protocol.UnsupportedVersion},
		{str("tx"), 5, 1, protocol.UnsupportedVersion},
	} {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.TransactionTimeoutMillis = test.transactional, test.id, test.epoch, 1000
		r := ask[*kmsg.InitProducerIDResponse](t, b, req, 4)
		if r.ErrorCode != int16(test.code) || r.ErrorCode != 0 && (r.ProducerID != -1 || r.ProducerEpoch != -1) {
			t.Errorf("%+v: %+v", test, r)
		}
	}
}

func TestDescribeCluster(t *testing.T) {
	b := newAdminBroker(t, nil)
	for version := int16(0); version <= 2; version++ {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.EndpointType, req.IncludeClusterAuthorizedOperations = 1, version == 1
		resp := ask[*kmsg.DescribeClusterResponse](t, b, req, version)
		if resp.ErrorCode != 0 || resp.ClusterID != "some-cluster" || resp.ControllerID != 1 || len(resp.Brokers) != 1 || *resp.Brokers[0].Rack != "r1" {
			t.Errorf("v%d: %+v", version, resp)
		}
		want := int32(-2147483648)
		if version == 1 {
			want = 8096
		}
		if resp.ClusterAuthorizedOperations != want {
			t.Errorf("v%d: operations %d", version, resp.ClusterAuthorizedOperations)
		}
	}
	for endpoint, want := range map[int8]string{
		2: "114 The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
		3: "115 Unsupported endpoint type 3",
	} {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.EndpointType = endpoint
		resp := ask[*kmsg.DescribeClusterResponse](t, b, req, 1)
		if got := fmt.Sprint(resp.ErrorCode, " ", message(resp.ErrorMessage)); got != want || resp.ControllerID != -1 || resp.ClusterID != "" {
			t.Errorf("type %d: %s, %+v", endpoint, got, resp)
		}
	}
}
