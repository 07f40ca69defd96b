package controller

import (
	"encoding/binary"
	"fmt"
)

// RegisterBrokerRecord adds a broker, or replaces its registration after a
// restart. Written in version 4, read from 0 on.
type RegisterBrokerRecord struct{ Broker }

func (r *RegisterBrokerRecord) kind() (recordType, int16) { return typeRegisterBroker, 4 }

func (r *RegisterBrokerRecord) appendFields(dst []byte) []byte {
	dst = appendInt32(dst, r.ID)
	dst = appendBool(dst, false) // is migrating from ZooKeeper
	dst = append(dst, r.Incarnation[:]...)
	dst = appendInt64(dst, r.Epoch)
	dst = binary.AppendUvarint(dst, uint64(len(r.Endpoints))+1)
	for _, e := range r.Endpoints {
		dst = appendString(dst, e.Name)
		dst = appendString(dst, e.Host)
		dst = appendInt16(dst, int16(e.Port))
		dst = noTags(appendInt16(dst, e.SecurityProtocol))
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Features))+1)
	for _, f := range r.Features {
		dst = appendString(dst, f.Name)
		dst = noTags(appendInt16(appendInt16(dst, f.Min), f.Max))
	}
	dst = appendNullableString(dst, r.Rack)
	dst = appendBool(dst, r.Fenced)
	dst = appendBool(dst, r.InControlledShutdown)
	var tags tagWriter
	if len(r.LogDirs) > 0 {
		tags.add(0, appendUUIDs(nil, r.LogDirs))
	}
	if r.CordonedLogDirs != nil {
		tags.add(1, appendUUIDs(nil, r.CordonedLogDirs))
	}
	return tags.appendTo(dst)
}

func readRegisterBroker(r *reader, version int16) Record {
	var b Broker
	b.ID = r.int32()
	if version >= 2 {
		r.bool() // is migrating from ZooKeeper
	}
	b.Incarnation = r.uuid()
	b.Epoch = r.int64()
	for range r.length(7) {
		b.Endpoints = append(b.Endpoints, Endpoint{r.string(), r.string(), uint16(r.int16()), r.int16()})
		r.tags(nil)
	}
	for range r.length(6) {
		b.Features = append(b.Features, FeatureRange{r.string(), r.int16(), r.int16()})
		r.tags(nil)
	}
	b.Rack = r.nullableString()
	b.Fenced = r.bool()
	if version >= 1 {
		b.InControlledShutdown = r.bool()
	}
	r.tags(func(tag uint64, f *reader) bool {
		switch {
		case tag == 0 && version >= 3:
			b.LogDirs = emptyIsNil(f.uuids())
		case tag == 1 && version >= 4:
			b.CordonedLogDirs = f.uuids()
		default:
			return false
		}
		return true
	})
	return &RegisterBrokerRecord{b}
}

func (r *RegisterBrokerRecord) apply(d *Delta, _ int64) error {
	b := r.Broker
	d.setBroker(&b)
	return nil
}

// UnregisterBrokerRecord removes a broker.
type UnregisterBrokerRecord struct {
	ID    int32
	Epoch int64
}

func (r *UnregisterBrokerRecord) kind() (recordType, int16) { return typeUnregisterBroker, 0 }

func (r *UnregisterBrokerRecord) appendFields(dst []byte) []byte {
	return noTags(appendInt64(appendInt32(dst, r.ID), r.Epoch))
}

func readUnregisterBroker(r *reader, _ int16) Record {
	out := &UnregisterBrokerRecord{ID: r.int32(), Epoch: r.int64()}
	r.tags(nil)
	return out
}

func (r *UnregisterBrokerRecord) apply(d *Delta, _ int64) error {
	if _, err := d.broker(r.ID, r.Epoch); err != nil {
		return err
	}
	d.removeBroker(r.ID)
	return nil
}

// BrokerRegistrationChangeRecord changes what a registration says. A nil field
// leaves it as it is. Written in the lowest version that has the fields set.
type BrokerRegistrationChangeRecord struct {
	ID                   int32
	Epoch                int64
	Fenced               *bool
	InControlledShutdown bool // true enters it; a new registration leaves it
	LogDirs              []UUID
	CordonedLogDirs      []UUID
}

func (r *BrokerRegistrationChangeRecord) kind() (recordType, int16) {
	switch {
	case r.CordonedLogDirs != nil:
		return typeRegistrationChange, 3
	case r.LogDirs != nil:
		return typeRegistrationChange, 2
	case r.InControlledShutdown:
		return typeRegistrationChange, 1
	}
	return typeRegistrationChange, 0
}

func (r *BrokerRegistrationChangeRecord) appendFields(dst []byte) []byte {
	dst = appendInt64(appendInt32(dst, r.ID), r.Epoch)
	var tags tagWriter
	if r.Fenced != nil {
		tags.add(0, []byte{byte(fencingChange(*r.Fenced))})
	}
	if r.InControlledShutdown {
		tags.add(1, []byte{1})
	}
	if r.LogDirs != nil {
		tags.add(2, appendUUIDs(nil, r.LogDirs))
	}
	if r.CordonedLogDirs != nil {
		tags.add(3, appendUUIDs(nil, r.CordonedLogDirs))
	}
	return tags.appendTo(dst)
}

// fencingChange is Kafka's code: 1 fences, -1 lifts the fence.
func fencingChange(fenced bool) int8 {
	if fenced {
		return 1
	}
	return -1
}

func readRegistrationChange(r *reader, version int16) Record {
	out := &BrokerRegistrationChangeRecord{ID: r.int32(), Epoch: r.int64()}
	r.tags(func(tag uint64, f *reader) bool {
		switch {
		case tag == 0:
			out.Fenced = readFencing(f)
		case tag == 1 && version >= 1:
			out.InControlledShutdown = f.bool()
		case tag == 2 && version >= 2:
			out.LogDirs = f.uuids()
		case tag == 3 && version >= 3:
			out.CordonedLogDirs = f.uuids()
		default:
			return false
		}
		return true
	})
	return out
}

// readFencing reads what fencingChange writes; 0 is no change.
func readFencing(f *reader) *bool {
	v := f.int8()
	switch v {
	case 0:
		return nil
	case 1, -1:
		fenced := v == 1
		return &fenced
	}
	f.fail("fencing change %d", v)
	return nil
}

func (r *BrokerRegistrationChangeRecord) apply(d *Delta, _ int64) error {
	old, err := d.broker(r.ID, r.Epoch)
	if err != nil {
		return err
	}
	b := *old
	if r.Fenced != nil {
		b.Fenced = *r.Fenced
	}
	b.InControlledShutdown = b.InControlledShutdown || r.InControlledShutdown
	if r.LogDirs != nil {
		b.LogDirs = r.LogDirs
	}
	if r.CordonedLogDirs != nil {
		b.CordonedLogDirs = r.CordonedLogDirs
	}
	d.setBroker(&b)
	return nil
}

// broker finds the registration a record speaks of; another epoch is an error.
func (d *Delta) broker(id int32, epoch int64) (*Broker, error) {
	b, ok := d.next.Broker(id)
	if !ok || b.Epoch != epoch {
		return nil, fmt.Errorf("%w: broker %d with epoch %d is not registered", ErrInconsistent, id, epoch)
	}
	return b, nil
}
