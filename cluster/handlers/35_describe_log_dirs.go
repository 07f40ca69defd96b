package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/engine"
)

// DescribeLogDirs (key 35), versions 1-5 (KIP-113).
//
// The log directories with the sizes of the replicas in them: all replicas (null),
// or those asked for that there are. An offline directory is KAFKA_STORAGE_ERROR
// and empty. No replica lags behind its own high watermark, and none is on its way
// to another directory.
// v2 flexible · v3 top-level error · v4 sizes of the file system (KIP-827) · v5
// cordoned directories (KIP-1066), of which there are none.
func handle35DescribeLogDirs(b *Broker, r *Request) {
	var req kmsg.DescribeLogDirsRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	for _, d := range b.Replicas.LogDirs(describedReplicas(&req)) {
		out := kmsg.NewDescribeLogDirsResponseDir()
		out.Dir, out.TotalBytes, out.UsableBytes = d.Path, d.Total, d.Free
		if d.Err != nil {
			out.ErrorCode = int16(d.Err.Code)
		}
		for _, replica := range d.Replicas {
			if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != replica.Topic {
				out.Topics = append(out.Topics, kmsg.DescribeLogDirsResponseDirTopic{Topic: replica.Topic})
			}
			t := &out.Topics[len(out.Topics)-1]
			t.Partitions = append(t.Partitions, kmsg.DescribeLogDirsResponseDirTopicPartition{Partition: replica.Partition, Size: replica.Size})
		}
		resp.Dirs = append(resp.Dirs, out)
	}
	r.Reply(resp)
}

// describedReplicas selects the replicas a request asks for.
func describedReplicas(req *kmsg.DescribeLogDirsRequest) func(engine.TopicPartition) bool {
	if req.Topics == nil {
		return func(engine.TopicPartition) bool { return true }
	}
	wanted := map[engine.TopicPartition]bool{}
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			wanted[engine.TopicPartition{Topic: req.Topics[i].Topic, Partition: p}] = true
		}
	}
	return func(tp engine.TopicPartition) bool { return wanted[tp] }
}
