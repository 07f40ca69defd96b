package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// Heartbeat (key 12), versions 0-4.
//
// Keeps a member's session alive and tells it to rejoin (27) while the group
// prepares a rebalance.
// v3 group instance id · v4 flexible.
func handle12Heartbeat(b *Broker, r *Request) {
	req := kmsg.NewPtrHeartbeatRequest()
	if !r.Decode(req) {
		return
	}
	r.Async()
	b.Groups.Heartbeat(req, func(resp *kmsg.HeartbeatResponse) { r.Reply(resp) })
}
