package configs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"kserver/protocol"
)

// Live is the configuration of a running broker: what it was started with, and over it what administrators set
// since, as the default of all brokers and for this one (KIP-226). Current may be called from any goroutine,
// Update by one at a time.
type Live struct {
	start   *Broker
	current atomic.Pointer[Broker]
}

// NewLive returns the configuration of a broker that was started with start and to which nothing was set yet.
func NewLive(start *Broker) *Live {
	l := &Live{start: start}
	l.current.Store(start)
	return l
}

// Current returns the configuration in force. It does not change; the next Update makes another one.
func (l *Live) Current() *Broker { return l.current.Load() }

// Update puts what administrators set in force: shared for all brokers, own for this one, which goes first. The
// settings were checked when they were made; those that this release does not understand, or cannot change while it
// runs, are left out. The errors say which settings have no effect, for the log.
func (l *Live) Update(shared, own map[string]string) (idle []error) {
	next, idle := l.start.overlay(shared, own)
	l.current.Store(next)
	return idle
}

// CheckDynamic checks settings an administrator wants for this broker (own) or, with perBroker false, for all of
// them (shared); before are the ones of the same scope so far. The error is a *protocol.Error: Kafka's code and
// message where Kafka refuses too, and INVALID_CONFIG for what only kserver cannot change while it runs.
func (l *Live) CheckDynamic(perBroker bool, before, shared, own map[string]string) error {
	after := shared
	if perBroker {
		after = own
	}
	if err := checkScope(perBroker, changed(before, after)); err != nil {
		return err
	}
	if err := checkDynamicValues(before, after); err != nil {
		return err
	}
	next, _ := l.start.overlay(shared, nil)
	if err := next.checkDynamicRelations(); err != nil {
		return err
	}
	if perBroker {
		next, _ = l.start.overlay(shared, own)
		if err := next.checkDynamicRelations(); err != nil {
			return err
		}
	}
	for _, key := range changed(before, after) {
		check, ok := threadChanges[key]
		if !ok {
			continue
		}
		if err := check(l.Current(), next); err != nil {
			return err
		}
	}
	return nil
}

// threadChanges check another number of threads, by key.
var threadChanges = map[string]func(now, next *Broker) error{cleanerThreads: checkCleanerChange, workerThreads: checkWorkersChange}

// changed returns the keys of after whose value is not the one of before, sorted.
func changed(before, after map[string]string) []string {
	var keys []string
	for _, key := range sortedKeys(after) {
		if value, ok := before[key]; !ok || value != after[key] {
			keys = append(keys, key)
		}
	}
	return keys
}

// checkScope refuses the keys that cannot be set at run time, or not in this scope, with Kafka's answers.
func checkScope(perBroker bool, keys []string) error {
	var readOnly, bare, narrow []string
	for _, key := range keys {
		d, ok := dynamicDef(key)
		switch {
		case ok && d.Update == ReadOnly:
			readOnly = append(readOnly, key)
		case slices.Contains(listenerOnlyKeys, key):
			bare = append(bare, key)
		case ok && d.Update == PerBroker, strings.HasPrefix(key, listenerPrefix):
			narrow = append(narrow, key)
		}
	}
	refuse := func(message string, keys []string) error {
		return protocol.Errorf(protocol.InvalidRequest, "%s: [%s]", message, strings.Join(keys, ", "))
	}
	switch {
	case len(readOnly) > 0:
		return refuse("Cannot update these configs dynamically", readOnly)
	case len(bare) > 0:
		return refuse("These security configs can be dynamically updated only per-listener using the listener prefix", bare)
	case len(narrow) > 0 && !perBroker:
		return refuse("Cannot update these configs at default cluster level, broker id must be specified", narrow)
	}
	return nil
}

// checkDynamicValues checks each changed setting by itself.
func checkDynamicValues(before, after map[string]string) error {
	for _, key := range changed(before, after) {
		d, ok := dynamicDef(key)
		switch {
		case !ok && strings.HasPrefix(key, listenerPrefix):
			return needsRestart(key)
		case !ok:
			return protocol.Errorf(protocol.InvalidConfig, "Unknown broker config name: %s", key)
		}
		parsed, err := d.Parse(after[key])
		if err != nil {
			return protocol.Errorf(protocol.InvalidRequest, "%s", err.Error())
		}
		switch text := format(d.Type, parsed); {
		case parsed == int64(0) && (strings.HasSuffix(key, maxConnections) || strings.HasSuffix(key, maxCreationRate)):
			return protocol.Errorf(protocol.InvalidRequest, "Invalid %s 0", key)
		case d.Support == Refused && (d.Default == nil || text != *d.Default):
			return protocol.Errorf(protocol.InvalidConfig, "%s=%s is not served: %s", key, text, d.Note)
		case !d.changeable():
			return needsRestart(key)
		}
	}
	return nil
}

