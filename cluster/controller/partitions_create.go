package controller

import (
	"context"

	"kserver/protocol"
)

// NewPartitions asks for a topic to have more partitions, as CreatePartitions
// does.
type NewPartitions struct {
	Name string
	// Count is how many the topic has afterwards.
	Count int32
	// Assignments places the new ones, in order, by hand; nil leaves it to the
	// broker. Empty is not nil: it is a mistake.
	Assignments [][]int32
}

// PartitionsResult is the answer for one topic.
type PartitionsResult struct {
	Name string
	Err  *protocol.Error
}

// CreatePartitions adds partitions to topics, each independently of the others,
// and returns their results in the order given; names given twice have one, an
// error. With validateOnly nothing is changed. When ctx ends first, every answer
// is REQUEST_TIMED_OUT and partitions may still be created.
func (c *Controller) CreatePartitions(ctx context.Context, topics []NewPartitions, validateOnly bool, permit Permit) []PartitionsResult {
	return changeEach(ctx, c, validateOnly,
		func(image *MetadataImage) ([]PartitionsResult, []Record) {
			return c.planNewPartitions(image, topics, permit)
		},
		func(err error) []PartitionsResult { return failNewPartitions(topics, err) })
}

// failNewPartitions answers every topic of a request with the same error.
func failNewPartitions(topics []NewPartitions, err error) []PartitionsResult {
	results := make([]PartitionsResult, len(topics))
	for i := range topics {
		results[i] = PartitionsResult{Name: topics[i].Name, Err: asError(err)}
	}
	return results
}

func (c *Controller) planNewPartitions(image *MetadataImage, topics []NewPartitions, permit Permit) ([]PartitionsResult, []Record) {
	times := make(map[string]int, len(topics))
	for i := range topics {
		times[topics[i].Name]++
	}
	results := make([]PartitionsResult, 0, len(topics))
	var records []Record
	for i := range topics {
		t := &topics[i]
		switch n := times[t.Name]; {
		case n == 0: // answered before
			continue
		case n > 1:
			times[t.Name] = 0
			results = append(results, PartitionsResult{t.Name, protocol.Errorf(protocol.InvalidRequest, "Duplicate topic name.")})
			continue
		}
		added, err := c.planMore(image, t, maxRecordsPerBatch-len(records), permit)
		if err == errTooLarge {
			return failNewPartitions(topics, err), nil
		}
		records = append(records, added...)
		results = append(results, PartitionsResult{t.Name, err})
	}
	return results, records
}

// planMore checks one topic and returns the records of its new partitions, at
// most room.
func (c *Controller) planMore(image *MetadataImage, t *NewPartitions, room int, permit Permit) ([]Record, *protocol.Error) {
	topic, ok := image.Topic(t.Name)
	if !ok {
		return nil, &protocol.Error{Code: protocol.UnknownTopicOrPartition}
	}
	have := len(topic.Partitions)
	switch {
	case int(t.Count) == have:
		return nil, protocol.Errorf(protocol.InvalidPartitions, "Topic already has %d partition(s).", have)
	case int(t.Count) < have:
		return nil, protocol.Errorf(protocol.InvalidPartitions,
			"The topic %s currently has %d partition(s); %d would not be an increase.", t.Name, have, t.Count)
	}
	more := int(t.Count) - have
	if t.Assignments != nil && len(t.Assignments) != more {
		return nil, protocol.Errorf(protocol.InvalidReplicaAssignment,
			"Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", more, len(t.Assignments))
	}
	if more > room {
		return nil, errTooLarge
	}
	if err := permit.ask(more); err != nil {
		return nil, err
	}
	added, err := c.placeMore(image, topic, t, more)
	if err != nil {
		return nil, err
	}
	records := make([]Record, len(added))
	for i, p := range added {
		records[i] = &PartitionRecord{TopicID: topic.ID, Index: int32(have + i), Partition: *p}
	}
	return records, nil
}

// placeMore places the new partitions of a topic: as the request says, or with
// as many replicas as the topic's first partition has.
func (c *Controller) placeMore(image *MetadataImage, topic *Topic, t *NewPartitions, more int) ([]*Partition, *protocol.Error) {
	have, factor := len(topic.Partitions), len(topic.Partitions[0].Replicas)
	if t.Assignments == nil {
		return c.place(image, have, more, factor)
	}
	added := make([]*Partition, 0, more)
	for i, brokers := range t.Assignments {
		p, err := assign(image, Assignment{Partition: int32(have + i), Brokers: brokers}, factor)
		if err != nil {
			return nil, err
		}
		added = append(added, p)
	}
	return added, nil
}
