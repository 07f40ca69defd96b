package controller

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"

	"kserver/protocol"
)

// MetadataImage is the state of the cluster at one offset of the metadata log.
// It is immutable: a change makes a new image that shares everything it did not
// touch. Any goroutine may use it, for as long as it likes; callers must change
// nothing they reach through it.
type MetadataImage struct {
	// Version is the offset of the last record in the image, -1 for none.
	Version int64
	// ClusterID is the cluster's identifier in Kafka's text form.
	ClusterID string
	// NextProducerID is the first producer id of the next block to be handed out.
	NextProducerID int64

	byName    index[string]
	byID      index[UUID]
	colliding index[string] // topics whose name has '.' or '_', by unified name

	brokers  []*Broker // by id
	features map[string]int16
	configs  map[ConfigResource]map[string]string // of everything but topics
	quotas   map[QuotaEntity]map[string]float64
}

// newImage returns the image of an empty log.
func newImage(clusterID string) *MetadataImage {
	return &MetadataImage{
		Version:   -1,
		ClusterID: clusterID,
		byName: index[string]{
			compare: func(t *Topic, name string) int { return strings.Compare(t.Name, name) },
			key:     func(t *Topic) string { return t.Name },
		},
		byID: index[UUID]{
			compare: func(t *Topic, id UUID) int { return bytes.Compare(t.ID[:], id[:]) },
			key:     func(t *Topic) UUID { return t.ID },
		},
		colliding: index[string]{
			compare: func(t *Topic, key string) int { return strings.Compare(collisionKey(t.Name), key) },
			key:     func(t *Topic) string { return collisionKey(t.Name) },
		},
	}
}

// Topic is one topic. It is replaced, never changed.
type Topic struct {
	Name string
	ID   UUID
	// Internal topics belong to the broker; clients may read but not write them.
	Internal bool
	// Partitions, by index. None is nil.
	Partitions []*Partition
	// Configs are the topic's own settings; nil when it has none.
	Configs map[string]string
}

// Partition is one partition's place in the cluster. It is replaced, never
// changed.
type Partition struct {
	Leader         int32 // broker id, NoLeader for none
	LeaderEpoch    int32
	PartitionEpoch int32
	// RecoveryState is 1 while a leader elected uncleanly recovers (KIP-704).
	RecoveryState int8
	Replicas      []int32 // in order of preference
	ISR           []int32
	// ELR are replicas that may lead although they left the ISR (KIP-966), and
	// LastKnownELR the last known of them.
	ELR          []int32
	LastKnownELR []int32
	// Adding and Removing are the replicas a reassignment moves.
	Adding   []int32
	Removing []int32
	// Directories are the log directories of Replicas, in the same order
	// (KIP-858); nil when the log was written before Kafka knew them.
	Directories []UUID
}

// NoLeader is the leader of a partition that has none.
const NoLeader int32 = -1

// Broker is one registered broker. It is replaced, never changed.
type Broker struct {
	ID int32
	// Epoch is the offset of the registration's record.
	Epoch       int64
	Incarnation UUID
	Endpoints   []Endpoint
	Rack        *string // nil for none
	Fenced      bool
	// InControlledShutdown brokers lead nothing new.
	InControlledShutdown bool
	Features             []FeatureRange
	LogDirs              []UUID
	CordonedLogDirs      []UUID
}

// Active reports whether the broker may host new leaders.
func (b *Broker) Active() bool { return !b.Fenced && !b.InControlledShutdown }

// Endpoint returns where the broker is reached through the listener of that
// name.
func (b *Broker) Endpoint(listener string) (Endpoint, bool) {
	for _, e := range b.Endpoints {
		if e.Name == listener {
			return e, true
		}
	}
	return Endpoint{}, false
}

// Endpoint is a listener of a broker as clients see it.
type Endpoint struct {
	Name             string
	Host             string
	Port             uint16
	SecurityProtocol int16
}

