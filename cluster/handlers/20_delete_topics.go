package handlers

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
	"kserver/protocol"
)

// DeleteTopics (key 20), versions 1-6.
//
// Topics are deleted independently of each other; the answer comes when they are
// gone for everybody, though their files are removed later (file.delete.delay.ms).
// Answers come in the order of the request; Kafka shuffles them, to hide which of
// the topics a client may not see are there.
// v3 TOPIC_DELETION_DISABLED, before it INVALID_REQUEST · v4 flexible · v5 error
// message; topics above controller_mutation_rate are refused, before they are told
// as a pause only (KIP-599) · v6 topics by name or id (KIP-516).
func handle20DeleteTopics(b *Broker, r *Request) {
	var req kmsg.DeleteTopicsRequest
	if !r.Decode(&req) {
		return
	}
	var refs []controller.TopicRef
	if r.Version < 6 {
		for _, name := range req.TopicNames {
			name = strings.Clone(name)
			refs = append(refs, controller.TopicRef{Name: &name})
		}
	} else {
		for i := range req.Topics {
			refs = append(refs, controller.TopicRef{Name: cloneOf(req.Topics[i].Topic), ID: req.Topics[i].TopicID})
		}
	}
	ctx, cancel := deadline(req.TimeoutMillis)
	defer cancel()
	resp := kmsg.NewPtrDeleteTopicsResponse()
	permit := r.mutations(5)
	results := b.Controller.DeleteTopics(ctx, refs, permit.ask)
	r.pauseFor(permit)
	for _, result := range results {
		if result.Err != nil && result.Err.Code == protocol.TopicDeletionDisabled && r.Version < 3 {
			result.Err = &protocol.Error{Code: protocol.InvalidRequest}
		}
		out := kmsg.NewDeleteTopicsResponseTopic()
		out.Topic, out.TopicID = result.Name, result.ID
		out.ErrorCode, out.ErrorMessage = codeAndMessage(result.Err)
		resp.Topics = append(resp.Topics, out)
	}
	r.Reply(resp)
}