func needsRestart(key string) error {
	return protocol.Errorf(protocol.InvalidConfig, "%s cannot be changed while the broker runs: set it in the broker's own configuration and restart the broker", key)
}

// changeable reports whether a new value takes effect while the broker runs: the defaults of topics and of groups
// do, those that Live passes on too, and keys without effect have none at any time. A secret is not kept for
// nothing.
func (d *Def) changeable() bool {
	switch {
	case d.Update == ReadOnly, slices.Contains(listenerOnlyKeys, d.Name):
		return false
	case d.Support != Obeyed:
		return !d.Sensitive()
	}
	_, _, limit := listenerLimit(d.Name)
	return limit || overridableDefaults[d.Name] || slices.Contains(liveKeys, d.Name)
}

// liveKeys are keys whose users hear of every change: refresh puts them into the Broker.
var liveKeys = []string{
	maxConnections, maxPerIP, maxPerIPOverrides, maxCreationRate, workerThreads, producerIDExpiration,
	cleanerThreads, cleanerDedupe, cleanerLoadFactor, cleanerIOBuffer, cleanerRate, cleanerBackoff,
}

const (
	workerThreads        = "num.io.threads"
	producerIDExpiration = "producer.id.expiration.ms"
)

// refresh brings the fields behind liveKeys to the values.
func (b *Broker) refresh() {
	b.Topics.MinInsyncReplicas = int(b.values["min.insync.replicas"].parsed.(int64))
	b.Network.Workers = int(b.values[workerThreads].parsed.(int64))
	b.Storage.ProducerIDExpiration = millis(b.values[producerIDExpiration].parsed.(int64))
	if limits, _, err := connectionLimits(b.values); err == nil { // else what was in force stays
		b.Network.Connections = limits
	}
	if cleaner, _, err := cleanerConfig(b.values); err == nil {
		b.Storage.Cleaner = cleaner
	}
}

// checkWorkersChange applies Kafka's rules for another number of threads on a running broker.
func checkWorkersChange(now, next *Broker) error {
	want, have := next.Network.Workers, now.Network.Workers
	const message = "Dynamic thread count update validation failed for %s=%d, value should %s the current value %d"
	switch {
	case want < have/2:
		return protocol.Errorf(protocol.InvalidRequest, message, workerThreads, want, "be at least half", have)
	case want > have*2:
		return protocol.Errorf(protocol.InvalidRequest, message, workerThreads, want, "not be greater than double", have)
	case want > maxWorkers:
		return protocol.Errorf(protocol.InvalidRequest, "%s=%d is more than %d threads", workerThreads, want, maxWorkers)
	}
	return nil
}

// overridableDefaults are the broker keys behind topic and group keys.
var overridableDefaults = func() map[string]bool {
	keys := make(map[string]bool)
	for _, t := range []*table{topicTable, groupTable} {
		for _, d := range t.sorted {
			for _, s := range d.Synonyms {
				keys[s.Name] = true
			}
		}
	}
	return keys
}()

// listenerPrefix begins the keys that hold a value for one listener.
const listenerPrefix = "listener.name."

// listenerOnlyKeys can be changed at run time for one listener only (Kafka's SslConfigs.RECONFIGURABLE_CONFIGS).
var listenerOnlyKeys = []string{
	"ssl.key.password", "ssl.keystore.certificate.chain", "ssl.keystore.key", "ssl.keystore.location",
	"ssl.keystore.password", "ssl.keystore.type", "ssl.truststore.certificates", "ssl.truststore.location",
	"ssl.truststore.password", "ssl.truststore.type",
}

