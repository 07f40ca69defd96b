package configs

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kserver/engine"
	"kserver/protocol/recordbatch"
)

func mustParse(t *testing.T, settings ...Setting) *Broker {
	t.Helper()
	b, err := ParseBroker(settings...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestResolveDefaults: with nothing set anywhere, a topic's log runs with the engine's own defaults.
func TestResolveDefaults(t *testing.T) {
	got, err := ResolveTopic(mustParse(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Topic{engine.DefaultLogConfig(), 1}, got); diff != "" {
		t.Errorf("-engine +configs:\n%s", diff)
	}
	if err := got.Log.Validate(); err != nil {
		t.Error(err)
	}
}

// TestResolveEveryField: each topic key reaches its field, and the broker's synonyms do too.
func TestResolveEveryField(t *testing.T) {
	want := Topic{MinInsyncReplicas: 2, Log: engine.LogConfig{
		SegmentBytes: 1 << 21, SegmentMs: 11, SegmentJitterMs: 12, SegmentIndexBytes: 1234, IndexIntervalBytes: 13,
		RetentionMs: 14, RetentionBytes: 15, FileDeleteDelayMs: 16, Delete: true, Compact: true,
		MinCleanableRatio: 0.25, MinCompactionLagMs: 22, MaxCompactionLagMs: 23, DeleteRetentionMs: 24,
		MaxMessageBytes: 17, FlushMessages: 18, FlushMs: 19, LogAppendTime: true, BeforeMaxMs: 20, AfterMaxMs: 21,
		CompressionType: recordbatch.CompressionZstd, CompressionLevel: 7,
	}}
	overrides := map[string]string{
		"segment.bytes": "2097152", "segment.ms": "11", "segment.jitter.ms": "12", "segment.index.bytes": "1234",
		"index.interval.bytes": "13", "retention.ms": "14", "retention.bytes": "15", "file.delete.delay.ms": "16",
		"cleanup.policy": "delete,compact", "max.message.bytes": "17", "flush.messages": "18", "flush.ms": "19",
		"message.timestamp.type": "LogAppendTime", "message.timestamp.before.max.ms": "20",
		"message.timestamp.after.max.ms": "21", "compression.type": "zstd", "compression.zstd.level": "7",
		"min.insync.replicas": "2", "min.cleanable.dirty.ratio": "0.25", "min.compaction.lag.ms": "22",
		"max.compaction.lag.ms": "23", "delete.retention.ms": "24",
	}
	byTopic, err := ResolveTopic(mustParse(t), overrides)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, byTopic); diff != "" {
		t.Errorf("by topic, -want +got:\n%s", diff)
	}

	var settings []Setting
	for key, value := range overrides {
		settings = append(settings, FlagSetting(topicTable.byName[key].Synonyms[0].Name, value))
	}
	byBroker, err := ResolveTopic(mustParse(t, settings...), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, byBroker); diff != "" {
		t.Errorf("by broker, -want +got:\n%s", diff)
	}
}

func TestResolveUnits(t *testing.T) {
	for _, c := range []struct {
		settings []Setting
		want     int64
	}{
		{[]Setting{FlagSetting("log.retention.hours", "2")}, 7200000},
		{[]Setting{FlagSetting("log.retention.hours", "-1")}, -1},
		{[]Setting{FlagSetting("log.retention.hours", "2147483647")}, 2147483647 * 3600000},
		{[]Setting{FlagSetting("log.retention.hours", "2"), FlagSetting("log.retention.minutes", "3")}, 180000},
		{[]Setting{FlagSetting("log.retention.minutes", "3"), FlagSetting("log.retention.ms", "4")}, 4},
		{[]Setting{FlagSetting("log.retention.minutes", "-1"), FlagSetting("log.retention.hours", "4")}, -1},
	} {
		c1, err := ResolveLogConfig(mustParse(t, c.settings...), nil)
		if err != nil || c1.RetentionMs != c.want {
			t.Errorf("%v: %d, %v; want %d", c.settings, c1.RetentionMs, err, c.want)
		}
	}
	if got := scale(math.MaxInt64/2, hour); got != math.MaxInt64 {
		t.Errorf("scale overflows to %d", got)
	}
}

func TestResolveInternalSegmentBytes(t *testing.T) {
	c, err := ResolveLogConfig(mustParse(t), map[string]string{"internal.segment.bytes": "5000", "segment.bytes": "2097152"})
	if err != nil || c.SegmentBytes != 5000 {
		t.Errorf("%d, %v", c.SegmentBytes, err)
	}
}

func TestGzipLevel(t *testing.T) {
	for value, want := range map[string]int{"-1": recordbatch.DefaultLevel, "9": 9} {
		c, err := ResolveLogConfig(mustParse(t), map[string]string{"compression.type": "gzip", "compression.gzip.level": value})
		if err != nil || c.CompressionLevel != want || c.CompressionType != recordbatch.CompressionGzip {
			t.Errorf("%s: %v level %d, %v", value, c.CompressionType, c.CompressionLevel, err)
		}
	}
}

func TestReplicationFactor(t *testing.T) {
	b := mustParse(t)
	for _, c := range []struct {
		configured int16
		brokers    int
		want       int16
	}{{3, 1, 1}, {3, 5, 3}, {1, 3, 1}, {3, 0, 1}} {
		if got := b.ReplicationFactor(c.configured, c.brokers); got != c.want {
			t.Errorf("%d configured, %d brokers: %d, want %d", c.configured, c.brokers, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	for key, want := range map[string]string{
		"log.dir": "log.dir", "log.drs": "log.dirs", "listners": "listeners", "num.partition": "num.partitions",
		"auto.create.topic.enable": "auto.create.topics.enable", "lgo.dirs": "log.dirs", "completely.different": "",
	} {
		if got := brokerTable.nearest(key); got != want {
			t.Errorf("nearest to %s is %q, want %q", key, got, want)
		}
	}
}
