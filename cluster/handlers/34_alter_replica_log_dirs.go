package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/engine"
)

// AlterReplicaLogDirs (key 34), versions 1-2 (KIP-113).
//
// A replica is told which log directory to live in. The one it is in is a success.
// Replicas do not move here: another directory of this broker gets
// INVALID_REPLICA_ASSIGNMENT, as a cordoned one does in Kafka. A directory that is
// not this broker's is LOG_DIR_NOT_FOUND. Kafka remembers the directory for a
// partition that does not exist yet, which does not happen here.
// v2 flexible.
func handle34AlterReplicaLogDirs(b *Broker, r *Request) {
	var req kmsg.AlterReplicaLogDirsRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrAlterReplicaLogDirsResponse()
	at := map[string]int{} // topics may come under several directories
	for i := range req.Dirs {
		for _, rt := range req.Dirs[i].Topics {
			n, seen := at[rt.Topic]
			if !seen {
				n = len(resp.Topics)
				at[rt.Topic] = n
				resp.Topics = append(resp.Topics, kmsg.AlterReplicaLogDirsResponseTopic{Topic: rt.Topic})
			}
			for _, p := range rt.Partitions {
				result := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				result.Partition = p
				if err := b.Replicas.CheckMove(engine.TopicPartition{Topic: rt.Topic, Partition: p}, req.Dirs[i].Dir); err != nil {
					result.ErrorCode = int16(err.Code)
				}
				resp.Topics[n].Partitions = append(resp.Topics[n].Partitions, result)
			}
		}
	}
	r.Reply(resp)
}
