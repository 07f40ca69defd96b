package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/replica"
	"kserver/protocol"
)

// ListOffsets (key 2), versions 1-11.
//
// A timestamp >= 0 finds the first record not older than it; negative values
// name positions: -1 latest, -2 earliest, -3 the record with the largest
// timestamp (v7), -4 earliest local (v8), -5 latest tiered (v9), -6 earliest
// pending upload (v11). Nothing found, or found at or above the reader's limit,
// is offset -1 without an error. It runs on a worker: a lookup by time reads
// the log. v4 leader epochs (KIP-320) · v6 flexible · v10 timeout_ms, which
// only a remote lookup would need.
func handle02ListOffsets(b *Broker, r *Request) {
	var req kmsg.ListOffsetsRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrListOffsetsResponse()
	seen := make(map[replica.SessionKey]int)
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			seen[replica.SessionKey{Topic: req.Topics[i].Topic, Partition: p.Partition}]++
		}
	}
	iso := replica.Isolation(req.IsolationLevel)
	for i := range req.Topics {
		rt := &req.Topics[i]
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = rt.Topic
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			part := kmsg.NewListOffsetsResponseTopicPartition()
			part.Partition, part.Offset, part.Timestamp, part.LeaderEpoch = rp.Partition, -1, -1, -1
			var found replica.OffsetAndTimestamp
			var err *protocol.Error
			if seen[replica.SessionKey{Topic: rt.Topic, Partition: rp.Partition}] > 1 {
				err = errDuplicatePartition
			} else {
				found, err = listOffset(b, r.Version, rt.Topic, rp, iso)
			}
			if err != nil {
				part.ErrorCode = int16(err.Code)
			} else {
				part.Offset, part.Timestamp, part.LeaderEpoch = found.Offset, found.Timestamp, found.LeaderEpoch
			}
			out.Partitions = append(out.Partitions, part)
		}
		resp.Topics = append(resp.Topics, out)
	}
	r.Reply(resp)
}

var errDuplicatePartition = protocol.Errorf(protocol.InvalidRequest, "The partition is in the request twice.")

// minVersionOf is the first version that has each named position.
var minVersionOf = map[int64]int16{
	replica.LatestTimestamp: 1, replica.EarliestTimestamp: 1, replica.MaxTimestamp: 7,
	replica.EarliestLocalTimestamp: 8, replica.LatestTieredTimestamp: 9, replica.EarliestPendingUploadTimestamp: 11,
}

func listOffset(b *Broker, version int16, topic string, rp *kmsg.ListOffsetsRequestTopicPartition, iso replica.Isolation) (replica.OffsetAndTimestamp, *protocol.Error) {
	if rp.Timestamp < 0 {
		if first, ok := minVersionOf[rp.Timestamp]; !ok || version < first {
			return replica.OffsetAndTimestamp{}, replica.ErrUnsupportedTimestamp
		}
	}
	p, err := b.Replicas.Partition(topic, rp.Partition)
	if err != nil {
		return replica.OffsetAndTimestamp{}, err
	}
	return p.ListOffset(rp.Timestamp, rp.CurrentLeaderEpoch, iso)
}
