package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"kserver/engine/vfs"
	"kserver/pagecache"
	"kserver/protocol/recordbatch"
)

// Clock is the engine's only source of time. All methods are safe for concurrent use.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f on its own goroutine after d; stop prevents that if it has not begun.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// Config is what a LogManager is made from. The zero value of a field means its default.
type Config struct {
	// Dirs are the log directories (log.dirs), each with its own lock, committer and checkpoints. Required.
	Dirs []string
	// FS is the file system; default vfs.OS.
	FS vfs.FS
	// Clock is the source of time; default the system's.
	Clock Clock
	// Logger gets lifecycle and damage reports; default discards.
	Logger *slog.Logger

	// OnOffline is told, once for each directory that fails after the manager was opened, when all its logs have
	// heard of it; nil means nobody is. It is called on a goroutine of the engine and must not block.
	OnOffline func(dir string, err error)

	// ScrubInterval is the time from the end of one pass of the scrub over a directory to the begin of the next
	// (log.scrub.interval.ms); default 7 days, negative never. ScrubBytesPerSecond bounds what it reads
	// (log.scrub.io.max.bytes.per.second); default 8 MiB.
	ScrubInterval       time.Duration
	ScrubBytesPerSecond float64

	// NodeID (node.id) and ClusterID (cluster.id) go into meta.properties; an existing file must agree.
	// An empty ClusterID takes the one found on disk, if any.
	NodeID    int32
	ClusterID string

	// RecoveryThreads is how many logs of one directory are recovered at a time after an unclean stop
	// (num.recovery.threads.per.data.dir); default 2, range 1..64.
	RecoveryThreads int
	// CheckpointInterval is how often recovery points are written
	// (log.flush.offset.checkpoint.interval.ms); default 60 s. CheckpointBytes of appends bring it forward.
	CheckpointInterval time.Duration
	// CheckpointBytes bounds what an unclean start re-reads per directory; default 256 MiB.
	CheckpointBytes int64
	// RetentionCheckInterval is how often old segments are looked for (log.retention.check.interval.ms);
	// default 5 min.
	RetentionCheckInterval time.Duration
	// ProducerIDExpiration is how long an idle producer's sequence state is kept
	// (producer.id.expiration.ms); default 24 h.
	ProducerIDExpiration time.Duration
	// ProducerIDExpirationCheckInterval (producer.id.expiration.check.interval.ms); default 10 min.
	ProducerIDExpirationCheckInterval time.Duration
	// JournalBytes bounds the commit journal of each directory (log.journal.max.bytes); default 256 MiB, negative is
	// no journal, and so is less than 128 KiB. See commitJournal.
	JournalBytes int64
	// MaxOpenFiles bounds the descriptors kept open for segments that nobody is using; default 4096.
	// Segments in use, and segments with unsynced bytes, are never closed to stay below it.
	MaxOpenFiles int
	// DiskReserveBytes is how much stays free for everything but clients' appends, which are refused with
	// ErrDiskFull below it; default the larger of 256 MiB and 2 %, at most 10 % of the file system; negative
	// is no reserve.
	DiskReserveBytes int64

	// Cleaner is how logs are compacted; LogManager.SetCleanerConfig changes it.
	Cleaner CleanerConfig

	// Warm brings cold ranges into the page cache; nil means ranges are never probed and always ready.
	Warm *pagecache.Warmer
	// DisableUring keeps the committer on goroutines although the kernel has io_uring.
	DisableUring bool
	// stepped starts no goroutines: whoever set it takes the turns of committers and janitor. For tests that must
	// run the same way twice.
	stepped bool
	// journalAfter is how many rounds have to gain by a journal before there is one; default 64.
	journalAfter int
	// SyncThreads is how many files the goroutine committer syncs at a time; default 4, range 1..64.
	SyncThreads int
}

