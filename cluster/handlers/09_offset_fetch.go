package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// OffsetFetch (key 9), versions 1-10.
//
// The committed offsets of a group: nothing committed, an unknown topic name or
// an unknown group is offset -1 without error. require_stable gives
// UNSTABLE_OFFSET_COMMIT for partitions that an open transaction commits
// (KIP-447).
// v2 null topics mean all, group-level error · v5 leader epoch · v6 flexible ·
// v7 require_stable · v8 several groups (KIP-709) · v9 member id and epoch,
// which classic groups ignore · v10 topic ids, unknown ones give 100.
func handle09OffsetFetch(b *Broker, r *Request) {
	req := kmsg.NewPtrOffsetFetchRequest()
	if !r.Decode(req) {
		return
	}
	r.Async()
	b.Groups.OffsetFetch(req, func(resp *kmsg.OffsetFetchResponse) { r.Reply(resp) })
}
