package controller

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Difference is the records that lead from one image to the other, in an order in
// which they apply. Registrations of brokers are left out: a broker makes its own.
func Difference(from, to *MetadataImage) []Record {
	var out []Record
	for _, name := range sortedUnion(from.features, to.features) {
		if from.features[name] != to.features[name] {
			out = append(out, &FeatureLevelRecord{Name: name, Level: to.features[name]})
		}
	}
	// What goes comes first: a new topic may have the name of a deleted one.
	for t := range from.Topics() {
		if _, ok := to.TopicByID(t.ID); !ok {
			out = append(out, &RemoveTopicRecord{t.ID})
		}
	}
	for t := range to.Topics() {
		old, ok := from.TopicByID(t.ID)
		if !ok {
			old = &Topic{}
			out = append(out, &TopicRecord{Name: t.Name, ID: t.ID})
		}
		for i, p := range t.Partitions {
			if i >= len(old.Partitions) || !reflect.DeepEqual(old.Partitions[i], p) {
				out = append(out, &PartitionRecord{TopicID: t.ID, Index: int32(i), Partition: *p})
			}
		}
		out = appendConfigs(out, ConfigResource{ResourceTopic, t.Name}, old.Configs, t.Configs)
	}
	for _, r := range configResources(from, to) {
		out = appendConfigs(out, r, from.configs[r], to.configs[r])
	}
	out = appendQuotas(out, from, to)
	if to.NextProducerID > from.NextProducerID {
		out = append(out, &ProducerIDsRecord{NextProducerID: to.NextProducerID})
	}
	return out
}

// appendConfigs appends the records that lead a resource from one set of settings
// to the other.
func appendConfigs(out []Record, r ConfigResource, from, to map[string]string) []Record {
	for _, name := range sortedUnion(from, to) {
		before, was := from[name]
		after, is := to[name]
		switch {
		case !is:
			out = append(out, &ConfigRecord{Resource: r, Name: name})
		case !was || before != after:
			out = append(out, &ConfigRecord{Resource: r, Name: name, Value: &after})
		}
	}
	return out
}

// configResources lists the resources, other than topics, that have settings in
// either image, in order.
func configResources(a, b *MetadataImage) []ConfigResource {
	set := make(map[ConfigResource]struct{})
	for _, m := range []*MetadataImage{a, b} {
		for r := range m.configs {
			set[r] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(x, y ConfigResource) int {
		return cmp.Or(cmp.Compare(x.Type, y.Type), strings.Compare(x.Name, y.Name))
	})
}

func appendQuotas(out []Record, from, to *MetadataImage) []Record {
	entities := make(map[QuotaEntity]struct{})
	for e := range from.quotas {
		entities[e] = struct{}{}
	}
	for e := range to.quotas {
		entities[e] = struct{}{}
	}
	for _, e := range slices.SortedFunc(maps.Keys(entities), func(x, y QuotaEntity) int { return strings.Compare(x.String(), y.String()) }) {
		before, after := from.quotas[e], to.quotas[e]
		for _, key := range sortedUnion(before, after) {
			old, was := before[key]
			value, is := after[key]
			switch {
			case !is:
				out = append(out, &ClientQuotaRecord{Entity: e, Key: key, Remove: true})
			case !was || old != value:
				out = append(out, &ClientQuotaRecord{Entity: e, Key: key, Value: value})
			}
		}
	}
	return out
}

// sortedUnion is the keys of both maps, in order.
func sortedUnion[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}
