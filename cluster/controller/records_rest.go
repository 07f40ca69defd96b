package controller

import (
	"fmt"
)

// ConfigRecord sets, or with a nil Value takes back, one setting.
type ConfigRecord struct {
	Resource ConfigResource
	Name     string
	Value    *string
}

func (r *ConfigRecord) kind() (recordType, int16) { return typeConfig, 0 }

func (r *ConfigRecord) appendFields(dst []byte) []byte {
	dst = append(dst, byte(r.Resource.Type))
	dst = appendString(dst, r.Resource.Name)
	dst = appendString(dst, r.Name)
	return noTags(appendNullableString(dst, r.Value))
}

func readConfig(r *reader, _ int16) Record {
	out := &ConfigRecord{}
	out.Resource.Type = ResourceType(r.int8())
	out.Resource.Name = r.string()
	out.Name = r.string()
	out.Value = r.nullableString()
	r.tags(nil)
	return out
}

func (r *ConfigRecord) apply(d *Delta, _ int64) error {
	return d.setConfig(r.Resource, r.Name, r.Value)
}

// FeatureLevelRecord finalizes a feature at a level; level 0 takes it back. The
// first record of a log is that of metadata.version.
type FeatureLevelRecord struct {
	Name  string
	Level int16
}

func (r *FeatureLevelRecord) kind() (recordType, int16) { return typeFeatureLevel, 0 }

func (r *FeatureLevelRecord) appendFields(dst []byte) []byte {
	return noTags(appendInt16(appendString(dst, r.Name), r.Level))
}

func readFeatureLevel(r *reader, _ int16) Record {
	out := &FeatureLevelRecord{Name: r.string(), Level: r.int16()}
	r.tags(nil)
	return out
}

func (r *FeatureLevelRecord) apply(d *Delta, _ int64) error {
	d.setFeature(r.Name, r.Level)
	return nil
}

// ProducerIDsRecord hands a block of producer ids to a broker: those from the
// previous NextProducerID up to, not including, this one.
type ProducerIDsRecord struct {
	BrokerID       int32
	BrokerEpoch    int64
	NextProducerID int64
}

func (r *ProducerIDsRecord) kind() (recordType, int16) { return typeProducerIDs, 0 }

func (r *ProducerIDsRecord) appendFields(dst []byte) []byte {
	return noTags(appendInt64(appendInt64(appendInt32(dst, r.BrokerID), r.BrokerEpoch), r.NextProducerID))
}

func readProducerIDs(r *reader, _ int16) Record {
	out := &ProducerIDsRecord{BrokerID: r.int32(), BrokerEpoch: r.int64(), NextProducerID: r.int64()}
	r.tags(nil)
	return out
}

func (r *ProducerIDsRecord) apply(d *Delta, _ int64) error {
	if r.NextProducerID <= d.next.NextProducerID {
		return fmt.Errorf("%w: next producer id %d after %d", ErrInconsistent, r.NextProducerID, d.next.NextProducerID)
	}
	d.next.NextProducerID = r.NextProducerID
	return nil
}

// NoOpRecord changes nothing; Kafka's controllers write it to show progress.
type NoOpRecord struct{}

func (NoOpRecord) kind() (recordType, int16) { return typeNoOp, 0 }

func (NoOpRecord) appendFields(dst []byte) []byte { return noTags(dst) }

func readNoOp(r *reader, _ int16) Record {
	r.tags(nil)
	return NoOpRecord{}
}

func (NoOpRecord) apply(*Delta, int64) error { return nil }

// BeginTransactionRecord opens a group of records, over several batches, that
// take effect together or not at all (KIP-868). Kafka's controllers write them
// at the first start of a cluster.
type BeginTransactionRecord struct{ Name *string }

func (r *BeginTransactionRecord) kind() (recordType, int16) { return typeBeginTransaction, 0 }

func (r *BeginTransactionRecord) appendFields(dst []byte) []byte {
	var tags tagWriter
	if r.Name != nil {
		tags.add(0, appendString(nil, *r.Name))
	}
	return tags.appendTo(dst)
}

func readBeginTransaction(r *reader, _ int16) Record {
	out := &BeginTransactionRecord{}
	r.tags(func(tag uint64, f *reader) bool {
		if tag != 0 {
			return false
		}
		out.Name = f.nullableString()
		return true
	})
	return out
}

func (r *BeginTransactionRecord) apply(d *Delta, _ int64) error { return d.begin() }

// EndTransactionRecord lets the records since BeginTransactionRecord take effect.
type EndTransactionRecord struct{}

func (EndTransactionRecord) kind() (recordType, int16) { return typeEndTransaction, 0 }

func (EndTransactionRecord) appendFields(dst []byte) []byte { return noTags(dst) }

func readEndTransaction(r *reader, _ int16) Record {
	r.tags(nil)
	return EndTransactionRecord{}
}

func (EndTransactionRecord) apply(d *Delta, _ int64) error { return d.end() }

// AbortTransactionRecord drops the records since BeginTransactionRecord.
type AbortTransactionRecord struct{ Reason *string }

func (r *AbortTransactionRecord) kind() (recordType, int16) { return typeAbortTransaction, 0 }

func (r *AbortTransactionRecord) appendFields(dst []byte) []byte {
	var tags tagWriter
	if r.Reason != nil {
		tags.add(0, appendString(nil, *r.Reason))
	}
	return tags.appendTo(dst)
}

func readAbortTransaction(r *reader, _ int16) Record {
	out := &AbortTransactionRecord{}
	r.tags(func(tag uint64, f *reader) bool {
		if tag != 0 {
			return false
		}
		out.Reason = f.nullableString()
		return true
	})
	return out
}

func (r *AbortTransactionRecord) apply(d *Delta, _ int64) error { return d.abort() }
