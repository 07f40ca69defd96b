package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// OffsetCommit (key 8), versions 2-10.
//
// Stores a group's offsets; the answer waits until they are durable. A commit
// of a member keeps its session alive. Generation -1 without member id is a
// client that only stores offsets: the group must be Empty or new. Partitions
// that do not exist get 3 each, by id 100.
// v2-4 retention_time_ms, kept with each offset · v6 leader epoch · v7 group
// instance id · v8 flexible · v9 an unknown group gives GROUP_ID_NOT_FOUND
// instead of ILLEGAL_GENERATION (KIP-848) · v10 topic ids instead of names.
func handle08OffsetCommit(b *Broker, r *Request) {
	req := kmsg.NewPtrOffsetCommitRequest()
	if !r.Decode(req) {
		return
	}
	r.Async()
	b.Groups.OffsetCommit(req, func(resp *kmsg.OffsetCommitResponse) { r.Reply(resp) })
}
