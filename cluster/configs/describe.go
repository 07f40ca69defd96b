package configs

// Source says where a described value comes from, with the codes of DescribeConfigs (KIP-226).
type Source int8

// The sources kserver answers with, and those Kafka has besides.
const (
	SourceTopic          Source = 1
	SourceDynamicBroker  Source = 2
	SourceDynamicDefault Source = 3
	SourceStaticBroker   Source = 4
	SourceDefault        Source = 5
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

// DescribeBroker returns the entries of the broker, by name. Kafka's internal keys are left out.
func DescribeBroker(b *Broker) []Entry {
	entries := make([]Entry, 0, len(brokerTable.sorted))
	for _, d := range brokerTable.sorted {
		if d.Internal {
			continue
		}
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
		entries = append(entries, e)
	}
	return entries
}

// synonyms returns where a broker key's value comes from: what was set at start, then the default.
func (b *Broker) synonyms(key string) []EntrySynonym {
	v := b.values[key]
	var out []EntrySynonym
	if v.setting.Layer != FromDefault {
		out = append(out, EntrySynonym{key, v.text, SourceStaticBroker})
	}
	if v.def.Default != nil {
		out = append(out, EntrySynonym{key, v.def.Default, SourceDefault})
	}
	if v.def.Sensitive() {
		for i := range out {
			out[i].Value = nil
		}
	}
	return out
}
