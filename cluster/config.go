package cluster

import (
	"log/slog"
	"runtime"
	"strconv"
	"time"

	"kserver/cluster/configs"
	"kserver/cluster/controller"
	"kserver/cluster/coordinator"
	"kserver/cluster/group"
	"kserver/engine"
	"kserver/engine/vfs"
	"kserver/netio"
	"kserver/pagecache"
)

// Config is what a Broker is made from.
type Config struct {
	// Broker is the effective configuration. Required.
	Broker *configs.Broker
	// Logger; default discards.
	Logger *slog.Logger
	// FS is the file system of the log directories; default the operating
	// system's.
	FS vfs.FS
	// DisableWarm serves cold ranges as they are, without asking the page cache
	// first.
	DisableWarm bool
}

// engineConfig is the log manager's part of the configuration.
func (c *Config) engineConfig(warm *pagecache.Warmer) engine.Config {
	b, s := c.Broker, &c.Broker.Storage
	return engine.Config{
		Dirs: s.Dirs, FS: c.FS, Logger: c.Logger, NodeID: b.NodeID, ClusterID: b.ClusterID,
		RecoveryThreads: s.RecoveryThreads, CheckpointInterval: s.RecoveryPointInterval,
		RetentionCheckInterval: s.RetentionCheckInterval, ProducerIDExpiration: s.ProducerIDExpiration,
		ProducerIDExpirationCheckInterval: s.ProducerIDCheckInterval, MaxOpenFiles: s.MaxOpenFiles,
		JournalBytes: s.JournalBytes, DiskReserveBytes: s.ReserveBytes, Cleaner: s.Cleaner,
		Warm: warm, DisableUring: b.Network.Backend == string(netio.BackendEpoll),
	}
}

// space asks the file system of the log directories how large it is.
func (c *Config) space(dir string) (free, total int64, err error) {
	return c.fs().FreeBytes(dir)
}

// fs is the file system of the log directories.
func (c *Config) fs() vfs.FS {
	if c.FS == nil {
		return vfs.OS
	}
	return c.FS
}

// netConfig is the event loops' part of the configuration.
func (c *Config) netConfig(admission netio.Admission) netio.Config {
	n := &c.Broker.Network
	return netio.Config{
		Backend: netio.Backend(n.Backend), Loops: n.EventLoops, MaxFrameBytes: n.MaxRequestBytes, Admission: admission,
		IdleTimeout: n.IdleTimeout, OutputStallTimeout: n.OutputStallTimeout, InputStallTimeout: n.InputStallTimeout,
		InputBudgetBytes: n.RequestMemoryBytes, MaxPendingRequests: n.MaxPending, MaxQueuedOutputBytes: n.MaxQueuedOutput,
		FrameTimeout: n.RequestTimeout, FrameBytesPerSecond: n.RequestMinRate,
		SendBufferBytes: n.SendBufferBytes, ReceiveBufferBytes: n.ReceiveBufferBytes, ListenBacklog: n.ListenBacklog,
		NoSendfile: !n.Sendfile, Logger: c.Logger,
	}
}

// newWorkers makes the pool for what may block: heavy requests get half of the
// processors and half of the memory for requests.
func (c *Config) newWorkers() *workers {
	n := &c.Broker.Network
	processors := min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) // there may be more threads, for the event loops
	return newWorkers(n.Workers, max(1, processors/2), n.RequestMemoryBytes/2)
}

// groupConfig is the group coordinator's part of the configuration.
func (c *Config) groupConfig(storage coordinator.Storage, topics group.Topics, timer coordinator.Timer) group.Config {
	g, o := &c.Broker.Groups, &c.Broker.Offsets
	return group.Config{
		MinSessionTimeout: g.MinSessionTimeout, MaxSessionTimeout: g.MaxSessionTimeout,
		InitialRebalanceDelay: g.InitialRebalanceDelay, MaxSize: g.MaxSize, Loaders: g.Loaders,
		OffsetMetadataMaxBytes: o.MaxMetadataBytes, OffsetsRetention: o.Retention,
		OffsetsRetentionCheckInterval: o.RetentionCheckInterval, OffsetsTopicPartitions: o.Partitions,
		OffsetsCommitTimeout: o.CommitTimeout,
		Storage:              storage, Topics: topics, Timer: timer, Logger: c.Logger,
	}
}

// controllerConfig is the controller's part of the configuration.
func (c *Config) controllerConfig() controller.Config {
	b := c.Broker
	cfg := controller.Config{
		NodeID: b.NodeID, NumPartitions: b.Topics.NumPartitions, ReplicationFactor: b.Topics.ReplicationFactor,
		DisableDelete: !b.Topics.Delete, ValidateTopic: configs.ValidateTopic, Logger: c.Logger, Now: time.Now,
		InternalTopics: map[string]controller.InternalTopic{
			group.TopicName: {
				Partitions: b.Offsets.Partitions, ReplicationFactor: b.Offsets.ReplicationFactor,
				Configs: map[string]string{
					"cleanup.policy": "compact", "compression.type": "producer",
					"segment.bytes": strconv.Itoa(b.Offsets.SegmentBytes),
				},
			},
		},
	}
	if b.Rack != "" {
		cfg.Rack = &b.Rack
	}
	return cfg
}
