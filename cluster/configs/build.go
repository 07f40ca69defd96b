package configs

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// leastRequestMemory is what queued.max.request.bytes=-1 gives at least: room for some large requests and many
// small ones.
const leastRequestMemory = 128 << 20

// build makes the typed configuration and checks the values against each other. With problems the result is not
// to be used.
func (p *parser) build() *Broker {
	if len(p.problems) > 0 {
		// A refused or malformed value has no entry: go on with the default, so that the other checks run.
		p.fillDefaults()
	}
	b := &Broker{values: p.values}
	p.buildIdentity(b)
	p.buildNetwork(&b.Network)
	p.buildListeners(&b.Network)
	p.buildStorage(&b.Storage)
	p.buildTopics(b)
	p.buildMetrics(&b.Metrics)
	p.checkRelations()
	b.ClusterID = p.text("cluster.id")
	b.Scrub = Scrub{Interval: p.duration("log.scrub.interval.ms"), BytesPerSecond: p.long("log.scrub.io.max.bytes.per.second")}
	b.ShutdownTimeout = p.duration("shutdown.timeout.ms")
	return b
}

func (p *parser) duration(key string) time.Duration { return millis(p.long(key)) }

func (p *parser) buildIdentity(b *Broker) {
	node := p.long("node.id")
	if broker := p.long("broker.id"); p.isSet("broker.id") && broker != node {
		p.fail("broker.id", fmt.Sprintf("differs from node.id=%d", node), "set node.id only, to a number from 0 up")
	}
	b.NodeID = int32(node)
	b.Rack = p.text("broker.rack")
	if len(p.list("process.roles")) < 2 {
		p.fail("process.roles", "a node with one role needs other nodes, and this version runs as a single node",
			"set process.roles=broker,controller")
	}
	p.checkQuorum(node)
}

// checkQuorum makes sure that nothing asks for more controllers than this node.
func (p *parser) checkQuorum(node int64) {
	const alone = "this version runs as a single node; name only this node, or delete the key"
	switch voters := p.list("controller.quorum.voters"); {
	case len(voters) > 1:
		p.fail("controller.quorum.voters", fmt.Sprintf("names %d controllers", len(voters)), alone)
	case len(voters) == 1 && !strings.HasPrefix(strings.TrimLeft(voters[0], "0"), strings.TrimLeft(fmt.Sprintf("%d@", node), "0")):
		p.fail("controller.quorum.voters", fmt.Sprintf("does not name node.id=%d", node), alone)
	}
	if servers := p.list("controller.quorum.bootstrap.servers"); len(servers) > 1 {
		p.fail("controller.quorum.bootstrap.servers", fmt.Sprintf("names %d controllers", len(servers)), alone)
	}
}

func (p *parser) buildNetwork(n *Network) {
	*n = Network{
		Backend:            p.text("io.backend"),
		Sendfile:           p.boolean("sendfile.enable"),
		EventLoops:         p.integer("num.network.threads"),
		Workers:            p.integer("num.io.threads"),
		MaxRequestBytes:    p.integer("socket.request.max.bytes"),
		RequestMemoryBytes: p.long("queued.max.request.bytes"),
		IdleTimeout:        p.duration("connections.max.idle.ms"),
		OutputStallTimeout: p.duration("connection.output.stall.timeout.ms"),
		InputStallTimeout:  p.duration("connection.input.stall.timeout.ms"),
		RequestTimeout:     p.duration("connection.request.timeout.ms"),
		RequestMinRate:     p.integer("connection.request.min.bytes.per.second"),
		MaxPending:         p.integer("connection.max.pending.requests"),
		MaxQueuedOutput:    p.integer("connection.max.queued.output.bytes"),
		SendBufferBytes:    max(0, p.integer("socket.send.buffer.bytes")),
		ReceiveBufferBytes: max(0, p.integer("socket.receive.buffer.bytes")),
		ListenBacklog:      p.integer("socket.listen.backlog.size"),
		FetchMaxBytes:      p.integer("fetch.max.bytes"),
		FetchSessions:      p.integer("max.incremental.fetch.session.cache.slots"),
		MaxDescribed:       p.integer("max.request.partition.size.limit"),
	}
	if limits, key, err := connectionLimits(p.values); err != nil {
		p.fail(key, err.Error(), "correct it")
	} else {
		n.Connections = limits
	}
	if n.RequestMemoryBytes <= 0 {
		n.RequestMemoryBytes = max(leastRequestMemory, int64(n.MaxRequestBytes)/4*5)
	} else if n.RequestMemoryBytes < int64(n.MaxRequestBytes) {
		p.fail("queued.max.request.bytes", fmt.Sprintf("is less than socket.request.max.bytes=%d, so the largest request could never be read", n.MaxRequestBytes),
			"raise it, or lower socket.request.max.bytes")
	}
	if n.EventLoops > maxEventLoops {
		p.fail("num.network.threads", fmt.Sprintf("is more than %d event loops", maxEventLoops), "one per core is the most that helps")
	}
	if n.Workers > maxWorkers {
		p.fail("num.io.threads", fmt.Sprintf("is more than %d threads", maxWorkers), "lower it")
	}
}

