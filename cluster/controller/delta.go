package controller

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrInconsistent says that a record does not fit the state before it: the log
// was damaged, or is not the log of this state.
var ErrInconsistent = errors.New("controller: record contradicts the metadata before it")

// Delta is the difference between two images. It is built by applying records
// and read by the Publisher; nothing may be kept of it after Publish.
type Delta struct {
	base *MetadataImage
	next *MetadataImage // a draft: this delta's alone until image returns it

	// owned are the topics of next that this delta made and may still change.
	owned map[UUID]*Topic
	// touched are the topics created, changed or deleted, in order of first touch.
	touched []UUID
	seen    map[UUID]struct{} // touched, as a set

	brokersChanged  bool
	featuresChanged bool
	configsChanged  []ConfigResource
	quotasChanged   bool // next.quotas is this delta's alone

	// pending are the records of an open transaction (KIP-868), of which there are
	// only Kafka's, in a log being replayed.
	pending     []pendingRecord
	transaction bool

	skipped map[string]int
}

type pendingRecord struct {
	offset int64
	record Record
}

// newDelta starts a change of base.
func newDelta(base *MetadataImage) *Delta {
	next := *base
	return &Delta{base: base, next: &next, owned: make(map[UUID]*Topic), seen: make(map[UUID]struct{})}
}

// apply makes the change that the record at offset stands for. An error leaves
// the delta unusable.
func (d *Delta) apply(offset int64, r Record) error {
	if d.transaction {
		switch r.(type) {
		case *BeginTransactionRecord, EndTransactionRecord, *AbortTransactionRecord:
		default:
			d.pending = append(d.pending, pendingRecord{offset, r})
			d.next.Version = offset
			return nil
		}
	}
	if err := r.apply(d, offset); err != nil {
		return fmt.Errorf("metadata offset %d: %w", offset, err)
	}
	d.next.Version = offset
	return nil
}

// applyAll applies records that follow the last applied one.
func (d *Delta) applyAll(records []Record) error {
	for _, r := range records {
		if err := d.apply(d.next.Version+1, r); err != nil {
			return err
		}
	}
	return nil
}

// image ends the delta and returns the new image.
func (d *Delta) image() *MetadataImage {
	d.owned = nil
	return d.next
}

// TopicChange is one topic before and after. Before is nil for a new topic, After
// for a deleted one; the ID of both is the same.
type TopicChange struct{ Before, After *Topic }

// Topics returns the topics that were created, changed or deleted. Deleted ones
// come first: a new topic may have the name of a deleted one.
func (d *Delta) Topics() []TopicChange {
	var deleted, changed []TopicChange
	for _, id := range d.touched {
		before, _ := d.base.TopicByID(id)
		after, _ := d.next.TopicByID(id)
		switch {
		case after != nil:
			changed = append(changed, TopicChange{before, after})
		case before != nil:
			deleted = append(deleted, TopicChange{before, nil})
		}
	}
	return append(deleted, changed...)
}

// BrokersChanged reports whether a broker was registered, changed or removed.
func (d *Delta) BrokersChanged() bool { return d.brokersChanged }

// FeaturesChanged reports whether a finalized feature level changed.
func (d *Delta) FeaturesChanged() bool { return d.featuresChanged }

// Configs returns the resources, other than topics, whose settings changed.
func (d *Delta) Configs() []ConfigResource { return d.configsChanged }

// QuotasChanged reports whether a quota of clients changed.
func (d *Delta) QuotasChanged() bool { return d.quotasChanged }

// topic returns a topic of the draft that may be changed.
func (d *Delta) topic(id UUID) (*Topic, error) {
	if t, ok := d.owned[id]; ok {
		return t, nil
	}
	old, ok := d.next.TopicByID(id)
	if !ok {
		return nil, fmt.Errorf("%w: unknown topic id %s", ErrInconsistent, id)
	}
	t := *old
	t.Partitions = slices.Clone(old.Partitions)
	t.Configs = maps.Clone(old.Configs)
	d.setTopic(&t)
	return &t, nil
}

