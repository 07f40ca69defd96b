package configs

import (
	"slices"
	"strings"
)

// Source says where a described value comes from, with the codes of DescribeConfigs (KIP-226).
type Source int8

// The sources kserver answers with, and those Kafka has besides.
const (
	SourceTopic          Source = 1
	SourceDynamicBroker  Source = 2
	SourceDynamicDefault Source = 3
	SourceStaticBroker   Source = 4
	SourceDefault        Source = 5
	SourceClientMetrics  Source = 7
	SourceGroup          Source = 8
)

// Entry is one key of a DescribeConfigs answer.
type Entry struct {
	Name      string
	Value     *string // nil for null and for secrets
	Source    Source
	Type      Type
	ReadOnly  bool
	Sensitive bool
	// Synonyms are where the value was looked for, best first; the first is the value itself when anybody,
	// Kafka's defaults included, set it.
	Synonyms []EntrySynonym
	Doc      string
}

// EntrySynonym is one place a value comes from.
type EntrySynonym struct {
	Name   string
	Value  *string
	Source Source
}

// DescribeTopic returns the entries of a topic with the given overrides, by name. Overrides that do not parse,
// which the controller never lets in, are shown as they are. Kafka's internal keys are left out.
func DescribeTopic(b *Broker, overrides map[string]string) []Entry {
	entries := make([]Entry, 0, len(topicTable.sorted))
	for _, d := range topicTable.sorted {
		if d.Internal {
			continue
		}
		entries = append(entries, b.describeOverridable(d, SourceTopic, overrides))
	}
	return entries
}

// DescribeGroup returns the entries of a group with the given overrides, by name.
func DescribeGroup(b *Broker, overrides map[string]string) []Entry {
	entries := make([]Entry, 0, len(groupTable.sorted))
	for _, d := range groupTable.sorted {
		entries = append(entries, b.describeOverridable(d, SourceGroup, overrides))
	}
	return entries
}

// describeOverridable describes a topic or group key.
func (b *Broker) describeOverridable(d *Def, source Source, overrides map[string]string) Entry {
	e := Entry{Name: d.Name, Value: b.topicDefault(d).text, Source: SourceDefault, Type: d.Type, Doc: d.Doc}
	if text, ok := overrides[d.Name]; ok {
		if parsed, problem := parse(d.Type, text); problem == "" {
			text = format(d.Type, parsed)
		}
		e.Value = &text
		e.Synonyms = append(e.Synonyms, EntrySynonym{d.Name, &text, source})
	}
	switch {
	case len(d.Synonyms) > 0:
		e.Synonyms = append(e.Synonyms, b.synonyms(d.Synonyms[0].Name)...)
	case source == SourceGroup && d.Default != nil:
		e.Synonyms = append(e.Synonyms, EntrySynonym{d.Name, d.Default, SourceDefault})
	}
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	return e
}

// DescribeBroker returns the entries of the broker, by name: every key, and the keys that exist at run time only,
// or for one listener, where they are set. Kafka's internal keys are left out.
func DescribeBroker(b *Broker) []Entry {
	entries := make([]Entry, 0, len(brokerTable.sorted))
	for _, d := range brokerTable.sorted {
		if !d.Internal {
			entries = append(entries, b.describe(d))
		}
	}
	for key, v := range b.values {
		if _, base := brokerTable.byName[key]; !base && v.def.Update != ReadOnly {
			entries = append(entries, b.describe(v.def))
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

// DescribeBrokerDefaults returns the entries of what was set at run time for all brokers, by name.
func DescribeBrokerDefaults(b *Broker) []Entry {
	entries := make([]Entry, 0, len(b.shared))
	for _, key := range sortedKeys(b.shared) {
		d, ok := dynamicDef(key)
		if !ok {
			panic("configs: " + key + " was set and is unknown")
		}
		value := b.shared[key]
		e := Entry{
			Name: key, Value: &value, Source: SourceDynamicDefault, Type: d.Type,
			ReadOnly: d.Update == ReadOnly, Sensitive: d.Sensitive(), Doc: d.Doc,
		}
		if e.Sensitive {
			e.Value = nil
		}
		e.Synonyms = []EntrySynonym{{key, e.Value, e.Source}}
		entries = append(entries, e)
	}
	return entries
}

func (b *Broker) describe(d *Def) Entry {
	e := Entry{
		Name: d.Name, Value: b.values[d.Name].text, Source: SourceDefault, Type: d.Type,
		ReadOnly: d.Update == ReadOnly, Sensitive: d.Sensitive(), Synonyms: b.synonyms(d.Name), Doc: d.Doc,
	}
	if e.Sensitive {
		e.Value = nil
	}
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	return e
}

// brokerSynonyms are the groups of broker keys that stand for the same in different units, best first (Kafka's
// DynamicBrokerConfig.brokerConfigSynonyms).
var brokerSynonyms = [][]string{
	{"log.roll.ms", "log.roll.hours"},
	{"log.roll.jitter.ms", "log.roll.jitter.hours"},
	{"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
}

// synonymsOf returns the keys that a broker key's value may come from.
func synonymsOf(key string) []string {
	if key == "log.flush.interval.ms" {
		return []string{key, "log.flush.scheduler.interval.ms"}
	}
	for _, group := range brokerSynonyms {
		if slices.Contains(group, key) {
			return group
		}
	}
	return []string{key}
}

// synonyms returns where a broker key's value comes from: what was set at run time for this broker, for all
// brokers, at start, then the default; of each first the key that goes first. As in Kafka, nothing is listed
// before the key itself.
func (b *Broker) synonyms(key string) []EntrySynonym {
	start := b
	if b.start != nil {
		start = b.start
	}
	var out []EntrySynonym
	add := func(name string, source Source, value *string) {
		if value == nil || len(out) == 0 && name != key {
			return
		}
		if d, ok := dynamicDef(name); ok && d.Sensitive() {
			value = nil
		}
		out = append(out, EntrySynonym{name, value, source})
	}
	names := synonymsOf(key)
	for _, layer := range []struct {
		source Source
		value  func(name string) *string
	}{
		{SourceDynamicBroker, textOf(b.own)},
		{SourceDynamicDefault, textOf(b.shared)},
		{SourceStaticBroker, func(name string) *string {
			if v, ok := start.values[name]; ok && v.setting.Layer != FromDefault {
				return v.text
			}
			return nil
		}},
		{SourceDefault, func(name string) *string {
			if d, ok := brokerTable.byName[name]; ok {
				return d.Default
			}
			return nil
		}},
	} {
		for _, name := range names {
			add(name, layer.source, layer.value(name))
		}
	}
	return out
}

func textOf(settings map[string]string) func(name string) *string {
	return func(name string) *string {
		if text, ok := settings[name]; ok {
			return &text
		}
		return nil
	}
}