// EnsureDefaults fills in every unset field.
func (c *Config) EnsureDefaults() {
	setDefault(&c.RecoveryThreads, 2)
	setDefault(&c.CheckpointInterval, time.Minute)
	setDefault(&c.CheckpointBytes, 256<<20)
	setDefault(&c.RetentionCheckInterval, 5*time.Minute)
	setDefault(&c.ProducerIDExpiration, 24*time.Hour)
	setDefault(&c.ProducerIDExpirationCheckInterval, 10*time.Minute)
	setDefault(&c.JournalBytes, 256<<20)
	setDefault(&c.journalAfter, 64)
	setDefault(&c.MaxOpenFiles, 4096)
	setDefault(&c.SyncThreads, 4)
	setDefault(&c.ScrubInterval, 7*24*time.Hour)
	setDefault(&c.ScrubBytesPerSecond, 8<<20)
	c.Cleaner.EnsureDefaults()
	if c.FS == nil {
		c.FS = vfs.OS
	}
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// reserve is the free space in bytes that clients' appends must leave on a file system of total bytes.
func (c *Config) reserve(total int64) int64 {
	if c.DiskReserveBytes != 0 {
		return c.DiskReserveBytes
	}
	return min(max(256<<20, total/50), total/10)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every field that is out of range. Call EnsureDefaults first.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(len(c.Dirs) > 0, "engine: log.dirs is empty")
	check(c.NodeID >= 0, "engine: node.id %d is negative", c.NodeID)
	check(c.RecoveryThreads >= 1 && c.RecoveryThreads <= 64,
		"engine: num.recovery.threads.per.data.dir %d is not in 1..64", c.RecoveryThreads)
	check(c.CheckpointInterval > 0, "engine: log.flush.offset.checkpoint.interval.ms must be positive")
	check(c.CheckpointBytes > 0, "engine: checkpoint bytes must be positive")
	check(c.RetentionCheckInterval > 0, "engine: log.retention.check.interval.ms must be positive")
	check(c.ProducerIDExpiration > 0, "engine: producer.id.expiration.ms must be positive")
	check(c.ProducerIDExpirationCheckInterval > 0, "engine: producer.id.expiration.check.interval.ms must be positive")
	check(c.MaxOpenFiles >= 16, "engine: at least 16 open files are needed, not %d", c.MaxOpenFiles)
	check(c.SyncThreads >= 1 && c.SyncThreads <= 64, "engine: sync threads %d is not in 1..64", c.SyncThreads)
	return errors.Join(append(errs, c.Cleaner.Validate())...)
}

// LogConfig holds one topic's settings, by Kafka's names. Times are milliseconds, because they are compared
// with record timestamps and because Kafka's "never" (2^63-1) does not fit a time.Duration.
// A LogConfig is a value: the log keeps its own copy.
type LogConfig struct {
	SegmentBytes       int   // segment.bytes; default 1 GiB
	SegmentMs          int64 // segment.ms; default 7 days
	SegmentJitterMs    int64 // segment.jitter.ms; default 0
	SegmentIndexBytes  int   // segment.index.bytes; default 10 MiB
	IndexIntervalBytes int   // index.interval.bytes; default 4096

	RetentionMs       int64 // retention.ms; -1 is forever; default 7 days
	RetentionBytes    int64 // retention.bytes; -1 is no limit, the default
	FileDeleteDelayMs int64 // file.delete.delay.ms; default 60000
	Delete            bool  // cleanup.policy has delete
	Compact           bool  // cleanup.policy has compact

	// MinCleanableRatio (min.cleanable.dirty.ratio) is the share of bytes not compacted yet at which a log is
	// compacted; default 0.5, range 0..1.
	MinCleanableRatio  float64
	MinCompactionLagMs int64 // min.compaction.lag.ms; default 0
	MaxCompactionLagMs int64 // max.compaction.lag.ms; default never; it also bounds segment.ms of a compacted log
	DeleteRetentionMs  int64 // delete.retention.ms, of tombstones and markers; default 24 h

	MaxMessageBytes int   // max.message.bytes, of a whole batch; default 1048588
	FlushMessages   int64 // flush.messages; 1 (our default): durable before acknowledged; more: written is enough
	FlushMs         int64 // flush.ms; syncs a relaxed log at least this often; default never

	LogAppendTime bool  // message.timestamp.type is LogAppendTime
	BeforeMaxMs   int64 // message.timestamp.before.max.ms; default no limit
	AfterMaxMs    int64 // message.timestamp.after.max.ms; default 1 h

	CompressionType  recordbatch.CompressionType // compression.type; default producer
	CompressionLevel int                         // compression.<codec>.level; recordbatch.DefaultLevel is the codec's own
}

// DefaultLogConfig is Kafka's default for every topic config, except flush.messages, which is 1: an
// acknowledged record is durable.
func DefaultLogConfig() LogConfig {
	const week = 7 * 24 * 60 * 60 * 1000
	return LogConfig{
		SegmentBytes: 1 << 30, SegmentMs: week, SegmentIndexBytes: 10 << 20, IndexIntervalBytes: 4096,
		RetentionMs: week, RetentionBytes: -1, FileDeleteDelayMs: 60000, Delete: true,
		MaxMessageBytes: 1<<20 + 12, FlushMessages: 1, FlushMs: math.MaxInt64,
		BeforeMaxMs: math.MaxInt64, AfterMaxMs: 60 * 60 * 1000,
		MinCleanableRatio: 0.5, MaxCompactionLagMs: math.MaxInt64, DeleteRetentionMs: 24 * 60 * 60 * 1000,
	}
}

// Validate reports every field that is out of the range the engine can work with; the stricter ranges of
// Kafka's topic configs are the business of whoever parses them.
func (c *LogConfig) Validate() error {
	var errs []error
	check := func(ok bool, name string, value int64) {
		if !ok {
			errs = append(errs, fmt.Errorf("engine: %s %d is out of range", name, value))
		}
	}
	check(c.SegmentBytes >= 14 && c.SegmentBytes <= math.MaxInt32, "segment.bytes", int64(c.SegmentBytes))
	check(c.SegmentMs >= 1, "segment.ms", c.SegmentMs)
	check(c.SegmentJitterMs >= 0, "segment.jitter.ms", c.SegmentJitterMs)
	check(c.SegmentIndexBytes >= timeEntryBytes*2 && c.SegmentIndexBytes <= math.MaxInt32,
		"segment.index.bytes", int64(c.SegmentIndexBytes))
	check(c.IndexIntervalBytes >= 0, "index.interval.bytes", int64(c.IndexIntervalBytes))
	check(c.RetentionMs >= -1, "retention.ms", c.RetentionMs)
	check(c.RetentionBytes >= -1, "retention.bytes", c.RetentionBytes)
	check(c.FileDeleteDelayMs >= 0, "file.delete.delay.ms", c.FileDeleteDelayMs)
	check(c.MinCleanableRatio >= 0 && c.MinCleanableRatio <= 1, "min.cleanable.dirty.ratio", int64(c.MinCleanableRatio))
	check(c.MinCompactionLagMs >= 0, "min.compaction.lag.ms", c.MinCompactionLagMs)
	check(c.MaxCompactionLagMs >= 0, "max.compaction.lag.ms", c.MaxCompactionLagMs)
	check(c.DeleteRetentionMs >= 0, "delete.retention.ms", c.DeleteRetentionMs)
	check(c.MaxMessageBytes >= 0, "max.message.bytes", int64(c.MaxMessageBytes))
	check(c.FlushMessages >= 1, "flush.messages", c.FlushMessages)
	check(c.FlushMs >= 0, "flush.ms", c.FlushMs)
	check(c.BeforeMaxMs >= 0, "message.timestamp.before.max.ms", c.BeforeMaxMs)
	check(c.AfterMaxMs >= 0, "message.timestamp.after.max.ms", c.AfterMaxMs)
	return errors.Join(errs...)
}

// systemClock is the Clock of a running broker.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}
