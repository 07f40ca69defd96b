package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// AlterConfigs (key 33), versions 0-2.
//
// Gives topics, this broker (its id), the default of all brokers (""), groups and
// client metrics subscriptions new settings; what a resource's list does not name
// goes back to its default. Resources are independent of each other, the settings
// of one are changed together or not at all. The answer comes when the change is
// durable, in force and described. With validate_only nothing is changed. Clients
// use IncrementalAlterConfigs instead since Kafka 2.3 (KIP-339).
// v2 flexible.
func handle33AlterConfigs(b *Broker, r *Request) {
	var req kmsg.AlterConfigsRequest
	if !r.Decode(&req) {
		return
	}
	resources := make([]alteredResource, len(req.Resources))
	for i := range req.Resources {
		rr := &req.Resources[i]
		resources[i] = alteredResource{kind: int8(rr.ResourceType), name: rr.ResourceName, replace: true}
		for _, c := range rr.Configs {
			resources[i].entries = append(resources[i].entries, alteredEntry{name: c.Name, value: c.Value})
		}
	}
	alterConfigs(b, resources, req.ValidateOnly)
	resp := kmsg.NewPtrAlterConfigsResponse()
	for i := range resources {
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = req.Resources[i].ResourceType, resources[i].name
		out.ErrorCode, out.ErrorMessage = codeAndMessage(resources[i].err)
		resp.Resources = append(resp.Resources, out)
	}
	r.Reply(resp)
}
