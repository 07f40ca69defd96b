package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func started(t *testing.T, settings ...string) *Broker {
	t.Helper()
	var list []Setting
	for i := 0; i < len(settings); i += 2 {
		list = append(list, FlagSetting(settings[i], settings[i+1]))
	}
	b, err := ParseBroker(list...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pairs makes a map of key, value, key, value.
func pairs(list ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

// TestCheckDynamic sets one key for a broker and for all. Codes and messages without a mark are those of Kafka
// 4.3.1; ours are answers Kafka has not, for what only kserver cannot do.
func TestCheckDynamic(t *testing.T) {
	const restart = " cannot be changed while the broker runs: set it in the broker's own configuration and restart the broker"
	for _, test := range []struct {
		key, value     string
		broker, shared string // "" is success, "=" the same as broker
		ours           bool
	}{
		{"log.retention.ms", "100000", "", "", false},
		{"log.retention.ms", "-1", "", "", false},
		{"log.cleaner.threads", "2", "", "", false},
		{"log.cleaner.threads", "0", "INVALID_REQUEST: Log cleaner threads should be at least 1", "=", false},
		{"log.cleaner.threads", "3", "INVALID_REQUEST: Log cleaner threads cannot be increased to more than double the current value 1", "=", false},
		{"log.cleaner.io.buffer.load.factor", "1.5", "INVALID_REQUEST: requirement failed: log.cleaner.io.buffer.load.factor must be above 0 and at most 1", "=", true},
		{"leader.replication.throttled.rate", "5", "", "", false},
		{"log.retention.ms", "abc", "INVALID_REQUEST: Invalid value abc for configuration log.retention.ms: Not a number of type LONG", "=", false},
		{"log.retention.ms", "0", "INVALID_REQUEST: requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1", "=", false},
		{"log.roll.ms", "0", "INVALID_REQUEST: requirement failed: log.roll.ms must be greater than or equal to 1", "=", false},
		{"log.segment.bytes", "100", "INVALID_REQUEST: Invalid value 100 for configuration log.segment.bytes: Value must be at least 1048576", "=", false},
		{"log.cleanup.policy", "x", "INVALID_REQUEST: Invalid value x for configuration log.cleanup.policy: String must be one of: compact, delete", "=", false},
		{"max.connections", "-5", "INVALID_REQUEST: Invalid value -5 for configuration max.connections: Value must be at least 0", "=", false},
		{"leader.replication.throttled.rate", "-5", "INVALID_REQUEST: Invalid value -5 for configuration leader.replication.throttled.rate: Value must be at least 0", "=", false},
		{"num.partitions", "5", "INVALID_REQUEST: Cannot update these configs dynamically: [num.partitions]", "=", false},
		{"ssl.keystore.password", "5", "INVALID_REQUEST: These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.password]", "=", false},
		{"listeners", "PLAINTEXT://:1", "INVALID_CONFIG: listeners" + restart,
			"INVALID_REQUEST: Cannot update these configs at default cluster level, broker id must be specified: [listeners]", true},
		{"listener.name.x.ssl.keystore.password", "5", "INVALID_CONFIG: listener.name.x.ssl.keystore.password" + restart,
			"INVALID_REQUEST: Cannot update these configs at default cluster level, broker id must be specified: [listener.name.x.ssl.keystore.password]", true},
		{"max.connections", "5", "", "", false},
		{"max.connections", "0", "INVALID_REQUEST: Invalid max.connections 0", "=", true},
		{"max.connections.per.ip", "5", "", "", false},
		{"max.connections.per.ip", "0", "INVALID_REQUEST: requirement failed: max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set", "=", false},
		{"max.connections.per.ip.overrides", "127.0.0.9:5,[::1]:6", "", "", false},
		{"max.connections.per.ip.overrides", "somewhere:5", `INVALID_REQUEST: requirement failed: "somewhere" is no address; host names are not resolved`, "=", true},
		{"listener.name.plaintext.max.connections", "5", "",
			"INVALID_REQUEST: Cannot update these configs at default cluster level, broker id must be specified: [listener.name.plaintext.max.connections]", false},
		{"listener.name.plaintext.max.connection.creation.rate", "0", "INVALID_REQUEST: Invalid listener.name.plaintext.max.connection.creation.rate 0",
			"INVALID_REQUEST: Cannot update these configs at default cluster level, broker id must be specified: [listener.name.plaintext.max.connection.creation.rate]", true},
		{"listener.name.plaintext.foo", "5", "INVALID_CONFIG: listener.name.plaintext.foo" + restart,
			"INVALID_REQUEST: Cannot update these configs at default cluster level, broker id must be specified: [listener.name.plaintext.foo]", true},
		{"producer.id.expiration.ms", "5", "", "", false},
		{"producer.id.expiration.ms", "0", "INVALID_REQUEST: Invalid value 0 for configuration producer.id.expiration.ms: Value must be at least 1", "=", false},
		{"num.io.threads", "5", "", "", false},
		{"num.io.threads", "3", "INVALID_REQUEST: Dynamic thread count update validation failed for num.io.threads=3, value should be at least half the current value 8", "=", true},
		{"num.io.threads", "17", "INVALID_REQUEST: Dynamic thread count update validation failed for num.io.threads=17, value should not be greater than double the current value 8", "=", true},
		{"num.network.threads", "5", "INVALID_CONFIG: num.network.threads" + restart, "=", true},
		{"foo.bar", "5", "INVALID_CONFIG: Unknown broker config name: foo.bar", "=", true},
		{"max.connection.creation.rate", "5", "", "", false},
	} {
		if test.shared == "=" {
			test.shared = test.broker
		}
		l, settings := NewLive(started(t)), pairs(test.key, test.value)
		if got := text(l.CheckDynamic(true, nil, nil, settings)); got != test.broker {
			t.Errorf("%s=%s of a broker: %s", test.key, test.value, got)
		}
		if got := text(l.CheckDynamic(false, nil, settings, nil)); got != test.shared {
			t.Errorf("%s=%s of all: %s", test.key, test.value, got)
		}
		// What was stored by another release does not stand in the way of other changes.
		if strings.Contains(test.broker, "requirement failed") {
			continue
		}
		if err := l.CheckDynamic(true, settings, nil, pairs(test.key, test.value, "log.retention.bytes", "5")); err != nil {
			t.Errorf("beside %s=%s: %v", test.key, test.value, err)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A default that a broker's own setting hides is checked all the same: it is in force when that is taken back.
func TestCheckDynamicHidden(t *testing.T) {
	l := NewLive(started(t))
	if err := l.CheckDynamic(true, nil, pairs("log.roll.ms", "0"), pairs("log.roll.ms", "5")); err == nil {
		t.Error("no error")
	}
}

// TestEveryDynamicKeyIsDecided makes sure that each key that Kafka can change at run time is either put in force
// or refused, and that an obeyed one is not accepted in silence.
func TestEveryDynamicKeyIsDecided(t *testing.T) {
	l := NewLive(started(t))
	for _, d := range BrokerDefs() {
		if d.Update == ReadOnly || d.Default == nil {
			continue
		}
		settings := pairs(d.Name, *d.Default)
		err := l.CheckDynamic(true, nil, nil, settings)
		b, _ := l.start.overlay(nil, settings)
		if _, inForce := b.own[d.Name]; inForce != (err == nil) {
			t.Errorf("%s: in force %v, answered %v", d.Name, inForce, err)
		}
		if err == nil && d.Support == Obeyed && !overridableDefaults[d.Name] && !slices.Contains(liveKeys, d.Name) {
			t.Errorf("%s is taken, and nothing follows it", d.Name)
		}
	}
}

// TestLive puts settings in force over what the broker was started with, and takes them back.
func TestLive(t *testing.T) {
	l := NewLive(started(t, "log.retention.hours", "24", "log.cleanup.policy", "compact", "min.insync.replicas", "1"))
	shared := pairs("log.retention.ms", "5000", "min.insync.replicas", "2", "leader.replication.throttled.rate", "7")
	own := pairs("log.retention.ms", "6000", "log.cleanup.policy", "delete , compact")
	idle := l.Update(shared, own)
	if len(idle) != 1 || !strings.HasPrefix(idle[0].Error(), "leader.replication.throttled.rate=7 has no effect: ") {
		t.Errorf("without effect: %v", idle)
	}
	describe := func(entries []Entry, names ...string) string {
		var out []string
		for _, e := range entries {
			if !slices.Contains(names, e.Name) {
				continue
			}
			line := fmt.Sprintf("%s=%s from %d", e.Name, shown(e.Value), e.Source)
			for _, s := range e.Synonyms {
				line += fmt.Sprintf(" {%s %s %d}", s.Name, shown(s.Value), s.Source)
			}
			out = append(out, line)
		}
		return strings.Join(out, "\n")
	}
	want := `leader.replication.throttled.rate=7 from 3 {leader.replication.throttled.rate 7 3}
log.cleanup.policy=delete,compact from 2 {log.cleanup.policy delete,compact 2} {log.cleanup.policy compact 4} {log.cleanup.policy delete 5}
log.retention.hours=24 from 4 {log.retention.hours 24 4} {log.retention.hours 168 5}
log.retention.ms=6000 from 2 {log.retention.ms 6000 2} {log.retention.ms 5000 3} {log.retention.hours 24 4} {log.retention.hours 168 5}
min.insync.replicas=2 from 3 {min.insync.replicas 2 3} {min.insync.replicas 1 4} {min.insync.replicas 1 5}`
	keys := []string{"leader.replication.throttled.rate", "log.cleanup.policy", "log.retention.hours", "log.retention.ms", "min.insync.replicas"}
	if got := describe(DescribeBroker(l.Current()), keys...); got != want {
		t.Errorf("broker:\n%s", got)
	}
	want = `leader.replication.throttled.rate=7 from 3 {leader.replication.throttled.rate 7 3}
log.retention.ms=5000 from 3 {log.retention.ms 5000 3}
min.insync.replicas=2 from 3 {min.insync.replicas 2 3}`
	if got := describe(DescribeBrokerDefaults(l.Current()), keys...); got != want {
		t.Errorf("defaults of brokers:\n%s", got)
	}
	want = `min.insync.replicas=2 from 3 {min.insync.replicas 2 3} {min.insync.replicas 1 4} {min.insync.replicas 1 5}
retention.ms=6000 from 2 {log.retention.ms 6000 2} {log.retention.ms 5000 3} {log.retention.hours 24 4} {log.retention.hours 168 5}`
	if got := describe(DescribeTopic(l.Current(), nil), "retention.ms", "min.insync.replicas"); got != want {
		t.Errorf("topic:\n%s", got)
	}
	topic, err := ResolveTopic(l.Current(), nil)
	if err != nil || topic.Log.RetentionMs != 6000 || topic.MinInsyncReplicas != 2 || !topic.Log.Delete || !topic.Log.Compact {
		t.Errorf("%+v, %v", topic, err)
	}

	l.Update(nil, nil)
	topic, err = ResolveTopic(l.Current(), nil)
	if err != nil || topic.Log.RetentionMs != 24*3600*1000 || topic.MinInsyncReplicas != 1 || topic.Log.Delete {
		t.Errorf("taken back: %+v, %v", topic, err)
	}
	if got := DescribeBrokerDefaults(l.Current()); len(got) != 0 {
		t.Errorf("taken back: %+v", got)
	}
}

func shown(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

// Settings that another release stored do not keep the others from being in force.
func TestLiveLeavesOut(t *testing.T) {
	l := NewLive(started(t))
	idle := l.Update(pairs("foo", "1", "num.partitions", "9", "log.retention.ms", "x", "listeners", "a", "log.retention.bytes", "7"), nil)
	if len(idle) != 4 {
		t.Errorf("left out: %v", idle)
	}
	if v, _ := l.Current().Value("num.partitions"); v != "1" {
		t.Errorf("num.partitions=%s", v)
	}
	if topic, _ := ResolveStored(l.Current(), nil); topic.Log.RetentionBytes != 7 {
		t.Errorf("retention.bytes=%d", topic.Log.RetentionBytes)
	}
}

func TestResolveStored(t *testing.T) {
	topic, ignored := ResolveStored(started(t), pairs("retention.ms", "5", "nope", "1", "segment.bytes", "x", "min.compaction.lag.ms", "9", "max.compaction.lag.ms", "8"))
	if len(ignored) != 2 || topic.Log.RetentionMs != 5 || topic.Log.SegmentBytes != 1<<30 {
		t.Errorf("%+v, %v", topic, ignored)
	}
}

func TestListDefaults(t *testing.T) {
	for _, test := range []struct{ key, items, err string }{
		{"log.cleanup.policy", "delete", ""},
		{"log.dirs", "", ""},
		{"num.io.threads", "", "INVALID_CONFIG: Config value append is not allowed for config key: num.io.threads"},
		{"foo", "", "INVALID_CONFIG: Unknown config name: foo"},
	} {
		if items, err := BrokerListDefault(test.key, "append"); items != test.items || text(err) != test.err {
			t.Errorf("%s: %q, %v", test.key, items, err)
		}
	}
	if items, ok := TopicListDefault("cleanup.policy"); items != "delete" || !ok {
		t.Errorf("cleanup.policy: %q %v", items, ok)
	}
	if _, ok := TopicListDefault("retention.ms"); ok {
		t.Error("retention.ms is a list")
	}
}
