package controller

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"kserver/protocol"
)

// Publisher makes the broker follow the metadata: it creates and deletes
// partitions. The composer of the broker implements it.
type Publisher interface {
	// Publish brings the broker from the image before to image; delta says what
	// differs. It is called by one goroutine at a time, in the order of the log,
	// once at Open with everything, and before a change is answered and visible
	// through Controller.Image. An error is logged and becomes the answer of the
	// request that caused the change; the change stays in the log and becomes
	// visible all the same, and the next start publishes it again.
	Publish(delta *Delta, image *MetadataImage) error
}

// InternalTopic says how a topic of the broker's own is made when it is first
// needed.
type InternalTopic struct {
	Partitions int32
	// ReplicationFactor is lowered to the number of brokers there are: a single
	// node with Kafka's default of 3 would never get its offsets topic.
	ReplicationFactor int16
	Configs           map[string]string
}

// Config is what a Controller is made from.
type Config struct {
	// Log holds the metadata. Required unless Quorum is set.
	Log Log
	// Quorum orders the metadata; default NewLocalQuorum on Log.
	Quorum Quorum
	// Publisher makes the broker follow. Required.
	Publisher Publisher

	// NodeID (node.id), Endpoints (advertised.listeners), Rack (broker.rack; nil
	// for none) and LogDirs (the directory.id of each log directory's
	// meta.properties) are what this broker registers with.
	NodeID    int32
	Endpoints []Endpoint
	Rack      *string
	LogDirs   []UUID
	// ClusterID is Kafka's cluster.id of meta.properties. Required.
	ClusterID string

	// NumPartitions (num.partitions) and ReplicationFactor
	// (default.replication.factor) are used where a request leaves them open;
	// default 1, at least 1.
	NumPartitions     int32
	ReplicationFactor int16
	// DisableDelete refuses to delete topics (delete.topic.enable=false).
	DisableDelete bool
	// ValidateTopic checks the settings of a topic to be created. Its error is
	// the answer, a *protocol.Error as a rule. Required.
	ValidateTopic func(overrides map[string]string) error
	// Settings knows what may be set by AlterConfigs. Required.
	Settings SettingRules
	// InternalTopics are the topics EnsureTopic makes with settings of their own.
	InternalTopics map[string]InternalTopic

	// MaxPending bounds the changes that wait for the log; default 1024, range
	// 1..65536. Beyond it callers wait, and EnsureTopic gives up.
	MaxPending int
	// Now is the clock of record timestamps; default time.Now.
	Now func() time.Time
	// Random makes identifiers; default crypto/rand.Reader. It is read by one
	// goroutine at a time.
	Random io.Reader
	// Logger; default discards.
	Logger *slog.Logger
}

// EnsureDefaults fills in every unset field that has a default.
func (c *Config) EnsureDefaults() {
	if c.NumPartitions == 0 {
		c.NumPartitions = 1
	}
	if c.ReplicationFactor == 0 {
		c.ReplicationFactor = 1
	}
	if c.MaxPending == 0 {
		c.MaxPending = 1024
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Quorum == nil && c.Log != nil {
		c.Quorum = NewLocalQuorum(c.Log, c.Now)
	}
}

// Validate reports every field that is missing or out of range. Call
// EnsureDefaults first.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("controller: "+format, args...))
		}
	}
	check(c.Quorum != nil, "no metadata log")
	check(c.Publisher != nil, "no publisher")
	check(c.ValidateTopic != nil, "no check of topic settings")
	check(c.Settings != nil, "no rules of settings")
	check(c.NodeID >= 0, "node.id %d is negative", c.NodeID)
	check(c.ClusterID != "", "no cluster.id")
	check(c.NumPartitions >= 1, "num.partitions %d is below 1", c.NumPartitions)
	check(c.ReplicationFactor >= 1, "default.replication.factor %d is below 1", c.ReplicationFactor)
	check(c.MaxPending >= 1 && c.MaxPending <= 1<<16, "%d pending changes is not in 1..65536", c.MaxPending)
	for name, t := range c.InternalTopics {
		check(t.Partitions >= 1 && t.Partitions <= maxPartitionsPerRequest, "%s with %d partitions", name, t.Partitions)
		check(t.ReplicationFactor >= 1, "%s with replication factor %d", name, t.ReplicationFactor)
	}
	return errors.Join(errs...)
}

// Feature levels of this release. Only what works is finalized: the levels of
// groups, transactions, share and streams groups are left out, so that clients
// do not rely on them.
const (
	// MetadataVersionFeature names the version of the metadata log's records.
	MetadataVersionFeature = "metadata.version"
	// MetadataVersion is that of Kafka 4.3 (4.3-IV0).
	MetadataVersion int16 = 30
)

// SupportedFeatures are the features this release can work with, as brokers
// register them and ApiVersions shows them.
func SupportedFeatures() []FeatureRange {
	return []FeatureRange{{Name: MetadataVersionFeature, Min: MetadataVersion, Max: MetadataVersion}}
}

// Answers for a change that was not made, or not in time.
var (
	errTimedOut = &protocol.Error{Code: protocol.RequestTimedOut}
	// errNotController sends clients to another broker, or to this one again.
	errNotController = &protocol.Error{Code: protocol.NotController}
	errStorage       = &protocol.Error{Code: protocol.KafkaStorageError}
	errBusy          = protocol.Errorf(protocol.UnknownServerError, "Too many metadata changes are waiting.")
)
