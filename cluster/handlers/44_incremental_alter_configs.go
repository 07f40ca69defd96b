package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// IncrementalAlterConfigs (key 44), versions 0-1 (KIP-339).
//
// Changes single settings of topics, this broker (its id), the default of all
// brokers (""), groups and client metrics subscriptions: sets them, takes them
// back, adds to a list or takes from it. Resources are independent of each other,
// the settings of one are changed together or not at all. The answer comes when
// the change is durable, in force and described. With validate_only nothing is
// changed. Log levels (KIP-412) have the answers of a broker without loggers. A
// setting of the broker that cannot change while it runs is refused; Kafka takes
// and keeps keys of brokers it does not know, which are refused here too. An
// unknown operation is INVALID_REQUEST for every resource.
// v1 flexible.
func handle44IncrementalAlterConfigs(b *Broker, r *Request) {
	var req kmsg.IncrementalAlterConfigsRequest
	if !r.Decode(&req) {
		return
	}
	resources := make([]alteredResource, len(req.Resources))
	for i := range req.Resources {
		rr := &req.Resources[i]
		resources[i] = alteredResource{kind: int8(rr.ResourceType), name: rr.ResourceName}
		for _, c := range rr.Configs {
			resources[i].entries = append(resources[i].entries, alteredEntry{name: c.Name, op: int8(c.Op), value: c.Value})
		}
	}
	alterConfigs(b, resources, req.ValidateOnly)
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	for i := range resources {
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = req.Resources[i].ResourceType, resources[i].name
		out.ErrorCode, out.ErrorMessage = codeAndMessage(resources[i].err)
		resp.Resources = append(resp.Resources, out)
	}
	r.Reply(resp)
}
