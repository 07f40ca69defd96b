package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// ListGroups (key 16), versions 0-5.
//
// The groups this broker coordinates. While a partition of them is loading the
// answer is COORDINATOR_LOAD_IN_PROGRESS and no group.
// v3 flexible · v4 states filter and state (KIP-518) · v5 types filter and type
// (KIP-848): all are "classic". Filters ignore case; unknown names match nothing.
func handle16ListGroups(b *Broker, r *Request) {
	req := kmsg.NewPtrListGroupsRequest()
	if !r.Decode(req) {
		return
	}
	r.Async()
	b.Groups.ListGroups(req, func(resp *kmsg.ListGroupsResponse) { r.Reply(resp) })
}
