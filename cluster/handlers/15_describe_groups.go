package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// DescribeGroups (key 15), versions 0-6.
//
// State, protocol and members of classic groups; metadata of the members only
// in a Stable group. An unknown group is described as Dead.
// v3 authorized operations · v4 group instance id · v5 flexible · v6 an unknown
// group gives GROUP_ID_NOT_FOUND with a message (KIP-1043).
func handle15DescribeGroups(b *Broker, r *Request) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	if !r.Decode(req) {
		return
	}
	r.Async()
	b.Groups.DescribeGroups(req, func(resp *kmsg.DescribeGroupsResponse) { r.Reply(resp) })
}
