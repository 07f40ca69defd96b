package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/group"
)

// JoinGroup (key 11), versions 0-9.
//
// Joins a classic group. The answer comes when the join phase ends, which may
// take as long as the group's rebalance timeout: until then the request is
// parked in the group coordinator.
// v1 rebalance timeout (v0: the session timeout) · v4 a first join without
// member id gets MEMBER_ID_REQUIRED and an id to join with (KIP-394) · v5 group
// instance id (KIP-345) · v6 flexible · v7 protocol type, nullable protocol
// name (KIP-559) · v8 reason (KIP-800) · v9 skip_assignment (KIP-814).
func handle11JoinGroup(b *Broker, r *Request) {
	req := kmsg.NewPtrJoinGroupRequest()
	if !r.Decode(req) {
		return
	}
	r.Async()
	b.Groups.JoinGroup(groupClient(r), req, func(resp *kmsg.JoinGroupResponse) { r.Reply(resp) })
}

// groupClient is what the group coordinator keeps of a member's connection.
func groupClient(r *Request) group.Client {
	return group.Client{ID: r.ClientIDString(), Host: r.ClientHost()}
}
