package engine

import (
	"fmt"
	"math"
	"time"
)

// CleanerConfig is how logs are compacted, by Kafka's names. The zero value of a field means its default.
type CleanerConfig struct {
	// Disabled: nothing is compacted but by RunCompaction (log.cleaner.enable=false).
	Disabled bool
	// Threads is how many logs are compacted at a time (log.cleaner.threads); default 1, range 1..64.
	Threads int
	// DedupeBufferBytes is the memory for the key maps of all threads (log.cleaner.dedupe.buffer.size), 24
	// bytes a key; default 128 MiB. A map takes as much of its share as the keys at hand need, and only while
	// a log is compacted. More distinct keys than fit take several rounds.
	DedupeBufferBytes int64
	// LoadFactor is how full a key map may get (log.cleaner.io.buffer.load.factor); default 0.9, range 0..1.
	LoadFactor float64
	// IOBufferBytes is the memory for the reads and writes of all threads (log.cleaner.io.buffer.size);
	// default 512 KiB. A larger batch gets a larger buffer while it is looked at.
	IOBufferBytes int
	// MaxBytesPerSecond bounds what all threads read and write together
	// (log.cleaner.io.max.bytes.per.second); default without bound.
	MaxBytesPerSecond float64
	// Backoff is how long a thread that finds nothing to do waits (log.cleaner.backoff.ms); default 15 s.
	Backoff time.Duration
}

// EnsureDefaults fills in every unset field.
func (c *CleanerConfig) EnsureDefaults() {
	setDefault(&c.Threads, 1)
	setDefault(&c.DedupeBufferBytes, 128<<20)
	setDefault(&c.LoadFactor, 0.9)
	setDefault(&c.IOBufferBytes, 512<<10)
	setDefault(&c.MaxBytesPerSecond, math.MaxFloat64)
	setDefault(&c.Backoff, 15*time.Second)
}

// Validate reports the first field that is out of range. Call EnsureDefaults first.
func (c *CleanerConfig) Validate() error {
	switch {
	case c.Threads < 1 || c.Threads > maxCleanerThreads:
		return fmt.Errorf("engine: log.cleaner.threads %d is not in 1..%d", c.Threads, maxCleanerThreads)
	case c.DedupeBufferBytes < 0:
		return fmt.Errorf("engine: log.cleaner.dedupe.buffer.size %d is negative", c.DedupeBufferBytes)
	case !(c.LoadFactor > 0 && c.LoadFactor <= 1):
		return fmt.Errorf("engine: log.cleaner.io.buffer.load.factor %v is not in 0..1", c.LoadFactor)
	case c.IOBufferBytes < 0:
		return fmt.Errorf("engine: log.cleaner.io.buffer.size %d is negative", c.IOBufferBytes)
	case !(c.MaxBytesPerSecond > 0):
		return fmt.Errorf("engine: log.cleaner.io.max.bytes.per.second %v is not positive", c.MaxBytesPerSecond)
	case c.Backoff < 0:
		return fmt.Errorf("engine: log.cleaner.backoff.ms %v is negative", c.Backoff)
	}
	return nil
}

const maxCleanerThreads = 64

// leastCleanerBuffer is what a thread gets for reading and for writing at least, whatever IOBufferBytes says.
const leastCleanerBuffer = 4096

// bufferBytes is one thread's share for reading, and as much for writing.
func (c *CleanerConfig) bufferBytes() int {
	return max(leastCleanerBuffer, c.IOBufferBytes/c.Threads/2)
}

// mapBytes is one thread's share of the key maps' memory.
func (c *CleanerConfig) mapBytes() int64 { return c.DedupeBufferBytes / int64(c.Threads) }
