package configs

import (
	"fmt"
	"slices"

	"kserver/engine"
	"kserver/protocol/recordbatch"
)

// Topic is the effective configuration of a topic.
type Topic struct {
	// Log is what the topic's logs are run with.
	Log engine.LogConfig
	// MinInsyncReplicas (min.insync.replicas) is the smallest in-sync set that accepts records with acks=all.
	MinInsyncReplicas int
}

// ResolveTopic returns the effective configuration of a topic with the given overrides on this broker. The error
// is a *protocol.Error of code INVALID_CONFIG.
func ResolveTopic(b *Broker, overrides map[string]string) (Topic, error) {
	values, err := b.topicValues(overrides)
	if err != nil {
		return Topic{}, err
	}
	return resolved(values), nil
}

// ResolveStored is ResolveTopic for overrides that were checked when they were made: what this release does not
// understand, or no longer goes together with the broker's own settings, does not keep the topic from being served.
// Overrides that do not parse are left out and returned as errors.
func ResolveStored(b *Broker, overrides map[string]string) (_ Topic, ignored []error) {
	values := b.topicDefaults()
	for _, key := range sortedKeys(overrides) {
		d, ok := topicTable.byName[key]
		if !ok {
			ignored = append(ignored, fmt.Errorf("unknown topic config name: %s", key))
			continue
		}
		parsed, err := d.Parse(overrides[key])
		if err != nil {
			ignored = append(ignored, err)
			continue
		}
		values[key] = newTopicValue(d, parsed)
	}
	return resolved(values), ignored
}

func resolved(values topicValues) Topic {
	return Topic{Log: logConfig(values), MinInsyncReplicas: values.integer("min.insync.replicas")}
}

// ResolveLogConfig returns the part of ResolveTopic that the log needs.
func ResolveLogConfig(b *Broker, overrides map[string]string) (engine.LogConfig, error) {
	t, err := ResolveTopic(b, overrides)
	return t.Log, err
}

// topicValues are the effective values of a topic by key.
type topicValues map[string]topicValue

func (v topicValues) long(key string) int64  { return v[key].parsed.(int64) }
func (v topicValues) integer(key string) int { return int(v.long(key)) }
func (v topicValues) text(key string) string { return v[key].parsed.(string) }

func logConfig(v topicValues) engine.LogConfig {
	policies := v[keyCleanupPolicy].parsed.([]string)
	c := engine.LogConfig{
		SegmentBytes:       v.integer("segment.bytes"),
		SegmentMs:          v.long("segment.ms"),
		SegmentJitterMs:    v.long("segment.jitter.ms"),
		SegmentIndexBytes:  v.integer("segment.index.bytes"),
		IndexIntervalBytes: v.integer("index.interval.bytes"),
		RetentionMs:        max(-1, v.long(keyRetentionMs)),
		RetentionBytes:     max(-1, v.long(keyRetentionBytes)),
		FileDeleteDelayMs:  v.long("file.delete.delay.ms"),
		Delete:             slices.Contains(policies, "delete"),
		Compact:            slices.Contains(policies, "compact"),
		MinCleanableRatio:  v["min.cleanable.dirty.ratio"].parsed.(float64),
		MinCompactionLagMs: v.long(keyMinCompaction),
		MaxCompactionLagMs: v.long(keyMaxCompaction),
		DeleteRetentionMs:  v.long("delete.retention.ms"),
		MaxMessageBytes:    v.integer("max.message.bytes"),
		FlushMessages:      v.long("flush.messages"),
		FlushMs:            v.long("flush.ms"),
		LogAppendTime:      v.text("message.timestamp.type") == "LogAppendTime",
		BeforeMaxMs:        v.long("message.timestamp.before.max.ms"),
		AfterMaxMs:         v.long("message.timestamp.after.max.ms"),
	}
	if v[keyInternalSegment].parsed != nil {
		c.SegmentBytes = v.integer(keyInternalSegment)
	}
	c.CompressionType, c.CompressionLevel = compression(v)
	return c
}

// compression returns the codec of stored batches and the level it is used with.
func compression(v topicValues) (recordbatch.CompressionType, int) {
	name := v.text("compression.type")
	t, ok := recordbatch.ParseCompressionType(name)
	if !ok {
		panic("configs: compression.type " + name + " passed its check and is unknown")
	}
	level, hasLevel := v["compression."+name+".level"]
	if !hasLevel || level.parsed.(int64) == -1 && name == "gzip" {
		return t, recordbatch.DefaultLevel
	}
	return t, int(level.parsed.(int64))
}
