package configs

import (
	"slices"
	"testing"
	"time"
)

// TestValidateGroup has the messages of Kafka 4.3.1.
func TestValidateGroup(t *testing.T) {
	b := started(t)
	for _, test := range []struct {
		settings map[string]string
		want     string
	}{
		{pairs("consumer.session.timeout.ms", "50000", "share.auto.offset.reset", "earliest"), ""},
		{pairs("nope", "1"), "INVALID_CONFIG: Unknown group config name: nope"},
		{pairs("consumer.session.timeout.ms", "x"), "INVALID_CONFIG: Invalid value x for configuration consumer.session.timeout.ms: Not a number of type INT"},
		{pairs("consumer.session.timeout.ms", "500"), "INVALID_CONFIG: consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"},
		{pairs("consumer.session.timeout.ms", "5000000"), "INVALID_CONFIG: consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms"},
		{pairs("share.delivery.count.limit", "100"), "INVALID_CONFIG: share.delivery.count.limit must be less than or equal to group.share.max.delivery.count.limit"},
		{pairs("streams.num.standby.replicas", "100"), "INVALID_CONFIG: streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas"},
		{pairs("share.auto.offset.reset", "by_duration:PT1H"), ""},
	} {
		if got := text(ValidateGroup(b, test.settings)); got != test.want {
			t.Errorf("%v: %s", test.settings, got)
		}
	}
	// A session that is not longer than a heartbeat, one of them the broker's.
	b = started(t, "group.consumer.min.session.timeout.ms", "1000", "group.consumer.heartbeat.interval.ms", "15000")
	if got := text(ValidateGroup(b, pairs("consumer.session.timeout.ms", "15000"))); got != "INVALID_CONFIG: consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms" {
		t.Error(got)
	}
}

// TestValidateClientMetrics has the codes and messages of Kafka 4.3.1.
func TestValidateClientMetrics(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings map[string]string
		want     string
	}{
		{"m", pairs("interval.ms", "1000", "metrics", "a,b,a", "match", "client_id=x.*,client_software_name=y"), ""},
		{"m", pairs("match", "client_id=(?!y)z"), "INVALID_CONFIG: Illegal client matching pattern: client_id=(?!y)z (invalid or unsupported Perl syntax; expressions here are those of RE2, which has fewer constructs than Java)"},
		{"m", pairs("match", ""), ""},
		{"", nil, "INVALID_REQUEST: Subscription name can't be empty"},
		{"m", pairs("nope", "1"), "INVALID_REQUEST: Unknown client metrics configuration: nope"},
		{"m", pairs("interval.ms", "x"), "INVALID_CONFIG: Invalid value x for configuration interval.ms: Not a number of type INT"},
		{"m", pairs("interval.ms", "99"), "INVALID_REQUEST: Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)"},
		{"m", pairs("metrics", "a,,b"), "INVALID_CONFIG: Configuration 'metrics' values must not be empty."},
		{"m", pairs("match", "client_id=("), "INVALID_CONFIG: Illegal client matching pattern: client_id=("},
		{"m", pairs("match", "client_id=a)(b"), "INVALID_CONFIG: Illegal client matching pattern: client_id=a)(b"},
		{"m", pairs("match", "client_id"), "INVALID_CONFIG: Illegal client matching pattern: client_id"},
		{"m", pairs("match", "client=x"), "INVALID_CONFIG: Illegal client matching pattern: client=x"},
	} {
		if got := text(ValidateClientMetrics(test.name, test.settings)); got != test.want {
			t.Errorf("%q %v: %s", test.name, test.settings, got)
		}
	}
	m, err := ParseClientMetrics("m", pairs("interval.ms", "500", "metrics", "a,b,a", "match", "client_id=x|y, client_id = a|b"))
	if err != nil || m.Interval != 500*time.Millisecond || !slices.Equal(m.Metrics, []string{"a", "b"}) || len(m.Match) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	for id, want := range map[string]bool{"a": true, "b": true, "ab": false, "x": false, "a\n": false} {
		if m.Match["client_id"].MatchString(id) != want {
			t.Errorf("%q matches: %v", id, !want)
		}
	}
	entries := DescribeClientMetrics(pairs("metrics", "b,a, b"))
	if len(entries) != 3 || *entries[2].Value != "b,a" || entries[2].Source != SourceClientMetrics || *entries[0].Value != "300000" || entries[0].Source != SourceDefault {
		t.Errorf("%+v", entries)
	}
}
