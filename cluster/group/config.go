package group

import (
	"fmt"
	"log/slog"
	"math"
	"time"

	"kserver/cluster/coordinator"
)

// TopicName is the internal topic that holds groups and offsets.
const TopicName = "__consumer_offsets"

// Defaults of Config; Kafka's.
const (
	DefaultMinSessionTimeout      = 6 * time.Second
	DefaultMaxSessionTimeout      = 30 * time.Minute
	DefaultInitialRebalanceDelay  = 3 * time.Second
	DefaultMaxSize                = math.MaxInt32
	DefaultOffsetMetadataMaxBytes = 4096
	DefaultOffsetsRetention       = 7 * 24 * time.Hour
	DefaultOffsetsRetentionCheck  = 10 * time.Minute
	DefaultOffsetsTopicPartitions = 50
	DefaultOffsetsCommitTimeout   = 5 * time.Second
	DefaultCoordinatorLoaders     = coordinator.DefaultLoaders
	newMemberJoinTimeout          = 5 * time.Minute // fixed in Kafka, too
	maxConfigMs                   = math.MaxInt32   // Kafka's int type
	maxExpiryRecordsPerWrite      = 1000            // bounds one batch of tombstones
	maxGroupsPerExpiryStep        = 500             // bounds how long one step holds the shard
	delayBetweenExpirySteps       = 10 * time.Millisecond
	maxMemberIDPrefixBytes        = math.MaxInt16 - 64 // so that a member id fits a Kafka string
)

// Config configures the group coordinator. The comment of each field names
// Kafka's property, unit and range.
type Config struct {
	// MinSessionTimeout is group.min.session.timeout.ms: int ms, default 6000.
	MinSessionTimeout time.Duration
	// MaxSessionTimeout is group.max.session.timeout.ms: int ms, default 1800000.
	MaxSessionTimeout time.Duration
	// InitialRebalanceDelay is group.initial.rebalance.delay.ms: int ms,
	// default 3000. Zero is a valid value: negative means unset here.
	InitialRebalanceDelay time.Duration
	// MaxSize is group.max.size: members, at least 1, default 2147483647.
	MaxSize int
	// OffsetMetadataMaxBytes is offset.metadata.max.bytes: default 4096. As in
	// Kafka it counts UTF-16 code units. Zero is a valid value: negative means
	// unset here.
	OffsetMetadataMaxBytes int
	// OffsetsRetention is offsets.retention.minutes: at least 1 minute,
	// default 10080 minutes.
	OffsetsRetention time.Duration
	// OffsetsRetentionCheckInterval is offsets.retention.check.interval.ms: at
	// least 1 ms, default 600000.
	OffsetsRetentionCheckInterval time.Duration
	// OffsetsTopicPartitions is offsets.topic.num.partitions: at least 1,
	// default 50. It counts until SetPartitions says what the topic has.
	OffsetsTopicPartitions int32
	// OffsetsCommitTimeout is offsets.commit.timeout.ms: at least 1 ms,
	// default 5000. It bounds every wait for the log, as in Kafka 4.
	OffsetsCommitTimeout time.Duration
	// Loaders bounds the partitions loaded at once: group.coordinator.threads,
	// at least 1, default 4.
	Loaders int

	// Storage is the log of __consumer_offsets. Required.
	Storage coordinator.Storage
	// Topics resolves topic names and ids. Required.
	Topics Topics
	Timer  coordinator.Timer // required
	Clock  coordinator.Clock // nil: the system's
	Logger *slog.Logger
	// NewID makes the unique part of member ids; nil: random UUIDs.
	NewID func() string
}

// DefaultConfig returns Kafka's defaults; Storage, Topics and Timer are still
// to be set.
func DefaultConfig() Config {
	c := Config{InitialRebalanceDelay: -1, OffsetMetadataMaxBytes: -1}
	c.EnsureDefaults()
	return c
}

