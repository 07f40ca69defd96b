package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// OffsetDelete (key 47), version 0 (KIP-496).
//
// Deletes a group's offsets of single partitions; the answer waits until that is
// durable. Topics that the group's members subscribe to keep theirs
// (GROUP_SUBSCRIBED_TO_TOPIC), a group of another protocol type than "consumer"
// keeps all while it has members. The API never became flexible.
func handle47OffsetDelete(b *Broker, r *Request) {
	req := kmsg.NewPtrOffsetDeleteRequest()
	if !r.Decode(req) {
		return
	}
	r.Async()
	b.Groups.OffsetDelete(req, func(resp *kmsg.OffsetDeleteResponse) { r.Reply(resp) })
}
