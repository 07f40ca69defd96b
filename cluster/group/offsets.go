package group

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
)

// noProducer marks records that no producer wrote.
const noProducer = -1

// committedOffset is one committed offset (Kafka's OffsetAndMetadata).
type committedOffset struct {
	offset      int64
	leaderEpoch int32 // -1: not given
	metadata    string
	commitMs    int64
	expireMs    int64    // noTimestamp unless the commit named a retention time
	topicID     [16]byte // zero: not known, from records before Kafka 4.1
	logOffset   int64    // offset of the commit's record
}

// expired reports whether the offset is past its retention: by its own expiry
// time if it has one, else when base is retention ago.
func (o *committedOffset) expired(nowMs, baseMs int64, retention time.Duration) bool {
	if o.expireMs != noTimestamp {
		return nowMs >= o.expireMs
	}
	return nowMs-baseMs >= retention.Milliseconds()
}

// topicOffsets holds the offsets of one group: topic, then partition.
type topicOffsets map[string]map[int32]*committedOffset

func (t topicOffsets) get(topic string, partition int32) *committedOffset {
	return t[topic][partition]
}

// set reports whether the partition had no offset before.
func (t topicOffsets) set(topic string, partition int32, o *committedOffset) bool {
	byPartition := t[topic]
	if byPartition == nil {
		byPartition = make(map[int32]*committedOffset)
		t[topic] = byPartition
	}
	_, had := byPartition[partition]
	byPartition[partition] = o
	return !had
}

// remove reports whether there was an offset.
func (t topicOffsets) remove(topic string, partition int32) bool {
	byPartition := t[topic]
	if _, ok := byPartition[partition]; !ok {
		return false
	}
	delete(byPartition, partition)
	if len(byPartition) == 0 {
		delete(t, topic)
	}
	return true
}

// hasOffsets reports whether the group has offsets, committed or pending.
func (s *shard) hasOffsets(group string) bool {
	return len(s.offsets[group]) > 0 || s.hasPending(group)
}

// setOffset applies a commit.
func (s *shard) setOffset(group, topic string, partition int32, o *committedOffset) {
	t := s.offsets[group]
	if t == nil {
		t = make(topicOffsets)
		s.offsets[group] = t
	}
	if t.set(topic, partition, o) {
		s.countOffsets(+1)
	}
}

// countOffsets keeps the gauge: a shard counts from Loaded to Unloaded.
func (s *shard) countOffsets(by int64) {
	s.offsetCount += by
	if s.loaded {
		s.metrics.Offsets.Add(by)
	}
}

// removeOffset applies a tombstone: it takes pending offsets along.
func (s *shard) removeOffset(group, topic string, partition int32) {
	if t := s.offsets[group]; t != nil && t.remove(topic, partition) {
		s.countOffsets(-1)
		if len(t) == 0 {
			delete(s.offsets, group)
		}
	}
	for producer, byGroup := range s.pending {
		if t := byGroup[group]; t != nil && t.remove(topic, partition) && len(t) == 0 {
			delete(byGroup, group)
			if len(byGroup) == 0 {
				delete(s.pending, producer)
			}
		}
	}
}

// isPending reports whether an open transaction has an offset for the
// partition.
func (s *shard) isPending(group, topic string, partition int32) bool {
	for _, byGroup := range s.pending {
		if byGroup[group].get(topic, partition) != nil {
			return true
		}
	}
	return false
}

// hasPending reports whether an open transaction has an offset for the group.
func (s *shard) hasPending(group string) bool {
	for _, byGroup := range s.pending {
		if len(byGroup[group]) > 0 {
			return true
		}
	}
	return false
}

// replayOffset applies an offset commit record. Those of a producer wait for
// the end of its transaction. A group that is not known is a simple one.
func (s *shard) replayOffset(r coordinator.ReplayedRecord) error {
	var key kmsg.OffsetCommitKey
	if err := key.ReadFrom(r.Key); err != nil {
		return fmt.Errorf("offset commit key: %w", err)
	}
	if r.Value == nil {
		s.removeOffset(key.Group, key.Topic, key.Partition)
		return nil
	}
	var value kmsg.OffsetCommitValue
	if err := readValue(offsetCommitSchema, &value, r.Value); err != nil {
		return fmt.Errorf("offset of %q %s-%d: value: %w", key.Group, key.Topic, key.Partition, err)
	}
	if s.groups[key.Group] == nil {
		s.groups[key.Group] = newClassicGroup(key.Group, s.cfg.Clock.Now().UnixMilli())
	}
	o := &committedOffset{
		offset:      value.Offset,
		leaderEpoch: -1,
		metadata:    value.Metadata,
		commitMs:    value.CommitTimestamp,
		expireMs:    noTimestamp,
		topicID:     value.TopicID,
		logOffset:   r.Offset,
	}
	if value.Version >= 3 {
		o.leaderEpoch = value.LeaderEpoch
	}
	if value.Version == offsetValueExpiring {
		o.expireMs = value.ExpireTimestamp
	}
	if r.ProducerID == noProducer {
		s.setOffset(key.Group, key.Topic, key.Partition, o)
		return nil
	}
	byGroup := s.pending[r.ProducerID]
	if byGroup == nil {
		byGroup = make(map[string]topicOffsets)
		s.pending[r.ProducerID] = byGroup
	}
	if byGroup[key.Group] == nil {
		byGroup[key.Group] = make(topicOffsets)
	}
	byGroup[key.Group].set(key.Topic, key.Partition, o)
	return nil
}

// ReplayEndTransaction implements coordinator.State: the producer's pending
// offsets become committed, or go away. A plain commit that was written after a
// pending one stays: the later record wins, whatever compaction does.
func (s *shard) ReplayEndTransaction(producerID int64, _ int16, commit bool) error {
	byGroup := s.pending[producerID]
	delete(s.pending, producerID)
	if !commit {
		return nil
	}
	for group, topics := range byGroup {
		for topic, partitions := range topics {
			for partition, o := range partitions {
				if old := s.offsets[group].get(topic, partition); old == nil || old.logOffset < o.logOffset {
					s.setOffset(group, topic, partition, o)
				}
			}
		}
	}
	return nil
}
