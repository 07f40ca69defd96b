package handlers

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/configs"
	"kserver/cluster/controller"
)

// CreateTopics (key 19), versions 2-7.
//
// Topics are created independently of each other; the answer comes when those
// that are in order can be produced to. With validate_only all checks are made and
// nothing else.
// v4 counts of -1 are the broker's defaults (KIP-464; taken in 2 and 3 too, as
// Kafka does) · v5 flexible; the answer has the counts and the effective settings
// (KIP-525) · v6 topics above controller_mutation_rate are
// refused, before they are told as a pause only (KIP-599) · v7 topic id.
func handle19CreateTopics(b *Broker, r *Request) {
	var req kmsg.CreateTopicsRequest
	if !r.Decode(&req) {
		return
	}
	topics := make([]controller.CreatableTopic, len(req.Topics))
	for i := range req.Topics {
		topics[i] = creatableTopic(&req.Topics[i])
	}
	ctx, cancel := deadline(req.TimeoutMillis)
	defer cancel()
	resp := kmsg.NewPtrCreateTopicsResponse()
	permit := r.mutations(6)
	results := b.Controller.CreateTopics(ctx, topics, req.ValidateOnly, permit.ask)
	r.pauseFor(permit)
	for _, result := range results {
		resp.Topics = append(resp.Topics, createdTopic(b, r.Version, result))
	}
	r.Reply(resp)
}

// creatableTopic copies a topic out of the request, which it outlives.
func creatableTopic(rt *kmsg.CreateTopicsRequestTopic) controller.CreatableTopic {
	t := controller.CreatableTopic{
		Name: strings.Clone(rt.Topic), NumPartitions: rt.NumPartitions, ReplicationFactor: rt.ReplicationFactor,
	}
	for _, a := range rt.ReplicaAssignment {
		t.Assignments = append(t.Assignments, controller.Assignment{Partition: a.Partition, Brokers: a.Replicas})
	}
	for _, c := range rt.Configs {
		t.Configs = append(t.Configs, controller.TopicSetting{Name: strings.Clone(c.Name), Value: cloneOf(c.Value)})
	}
	return t
}

// createdTopic lays out the result of one topic.
func createdTopic(b *Broker, version int16, result controller.TopicResult) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic = result.Name
	out.ErrorCode, out.ErrorMessage = codeAndMessage(result.Err)
	out.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // null would say "not allowed to see"
	t := result.Topic
	if t == nil || version < 5 {
		return out
	}
	out.TopicID, out.NumPartitions = t.ID, int32(len(t.Partitions))
	out.ReplicationFactor = int16(len(t.Partitions[0].Replicas))
	for _, e := range configs.DescribeTopic(b.Live.Current(), t.Configs) {
		out.Configs = append(out.Configs, kmsg.CreateTopicsResponseTopicConfig{
			Name: e.Name, Value: e.Value, ReadOnly: e.ReadOnly, Source: int8(e.Source), IsSensitive: e.Sensitive,
		})
	}
	return out
}