// dynamicTable are the broker keys that exist at run time only: Kafka does not take them from a properties file.
var dynamicTable = newTable([]*Def{
	inert(Long, "leader.replication.throttled.rate", "9223372036854775807", atLeast(0), ClusterWide, noteOneNode,
		"Bytes per second at which leaders send the replicas of leader.replication.throttled.replicas."),
	inert(Long, "follower.replication.throttled.rate", "9223372036854775807", atLeast(0), ClusterWide, noteOneNode,
		"Bytes per second at which followers fetch the replicas of follower.replication.throttled.replicas."),
	inert(Long, "replica.alter.log.dirs.io.max.bytes.per.second", "9223372036854775807", atLeast(0), ClusterWide, noteOneNode,
		"Bytes per second at which replicas move between data directories."),
})

// dynamicDef returns the definition of a key that may be set at run time, or that Kafka refuses to be.
func dynamicDef(key string) (*Def, bool) {
	if d, ok := brokerTable.byName[key]; ok {
		return d, true
	}
	if _, base, ok := listenerLimit(key); ok {
		return listenerLimitDef(key, base), true
	}
	d, ok := dynamicTable.byName[key]
	return d, ok
}

// BrokerListDefault returns the items a list key of the broker has where nobody set it at run time. The error, a
// *protocol.Error with Kafka's message, is the answer to the operation ("append" or "subtract") on a key that is
// no list.
func BrokerListDefault(key, operation string) (string, error) {
	d, ok := dynamicDef(key)
	switch {
	case !ok:
		return "", protocol.Errorf(protocol.InvalidConfig, "Unknown config name: %s", key)
	case d.Type != List:
		return "", protocol.Errorf(protocol.InvalidConfig, "Config value %s is not allowed for config key: %s", operation, key)
	case d.Default == nil:
		return "", nil
	}
	return *d.Default, nil
}

// TopicListDefault returns the items a list key of a topic has where nobody set it; ok is false for keys that are
// no lists.
func TopicListDefault(key string) (items string, ok bool) {
	d, ok := topicTable.byName[key]
	if !ok || d.Type != List {
		return "", false
	}
	if d.Default == nil {
		return "", true
	}
	return *d.Default, true
}

// overlay returns b with other values for some keys, own going before shared.
func (b *Broker) overlay(shared, own map[string]string) (_ *Broker, idle []error) {
	next := *b
	next.values = maps.Clone(b.values)
	next.start = b
	var more []error
	next.shared, idle = next.set(shared)
	next.own, more = next.set(own)
	next.refresh()
	return &next, append(idle, more...)
}

// set gives keys other values. It returns the text of those it took, and an error for each that has no effect.
func (b *Broker) set(settings map[string]string) (set map[string]string, idle []error) {
	set = make(map[string]string, len(settings))
	for _, key := range sortedKeys(settings) {
		d, ok := dynamicDef(key)
		if !ok || !d.changeable() {
			idle = append(idle, fmt.Errorf("%s cannot be changed while the broker runs", key))
			continue
		}
		parsed, err := d.Parse(settings[key])
		if err != nil {
			idle = append(idle, err)
			continue
		}
		text := format(d.Type, parsed)
		if d.Support != Obeyed && (d.Default == nil || text != *d.Default) {
			idle = append(idle, fmt.Errorf("%s=%s has no effect: %s", key, text, d.Note))
		}
		set[key] = text
		v := b.values[key]
		v.def, v.text, v.parsed = d, &text, parsed
		b.values[key] = v
	}
	return set, idle
}

// checkDynamicRelations checks what a single key's bounds do not, among the keys that can change at run time, with
// Kafka's messages.
func (b *Broker) checkDynamicRelations() error {
	for _, rule := range []struct {
		key     string
		valid   func(n int64) bool
		message string
	}{
		{"log.retention.ms", func(n int64) bool { return n != 0 }, "must be unlimited (-1) or, greater than or equal to 1"},
		{"log.roll.ms", func(n int64) bool { return n >= 1 }, "must be greater than or equal to 1"},
		{"log.roll.jitter.ms", func(n int64) bool { return n >= 0 }, "must be greater than or equal to 0"},
	} {
		if n, ok := b.values[rule.key].parsed.(int64); ok && !rule.valid(n) {
			return protocol.Errorf(protocol.InvalidRequest, "requirement failed: %s %s", rule.key, rule.message)
		}
	}
	if _, _, err := connectionLimits(b.values); err != nil {
		return protocol.Errorf(protocol.InvalidRequest, "requirement failed: %s", err)
	}
	if _, key, err := cleanerConfig(b.values); err != nil {
		return protocol.Errorf(protocol.InvalidRequest, "requirement failed: %s %s", key, err)
	}
	return nil
}