// SecurityPlaintext is the security protocol of a listener without TLS and SASL.
const SecurityPlaintext int16 = 0

// FeatureRange says which levels of a feature a broker can work with.
type FeatureRange struct {
	Name     string
	Min, Max int16
}

// ConfigResource names what a setting belongs to.
type ConfigResource struct {
	Type ResourceType
	Name string
}

// ResourceType is Kafka's code of a kind of resource with settings.
type ResourceType int8

// The kinds of resources the metadata log has settings for.
const (
	ResourceTopic         ResourceType = 2
	ResourceBroker        ResourceType = 4 // name "" is the default of all brokers
	ResourceBrokerLogger  ResourceType = 8
	ResourceClientMetrics ResourceType = 16
	ResourceGroup         ResourceType = 32
)

// Topic returns the topic of that name.
func (m *MetadataImage) Topic(name string) (*Topic, bool) { return m.byName.get(name) }

// TopicByID returns the topic with that id.
func (m *MetadataImage) TopicByID(id UUID) (*Topic, bool) { return m.byID.get(id) }

// Topics iterates over all topics, by name.
func (m *MetadataImage) Topics() iter.Seq[*Topic] { return m.byName.from("") }

// TopicsFrom iterates over the topics whose name is not below name, by name.
func (m *MetadataImage) TopicsFrom(name string) iter.Seq[*Topic] { return m.byName.from(name) }

// TopicCount is the number of topics.
func (m *MetadataImage) TopicCount() int { return m.byName.count }

// Brokers are the registered brokers by id, fenced ones included.
func (m *MetadataImage) Brokers() []*Broker { return m.brokers }

// Broker returns the broker with that id.
func (m *MetadataImage) Broker(id int32) (*Broker, bool) {
	at, ok := slices.BinarySearchFunc(m.brokers, id, func(b *Broker, id int32) int { return cmp.Compare(b.ID, id) })
	if !ok {
		return nil, false
	}
	return m.brokers[at], true
}

// Features are the finalized feature levels by name; absent is level 0.
func (m *MetadataImage) Features() map[string]int16 { return m.features }

// Configs are the settings of a resource; nil when it has none.
func (m *MetadataImage) Configs(r ConfigResource) map[string]string {
	if r.Type != ResourceTopic {
		return m.configs[r]
	}
	if t, ok := m.Topic(r.Name); ok {
		return t.Configs
	}
	return nil
}

// collision returns a topic whose name differs from name at most in having '.'
// where the other has '_', which would make their metrics the same.
func (m *MetadataImage) collision(name string) (*Topic, bool) {
	if !hasCollisionChars(name) {
		return nil, false
	}
	for t := range m.colliding.from(protocol.CollisionKey(name)) {
		return t, protocol.TopicNamesCollide(t.Name, name)
	}
	return nil, false
}

// withTopic returns m with t in the place of the topic of the same id; it is
// part of building an image.
func (m *MetadataImage) withTopic(t *Topic) {
	m.byName = m.byName.with(t)
	m.byID = m.byID.with(t)
	if hasCollisionChars(t.Name) {
		m.colliding = m.colliding.with(t)
	}
}

// withoutTopic takes t out of m; it is part of building an image.
func (m *MetadataImage) withoutTopic(t *Topic) {
	m.byName = m.byName.without(t.Name)
	m.byID = m.byID.without(t.ID)
	if hasCollisionChars(t.Name) {
		m.colliding = m.colliding.without(collisionKey(t.Name))
	}
}

// hasCollisionChars reports whether another name could differ from this one only
// in '.' for '_'.
func hasCollisionChars(name string) bool { return strings.ContainsAny(name, "._") }

// collisionKey orders topics by unified name and keeps colliding ones, which one
// request can create together, apart. The separator sorts before every character
// of a name.
func collisionKey(name string) string { return protocol.CollisionKey(name) + "\x00" + name }
