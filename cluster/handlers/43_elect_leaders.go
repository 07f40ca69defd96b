package handlers

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
	"kserver/protocol"
)

// ElectLeaders (key 43), versions 0-2.
//
// Makes the preferred replica lead, or in an unclean election any replica of a
// partition without leader; of all partitions (null) those that need it are
// answered, of those named all. On one node the leader is where it should be, so
// the answer is ELECTION_NOT_NEEDED.
// v0 preferred elections only · v1 election type and top-level error (KIP-460) ·
// v2 flexible.
func handle43ElectLeaders(b *Broker, r *Request) {
	var req kmsg.ElectLeadersRequest
	if !r.Decode(&req) {
		return
	}
	var topics []controller.TopicPartitions
	if req.Topics != nil {
		topics = make([]controller.TopicPartitions, len(req.Topics))
		for i := range req.Topics {
			topics[i] = controller.TopicPartitions{Topic: strings.Clone(req.Topics[i].Topic), Partitions: req.Topics[i].Partitions}
		}
	}
	kind := controller.ElectionType(req.ElectionType)
	if r.Version == 0 {
		kind = controller.ElectPreferred
	}
	resp := kmsg.NewPtrElectLeadersResponse()
	if kind != controller.ElectPreferred && kind != controller.ElectUnclean {
		err := protocol.Errorf(protocol.InvalidRequest, "Unknown election type %d", req.ElectionType)
		r.Reply(failElections(resp, topics, err))
		return
	}
	ctx, cancel := deadline(req.TimeoutMillis)
	defer cancel()
	outcomes, err := b.Controller.ElectLeaders(ctx, kind, topics)
	if err != nil {
		r.Reply(failElections(resp, topics, err))
		return
	}
	for _, o := range outcomes {
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = o.Topic
		for _, p := range o.Partitions {
			out.Partitions = append(out.Partitions, electedPartition(p.Index, p.Err))
		}
		resp.Topics = append(resp.Topics, out)
	}
	r.Reply(resp)
}

// failElections answers every partition of a request with the same error.
func failElections(resp *kmsg.ElectLeadersResponse, topics []controller.TopicPartitions, err *protocol.Error) *kmsg.ElectLeadersResponse {
	resp.ErrorCode = int16(err.Code)
	for _, t := range topics {
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			out.Partitions = append(out.Partitions, electedPartition(p, err))
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func electedPartition(index int32, err *protocol.Error) kmsg.ElectLeadersResponseTopicPartition {
	out := kmsg.NewElectLeadersResponseTopicPartition()
	out.Partition = index
	out.ErrorCode, out.ErrorMessage = codeAndMessage(err)
	return out
}
