package handlers

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
	"kserver/protocol"
)

// AlterPartitionReassignments (key 45), versions 0-1 (KIP-455).
//
// Moves the replicas of partitions to other brokers; null cancels a move. One node
// has no other broker: the assignment there is is a success, a move that a larger
// cluster left behind can be cancelled, and everything else is refused as Kafka
// refuses brokers that are not registered.
// v1 allow_replication_factor_change, which is given back; there is nothing to
// allow.
func handle45AlterPartitionReassignments(b *Broker, r *Request) {
	var req kmsg.AlterPartitionAssignmentsRequest
	if !r.Decode(&req) {
		return
	}
	topics := make([]controller.Reassignment, len(req.Topics))
	for i := range req.Topics {
		topics[i].Topic = strings.Clone(req.Topics[i].Topic)
		for _, p := range req.Topics[i].Partitions {
			topics[i].Partitions = append(topics[i].Partitions, controller.PartitionReassignment{Index: p.Partition, Replicas: p.Replicas})
		}
	}
	ctx, cancel := deadline(req.TimeoutMillis)
	defer cancel()
	resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	outcomes, err := b.Controller.AlterReassignments(ctx, topics)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		outcomes = failReassignments(topics, err)
	}
	for _, o := range outcomes {
		out := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic = o.Topic
		for _, p := range o.Partitions {
			result := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			result.Partition = p.Index
			result.ErrorCode, result.ErrorMessage = codeAndMessage(p.Err)
			out.Partitions = append(out.Partitions, result)
		}
		resp.Topics = append(resp.Topics, out)
	}
	r.Reply(resp)
}

// failReassignments answers every partition of a request with the same error.
func failReassignments(topics []controller.Reassignment, err *protocol.Error) []controller.PartitionsOutcome {
	var out []controller.PartitionsOutcome
	for i := range topics {
		o := controller.PartitionsOutcome{Topic: topics[i].Topic}
		for _, p := range topics[i].Partitions {
			o.Partitions = append(o.Partitions, controller.PartitionOutcome{Index: p.Index, Err: err})
		}
		out = append(out, o)
	}
	return out
}
