package controller

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var (
	// ErrRecord says that the bytes of a metadata record do not follow Kafka's format.
	ErrRecord = errors.New("controller: malformed metadata record")
	// ErrRecordType says that a metadata record is of a type or a version that a
	// newer release wrote. Skipping it could lose state, so the log stops there.
	ErrRecordType = errors.New("controller: metadata record of an unknown type or version")
)

// recordType is Kafka's api key of a metadata record
// (metadata/src/main/resources/common/metadata).
type recordType uint32

// The record types that make up the image.
const (
	typeRegisterBroker     recordType = 0
	typeUnregisterBroker   recordType = 1
	typeTopic              recordType = 2
	typePartition          recordType = 3
	typeConfig             recordType = 4
	typePartitionChange    recordType = 5
	typeRemoveTopic        recordType = 9
	typeFeatureLevel       recordType = 12
	typeClientQuota        recordType = 14
	typeProducerIDs        recordType = 15
	typeRegistrationChange recordType = 17
	typeNoOp               recordType = 20
	typeBeginTransaction   recordType = 23
	typeEndTransaction     recordType = 24
	typeAbortTransaction   recordType = 25
)

// skippedTypes are the record types whose state the image does not hold: what
// Kafka keeps for services kserver does not offer. Reading one gives a
// SkippedRecord.
var skippedTypes = map[recordType]string{
	7:  "FENCE_BROKER_RECORD",
	8:  "UNFENCE_BROKER_RECORD",
	10: "DELEGATION_TOKEN_RECORD",
	11: "USER_SCRAM_CREDENTIAL_RECORD",
	18: "ACCESS_CONTROL_ENTRY_RECORD",
	19: "REMOVE_ACCESS_CONTROL_ENTRY_RECORD",
	21: "ZK_MIGRATION_STATE_RECORD",
	22: "REMOVE_USER_SCRAM_CREDENTIAL_RECORD",
	26: "REMOVE_DELEGATION_TOKEN_RECORD",
	27: "REGISTER_CONTROLLER_RECORD",
	28: "CLEAR_ELR_RECORD",
	29: "UNREGISTER_CONTROLLER_RECORD",
}

// frameVersion begins every record, before its type (Kafka's
// AbstractApiMessageSerde).
const frameVersion = 1

// Record is one change of the metadata, in one of Kafka's record formats. The
// types that implement it are plain values; what they point to must not be
// changed once they were proposed.
type Record interface {
	// kind is the record's type and the version of its format to write.
	kind() (recordType, int16)
	// appendFields appends the fields in that version.
	appendFields(dst []byte) []byte
	// apply makes the change; offset is the record's own.
	apply(d *Delta, offset int64) error
}

// decoders read the fields of a record, and maxVersions are the newest versions
// they know.
var decoders = map[recordType]struct {
	maxVersion int16
	read       func(r *reader, version int16) Record
}{
	typeRegisterBroker:     {4, readRegisterBroker},
	typeUnregisterBroker:   {0, readUnregisterBroker},
	typeTopic:              {0, readTopic},
	typePartition:          {2, readPartition},
	typeConfig:             {0, readConfig},
	typePartitionChange:    {2, readPartitionChange},
	typeRemoveTopic:        {0, readRemoveTopic},
	typeFeatureLevel:       {0, readFeatureLevel},
	typeClientQuota:        {0, readClientQuota},
	typeProducerIDs:        {0, readProducerIDs},
	typeRegistrationChange: {3, readRegistrationChange},
	typeNoOp:               {0, readNoOp},
	typeBeginTransaction:   {0, readBeginTransaction},
	typeEndTransaction:     {0, readEndTransaction},
	typeAbortTransaction:   {0, readAbortTransaction},
}

// appendRecord appends r as the value of a record of the metadata log.
func appendRecord(dst []byte, r Record) []byte {
	t, version := r.kind()
	dst = append(dst, frameVersion)
	dst = binary.AppendUvarint(dst, uint64(t))
	dst = binary.AppendUvarint(dst, uint64(version))
	return r.appendFields(dst)
}

// decodeRecord reads the value of a record of the metadata log. Nothing of the
// result refers to b. Errors wrap ErrRecord or ErrRecordType.
func decodeRecord(b []byte) (Record, error) {
	r := &reader{b: b}
	if v := r.uvarint(); r.err == nil && v != frameVersion {
		return nil, fmt.Errorf("%w: frame version %d", ErrRecordType, v)
	}
	t, version := recordType(r.uvarint()), int16(min(r.uvarint(), maxRecordVersion))
	if r.err != nil {
		return nil, r.err
	}
	if name, ok := skippedTypes[t]; ok {
		return &SkippedRecord{Name: name}, nil
	}
	d, ok := decoders[t]
	if !ok || version > d.maxVersion {
		return nil, fmt.Errorf("%w: type %d version %d", ErrRecordType, t, version)
	}
	rec := d.read(r, version)
	if r.err != nil {
		return nil, fmt.Errorf("type %d version %d: %w", t, version, r.err)
	}
	if len(r.b) > 0 {
		return nil, fmt.Errorf("type %d version %d: %w: %d bytes too many", t, version, ErrRecord, len(r.b))
	}
	return rec, nil
}

// maxRecordVersion is above every version there is.
const maxRecordVersion = 1 << 14

// SkippedRecord stands for a record of Kafka's whose state the image does not
// hold. It is only ever read.
type SkippedRecord struct{ Name string }

func (r *SkippedRecord) kind() (recordType, int16) { panic("controller: write of skipped " + r.Name) }

func (r *SkippedRecord) appendFields([]byte) []byte { panic("controller: write of skipped " + r.Name) }

func (r *SkippedRecord) apply(d *Delta, _ int64) error {
	d.skip(r.Name)
	return nil
}
