package handlers

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
	"kserver/protocol"
)

// DescribeQuorum (key 55), versions 0-2 (KIP-595).
//
// The quorum of the metadata log: this node is its only voter, leads it and has
// all of it. Only partition 0 of __cluster_metadata alone may be asked for.
// v1 fetch times (KIP-836) · v2 messages, directory ids, none for a voter that
// was not added at run time, and the voters' endpoints (KIP-853): the listener
// the client came in by, since a single node opens no other for its controller.
func handle55DescribeQuorum(b *Broker, r *Request) {
	var req kmsg.DescribeQuorumRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrDescribeQuorumResponse()
	resp.ErrorMessage = new(string)
	valid := len(req.Topics) == 1 && req.Topics[0].Topic == protocol.ClusterMetadataTopic &&
		len(req.Topics[0].Partitions) == 1 && req.Topics[0].Partitions[0].Partition == 0
	for i := range req.Topics {
		out := kmsg.NewDescribeQuorumResponseTopic()
		out.Topic = req.Topics[i].Topic
		for _, p := range req.Topics[i].Partitions {
			if valid {
				out.Partitions = append(out.Partitions, quorumPartition(b))
				continue
			}
			result := kmsg.NewDescribeQuorumResponseTopicPartition()
			message := protocol.UnknownTopicOrPartition.Message()
			result.Partition, result.ErrorCode, result.ErrorMessage = p.Partition, int16(protocol.UnknownTopicOrPartition), &message
			out.Partitions = append(out.Partitions, result)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if e, ok := b.Endpoints[r.Client.Listener]; ok && valid {
		node := kmsg.NewDescribeQuorumResponseNode()
		node.NodeID = b.NodeID
		node.Listeners = []kmsg.DescribeQuorumResponseNodeListener{{Name: r.Client.Listener, Host: e.Host, Port: uint16(e.Port)}}
		resp.Nodes = append(resp.Nodes, node)
	}
	r.Reply(resp)
}

// quorumPartition is the state of the metadata log.
func quorumPartition(b *Broker) kmsg.DescribeQuorumResponseTopicPartition {
	end, now := b.Controller.Image().Version+1, time.Now().UnixMilli()
	out := kmsg.NewDescribeQuorumResponseTopicPartition()
	out.ErrorMessage = new(string)
	out.LeaderID, out.LeaderEpoch, out.HighWatermark = b.NodeID, controller.QuorumEpoch, end
	voter := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
	voter.ReplicaID, voter.LogEndOffset, voter.LastFetchTimestamp, voter.LastCaughtUpTimestamp = b.NodeID, end, now, now
	out.CurrentVoters = append(out.CurrentVoters, voter)
	return out
}
