package handlers

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
)

// CreatePartitions (key 37), versions 0-3.
//
// Topics are grown independently of each other; the answer comes when the new
// partitions can be produced to. With validate_only all checks are made and
// nothing else. An assignment that is empty but not null is a mistake.
// v2 flexible · v3 topics above controller_mutation_rate are refused, before they
// are told as a pause only (KIP-599).
func handle37CreatePartitions(b *Broker, r *Request) {
	var req kmsg.CreatePartitionsRequest
	if !r.Decode(&req) {
		return
	}
	topics := make([]controller.NewPartitions, len(req.Topics))
	for i := range req.Topics {
		rt := &req.Topics[i]
		topics[i] = controller.NewPartitions{Name: strings.Clone(rt.Topic), Count: rt.Count}
		if rt.Assignment == nil {
			continue
		}
		topics[i].Assignments = make([][]int32, len(rt.Assignment))
		for j := range rt.Assignment {
			topics[i].Assignments[j] = rt.Assignment[j].Replicas
		}
	}
	ctx, cancel := deadline(req.TimeoutMillis)
	defer cancel()
	resp := kmsg.NewPtrCreatePartitionsResponse()
	permit := r.mutations(3)
	results := b.Controller.CreatePartitions(ctx, topics, req.ValidateOnly, permit.ask)
	r.pauseFor(permit)
	for _, result := range results {
		out := kmsg.NewCreatePartitionsResponseTopic()
		out.Topic = result.Name
		out.ErrorCode, out.ErrorMessage = codeAndMessage(result.Err)
		resp.Topics = append(resp.Topics, out)
	}
	r.Reply(resp)
}
