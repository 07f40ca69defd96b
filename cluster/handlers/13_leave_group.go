package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// LeaveGroup (key 13), versions 0-5.
//
// Removes members, which starts a rebalance of the rest. A static member may be
// named by its group instance id alone (administrative removal).
// v3 several members, a code for each (KIP-345) · v4 flexible · v5 reason
// (KIP-800).
func handle13LeaveGroup(b *Broker, r *Request) {
	req := kmsg.NewPtrLeaveGroupRequest()
	if !r.Decode(req) {
		return
	}
	r.Async()
	b.Groups.LeaveGroup(req, func(resp *kmsg.LeaveGroupResponse) { r.Reply(resp) })
}
