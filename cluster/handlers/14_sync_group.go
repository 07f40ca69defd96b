package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// SyncGroup (key 14), versions 0-5.
//
// Brings the leader's assignment and takes each member's part of it. Members
// that come before the leader are parked until the assignment is durable.
// v3 group instance id · v4 flexible · v5 protocol type and name, which must be
// there and agree with the group's (KIP-559).
func handle14SyncGroup(b *Broker, r *Request) {
	req := kmsg.NewPtrSyncGroupRequest()
	if !r.Decode(req) {
		return
	}
	r.Async()
	b.Groups.SyncGroup(req, func(resp *kmsg.SyncGroupResponse) { r.Reply(resp) })
}