// Bounds of ours on what Kafka leaves open.
const (
	maxEventLoops = 256
	maxWorkers    = 1024
)

func (p *parser) buildStorage(s *Storage) {
	*s = Storage{
		Dirs:                    p.list("log.dirs"),
		RecoveryThreads:         min(64, p.integer("num.recovery.threads.per.data.dir")),
		MaxOpenFiles:            p.integer("log.max.open.files"),
		RetentionCheckInterval:  p.duration("log.retention.check.interval.ms"),
		RecoveryPointInterval:   p.duration("log.flush.offset.checkpoint.interval.ms"),
		ProducerIDExpiration:    p.duration("producer.id.expiration.ms"),
		ProducerIDCheckInterval: p.duration("producer.id.expiration.check.interval.ms"),
	}
	var key string
	var err error
	if s.Cleaner, key, err = cleanerConfig(p.values); err != nil {
		p.fail(key, err.Error(), "choose another value, or delete the key")
	}
	if s.JournalBytes = p.long("log.journal.max.bytes"); s.JournalBytes == 0 {
		s.JournalBytes = -1
	}
	switch reserve := p.long("log.dir.reserve.bytes"); reserve {
	case 0:
		s.ReserveBytes = -1
	case -1: // the engine's default
	default:
		s.ReserveBytes = reserve
	}
	if s.Dirs == nil {
		s.Dirs = p.list("log.dir")
	}
}

func (p *parser) buildTopics(b *Broker) {
	b.Topics = Topics{
		NumPartitions:     int32(p.long("num.partitions")),
		ReplicationFactor: int16(min(p.long("default.replication.factor"), 1<<15-1)),
		AutoCreate:        p.boolean("auto.create.topics.enable"),
		Delete:            p.boolean("delete.topic.enable"),
		MinInsyncReplicas: p.integer("min.insync.replicas"),
	}
	b.Groups = Groups{
		MinSessionTimeout:     p.duration("group.min.session.timeout.ms"),
		MaxSessionTimeout:     p.duration("group.max.session.timeout.ms"),
		InitialRebalanceDelay: p.duration("group.initial.rebalance.delay.ms"),
		MaxSize:               p.integer("group.max.size"),
		Loaders:               p.integer("group.coordinator.threads"),
	}
	b.Offsets = Offsets{
		Partitions:             int32(p.long("offsets.topic.num.partitions")),
		ReplicationFactor:      int16(p.long("offsets.topic.replication.factor")),
		SegmentBytes:           p.integer("offsets.topic.segment.bytes"),
		CommitTimeout:          p.duration("offsets.commit.timeout.ms"),
		Retention:              time.Duration(p.long("offsets.retention.minutes")) * time.Minute,
		RetentionCheckInterval: p.duration("offsets.retention.check.interval.ms"),
		MaxMetadataBytes:       p.integer("offset.metadata.max.bytes"),
	}
	if least := int64(1 << 20); p.long("offsets.topic.segment.bytes") < least {
		p.fail("offsets.topic.segment.bytes", fmt.Sprintf("is less than %d, the least segment.bytes a topic may have", least), "raise it")
	}
}

// checkRelations checks what Kafka's KafkaConfig checks besides the bounds of each key, as far as kserver obeys
// the keys.
func (p *parser) checkRelations() {
	for _, key := range []string{"log.retention.ms", "log.retention.minutes", "log.retention.hours"} {
		if v, ok := p.values[key].parsed.(int64); ok && (v == 0 || v < -1) {
			p.fail(key, "must be -1, to keep records, or at least 1", "correct it")
		}
	}
	if v, ok := p.values["log.roll.ms"].parsed.(int64); ok && v < 1 {
		p.fail("log.roll.ms", "must be at least 1", "correct it")
	}
	if v, ok := p.values["log.roll.jitter.ms"].parsed.(int64); ok && v < 0 {
		p.fail("log.roll.jitter.ms", "must be at least 0", "correct it")
	}
	for _, key := range []string{"default.replication.factor", "group.min.session.timeout.ms", "log.flush.offset.checkpoint.interval.ms"} {
		if p.long(key) < 1 {
			p.fail(key, "must be at least 1", "correct it")
		}
	}
	for _, key := range []string{"group.initial.rebalance.delay.ms", "offset.metadata.max.bytes"} {
		if p.long(key) < 0 {
			p.fail(key, "must be at least 0", "correct it")
		}
	}
	if least, most := p.long("group.min.session.timeout.ms"), p.long("group.max.session.timeout.ms"); least > most {
		p.fail("group.min.session.timeout.ms", fmt.Sprintf("is more than group.max.session.timeout.ms=%d", most), "lower it, or raise the other")
	}
	for _, key := range []string{"socket.send.buffer.bytes", "socket.receive.buffer.bytes"} {
		if v := p.long(key); v < -1 || v == 0 {
			p.fail(key, "must be -1 or at least 1", "-1 leaves the size to the system")
		}
	}
	if dirs := p.list("log.dirs"); slices.Contains(dirs, "") {
		p.fail("log.dirs", "has an empty item", "separate directories by single commas")
	}
}
