package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// DeleteGroups (key 42), versions 0-3.
//
// Deletes groups that nobody is in, with their offsets, each by itself; the answer
// waits until that is durable. A group with members is NON_EMPTY_GROUP. A group
// named twice has one answer.
// v2 flexible · v3 error message, always null.
func handle42DeleteGroups(b *Broker, r *Request) {
	req := kmsg.NewPtrDeleteGroupsRequest()
	if !r.Decode(req) {
		return
	}
	r.Async()
	b.Groups.DeleteGroups(req, func(resp *kmsg.DeleteGroupsResponse) { r.Reply(resp) })
}
