package wire

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// requestTimeout bounds each of the administrative requests of this file.
const requestTimeout = 30 * time.Second

// partitionsPerRequest is how many are asked for at a time: brokers refuse to make many thousands at once.
const partitionsPerRequest = 1000

// CreateTopic creates a topic with the broker's default replication factor and waits until the broker answered. An
// existing topic is an error (kerr.TopicAlreadyExists).
func (c *Conn) CreateTopic(topic string, partitions int) error {
	return c.CreateTopicWith(topic, partitions, nil)
}

// CreateTopicWith is CreateTopic with settings of the topic, by name.
func (c *Conn) CreateTopicWith(topic string, partitions int, settings map[string]string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(requestTimeout / time.Millisecond)
	t := kmsg.NewCreateTopicsRequestTopic()
	n := min(partitions, partitionsPerRequest)
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(n), -1
	for name, value := range settings {
		s := kmsg.NewCreateTopicsRequestTopicConfig()
		s.Name, s.Value = name, kmsg.StringPtr(value)
		t.Configs = append(t.Configs, s)
	}
	req.Topics = append(req.Topics, t)
	resp, err := c.Do(req, requestTimeout)
	if err != nil {
		return err
	}
	topics := resp.(*kmsg.CreateTopicsResponse).Topics
	if len(topics) != 1 {
		return fmt.Errorf("create topic %s: the answer names %d topics", topic, len(topics))
	}
	if err := kerr.ErrorForCode(topics[0].ErrorCode); err != nil {
		if topics[0].ErrorMessage != nil {
			err = fmt.Errorf("%w (%s)", err, *topics[0].ErrorMessage)
		}
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	for n < partitions {
		n = min(n+partitionsPerRequest, partitions)
		if err := c.growTopic(topic, n); err != nil {
			return err
		}
	}
	return nil
}

// growTopic brings a topic to so many partitions.
func (c *Conn) growTopic(topic string, partitions int) error {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = int32(requestTimeout / time.Millisecond)
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic, int32(partitions)
	req.Topics = append(req.Topics, t)
	resp, err := c.Do(req, requestTimeout)
	if err != nil {
		return err
	}
	topics := resp.(*kmsg.CreatePartitionsResponse).Topics
	if len(topics) != 1 {
		return fmt.Errorf("grow topic %s: the answer names %d topics", topic, len(topics))
	}
	if err := kerr.ErrorForCode(topics[0].ErrorCode); err != nil {
		return fmt.Errorf("grow topic %s: %w", topic, err)
	}
	return nil
}

// Leaders returns the address (host:port) of the leader of every partition of topic.
func (c *Conn) Leaders(topic string) (map[int32]string, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, t)
	r, err := c.Do(req, requestTimeout)
	if err != nil {
		return nil, err
	}
	resp := r.(*kmsg.MetadataResponse)
	if len(resp.Topics) != 1 {
		return nil, fmt.Errorf("metadata of %s: the answer names %d topics", topic, len(resp.Topics))
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", topic, err)
	}
	addrs := make(map[int32]string, len(resp.Brokers))
	for _, b := range resp.Brokers {
		addrs[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	leaders := make(map[int32]string, len(resp.Topics[0].Partitions))
	for _, p := range resp.Topics[0].Partitions {
		err := kerr.ErrorForCode(p.ErrorCode)
		addr, ok := addrs[p.Leader]
		if err == nil && !ok {
			err = kerr.LeaderNotAvailable
		}
		if err != nil {
			return nil, fmt.Errorf("metadata of %s-%d: %w", topic, p.Partition, err)
		}
		leaders[p.Partition] = addr
	}
	return leaders, nil
}

// ListOffsets timestamps with a meaning of their own.
const (
	EarliestOffset = -2
	LatestOffset   = -1
)

// Offsets returns one offset per partition; at is EarliestOffset, LatestOffset or a time in milliseconds. The
// connection must be to the leader of all of them.
func (c *Conn) Offsets(topic string, partitions []int32, at int64) (map[int32]int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for _, id := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = id, at, -1
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	r, err := c.Do(req, requestTimeout)
	if err != nil {
		return nil, err
	}
	offsets := make(map[int32]int64, len(partitions))
	for _, t := range r.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("offsets of %s-%d: %w", topic, p.Partition, err)
			}
			offsets[p.Partition] = p.Offset
		}
	}
	if len(offsets) != len(partitions) {
		return nil, fmt.Errorf("offsets of %s: asked for %d partitions, got %d", topic, len(partitions), len(offsets))
	}
	return offsets, nil
}
