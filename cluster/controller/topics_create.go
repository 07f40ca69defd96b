package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kserver/protocol"
)

// maxPartitionsPerRequest bounds the partitions one request may create (Kafka's
// ReplicationControlManager.MAX_PARTITIONS_PER_BATCH).
const maxPartitionsPerRequest = 10_000

// CreatableTopic is a topic to be created, as CreateTopics has it.
type CreatableTopic struct {
	Name string
	// NumPartitions and ReplicationFactor; -1 is the broker's default, and
	// required where Assignments says both.
	NumPartitions     int32
	ReplicationFactor int16
	Assignments       []Assignment
	Configs           []TopicSetting
}

// Assignment places the replicas of one partition by hand.
type Assignment struct {
	Partition int32
	Brokers   []int32
}

// TopicSetting is one setting of a topic; a nil value is a mistake.
type TopicSetting struct {
	Name  string
	Value *string
}

// TopicResult is the answer for one topic.
type TopicResult struct {
	Name string
	// Topic is what was, or with validate-only would be, created; nil on error.
	Topic *Topic
	Err   *protocol.Error
}

// CreateTopics creates topics, each independently of the others, and returns one
// result for each in the order given; names given twice have one, an error.
// With validateOnly nothing is changed. When ctx ends first, every answer is
// REQUEST_TIMED_OUT and topics may still be created.
func (c *Controller) CreateTopics(ctx context.Context, topics []CreatableTopic, validateOnly bool, permit Permit) []TopicResult {
	return changeEach(ctx, c, validateOnly,
		func(image *MetadataImage) ([]TopicResult, []Record) { return c.planTopics(image, topics, permit) },
		func(err error) []TopicResult { return failTopics(topics, err) })
}

// failTopics answers every topic of a request with the same error.
func failTopics(topics []CreatableTopic, err error) []TopicResult {
	results := make([]TopicResult, len(topics))
	for i := range topics {
		results[i] = TopicResult{Name: topics[i].Name, Err: asError(err)}
	}
	return results
}

// asError returns err as the answer to a client.
func asError(err error) *protocol.Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		return e
	}
	return &protocol.Error{Code: protocol.CodeOf(err)}
}

// planTopics checks a request and returns its results and the records that
// create what is in order, in Kafka's order: topic, settings, partitions.
func (c *Controller) planTopics(image *MetadataImage, topics []CreatableTopic, permit Permit) ([]TopicResult, []Record) {
	if c.countPartitions(topics) > maxPartitionsPerRequest {
		return failTopics(topics, protocol.Errorf(protocol.PolicyViolation, "Excessively large number of partitions per request.")), nil
	}
	times := make(map[string]int, len(topics))
	for i := range topics {
		times[topics[i].Name]++
	}
	results := make([]TopicResult, 0, len(topics))
	var records []Record
	for i := range topics {
		t := &topics[i]
		switch n := times[t.Name]; {
		case n == 0: // answered before
			continue
		case n > 1:
			times[t.Name] = 0
			results = append(results, TopicResult{Name: t.Name, Err: protocol.Errorf(protocol.InvalidRequest, "Duplicate topic name.")})
			continue
		}
		created, err := c.planTopic(image, t)
		if err == nil {
			if err = permit.ask(len(created.Partitions)); err != nil {
				created = nil
			}
		}
		results = append(results, TopicResult{Name: t.Name, Topic: created, Err: err})
		if err == nil {
			records = appendTopic(records, created)
		}
	}
	return results, records
}

// countPartitions is the most partitions a request can create.
func (c *Controller) countPartitions(topics []CreatableTopic) int64 {
	var n int64
	for i := range topics {
		switch t := &topics[i]; {
		case len(t.Assignments) > 0:
			n += int64(len(t.Assignments))
		case t.NumPartitions == -1:
			n += int64(c.cfg.NumPartitions)
		case t.NumPartitions > 0:
			n += int64(t.NumPartitions)
		}
	}
	return n
}

// appendTopic appends the records that create t.
func appendTopic(records []Record, t *Topic) []Record {
	records = append(records, &TopicRecord{Name: t.Name, ID: t.ID})
	resource := ConfigResource{ResourceTopic, t.Name}
	for _, name := range sortedKeys(t.Configs) {
		value := t.Configs[name]
		records = append(records, &ConfigRecord{Resource: resource, Name: name, Value: &value})
	}
	for i, p := range t.Partitions {
		records = append(records, &PartitionRecord{TopicID: t.ID, Index: int32(i), Partition: *p})
	}
	return records
}

// planTopic checks one topic and returns it as it will be.
func (c *Controller) planTopic(image *MetadataImage, t *CreatableTopic) (*Topic, *protocol.Error) {
	if err := checkNewName(image, t.Name); err != nil {
		return nil, err
	}
	configs, err := c.topicConfigs(t.Configs)
	if err != nil {
		return nil, err
	}
	partitions, err := c.planPartitions(image, t)
	if err != nil {
		return nil, err
	}
	id, randomErr := NewUUID(c.cfg.Random)
	if randomErr != nil {
		c.log.Error("no topic id", "topic", t.Name, "err", randomErr)
		return nil, &protocol.Error{Code: protocol.UnknownServerError}
	}
	return &Topic{Name: t.Name, ID: id, Internal: protocol.IsInternalTopic(t.Name), Partitions: partitions, Configs: configs}, nil
}

