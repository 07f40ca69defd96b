package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/replica"
	"kserver/protocol"
)

// OffsetForLeaderEpoch (key 23), versions 2-4 (KIP-101, KIP-279, KIP-320).
//
// For each partition: the largest leader epoch known that is not newer than the
// requested one, and the offset at which it ended; the log end offset for the
// latest. A newer epoch than any known gives -1, -1. Leader only. It runs on a
// worker: the log may have to be read first.
// v3 replica_id · v4 flexible.
func handle23OffsetForLeaderEpoch(b *Broker, r *Request) {
	var req kmsg.OffsetForLeaderEpochRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for i := range req.Topics {
		rt := &req.Topics[i]
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			part := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			part.Partition, part.LeaderEpoch, part.EndOffset = rp.Partition, -1, -1
			var p *replica.Partition
			var end protocol.EpochEndOffset
			var err *protocol.Error
			if p, err = b.Replicas.Partition(rt.Topic, rp.Partition); err == nil {
				end, err = p.EpochEndOffset(rp.LeaderEpoch, rp.CurrentLeaderEpoch)
			}
			if err != nil {
				part.ErrorCode = int16(err.Code)
			} else {
				part.LeaderEpoch, part.EndOffset = end.Epoch, end.EndOffset
			}
			out.Partitions = append(out.Partitions, part)
		}
		resp.Topics = append(resp.Topics, out)
	}
	r.Reply(resp)
}
