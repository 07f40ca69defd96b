package controller

import (
	"context"
	"slices"

	"kserver/protocol"
)

// ElectionType says which replicas may become leader (KIP-460), with Kafka's codes.
type ElectionType int8

// The kinds of elections.
const (
	// ElectPreferred makes the first replica the leader, if it is in sync.
	ElectPreferred ElectionType = 0
	// ElectUnclean makes any replica the leader of a partition without one; records
	// may be lost.
	ElectUnclean ElectionType = 1
)

// TopicPartitions names partitions of one topic.
type TopicPartitions struct {
	Topic      string
	Partitions []int32
}

// PartitionsOutcome is the answer for some partitions of one topic.
type PartitionsOutcome struct {
	Topic      string
	Partitions []PartitionOutcome
}

// PartitionOutcome is the answer for one partition; Err is nil for success.
type PartitionOutcome struct {
	Index int32
	Err   *protocol.Error
}

// ElectLeaders elects leaders of the partitions named, each independently of the
// others, and returns one outcome for each in the order given. With nil it does so
// for all there are, and leaves out those that need no election. The error is that
// of the whole request; when ctx ends first, leaders may still be elected.
func (c *Controller) ElectLeaders(ctx context.Context, kind ElectionType, topics []TopicPartitions) ([]PartitionsOutcome, *protocol.Error) {
	var outcomes []PartitionsOutcome
	err := c.execute(ctx, func(image *MetadataImage) []Record {
		var records []Record
		outcomes, records = planElections(image, kind, topics)
		return records
	})
	if err != nil {
		return nil, asError(err)
	}
	return outcomes, nil
}

func planElections(image *MetadataImage, kind ElectionType, topics []TopicPartitions) (outcomes []PartitionsOutcome, records []Record) {
	all := topics == nil
	if all {
		topics = everyPartition(image)
	}
	for _, t := range topics {
		o := PartitionsOutcome{Topic: t.Topic}
		for _, index := range t.Partitions {
			change, err := planElection(image, kind, t.Topic, index)
			if err == nil && len(records) == maxRecordsPerBatch {
				err = errTooLarge
			}
			if err == nil {
				records = append(records, change)
			}
			if all && err != nil && err.Code == protocol.ElectionNotNeeded {
				continue
			}
			o.Partitions = append(o.Partitions, PartitionOutcome{index, err})
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, records
}

func everyPartition(image *MetadataImage) []TopicPartitions {
	var out []TopicPartitions
	for t := range image.Topics() {
		p := TopicPartitions{Topic: t.Name}
		for i := range t.Partitions {
			p.Partitions = append(p.Partitions, int32(i))
		}
		out = append(out, p)
	}
	return out
}

// planElection returns the record that gives one partition its new leader.
func planElection(image *MetadataImage, kind ElectionType, topic string, index int32) (Record, *protocol.Error) {
	t, ok := image.Topic(topic)
	if !ok {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "No such topic as %s", topic)
	}
	if index < 0 || int(index) >= len(t.Partitions) {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "No such partition as %s-%d", topic, index)
	}
	p := t.Partitions[index]
	none := protocol.PreferredLeaderNotAvailable
	if kind == ElectUnclean {
		none = protocol.EligibleLeadersNotAvailable
	}
	if kind == ElectPreferred && p.Leader == p.Replicas[0] || kind == ElectUnclean && p.Leader != NoLeader {
		return nil, unknown(protocol.ElectionNotNeeded)
	}
	leader, clean := chooseLeader(image, kind, p)
	if leader == NoLeader {
		return nil, unknown(none)
	}
	change := &PartitionChangeRecord{TopicID: t.ID, Index: index, Leader: &leader}
	if !clean { // nothing any other replica has counts from now on
		change.ISR = []int32{leader}
	}
	return change, nil
}

// chooseLeader finds the broker to lead p: an active one in sync, the preferred
// replica first; in an unclean election else any active replica.
func chooseLeader(image *MetadataImage, kind ElectionType, p *Partition) (leader int32, clean bool) {
	active := func(id int32) bool {
		b, ok := image.Broker(id)
		return ok && b.Active()
	}
	for _, id := range p.Replicas {
		if active(id) && slices.Contains(p.ISR, id) && (id == p.Replicas[0] || p.Leader == NoLeader) {
			return id, true
		}
	}
	if kind == ElectUnclean {
		for _, id := range p.Replicas {
			if active(id) {
				return id, false
			}
		}
	}
	return NoLeader, false
}
