package group

import (
	"cmp"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// Versions of OffsetFetch at which its behaviour changes.
const (
	fetchTopLevelError = 2  // and null topics mean all
	fetchBatch         = 8  // several groups (KIP-709)
	fetchTopicIDs      = 10 // KIP-848
)

// noOffset is the answer for a partition without a committed offset.
const noOffset = -1

// fetchTopic is one topic of an OffsetFetch.
type fetchTopic struct {
	name       string
	id         [16]byte // zero: not known
	partitions []int32
	code       protocol.ErrorCode // set: the topic is answered with it
}

// fetchOffsets answers one group of an OffsetFetch for the given topics; nil
// topics means all that have offsets. Groups that are not known have none.
func (s *shard) fetchOffsets(group string, topics []fetchTopic, requireStable bool) []kmsg.OffsetFetchResponseGroupTopic {
	committed := s.offsets[group]
	all := topics == nil
	if all {
		topics = s.allTopics(committed)
	}
	out := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(topics))
	for i := range topics {
		t := &topics[i]
		rt := kmsg.OffsetFetchResponseGroupTopic{
			Topic:      t.name,
			TopicID:    t.id,
			Partitions: make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, len(t.partitions)),
		}
		for _, p := range t.partitions {
			o := committed.get(t.name, p)
			if o != nil && o.isOfOther(t.id) {
				o = nil
			}
			switch {
			case t.code != protocol.None:
				rt.Partitions = append(rt.Partitions, failedPartition(p, t.code))
			case requireStable && s.isPending(group, t.name, p):
				rt.Partitions = append(rt.Partitions, failedPartition(p, protocol.UnstableOffsetCommit))
			case o != nil || !all:
				rt.Partitions = append(rt.Partitions, fetchedPartition(p, o))
			}
		}
		out = append(out, rt)
	}
	return out
}

// isOfOther reports whether the offset was committed for another topic of the
// same name, one that was deleted.
func (o *committedOffset) isOfOther(id [16]byte) bool {
	var zero [16]byte
	return id != zero && o.topicID != zero && o.topicID != id
}

// allTopics lists what has offsets, sorted, with the ids the topics have now.
func (s *shard) allTopics(committed topicOffsets) []fetchTopic {
	topics := make([]fetchTopic, 0, len(committed))
	for name, partitions := range committed {
		info, _ := s.cfg.Topics.TopicByName(name)
		topics = append(topics, fetchTopic{name: name, id: info.ID, partitions: slices.Sorted(maps.Keys(partitions))})
	}
	slices.SortFunc(topics, func(a, b fetchTopic) int { return cmp.Compare(a.name, b.name) })
	return topics
}

func fetchedPartition(p int32, o *committedOffset) kmsg.OffsetFetchResponseGroupTopicPartition {
	out := failedPartition(p, protocol.None)
	if o != nil {
		out.Offset, out.LeaderEpoch = o.offset, o.leaderEpoch
		out.Metadata = &o.metadata
	}
	return out
}

// noMetadata is shared by all answers, which only read it.
var noMetadata = ""

func failedPartition(p int32, code protocol.ErrorCode) kmsg.OffsetFetchResponseGroupTopicPartition {
	return kmsg.OffsetFetchResponseGroupTopicPartition{
		Partition:   p,
		Offset:      noOffset,
		LeaderEpoch: -1,
		Metadata:    &noMetadata,
		ErrorCode:   int16(code),
	}
}

// fetchTopics finds the names of the topics a group's OffsetFetch asks for;
// nil when it asks for all.
func (c *Coordinator) fetchTopics(version int16, g *kmsg.OffsetFetchRequestGroup) []fetchTopic {
	if g.Topics == nil {
		return nil
	}
	out := make([]fetchTopic, 0, len(g.Topics))
	for i := range g.Topics {
		t := &g.Topics[i]
		info, code := c.resolve(version >= fetchTopicIDs, t.Topic, t.TopicID)
		ft := fetchTopic{name: t.Topic, id: info.ID, partitions: t.Partitions}
		if version >= fetchTopicIDs { // by name, a topic need not exist
			ft.name, ft.id, ft.code = info.Name, t.TopicID, code
		}
		out = append(out, ft)
	}
	return out
}

// singleGroup turns an OffsetFetch before v8 into the form of the later ones.
func singleGroup(req *kmsg.OffsetFetchRequest) kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics == nil && req.Version >= fetchTopLevelError {
		return g
	}
	g.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, 0, len(req.Topics))
	for i := range req.Topics {
		g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{
			Topic: req.Topics[i].Topic, Partitions: req.Topics[i].Partitions,
		})
	}
	return g
}

// failFetch answers a group with code: as a whole, or before v2, where there is
// no place for that, per partition.
func failFetch(version int16, result *kmsg.OffsetFetchResponseGroup, g *kmsg.OffsetFetchRequestGroup, code protocol.ErrorCode) {
	code = fetchError(code)
	if version >= fetchTopLevelError {
		result.ErrorCode = int16(code)
		return
	}
	for i := range g.Topics {
		rt := kmsg.OffsetFetchResponseGroupTopic{Topic: g.Topics[i].Topic}
		for _, p := range g.Topics[i].Partitions {
			rt.Partitions = append(rt.Partitions, failedPartition(p, code))
		}
		result.Topics = append(result.Topics, rt)
	}
}

// dropUnnamed leaves out, from v10 on, topics of a fetch of all that have no id:
// there is no way to name them.
func dropUnnamed(version int16, topics []kmsg.OffsetFetchResponseGroupTopic) []kmsg.OffsetFetchResponseGroupTopic {
	if version < fetchTopicIDs {
		return topics
	}
	var zero [16]byte
	out := topics[:0]
	for i := range topics {
		if topics[i].TopicID != zero {
			out = append(out, topics[i])
		}
	}
	return out
}

// fetchResponse puts the groups' results where the version has its place.
func fetchResponse(version int16, results []kmsg.OffsetFetchResponseGroup) *kmsg.OffsetFetchResponse {
	resp := kmsg.NewPtrOffsetFetchResponse()
	if version >= fetchBatch {
		resp.Groups = results
		return resp
	}
	result := &results[0]
	resp.ErrorCode = result.ErrorCode
	resp.Topics = make([]kmsg.OffsetFetchResponseTopic, 0, len(result.Topics))
	for i := range result.Topics {
		t := kmsg.OffsetFetchResponseTopic{
			Topic:      result.Topics[i].Topic,
			Partitions: make([]kmsg.OffsetFetchResponseTopicPartition, 0, len(result.Topics[i].Partitions)),
		}
		for _, p := range result.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, kmsg.OffsetFetchResponseTopicPartition(p))
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// fetchError maps the code of an OffsetFetch that could not run: consumers
// before Kafka 3.9 retry NOT_COORDINATOR only.
func fetchError(code protocol.ErrorCode) protocol.ErrorCode {
	if code == protocol.CoordinatorNotAvailable {
		return protocol.NotCoordinator
	}
	return code
}
