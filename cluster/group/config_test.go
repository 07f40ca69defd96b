package group_test

import (
	"strings"
	"testing"
	"time"

	"kserver/cluster/coordinator/coordinatortest"
	"kserver/cluster/group"
)

func TestConfigBounds(t *testing.T) {
	for _, tc := range []struct {
		change func(*group.Config)
		want   string // part of the error, "" if valid
	}{
		{func(*group.Config) {}, ""},
		{func(c *group.Config) { c.InitialRebalanceDelay, c.OffsetMetadataMaxBytes = 0, 0 }, ""},
		{func(c *group.Config) { c.MinSessionTimeout = time.Hour }, "group.max.session.timeout.ms"},
		{func(c *group.Config) { c.MinSessionTimeout = -time.Second }, "group.min.session.timeout.ms"},
		{func(c *group.Config) { c.InitialRebalanceDelay = 1 << 62 }, "group.initial.rebalance.delay.ms"},
		{func(c *group.Config) { c.MaxSize = -1 }, "group.max.size"},
		{func(c *group.Config) { c.OffsetsRetention = time.Second }, "offsets.retention.minutes"},
		{func(c *group.Config) { c.OffsetsRetentionCheckInterval = time.Microsecond }, "offsets.retention.check.interval.ms"},
		{func(c *group.Config) { c.OffsetsTopicPartitions = -1 }, "offsets.topic.num.partitions"},
		{func(c *group.Config) { c.OffsetsCommitTimeout = -1 }, "offsets.commit.timeout.ms"},
		{func(c *group.Config) { c.Loaders = -1 }, "group.coordinator.threads"},
		{func(c *group.Config) { c.Storage = nil }, "Storage"},
	} {
		cfg := group.DefaultConfig()
		tm := coordinatortest.NewTime()
		cfg.Storage, cfg.Topics, cfg.Timer = coordinatortest.NewStorage(), &topics{}, tm
		tc.change(&cfg)
		_, err := group.New(cfg)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want %q", err, tc.want)
		}
	}
}