// checkNewName checks the name of a new topic.
func checkNewName(image *MetadataImage, name string) *protocol.Error {
	if name == protocol.ClusterMetadataTopic {
		return protocol.Errorf(protocol.InvalidRequest, "Creation of internal topic %s is prohibited.", protocol.ClusterMetadataTopic)
	}
	if _, ok := image.Topic(name); ok {
		return protocol.Errorf(protocol.TopicAlreadyExists, "Topic '%s' already exists.", name)
	}
	if err := protocol.ValidateTopicName(name); err != nil {
		return asError(err)
	}
	if other, ok := image.collision(name); ok {
		return protocol.Errorf(protocol.InvalidTopicException, "Topic '%s' collides with existing topic: %s", name, other.Name)
	}
	return nil
}

// topicConfigs checks the settings of a new topic.
func (c *Controller) topicConfigs(settings []TopicSetting) (map[string]string, *protocol.Error) {
	if len(settings) == 0 {
		return nil, nil
	}
	configs := make(map[string]string, len(settings))
	var null []string
	for _, s := range settings {
		if s.Value == nil {
			null = append(null, s.Name)
			continue
		}
		configs[s.Name] = *s.Value
	}
	if len(null) > 0 {
		return nil, protocol.Errorf(protocol.InvalidConfig, "Null value not supported for topic configs: %s", strings.Join(null, ","))
	}
	if err := c.cfg.ValidateTopic(configs); err != nil {
		return nil, asError(err)
	}
	return configs, nil
}

// planPartitions places the partitions of a new topic.
func (c *Controller) planPartitions(image *MetadataImage, t *CreatableTopic) ([]*Partition, *protocol.Error) {
	if len(t.Assignments) > 0 {
		return planAssignments(image, t)
	}
	if t.ReplicationFactor < -1 || t.ReplicationFactor == 0 {
		return nil, protocol.Errorf(protocol.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	}
	if t.NumPartitions < -1 || t.NumPartitions == 0 {
		return nil, protocol.Errorf(protocol.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	count, factor := t.NumPartitions, t.ReplicationFactor
	if count == -1 {
		count = c.cfg.NumPartitions
	}
	if factor == -1 {
		factor = c.cfg.ReplicationFactor
	}
	placed, err := c.place(image, 0, int(count), int(factor))
	if err != nil {
		return nil, protocol.Errorf(err.Code, "Unable to replicate the partition %d time(s): %s", factor, err.Message)
	}
	return placed, nil
}

// planAssignments checks the partitions of a new topic that were placed by hand.
func planAssignments(image *MetadataImage, t *CreatableTopic) ([]*Partition, *protocol.Error) {
	const manual = "A manual partition assignment was specified, but "
	if t.ReplicationFactor != -1 {
		return nil, protocol.Errorf(protocol.InvalidRequest, manual+"replication factor was not set to -1.")
	}
	if t.NumPartitions != -1 {
		return nil, protocol.Errorf(protocol.InvalidRequest, manual+"numPartitions was not set to -1.")
	}
	byIndex := make(map[int32]*Partition, len(t.Assignments))
	factor := 0
	for _, a := range t.Assignments {
		if byIndex[a.Partition] != nil {
			return nil, protocol.Errorf(protocol.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", a.Partition)
		}
		p, err := assign(image, a, factor)
		if err != nil {
			return nil, err
		}
		byIndex[a.Partition], factor = p, len(a.Brokers)
	}
	partitions := make([]*Partition, len(byIndex))
	for i := range partitions {
		if partitions[i] = byIndex[int32(i)]; partitions[i] == nil {
			return nil, protocol.Errorf(protocol.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
	}
	return partitions, nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// assign checks one partition placed by hand, and returns it. factor is the
// number of replicas the topic's other partitions have, 0 for the first.
func assign(image *MetadataImage, a Assignment, factor int) (*Partition, *protocol.Error) {
	const manual = "The manual partition assignment includes "
	refuse := func(format string, args ...any) (*Partition, *protocol.Error) {
		return nil, protocol.Errorf(protocol.InvalidReplicaAssignment, format, args...)
	}
	if len(a.Brokers) == 0 {
		return refuse(manual + "an empty replica list.")
	}
	sorted := slices.Sorted(slices.Values(a.Brokers))
	for i, id := range sorted {
		if _, ok := image.Broker(id); !ok {
			return refuse(manual+"broker %d, but no such broker is registered.", id)
		}
		if i > 0 && sorted[i-1] == id {
			return refuse(manual+"the broker %d more than once.", id)
		}
	}
	if factor > 0 && len(sorted) != factor {
		return refuse(manual+"a partition with %d replica(s), but this is not consistent with previous partitions, which have %d replica(s).", len(sorted), factor)
	}
	p := newPartition(image, slices.Clone(a.Brokers))
	if len(p.ISR) == 0 {
		return refuse("All brokers specified in the manual partition assignment for partition %d are fenced or in controlled shutdown.", a.Partition)
	}
	return p, nil
}

// String names the topic for log lines.
func (t *Topic) String() string { return fmt.Sprintf("%s (%s)", t.Name, t.ID) }
