package replica

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// MaxNamedTopics bounds the topics whose traffic is told apart. Topics made when
// there are that many are counted together.
const MaxNamedTopics = 1000

// traffic counts what clients wrote to and read from a partition.
type traffic struct {
	bytesIn, messagesIn, bytesOut atomic.Int64
}

// Sent counts bytes of the partition that an answer to a consumer holds.
func (p *Partition) Sent(bytes int) { p.traffic.bytesOut.Add(int64(bytes)) }

// Traffic is what clients wrote to and read from a topic since it was made, or
// since the start of the broker.
type Traffic struct {
	// Topic is "" for all topics together that are not told apart, those deleted
	// included.
	Topic                         string
	BytesIn, MessagesIn, BytesOut int64
}

// addTopic adds what a topic's partitions have counted.
func (t *Traffic) addTopic(topic *Topic) {
	for _, p := range topic.Partitions {
		if p != nil {
			t.BytesIn += p.traffic.bytesIn.Load()
			t.MessagesIn += p.traffic.messagesIn.Load()
			t.BytesOut += p.traffic.bytesOut.Load()
		}
	}
}

// Counts are what this broker hosts now.
type Counts struct {
	Topics, Partitions, Leaders int
	// UnderReplicated partitions have fewer replicas in sync than assigned;
	// UnderMinISR fewer than min.insync.replicas.
	UnderReplicated, UnderMinISR int
}

// Traffic lists the topics by name, "" first.
func (m *Manager) Traffic() []Traffic {
	topics, others := m.snapshot()
	out := make([]Traffic, 1, len(topics)+1)
	for _, t := range topics {
		if !t.named {
			others.addTopic(t)
			continue
		}
		one := Traffic{Topic: t.Name}
		one.addTopic(t)
		out = append(out, one)
	}
	out[0] = others
	slices.SortFunc(out, func(a, b Traffic) int { return cmp.Compare(a.Topic, b.Topic) })
	return out
}

// Counts counts what this broker hosts.
func (m *Manager) Counts() (c Counts) {
	topics, _ := m.snapshot()
	c.Topics = len(topics)
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p == nil {
				continue
			}
			c.Partitions++
			l := p.leadership.Load()
			if !l.IsLeader {
				continue
			}
			c.Leaders++
			if l.ISR < l.Replicas {
				c.UnderReplicated++
			}
			if !l.enoughReplicas() {
				c.UnderMinISR++
			}
		}
	}
	return c
}

// snapshot lists the topics, for reading without the lock that requests need.
func (m *Manager) snapshot() (topics []*Topic, deleted Traffic) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	topics = make([]*Topic, 0, len(m.byName))
	for _, t := range m.byName {
		topics = append(topics, t)
	}
	return topics, m.deleted
}

// name decides whether a new topic's traffic is told apart. Called with mu.
func (m *Manager) name(t *Topic) {
	if m.named < MaxNamedTopics {
		m.named++
		t.named = true
	}
}

// unname ends the count of a deleted topic: one told apart makes room for
// another, the rest of what the others had together must not fall. Called with
// mu.
func (m *Manager) unname(t *Topic) {
	if t.named {
		m.named--
		return
	}
	m.deleted.addTopic(t)
}
