package controller

import (
	"fmt"
	"slices"

	"kserver/protocol"
)

// TopicRecord creates a topic, without partitions.
type TopicRecord struct {
	Name string
	ID   UUID
}

func (r *TopicRecord) kind() (recordType, int16) { return typeTopic, 0 }

func (r *TopicRecord) appendFields(dst []byte) []byte {
	return noTags(append(appendString(dst, r.Name), r.ID[:]...))
}

func readTopic(r *reader, _ int16) Record {
	out := &TopicRecord{Name: r.string(), ID: r.uuid()}
	r.tags(nil)
	return out
}

func (r *TopicRecord) apply(d *Delta, _ int64) error {
	if err := protocol.ValidateTopicName(r.Name); err != nil {
		return fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	_, sameName := d.next.Topic(r.Name)
	_, sameID := d.next.TopicByID(r.ID)
	if sameName || sameID {
		return fmt.Errorf("%w: topic %s (%s) exists", ErrInconsistent, r.Name, r.ID)
	}
	d.setTopic(&Topic{Name: r.Name, ID: r.ID, Internal: protocol.IsInternalTopic(r.Name)})
	return nil
}

// RemoveTopicRecord deletes a topic with its partitions and settings.
type RemoveTopicRecord struct{ ID UUID }

func (r *RemoveTopicRecord) kind() (recordType, int16) { return typeRemoveTopic, 0 }

func (r *RemoveTopicRecord) appendFields(dst []byte) []byte { return noTags(append(dst, r.ID[:]...)) }

func readRemoveTopic(r *reader, _ int16) Record {
	out := &RemoveTopicRecord{r.uuid()}
	r.tags(nil)
	return out
}

func (r *RemoveTopicRecord) apply(d *Delta, _ int64) error {
	if _, err := d.topic(r.ID); err != nil {
		return err
	}
	d.removeTopic(r.ID)
	return nil
}

// PartitionRecord creates a partition, or replaces all that is known of it.
// Written in version 1, or 2 where it has eligible leader replicas; read from 0.
type PartitionRecord struct {
	TopicID UUID
	Index   int32
	Partition
}

func (r *PartitionRecord) kind() (recordType, int16) {
	if r.ELR != nil || r.LastKnownELR != nil {
		return typePartition, 2
	}
	return typePartition, 1
}

func (r *PartitionRecord) appendFields(dst []byte) []byte {
	dst = appendInt32(dst, r.Index)
	dst = append(dst, r.TopicID[:]...)
	dst = appendInt32s(dst, r.Replicas)
	dst = appendInt32s(dst, r.ISR)
	dst = appendInt32s(dst, r.Removing)
	dst = appendInt32s(dst, r.Adding)
	dst = appendInt32(dst, r.Leader)
	dst = appendInt32(dst, r.LeaderEpoch)
	dst = appendInt32(dst, r.PartitionEpoch)
	dst = appendUUIDs(dst, r.Directories)
	var tags tagWriter
	if r.RecoveryState != 0 {
		tags.add(0, []byte{byte(r.RecoveryState)})
	}
	if r.ELR != nil {
		tags.add(1, appendInt32s(nil, r.ELR))
	}
	if r.LastKnownELR != nil {
		tags.add(2, appendInt32s(nil, r.LastKnownELR))
	}
	return tags.appendTo(dst)
}

func readPartition(r *reader, version int16) Record {
	out := &PartitionRecord{Index: r.int32(), TopicID: r.uuid()}
	out.Replicas = r.int32s()
	out.ISR = r.int32s()
	out.Removing = emptyIsNil(r.int32s())
	out.Adding = emptyIsNil(r.int32s())
	out.Leader = r.int32()
	out.LeaderEpoch = r.int32()
	out.PartitionEpoch = r.int32()
	if version >= 1 {
		out.Directories = emptyIsNil(r.uuids())
	}
	r.tags(func(tag uint64, f *reader) bool {
		switch {
		case tag == 0:
			out.RecoveryState = f.int8()
		case tag == 1 && version >= 2:
			out.ELR = f.nullableInt32s()
		case tag == 2 && version >= 2:
			out.LastKnownELR = f.nullableInt32s()
		default:
			return false
		}
		return true
	})
	return out
}

func emptyIsNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

func (r *PartitionRecord) apply(d *Delta, _ int64) error {
	t, err := d.topic(r.TopicID)
	if err != nil {
		return err
	}
	if err := r.Partition.check(); err != nil {
		return fmt.Errorf("%w: partition %s-%d: %w", ErrInconsistent, t.Name, r.Index, err)
	}
	switch {
	case r.Index >= 0 && int(r.Index) < len(t.Partitions):
		t.setPartition(r.Index, &r.Partition)
	case int(r.Index) == len(t.Partitions):
		t.Partitions = append(t.Partitions, nil)
		t.setPartition(r.Index, &r.Partition)
	default:
		return fmt.Errorf("%w: partition %s-%d with %d partitions before it", ErrInconsistent, t.Name, r.Index, len(t.Partitions))
	}
	return nil
}

// setPartition copies p to the place of index, which there is. One that is equal to the one before it is the same in
// memory, too: nearly all of a node alone are. t is a draft.
func (t *Topic) setPartition(index int32, p *Partition) {
	if index > 0 && t.Partitions[index-1].equal(p) {
		t.Partitions[index] = t.Partitions[index-1]
		return
	}
	t.Partitions[index] = new(*p)
}

// equal reports whether p and o are the same to whoever reads them or writes them to a log, where nil is not empty.
func (p *Partition) equal(o *Partition) bool {
	return p.Leader == o.Leader && p.LeaderEpoch == o.LeaderEpoch && p.PartitionEpoch == o.PartitionEpoch &&
		p.RecoveryState == o.RecoveryState && same(p.Replicas, o.Replicas) && same(p.ISR, o.ISR) &&
		same(p.ELR, o.ELR) && same(p.LastKnownELR, o.LastKnownELR) && same(p.Adding, o.Adding) &&
		same(p.Removing, o.Removing) && same(p.Directories, o.Directories)
}

func same[T comparable](a, b []T) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

// check reports what cannot be of a partition: the invariants on both sides of
// the log.
func (p *Partition) check() error {
	switch {
	case len(p.Replicas) == 0:
		return fmt.Errorf("no replicas")
	case p.Leader != NoLeader && !slices.Contains(p.Replicas, p.Leader):
		return fmt.Errorf("leader %d is not one of the replicas %v", p.Leader, p.Replicas)
	case p.Directories != nil && len(p.Directories) != len(p.Replicas):
		return fmt.Errorf("%d directories for %d replicas", len(p.Directories), len(p.Replicas))
	}
	for _, id := range p.ISR {
		if !slices.Contains(p.Replicas, id) {
			return fmt.Errorf("in-sync replica %d is not one of the replicas %v", id, p.Replicas)
		}
	}
	return nil
}

// PartitionChangeRecord changes a partition. A nil slice and a nil Leader leave
// the field as it is; the epochs follow (a new leader or a new ISR raises the
// partition epoch, a new leader the leader epoch too).
type PartitionChangeRecord struct {
	TopicID       UUID
	Index         int32
	ISR           []int32
	Leader        *int32
	Replicas      []int32
	Removing      []int32
	Adding        []int32
	RecoveryState *int8
	ELR           []int32
	LastKnownELR  []int32
	Directories   []UUID
}

func (r *PartitionChangeRecord) kind() (recordType, int16) {
	switch {
	case r.ELR != nil || r.LastKnownELR != nil:
		return typePartitionChange, 2
	case r.Directories != nil:
		return typePartitionChange, 1
	}
	return typePartitionChange, 0
}

func (r *PartitionChangeRecord) appendFields(dst []byte) []byte {
	dst = append(appendInt32(dst, r.Index), r.TopicID[:]...)
	var tags tagWriter
	int32s := func(tag int, v []int32) {
		if v != nil {
			tags.add(tag, appendInt32s(nil, v))
		}
	}
	int32s(0, r.ISR)
	if r.Leader != nil {
		tags.add(1, appendInt32(nil, *r.Leader))
	}
	int32s(2, r.Replicas)
	int32s(3, r.Removing)
	int32s(4, r.Adding)
	if r.RecoveryState != nil {
		tags.add(5, []byte{byte(*r.RecoveryState)})
	}
	int32s(6, r.ELR)
	int32s(7, r.LastKnownELR)
	if r.Directories != nil {
		tags.add(8, appendUUIDs(nil, r.Directories))
	}
	return tags.appendTo(dst)
}

func readPartitionChange(r *reader, version int16) Record {
	out := &PartitionChangeRecord{Index: r.int32(), TopicID: r.uuid()}
	r.tags(func(tag uint64, f *reader) bool {
		switch {
		case tag == 0:
			out.ISR = f.nullableInt32s()
		case tag == 1:
			leader := f.int32()
			out.Leader = &leader
		case tag == 2:
			out.Replicas = f.nullableInt32s()
		case tag == 3:
			out.Removing = f.nullableInt32s()
		case tag == 4:
			out.Adding = f.nullableInt32s()
		case tag == 5:
			state := f.int8()
			out.RecoveryState = &state
		case tag == 6 && version >= 2:
			out.ELR = f.nullableInt32s()
		case tag == 7 && version >= 2:
			out.LastKnownELR = f.nullableInt32s()
		case tag == 8 && version >= 1:
			out.Directories = f.uuids()
		default:
			return false
		}
		return true
	})
	return out
}

// apply follows Kafka's PartitionRegistration.merge: every change raises the
// partition epoch, and a change of the leader (to the same one too) the leader
// epoch.
func (r *PartitionChangeRecord) apply(d *Delta, _ int64) error {
	t, err := d.topic(r.TopicID)
	if err != nil {
		return err
	}
	if r.Index < 0 || int(r.Index) >= len(t.Partitions) {
		return fmt.Errorf("%w: change of partition %s-%d, which does not exist", ErrInconsistent, t.Name, r.Index)
	}
	p := *t.Partitions[r.Index]
	p.PartitionEpoch++
	if r.Leader != nil {
		p.Leader = *r.Leader
		p.LeaderEpoch++
	}
	if r.RecoveryState != nil && *r.RecoveryState >= 0 {
		p.RecoveryState = *r.RecoveryState
	}
	replace(&p.Directories, r.Directories)
	replace(&p.ISR, r.ISR)
	replace(&p.Replicas, r.Replicas)
	replace(&p.Removing, r.Removing)
	replace(&p.Adding, r.Adding)
	replace(&p.ELR, r.ELR)
	replace(&p.LastKnownELR, r.LastKnownELR)
	if err := p.check(); err != nil {
		return fmt.Errorf("%w: partition %s-%d: %w", ErrInconsistent, t.Name, r.Index, err)
	}
	t.setPartition(r.Index, &p)
	return nil
}

// replace sets *field to v unless v is nil.
func replace[T any](field *[]T, v []T) {
	if v != nil {
		*field = v
	}
}
