package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
)

// ListPartitionReassignments (key 46), version 0 (KIP-455).
//
// The moves of replicas that are under way, of all partitions (null) or of those
// named. There are none but what a larger cluster left behind.
func handle46ListPartitionReassignments(b *Broker, r *Request) {
	var req kmsg.ListPartitionReassignmentsRequest
	if !r.Decode(&req) {
		return
	}
	image := b.Controller.Image()
	resp := kmsg.NewPtrListPartitionReassignmentsResponse()
	if req.Topics == nil {
		for t := range image.Topics() {
			addReassignments(resp, t, func(yield func(int32) bool) {
				for i := range t.Partitions {
					if !yield(int32(i)) {
						return
					}
				}
			})
		}
	}
	for i := range req.Topics {
		if t, ok := image.Topic(req.Topics[i].Topic); ok {
			addReassignments(resp, t, func(yield func(int32) bool) {
				for _, index := range req.Topics[i].Partitions {
					if index >= 0 && int(index) < len(t.Partitions) && !yield(index) {
						return
					}
				}
			})
		}
	}
	r.Reply(resp)
}

// addReassignments adds those of the topic's partitions that are moving.
func addReassignments(resp *kmsg.ListPartitionReassignmentsResponse, t *controller.Topic, indexes func(func(int32) bool)) {
	out := kmsg.NewListPartitionReassignmentsResponseTopic()
	out.Topic = t.Name
	for index := range indexes {
		if p := t.Partitions[index]; p.Reassigning() {
			out.Partitions = append(out.Partitions, kmsg.ListPartitionReassignmentsResponseTopicPartition{
				Partition: index, Replicas: p.Replicas, AddingReplicas: p.Adding, RemovingReplicas: p.Removing,
			})
		}
	}
	if len(out.Partitions) > 0 {
		resp.Topics = append(resp.Topics, out)
	}
}
