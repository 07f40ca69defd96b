package handlers

import (
	"iter"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
	"kserver/protocol"
)

// DescribeTopicPartitions (key 75), version 0 (KIP-966).
//
// Topics by name, page by page: an answer holds as many partitions as the request
// allows, at least one and at most max.request.partition.size.limit, and a cursor
// that says where the next page begins. Without topic names all topics are
// described. A cursor must be on one of the topics named, else everything is 42.
func handle75DescribeTopicPartitions(b *Broker, r *Request) {
	var req kmsg.DescribeTopicPartitionsRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	if !describePageValid(&req) {
		for i := range req.Topics {
			resp.Topics = append(resp.Topics, describedTopic(&req.Topics[i].Topic, protocol.InvalidRequest))
		}
		r.Reply(resp)
		return
	}
	image := b.Controller.Image()
	limit := max(min(b.Configs.Network.MaxDescribed, int(req.ResponsePartitionLimit)), 1)
	page := describePage{b: b, image: image, listener: r.Client.Listener, cursor: req.Cursor, room: limit, resp: resp}
	if len(req.Topics) == 0 {
		page.all()
	} else {
		page.named(req.Topics)
	}
	r.Reply(resp)
}

// describePageValid checks the cursor.
func describePageValid(req *kmsg.DescribeTopicPartitionsRequest) bool {
	if req.Cursor == nil {
		return true
	}
	named := len(req.Topics) == 0 || slices.ContainsFunc(req.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool {
		return t.Topic == req.Cursor.Topic
	})
	return named && req.Cursor.Partition >= 0
}

// describedTopic is a topic of an answer without partitions.
func describedTopic(name *string, code protocol.ErrorCode) kmsg.DescribeTopicPartitionsResponseTopic {
	t := kmsg.NewDescribeTopicPartitionsResponseTopic()
	t.Topic, t.ErrorCode = name, int16(code)
	return t
}

// describePage collects one answer.
type describePage struct {
	b        *Broker
	image    *controller.MetadataImage
	listener string
	cursor   *kmsg.DescribeTopicPartitionsRequestCursor
	room     int // partitions it still may hold
	resp     *kmsg.DescribeTopicPartitionsResponse
}

func (p *describePage) all() {
	topics := p.image.Topics()
	if p.cursor != nil {
		topics = p.image.TopicsFrom(p.cursor.Topic)
	}
	p.addAll(topics)
}

func (p *describePage) addAll(topics iter.Seq[*controller.Topic]) {
	for t := range topics {
		if !p.add(t.Name, t) {
			return
		}
	}
}

func (p *describePage) named(topics []kmsg.DescribeTopicPartitionsRequestTopic) {
	names := make([]string, 0, len(topics))
	for i := range topics {
		if name := topics[i].Topic; p.cursor == nil || name >= p.cursor.Topic {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		t, _ := p.image.Topic(name)
		if !p.add(name, t) {
			return
		}
	}
}

// add describes a topic, nil for one that is not there, as far as there is room;
// false ends the page.
func (p *describePage) add(name string, t *controller.Topic) bool {
	if p.room == 0 {
		p.end(name, 0)
		return false
	}
	if t == nil {
		out := describedTopic(&name, protocol.UnknownTopicOrPartition)
		if err := protocol.ValidateTopicName(name); err != nil {
			out.ErrorCode = int16(protocol.CodeOf(err))
		}
		out.IsInternal, out.AuthorizedOperations = protocol.IsInternalTopic(name), topicOperations
		p.resp.Topics = append(p.resp.Topics, out)
		return true
	}
	first := 0
	if p.cursor != nil && name == p.cursor.Topic {
		first = min(int(p.cursor.Partition), len(t.Partitions))
	}
	last := min(len(t.Partitions), first+p.room)
	out := describedTopic(&t.Name, protocol.None)
	out.TopicID, out.IsInternal, out.AuthorizedOperations = t.ID, t.Internal, topicOperations
	for i := first; i < last; i++ {
		out.Partitions = append(out.Partitions, p.partition(t.Name, int32(i), t.Partitions[i]))
	}
	p.resp.Topics = append(p.resp.Topics, out)
	p.room -= last - first
	if last < len(t.Partitions) {
		p.end(name, int32(last))
		return false
	}
	return true
}

// end says where the next page begins.
func (p *describePage) end(topic string, partition int32) {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = topic, partition
	p.resp.NextCursor = &c
}

func (p *describePage) partition(topic string, index int32, from *controller.Partition) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	out := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	v := p.b.view(p.image, topic, index, from, p.listener)
	out.Partition, out.LeaderID, out.LeaderEpoch = index, v.leader, from.LeaderEpoch
	out.Replicas, out.ISR, out.OfflineReplicas = from.Replicas, from.ISR, v.offline
	out.EligibleLeaderReplicas = append([]int32{}, from.ELR...)
	out.LastKnownELR = append([]int32{}, from.LastKnownELR...)
	return out
}
