package handlers

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
	"kserver/protocol"
)

// Metadata (key 3), versions 0-13.
//
// The brokers that are alive, as seen through the client's listener, and the
// topics asked for, or all of them by name. A topic that is not there is 3 (17 if
// it could not have that name, 100 if it was asked for by id); where it may be
// created by asking, its creation begins and this answer still is 3, as in Kafka
// 4: the client asks again. Topics named twice are shown once. As in Kafka, when
// any topic is asked for by id, names count for nothing.
// v0 empty is all topics · v1 null is all and empty is none; racks, controller,
// is_internal · v2 cluster id · v4 allow_auto_topic_creation, before it is true ·
// v5 offline replicas · v6 a leader without the client's listener is 72, before it
// is 5 · v7 leader epoch · v8 authorized operations (KIP-430) · v9 flexible · v10
// topic ids in answers · v11 no cluster operations · v12 topics by id (KIP-516) ·
// v13 error code for the whole (KIP-1102), never set here.
func handle03Metadata(b *Broker, r *Request) {
	var req kmsg.MetadataRequest
	if !r.Decode(&req) {
		return
	}
	image := b.Controller.Image()
	all := req.Topics == nil || r.Version == 0 && len(req.Topics) == 0
	if !all && !metadataTopicsValid(&req) {
		r.Reply(metadataRefused(&req))
		return
	}
	if n := len(req.Topics); all && image.TopicCount() > metadataOnLoop || n > metadataOnLoop {
		r.Async()
		b.Workers(small(0), func() { r.Reply(metadata(b, r, image, &req, all)) })
		return
	}
	r.Reply(metadata(b, r, image, &req, all))
}

// metadataOnLoop is how many topics are described on the event loop; describing
// this many takes well below a millisecond.
const metadataOnLoop = 200

// metadataTopicsValid reports whether the request names its topics in a way its
// version allows.
func metadataTopicsValid(req *kmsg.MetadataRequest) bool {
	for i := range req.Topics {
		t := &req.Topics[i]
		if byID := t.TopicID != [16]byte{}; byID && req.Version < 12 || !byID && t.Topic == nil {
			return false
		}
	}
	return true
}

// metadataRefused is the answer to a request that names its topics wrongly.
func metadataRefused(req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	resp := kmsg.NewPtrMetadataResponse()
	for i := range req.Topics {
		t := metadataTopic(req.Topics[i].Topic, protocol.InvalidRequest)
		if t.Topic == nil {
			t.Topic = new(string)
		}
		t.TopicID = req.Topics[i].TopicID
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// metadataTopic is a topic of an answer without partitions.
func metadataTopic(name *string, code protocol.ErrorCode) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.ErrorCode = name, int16(code)
	return t
}

// metadata makes the answer. It may run on the loop and on a worker.
func metadata(b *Broker, r *Request, image *controller.MetadataImage, req *kmsg.MetadataRequest, all bool) *kmsg.MetadataResponse {
	resp := kmsg.NewPtrMetadataResponse()
	resp.ClusterID = &image.ClusterID
	alive := aliveBrokers(image, r.Client.Listener)
	resp.ControllerID = b.adminBroker(alive)
	for _, n := range alive {
		resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{
			NodeID: n.ID, Host: n.endpoint.Host, Port: int32(n.endpoint.Port), Rack: n.Rack,
		})
	}
	m := metadataTopics{b: b, image: image, listener: r.Client.Listener, version: r.Version}
	m.create = b.Configs.Topics.AutoCreate && (r.Version < 4 || req.AllowAutoTopicCreation)
	switch {
	case all:
		m.out = make([]kmsg.MetadataResponseTopic, 0, image.TopicCount())
		for t := range image.Topics() {
			m.add(t)
		}
	case namesByID(req):
		m.byID(req)
	default:
		m.byName(req)
	}
	resp.Topics = m.out
	if req.IncludeTopicAuthorizedOperations {
		for i := range resp.Topics {
			resp.Topics[i].AuthorizedOperations = topicOperations
		}
	}
	if req.IncludeClusterAuthorizedOperations && r.Version <= 10 {
		resp.AuthorizedOperations = clusterOperations
	}
	return resp
}

func namesByID(req *kmsg.MetadataRequest) bool {
	for i := range req.Topics {
		if req.Topics[i].TopicID != [16]byte{} {
			return true
		}
	}
	return false
}

// metadataTopics collects the topics of one answer.
type metadataTopics struct {
	b        *Broker
	image    *controller.MetadataImage
	listener string
	version  int16
	create   bool
	out      []kmsg.MetadataResponseTopic
}

func (m *metadataTopics) byID(req *kmsg.MetadataRequest) {
	seen := make(map[controller.UUID]struct{}, len(req.Topics))
	for i := range req.Topics {
		id := controller.UUID(req.Topics[i].TopicID)
		if _, ok := seen[id]; ok || id.IsZero() {
			continue
		}
		seen[id] = struct{}{}
		if t, ok := m.image.TopicByID(id); ok {
			m.add(t)
			continue
		}
		t := metadataTopic(nil, protocol.UnknownTopicID)
		t.TopicID = id
		m.out = append(m.out, t)
	}
}

func (m *metadataTopics) byName(req *kmsg.MetadataRequest) {
	seen := make(map[string]struct{}, len(req.Topics))
	for i := range req.Topics {
		name := *req.Topics[i].Topic
		if _, ok := seen[name]; ok {
			continue
		}
		seen[name] = struct{}{}
		if t, ok := m.image.Topic(name); ok {
			m.add(t)
			continue
		}
		code := protocol.UnknownTopicOrPartition
		if err := protocol.ValidateTopicName(name); err != nil {
			code = protocol.CodeOf(err)
		} else if m.create {
			m.b.Controller.EnsureTopic(strings.Clone(name), nil)
		}
		t := metadataTopic(&name, code)
		t.IsInternal = protocol.IsInternalTopic(name)
		m.out = append(m.out, t)
	}
}

// add describes a topic that is there.
func (m *metadataTopics) add(t *controller.Topic) {
	out := metadataTopic(&t.Name, protocol.None)
	out.TopicID, out.IsInternal = t.ID, t.Internal
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for i, p := range t.Partitions {
		out.Partitions[i] = m.partition(t.Name, int32(i), p)
	}
	m.out = append(m.out, out)
}

func (m *metadataTopics) partition(topic string, index int32, p *controller.Partition) kmsg.MetadataResponseTopicPartition {
	out := kmsg.NewMetadataResponseTopicPartition()
	v := m.b.view(m.image, topic, index, p, m.listener)
	if v.err == protocol.ListenerNotFound && m.version < 6 {
		v.err = protocol.LeaderNotAvailable
	}
	out.Partition, out.Leader, out.LeaderEpoch = index, v.leader, p.LeaderEpoch
	out.Replicas, out.ISR, out.OfflineReplicas = p.Replicas, p.ISR, v.offline
	if m.version == 0 {
		out.Replicas, out.ISR = m.reachable(p.Replicas), m.reachable(p.ISR)
		if v.err == protocol.None && (len(out.Replicas) < len(p.Replicas) || len(out.ISR) < len(p.ISR)) {
			v.err = protocol.ReplicaNotAvailable
		}
	}
	out.ErrorCode = int16(v.err)
	return out
}

// reachable leaves out the brokers that cannot be reached; version 0 has no
// offline replicas.
func (m *metadataTopics) reachable(ids []int32) []int32 {
	var out []int32
	for _, id := range ids {
		if reachable(m.image, id, m.listener) {
			out = append(out, id)
		}
	}
	return out
}
