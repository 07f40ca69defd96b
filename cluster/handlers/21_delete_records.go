package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// DeleteRecords (key 21), versions 0-2.
//
// Raises the log start offset of partitions, -1 to the high watermark; above it is
// OFFSET_OUT_OF_RANGE. The answer, the low watermark of each, comes when the new
// start is durable. Files go with the next look at retention. Topics that are only
// compacted refuse (POLICY_VIOLATION), internal ones too (INVALID_TOPIC_EXCEPTION).
// There is no other replica to wait for, so timeout_ms is not used.
// v2 flexible.
func handle21DeleteRecords(b *Broker, r *Request) {
	var req kmsg.DeleteRecordsRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrDeleteRecordsResponse()
	for i := range req.Topics {
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = req.Topics[i].Topic
		for _, rp := range req.Topics[i].Partitions {
			result := kmsg.NewDeleteRecordsResponseTopicPartition()
			result.Partition = rp.Partition
			low, err := deleteRecords(b, out.Topic, rp.Partition, rp.Offset)
			result.LowWatermark = low
			if err != nil {
				result.ErrorCode = int16(err.Code)
			}
			out.Partitions = append(out.Partitions, result)
		}
		resp.Topics = append(resp.Topics, out)
	}
	r.Reply(resp)
}

func deleteRecords(b *Broker, topic string, partition int32, offset int64) (lowWatermark int64, _ *protocol.Error) {
	p, err := b.Replicas.Partition(topic, partition)
	if err != nil {
		return -1, err
	}
	return p.DeleteRecords(offset)
}
