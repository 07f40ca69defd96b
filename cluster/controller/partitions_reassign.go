package controller

import (
	"context"
	"slices"

	"kserver/protocol"
)

// Reassignment asks for the replicas of partitions of one topic to move, as
// AlterPartitionReassignments does.
type Reassignment struct {
	Topic      string
	Partitions []PartitionReassignment
}

// PartitionReassignment names the brokers a partition is to move to; nil cancels
// a move under way. Empty is not nil: it is a mistake.
type PartitionReassignment struct {
	Index    int32
	Replicas []int32
}

// AlterReassignments moves replicas, of each partition independently of the
// others, and returns one outcome for each in the order given. A quorum of one has
// nowhere to move them to: what is so already is a success, a move that another
// controller began can be cancelled, and every other is refused. The error is
// that of the whole request.
func (c *Controller) AlterReassignments(ctx context.Context, topics []Reassignment) ([]PartitionsOutcome, *protocol.Error) {
	var outcomes []PartitionsOutcome
	err := c.execute(ctx, func(image *MetadataImage) []Record {
		outcomes = nil
		var records []Record
		for i := range topics {
			o := PartitionsOutcome{Topic: topics[i].Topic}
			for _, p := range topics[i].Partitions {
				change, err := planReassignment(image, topics[i].Topic, p)
				switch {
				case err == nil && change != nil && len(records) == maxRecordsPerBatch:
					err = errTooLarge
				case err == nil && change != nil:
					records = append(records, change)
				}
				o.Partitions = append(o.Partitions, PartitionOutcome{p.Index, err})
			}
			outcomes = append(outcomes, o)
		}
		return records
	})
	if err != nil {
		return nil, asError(err)
	}
	return outcomes, nil
}

// planReassignment checks the move of one partition; the record is nil when
// nothing changes.
func planReassignment(image *MetadataImage, topic string, r PartitionReassignment) (Record, *protocol.Error) {
	t, ok := image.Topic(topic)
	if !ok {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "Unable to find a topic named %s.", topic)
	}
	if r.Index < 0 || int(r.Index) >= len(t.Partitions) {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "Unable to find partition %s:%d.", topic, r.Index)
	}
	p := t.Partitions[r.Index]
	if r.Replicas == nil {
		return cancelReassignment(image, t, r.Index, p)
	}
	if _, err := assign(image, Assignment{Partition: r.Index, Brokers: r.Replicas}, 0); err != nil {
		return nil, err
	}
	if slices.Equal(r.Replicas, p.Replicas) && !p.Reassigning() {
		return nil, nil
	}
	return nil, protocol.Errorf(protocol.InvalidReplicaAssignment, "Partition %s:%d cannot move from brokers %v to %v: this version runs as a single node.",
		topic, r.Index, p.Replicas, r.Replicas)
}

// Reassigning reports whether a move of the partition's replicas is under way.
func (p *Partition) Reassigning() bool { return len(p.Adding) > 0 || len(p.Removing) > 0 }

// cancelReassignment takes the replicas that were being added off again (Kafka's
// PartitionReassignmentRevert).
func cancelReassignment(image *MetadataImage, t *Topic, index int32, p *Partition) (Record, *protocol.Error) {
	if !p.Reassigning() {
		return nil, &protocol.Error{Code: protocol.NoReassignmentInProgress}
	}
	change := &PartitionChangeRecord{TopicID: t.ID, Index: index, Replicas: []int32{}, ISR: []int32{}, Adding: []int32{}, Removing: []int32{}}
	if p.Directories != nil {
		change.Directories = []UUID{}
	}
	for i, id := range p.Replicas {
		if slices.Contains(p.Adding, id) {
			continue
		}
		change.Replicas = append(change.Replicas, id)
		if p.Directories != nil {
			change.Directories = append(change.Directories, p.Directories[i])
		}
		if slices.Contains(p.ISR, id) {
			change.ISR = append(change.ISR, id)
		}
	}
	if len(change.ISR) == 0 {
		return nil, protocol.Errorf(protocol.InvalidReplicaAssignment,
			"Unable to revert partition assignment for %s:%d because it would require an unclean leader election.", t.Name, index)
	}
	if !slices.Contains(change.Replicas, p.Leader) {
		leader, _ := chooseLeader(image, ElectPreferred, &Partition{Leader: NoLeader, Replicas: change.Replicas, ISR: change.ISR})
		change.Leader = &leader
	}
	return change, nil
}
