package controller

import (
	"context"
	"slices"
	"strings"

	"kserver/protocol"
)

// ConfigOp is what a change does to one setting (KIP-339), with Kafka's codes.
type ConfigOp int8

// The changes of a setting.
const (
	ConfigSet      ConfigOp = 0
	ConfigDelete   ConfigOp = 1 // back to the default
	ConfigAppend   ConfigOp = 2 // add items to a list
	ConfigSubtract ConfigOp = 3 // take items from a list
)

// String returns Kafka's name of the operation.
func (o ConfigOp) String() string {
	return [...]string{"SET", "DELETE", "APPEND", "SUBTRACT"}[o]
}

// ConfigChange changes one setting of a resource.
type ConfigChange struct {
	Name string
	Op   ConfigOp
	// Value is the new value, or the items to add or take away; unused by ConfigDelete.
	Value string
}

// ConfigAlteration changes the settings of one resource, all of them or none.
type ConfigAlteration struct {
	Resource ConfigResource
	Changes  []ConfigChange
	// Replace takes back every setting that Changes do not name (AlterConfigs).
	Replace bool
}

// SettingRules says what may be set. The composer of the broker implements it. It is called on the controller's
// goroutine and must not block; its errors are *protocol.Error.
type SettingRules interface {
	// ListDefault returns the items a list has where nobody set it. The error is the answer to op on a key that
	// is no list.
	ListDefault(t ResourceType, key string, op ConfigOp) (items string, err error)
	// Check refuses settings that cannot be; image is the state so far, with the settings before.
	Check(image *MetadataImage, r ConfigResource, after map[string]string) error
}

// AlterConfigs changes settings, of each resource independently of the others, and returns one result for each in
// the order given: nil for a change that is made and in force. No resource may come twice. With validateOnly nothing
// is changed. When ctx ends first, every answer is REQUEST_TIMED_OUT and settings may still be changed.
func (c *Controller) AlterConfigs(ctx context.Context, alterations []ConfigAlteration, validateOnly bool) []*protocol.Error {
	return changeEach(ctx, c, validateOnly,
		func(image *MetadataImage) ([]*protocol.Error, []Record) { return c.planConfigs(image, alterations) },
		allFail(len(alterations)))
}

// planConfigs checks a request and returns its results and the records of the changes that are in order.
func (c *Controller) planConfigs(image *MetadataImage, alterations []ConfigAlteration) ([]*protocol.Error, []Record) {
	results := make([]*protocol.Error, len(alterations))
	var records []Record
	for i := range alterations {
		changes, err := c.planSettings(image, &alterations[i])
		results[i] = err
		if err == nil {
			records = append(records, changes...)
		}
	}
	return results, records
}

// planSettings checks the change of one resource and returns its records: none for settings that stay as they are.
func (c *Controller) planSettings(image *MetadataImage, a *ConfigAlteration) ([]Record, *protocol.Error) {
	before := image.Configs(a.Resource)
	after := make(map[string]string, len(before)+len(a.Changes))
	if !a.Replace {
		for name, value := range before {
			after[name] = value
		}
	}
	for i := range a.Changes {
		if err := c.applyChange(a.Resource.Type, after, &a.Changes[i]); err != nil {
			return nil, err
		}
	}
	if err := c.cfg.Settings.Check(image, a.Resource, after); err != nil {
		return nil, asError(err)
	}
	var records []Record
	for _, name := range sortedKeys(after) {
		value := after[name]
		if old, ok := before[name]; !ok || old != value {
			records = append(records, &ConfigRecord{Resource: a.Resource, Name: name, Value: &value})
		}
	}
	for _, name := range sortedKeys(before) {
		if _, ok := after[name]; !ok {
			records = append(records, &ConfigRecord{Resource: a.Resource, Name: name})
		}
	}
	return records, nil
}

// maxSettingBytes bounds a value (Java's Short.MAX_VALUE, which Kafka's records bound it to).
const maxSettingBytes = 32767

// applyChange makes one change to the settings of a resource.
func (c *Controller) applyChange(t ResourceType, settings map[string]string, change *ConfigChange) *protocol.Error {
	value := change.Value
	switch change.Op {
	case ConfigDelete:
		delete(settings, change.Name)
		return nil
	case ConfigAppend, ConfigSubtract:
		items, err := c.cfg.Settings.ListDefault(t, change.Name, change.Op)
		if err != nil {
			return asError(err)
		}
		if set, ok := settings[change.Name]; ok {
			items = set
		}
		value = changeList(items, change)
	}
	if len(value) > maxSettingBytes {
		return protocol.Errorf(protocol.InvalidConfig, "The configuration value cannot be added because it exceeds the maximum value size of %d bytes.", maxSettingBytes)
	}
	settings[change.Name] = value
	return nil
}

// changeList adds items to a list that does not have them yet, or takes them away.
func changeList(list string, change *ConfigChange) string {
	var items []string
	for item := range strings.SplitSeq(list, ",") {
		if item != "" {
			items = append(items, item)
		}
	}
	for item := range strings.SplitSeq(change.Value, ",") {
		at := slices.Index(items, item)
		switch {
		case change.Op == ConfigAppend && at < 0:
			items = append(items, item)
		case change.Op == ConfigSubtract && at >= 0:
			items = slices.Delete(items, at, at+1)
		}
	}
	return strings.Join(items, ",")
}

// ConfigResources returns the names of the resources of that type, other than topics, that have settings, sorted.
func (m *MetadataImage) ConfigResources(t ResourceType) (names []string) {
	for r := range m.configs {
		if r.Type == t {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}
