package configs

import (
	"errors"
	"math"
	"slices"

	"kserver/protocol"
)

// Topic keys the code names; the others are only in the table.
const (
	keyCleanupPolicy   = "cleanup.policy"
	keyMinCompaction   = "min.compaction.lag.ms"
	keyMaxCompaction   = "max.compaction.lag.ms"
	keyRetentionMs     = "retention.ms"
	keyRetentionBytes  = "retention.bytes"
	keyRemoteStorage   = "remote.storage.enable"
	keyInternalSegment = "internal.segment.bytes"
)

// ValidateTopic checks the configuration given for a topic, as Kafka's controller does: names, values, bounds and
// the relations between keys. What the broker itself sets as default is not looked at; ResolveTopic does that
// too. The error is a *protocol.Error of code INVALID_CONFIG with Kafka's message.
func ValidateTopic(overrides map[string]string) error {
	parsed, err := parseTopic(overrides)
	if err != nil {
		return err
	}
	return checkTopicRelations(func(key string) any {
		if v, ok := parsed[key]; ok {
			return v
		}
		return kafkaDefault(topicTable.byName[key])
	})
}

// kafkaDefault is the parsed default of a key, nil for null.
func kafkaDefault(d *Def) any {
	if d.Default == nil {
		return nil
	}
	v, problem := parse(d.Type, *d.Default)
	if problem != "" {
		panic("configs: default of " + d.Name + ": " + problem)
	}
	return v
}

// parseTopic parses what a topic sets; names are checked before values, both in order of name.
func parseTopic(overrides map[string]string) (map[string]any, error) {
	keys := sortedKeys(overrides)
	for _, key := range keys {
		if _, ok := topicTable.byName[key]; !ok {
			return nil, protocol.Errorf(protocol.InvalidConfig, "Unknown topic config name: %s", key)
		}
	}
	parsed := make(map[string]any, len(overrides))
	for _, key := range keys {
		v, err := topicTable.byName[key].Parse(overrides[key])
		if invalid, ok := errors.AsType[*ValueError](err); ok {
			return nil, protocol.Errorf(protocol.InvalidConfig, "%s", invalid.Message)
		}
		parsed[key] = v
	}
	return parsed, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// checkTopicRelations checks the effective values of a topic against each other (Kafka's LogConfig.validate).
func checkTopicRelations(value func(key string) any) error {
	if least, most := value(keyMinCompaction).(int64), value(keyMaxCompaction).(int64); least > most {
		return protocol.Errorf(protocol.InvalidConfig, "conflict topic config setting %s (%d) > %s (%d)", keyMinCompaction, least, keyMaxCompaction, most)
	}
	if value(keyRemoteStorage).(bool) {
		return protocol.Errorf(protocol.InvalidConfig, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	return nil
}

// topicValue is the effective value of one topic key.
type topicValue struct {
	parsed any // nil for null
	text   *string
}

// topicDefaults returns the value every topic key has without an override.
func (b *Broker) topicDefaults() topicValues {
	defaults := make(topicValues, len(topicTable.sorted))
	for _, d := range topicTable.sorted {
		defaults[d.Name] = b.topicDefault(d)
	}
	return defaults
}

// topicDefault is the first synonym of the broker that is not null, in the topic's unit, or else the default of
// the table.
func (b *Broker) topicDefault(d *Def) topicValue {
	for _, s := range d.Synonyms {
		v := b.values[s.Name]
		if v.text == nil {
			continue
		}
		if s.Factor == 1 {
			return topicValue{v.parsed, v.text}
		}
		return newTopicValue(d, scale(v.parsed.(int64), s.Factor))
	}
	if d.Default == nil {
		return topicValue{}
	}
	return newTopicValue(d, kafkaDefault(d))
}

// scale turns hours or minutes into milliseconds; a negative number, which stands for no limit, becomes -1.
func scale(n, factor int64) int64 {
	switch {
	case n < 0:
		return -1
	case n > math.MaxInt64/factor:
		return math.MaxInt64
	}
	return n * factor
}

func newTopicValue(d *Def, parsed any) topicValue {
	text := format(d.Type, parsed)
	return topicValue{parsed, &text}
}

// TopicDefaults returns the value each topic key has when the topic does not set it, as text; keys whose default
// is null are left out. The map is the caller's.
func (b *Broker) TopicDefaults() map[string]string {
	out := make(map[string]string)
	for key, v := range b.topicDefaults() {
		if v.text != nil {
			out[key] = *v.text
		}
	}
	return out
}

// topicValues returns the effective values of a topic, overrides first.
func (b *Broker) topicValues(overrides map[string]string) (topicValues, error) {
	parsed, err := parseTopic(overrides)
	if err != nil {
		return nil, err
	}
	values := b.topicDefaults()
	for key, v := range parsed {
		values[key] = newTopicValue(topicTable.byName[key], v)
	}
	if err := checkTopicRelations(func(key string) any { return values[key].parsed }); err != nil {
		return nil, err
	}
	return values, nil
}

// ErrNullTopicValue is the answer to a topic configuration with a null value for key.
func ErrNullTopicValue(key string) error {
	return protocol.Errorf(protocol.InvalidConfig, "Null value not supported for topic configs: %s", key)
}
