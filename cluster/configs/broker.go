package configs

import (
	"math"
	"time"

	"kserver/engine"
)

// Broker is the effective configuration of a node: every value typed, checked against its bounds and against the
// others. It is immutable and safe for concurrent use. Fields name the key they come from; durations that Kafka
// lets be endless are the longest Duration.
type Broker struct {
	NodeID    int32  // node.id, or broker.id
	ClusterID string // cluster.id; "" takes the data directory's, or a new one
	Rack      string // broker.rack; "" is none

	Network Network
	Storage Storage
	Topics  Topics
	Groups  Groups
	Offsets Offsets
	Metrics Metrics

	Scrub Scrub

	// ShutdownTimeout (shutdown.timeout.ms) bounds how long a stop waits for requests in flight.
	ShutdownTimeout time.Duration

	// Notices are sentences for the operator: settings without effect, values overridden.
	Notices []string

	values map[string]value

	// start is the configuration this one was derived from by settings made at run time, nil when there are none;
	// shared and own are those settings (see Live).
	start       *Broker
	shared, own map[string]string
}

// Network holds what the listeners and connections need.
type Network struct {
	// Listeners are the ones to open. At least one.
	Listeners []Listener
	// Advertised are the addresses handed to clients. Port 0 stands for the port its listener gets.
	Advertised []Listener
	// Controller are the listeners of controller.listener.names, which a single node does not open.
	Controller []Listener
	// InterBroker names the listener brokers use among themselves; it is one of Listeners.
	InterBroker string

	Backend            string        // io.backend: auto, io_uring or epoll
	Sendfile           bool          // sendfile.enable
	EventLoops         int           // num.network.threads
	Workers            int           // num.io.threads: threads for requests that may wait for the disk
	MaxRequestBytes    int           // socket.request.max.bytes
	RequestMemoryBytes int64         // queued.max.request.bytes, resolved: always positive
	IdleTimeout        time.Duration // connections.max.idle.ms; negative never closes
	OutputStallTimeout time.Duration // connection.output.stall.timeout.ms
	InputStallTimeout  time.Duration // connection.input.stall.timeout.ms
	RequestTimeout     time.Duration // connection.request.timeout.ms; negative never closes
	RequestMinRate     int           // connection.request.min.bytes.per.second
	MaxPending         int           // connection.max.pending.requests
	MaxQueuedOutput    int           // connection.max.queued.output.bytes
	SendBufferBytes    int           // socket.send.buffer.bytes; 0 leaves it to the system
	ReceiveBufferBytes int           // socket.receive.buffer.bytes; 0 leaves it to the system
	ListenBacklog      int           // socket.listen.backlog.size
	FetchMaxBytes      int           // fetch.max.bytes
	FetchSessions      int           // max.incremental.fetch.session.cache.slots
	MaxDescribed       int           // max.request.partition.size.limit

	Connections ConnectionLimits
}

// Storage holds what the log needs besides the configuration of each topic (see Broker.TopicDefaults).
type Storage struct {
	Dirs                    []string             // log.dirs, or log.dir; at least one
	RecoveryThreads         int                  // num.recovery.threads.per.data.dir
	MaxOpenFiles            int                  // log.max.open.files
	JournalBytes            int64                // log.journal.max.bytes; negative is no journal
	ReserveBytes            int64                // log.dir.reserve.bytes; 0 is the default, negative no reserve
	RetentionCheckInterval  time.Duration        // log.retention.check.interval.ms
	RecoveryPointInterval   time.Duration        // log.flush.offset.checkpoint.interval.ms
	Cleaner                 engine.CleanerConfig // log.cleaner.*
	ProducerIDExpiration    time.Duration        // producer.id.expiration.ms
	ProducerIDCheckInterval time.Duration        // producer.id.expiration.check.interval.ms
}

// Scrub is how the checksums of all records are compared in the background.
type Scrub struct {
	Interval       time.Duration // log.scrub.interval.ms; negative is never
	BytesPerSecond int64         // log.scrub.io.max.bytes.per.second
}

// Topics holds what topic creation and deletion need.
type Topics struct {
	NumPartitions     int32 // num.partitions
	ReplicationFactor int16 // default.replication.factor
	AutoCreate        bool  // auto.create.topics.enable
	Delete            bool  // delete.topic.enable
	MinInsyncReplicas int   // min.insync.replicas
}

// Groups holds the bounds of classic groups.
type Groups struct {
	MinSessionTimeout     time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout     time.Duration // group.max.session.timeout.ms
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms
	MaxSize               int           // group.max.size
	Loaders               int           // group.coordinator.threads: partitions loaded at the same time
}

// Offsets holds what __consumer_offsets and committed offsets need.
type Offsets struct {
	Partitions             int32         // offsets.topic.num.partitions
	ReplicationFactor      int16         // offsets.topic.replication.factor; see Broker.ReplicationFactor
	SegmentBytes           int           // offsets.topic.segment.bytes
	CommitTimeout          time.Duration // offsets.commit.timeout.ms
	Retention              time.Duration // offsets.retention.minutes
	RetentionCheckInterval time.Duration // offsets.retention.check.interval.ms
	MaxMetadataBytes       int           // offset.metadata.max.bytes
}

// Metrics holds where the broker's metrics are read, and what clients may push of theirs.
type Metrics struct {
	Listeners         []Listener // metrics.listeners; none, when nobody is to read them
	TelemetryMaxBytes int        // telemetry.max.bytes
}

// ReplicationFactor returns the replication factor an internal topic gets: the configured one, but no more than
// there are brokers. The same holds for its minimum of in-sync replicas.
func (b *Broker) ReplicationFactor(configured int16, brokers int) int16 {
	return max(1, min(configured, int16(min(brokers, math.MaxInt16))))
}

// Value returns the effective value of a broker key as text; ok is false for null and for a key nobody set that
// is not in the table. A secret is "[hidden]".
func (b *Broker) Value(key string) (text string, ok bool) {
	v := b.values[key]
	if v.text == nil {
		return "", false
	}
	return *v.text, true
}

// millis turns milliseconds into a Duration; what does not fit becomes the longest.
func millis(ms int64) time.Duration {
	if ms > int64(math.MaxInt64/time.Millisecond) {
		return math.MaxInt64
	}
	if ms < int64(math.MinInt64/time.Millisecond) {
		return math.MinInt64
	}
	return time.Duration(ms) * time.Millisecond
}
