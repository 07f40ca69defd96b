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

func failedPartition(p int32, code protocol.ErrorCode) kmsg.OffsetFetchResponseGroupTopicPartition {
	none := ""
	return kmsg.OffsetFetchResponseGroupTopicPartition{
		Partition:   p,
		Offset:      noOffset,
		LeaderEpoch: -1,
		Metadata:    &none,
		ErrorCode:   int16(code),
	}
}

// fetchError maps the code of an OffsetFetch that could not run: consumers
// before Kafka 3.9 retry NOT_COORDINATOR only.
func fetchError(code protocol.ErrorCode) protocol.ErrorCode {
	if code == protocol.CoordinatorNotAvailable {
		return protocol.NotCoordinator
	}
	return code
}