// EnsureDefaults fills in what is unset (see the fields for what unset is).
func (c *Config) EnsureDefaults() {
	setDuration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	setDuration(&c.MinSessionTimeout, DefaultMinSessionTimeout)
	setDuration(&c.MaxSessionTimeout, DefaultMaxSessionTimeout)
	setDuration(&c.OffsetsRetention, DefaultOffsetsRetention)
	setDuration(&c.OffsetsRetentionCheckInterval, DefaultOffsetsRetentionCheck)
	setDuration(&c.OffsetsCommitTimeout, DefaultOffsetsCommitTimeout)
	if c.InitialRebalanceDelay < 0 {
		c.InitialRebalanceDelay = DefaultInitialRebalanceDelay
	}
	if c.OffsetMetadataMaxBytes < 0 {
		c.OffsetMetadataMaxBytes = DefaultOffsetMetadataMaxBytes
	}
	if c.MaxSize == 0 {
		c.MaxSize = DefaultMaxSize
	}
	if c.OffsetsTopicPartitions == 0 {
		c.OffsetsTopicPartitions = DefaultOffsetsTopicPartitions
	}
	if c.Loaders == 0 {
		c.Loaders = DefaultCoordinatorLoaders
	}
	if c.Clock == nil {
		c.Clock = coordinator.SystemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.NewID == nil {
		c.NewID = randomUUID
	}
}

// Validate reports the first property that is out of range, by Kafka's name.
func (c *Config) Validate() error {
	const longest = maxConfigMs * time.Millisecond
	switch {
	case c.Storage == nil, c.Topics == nil, c.Timer == nil:
		return fmt.Errorf("group: Storage, Topics and Timer are required")
	case c.MinSessionTimeout < 0 || c.MinSessionTimeout > longest:
		return fmt.Errorf("group.min.session.timeout.ms: %d is out of range", c.MinSessionTimeout.Milliseconds())
	case c.MaxSessionTimeout < c.MinSessionTimeout || c.MaxSessionTimeout > longest:
		return fmt.Errorf("group.max.session.timeout.ms: %d must be at least group.min.session.timeout.ms %d",
			c.MaxSessionTimeout.Milliseconds(), c.MinSessionTimeout.Milliseconds())
	case c.InitialRebalanceDelay > longest:
		return fmt.Errorf("group.initial.rebalance.delay.ms: %d is out of range", c.InitialRebalanceDelay.Milliseconds())
	case c.MaxSize < 1 || c.MaxSize > math.MaxInt32:
		return fmt.Errorf("group.max.size: %d must be at least 1", c.MaxSize)
	case c.OffsetsRetention < time.Minute:
		return fmt.Errorf("offsets.retention.minutes: %v must be at least 1 minute", c.OffsetsRetention)
	case c.OffsetsRetentionCheckInterval < time.Millisecond:
		return fmt.Errorf("offsets.retention.check.interval.ms: %v must be at least 1 ms", c.OffsetsRetentionCheckInterval)
	case c.OffsetsTopicPartitions < 1:
		return fmt.Errorf("offsets.topic.num.partitions: %d must be at least 1", c.OffsetsTopicPartitions)
	case c.OffsetsCommitTimeout < time.Millisecond:
		return fmt.Errorf("offsets.commit.timeout.ms: %v must be at least 1 ms", c.OffsetsCommitTimeout)
	case c.Loaders < 1:
		return fmt.Errorf("group.coordinator.threads: %d must be at least 1", c.Loaders)
	}
	return nil
}

// TopicInfo is what the coordinator knows of a topic.
type TopicInfo struct {
	Name       string
	ID         [16]byte
	Partitions int32 // 0 .. Partitions-1 exist
}

// Topics resolves topics; the metadata image satisfies it through an adapter.
// Methods may be called concurrently and must not block.
type Topics interface {
	TopicByName(name string) (TopicInfo, bool)
	TopicByID(id [16]byte) (TopicInfo, bool)
}
