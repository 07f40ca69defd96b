package configs

import (
	"errors"
	"fmt"

	"kserver/engine"
	"kserver/protocol"
)

// The keys of the log cleaner.
const (
	cleanerEnable     = "log.cleaner.enable"
	cleanerThreads    = "log.cleaner.threads"
	cleanerDedupe     = "log.cleaner.dedupe.buffer.size"
	cleanerLoadFactor = "log.cleaner.io.buffer.load.factor"
	cleanerIOBuffer   = "log.cleaner.io.buffer.size"
	cleanerRate       = "log.cleaner.io.max.bytes.per.second"
	cleanerBackoff    = "log.cleaner.backoff.ms"
)

// mostCleanerThreads is a bound of ours on what Kafka leaves open.
const mostCleanerThreads = 64

// leastDedupeBytes is what each thread needs for its key map at least, as in Kafka.
const leastDedupeBytes = 1 << 20

// cleanerConfig is how logs are compacted; with an error, key is the one at fault.
func cleanerConfig(values map[string]value) (c engine.CleanerConfig, key string, err error) {
	long := func(key string) int64 { return values[key].parsed.(int64) }
	threads := long(cleanerThreads)
	c = engine.CleanerConfig{
		Disabled: !values[cleanerEnable].parsed.(bool) || threads == 0, Threads: int(max(1, threads)),
		DedupeBufferBytes: long(cleanerDedupe), LoadFactor: values[cleanerLoadFactor].parsed.(float64),
		IOBufferBytes: int(max(1, long(cleanerIOBuffer))), MaxBytesPerSecond: values[cleanerRate].parsed.(float64),
		Backoff: max(1, millis(long(cleanerBackoff))),
	}
	switch {
	case threads > mostCleanerThreads:
		return c, cleanerThreads, fmt.Errorf("is more than %d threads", mostCleanerThreads)
	case c.DedupeBufferBytes/int64(c.Threads) <= leastDedupeBytes:
		return c, cleanerDedupe, errors.New("must be at least 1MB per cleaner thread")
	case !(c.LoadFactor > 0 && c.LoadFactor <= 1):
		return c, cleanerLoadFactor, errors.New("must be above 0 and at most 1")
	case !(c.MaxBytesPerSecond > 0):
		return c, cleanerRate, errors.New("must be positive")
	}
	return c, "", nil
}

// checkCleanerChange applies Kafka's rules for another number of threads on a running broker, with its messages.
func checkCleanerChange(now, next *Broker) error {
	have, want := now.values[cleanerThreads].parsed.(int64), next.values[cleanerThreads].parsed.(int64)
	switch {
	case have == want:
		return nil
	case want < 1:
		return protocol.Errorf(protocol.InvalidRequest, "Log cleaner threads should be at least 1")
	case want < have/2:
		return protocol.Errorf(protocol.InvalidRequest, "Log cleaner threads cannot be reduced to less than half the current value %d", have)
	case have > 0 && want > have*2:
		return protocol.Errorf(protocol.InvalidRequest, "Log cleaner threads cannot be increased to more than double the current value %d", have)
	}
	return nil
}