// setTopic adds t, which the delta may change from now on, to the draft.
func (d *Delta) setTopic(t *Topic) {
	d.touch(t.ID)
	d.owned[t.ID] = t
	d.next.withTopic(t)
}

func (d *Delta) removeTopic(id UUID) {
	d.touch(id)
	t, _ := d.next.TopicByID(id)
	d.next.withoutTopic(t)
	delete(d.owned, id)
}

func (d *Delta) touch(id UUID) {
	if _, ok := d.seen[id]; !ok {
		d.seen[id] = struct{}{}
		d.touched = append(d.touched, id)
	}
}

func (d *Delta) setBroker(b *Broker) {
	d.brokersChanged = true
	at, found := slices.BinarySearchFunc(d.next.brokers, b.ID, func(b *Broker, id int32) int { return cmp.Compare(b.ID, id) })
	d.next.brokers = slices.Clone(d.next.brokers)
	if found {
		d.next.brokers[at] = b
	} else {
		d.next.brokers = slices.Insert(d.next.brokers, at, b)
	}
}

func (d *Delta) removeBroker(id int32) {
	d.brokersChanged = true
	d.next.brokers = slices.DeleteFunc(slices.Clone(d.next.brokers), func(b *Broker) bool { return b.ID == id })
}

func (d *Delta) setFeature(name string, level int16) {
	d.featuresChanged = true
	features := maps.Clone(d.next.features)
	if features == nil {
		features = make(map[string]int16)
	}
	if level == 0 {
		delete(features, name)
	} else {
		features[name] = level
	}
	d.next.features = features
}

func (d *Delta) setConfig(r ConfigResource, name string, value *string) error {
	if r.Type == ResourceTopic {
		old, ok := d.next.Topic(r.Name)
		if !ok {
			return fmt.Errorf("%w: setting %s of unknown topic %s", ErrInconsistent, name, r.Name)
		}
		t, err := d.topic(old.ID)
		if err == nil {
			t.Configs = withSetting(t.Configs, name, value)
		}
		return err
	}
	configs := maps.Clone(d.next.configs)
	if configs == nil {
		configs = make(map[ConfigResource]map[string]string)
	}
	settings := withSetting(maps.Clone(configs[r]), name, value)
	if len(settings) == 0 {
		delete(configs, r)
	} else {
		configs[r] = settings
	}
	d.next.configs = configs
	if !slices.Contains(d.configsChanged, r) {
		d.configsChanged = append(d.configsChanged, r)
	}
	return nil
}

// withSetting sets, or with nil removes, one setting of a map that is the
// caller's, and returns it.
func withSetting(settings map[string]string, name string, value *string) map[string]string {
	if value == nil {
		delete(settings, name)
		return settings
	}
	if settings == nil {
		settings = make(map[string]string)
	}
	settings[name] = *value
	return settings
}

func (d *Delta) begin() error {
	if d.transaction {
		return fmt.Errorf("%w: transaction begun twice", ErrInconsistent)
	}
	d.transaction = true
	return nil
}

func (d *Delta) end() error {
	if !d.transaction {
		return fmt.Errorf("%w: end of no transaction", ErrInconsistent)
	}
	pending := d.pending
	d.transaction, d.pending = false, nil
	for _, p := range pending {
		if err := p.record.apply(d, p.offset); err != nil {
			return err
		}
	}
	return nil
}

func (d *Delta) abort() error {
	if !d.transaction {
		return fmt.Errorf("%w: abort of no transaction", ErrInconsistent)
	}
	d.transaction, d.pending = false, nil
	return nil
}

// skip counts a record of Kafka's whose state the image does not hold.
func (d *Delta) skip(name string) {
	if d.skipped == nil {
		d.skipped = make(map[string]int)
	}
	d.skipped[name]++
}
