package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
)

// AlterClientQuotas (key 49), versions 0-1 (KIP-546).
//
// Sets quotas of users, client ids and pairs of them, and takes them back.
// Entities are independent of each other, the quotas of one are changed together
// or not at all. The answer comes when the change is durable, in force and
// described. With validate_only nothing is changed. An entity that comes twice is
// refused, where Kafka makes the first change and says it did not. An address is
// not resolved from a host name.
// v1 flexible.
func handle49AlterClientQuotas(b *Broker, r *Request) {
	var req kmsg.AlterClientQuotasRequest
	if !r.Decode(&req) {
		return
	}
	alterations := make([]controller.QuotaAlteration, len(req.Entries))
	for i := range req.Entries {
		entry, a := &req.Entries[i], &alterations[i]
		for _, p := range entry.Entity {
			a.Parts = append(a.Parts, controller.QuotaPart{Type: p.Type, Name: p.Name})
		}
		for _, op := range entry.Ops {
			a.Changes = append(a.Changes, controller.QuotaChange{Key: op.Key, Value: op.Value, Remove: op.Remove})
		}
	}
	ctx, cancel := deadline(int32(alterTimeout.Milliseconds()))
	defer cancel()
	results := b.Controller.AlterClientQuotas(ctx, alterations, req.ValidateOnly)
	resp := kmsg.NewPtrAlterClientQuotasResponse()
	for i := range req.Entries {
		out := kmsg.NewAlterClientQuotasResponseEntry()
		out.ErrorCode, out.ErrorMessage = codeAndMessage(results[i])
		for _, p := range req.Entries[i].Entity {
			part := kmsg.NewAlterClientQuotasResponseEntryEntity()
			part.Type, part.Name = p.Type, p.Name
			out.Entity = append(out.Entity, part)
		}
		resp.Entries = append(resp.Entries, out)
	}
	r.Reply(resp)
}
