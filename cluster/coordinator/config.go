package coordinator

import (
	"fmt"
	"log/slog"
	"time"
)

// Defaults of Config.
const (
	DefaultWriteTimeout = 5 * time.Second
	DefaultLoaders      = 4
	DefaultMaxWaiting   = 1 << 16
)

// Config configures a Runtime.
type Config struct {
	// Topic is the internal topic's name, for logs and errors.
	Topic string
	// Storage is the log of the topic's partitions that are led here.
	Storage Storage
	Clock   Clock // nil: SystemClock
	Timer   Timer // required
	Logger  *slog.Logger
	// NewState makes the empty state of a partition; it is then replayed into.
	NewState func(partition int32) State
	// WriteTimeout is how long an answer waits for its writes before it fails
	// with REQUEST_TIMED_OUT, mapped by AppendError. Kafka:
	// offsets.commit.timeout.ms for the group coordinator. Default 5 s.
	WriteTimeout time.Duration
	// Loaders bounds the partitions loaded at the same time. Kafka:
	// group.coordinator.threads. Default 4.
	Loaders int
	// MaxWaiting bounds the events of one shard whose answers wait for the
	// log; further ones get COORDINATOR_NOT_AVAILABLE. Default 65536.
	MaxWaiting int
}

// EnsureDefaults fills in what is unset.
func (c *Config) EnsureDefaults() {
	if c.Clock == nil {
		c.Clock = SystemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = DefaultWriteTimeout
	}
	if c.Loaders == 0 {
		c.Loaders = DefaultLoaders
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = DefaultMaxWaiting
	}
}

// Validate reports the first field that cannot work.
func (c *Config) Validate() error {
	switch {
	case c.Topic == "":
		return fmt.Errorf("coordinator: Topic is empty")
	case c.Storage == nil, c.Timer == nil, c.NewState == nil:
		return fmt.Errorf("coordinator: Storage, Timer and NewState are required")
	case c.WriteTimeout < time.Millisecond:
		return fmt.Errorf("coordinator: WriteTimeout %v is below 1ms", c.WriteTimeout)
	case c.Loaders < 1:
		return fmt.Errorf("coordinator: Loaders %d is below 1", c.Loaders)
	case c.MaxWaiting < 1:
		return fmt.Errorf("coordinator: MaxWaiting %d is below 1", c.MaxWaiting)
	}
	return nil
}
