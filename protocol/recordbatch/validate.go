package recordbatch

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says which of Kafka's errors an InvalidError is. Its values are Kafka's
// error codes, so that a caller with the list of codes can convert it.
type Kind int16

// The errors a batch can be rejected with.
const (
	KindCorruptMessage             Kind = 2  // CORRUPT_MESSAGE
	KindMessageTooLarge            Kind = 10 // MESSAGE_TOO_LARGE
	KindRecordListTooLarge         Kind = 18 // RECORD_LIST_TOO_LARGE
	KindInvalidTimestamp           Kind = 32 // INVALID_TIMESTAMP
	KindUnsupportedCompressionType Kind = 76 // UNSUPPORTED_COMPRESSION_TYPE
	KindInvalidRecord              Kind = 87 // INVALID_RECORD
)

// RecordError is one bad record of a rejected batch, as the Produce response
// shows it from version 8 on (KIP-467).
type RecordError struct {
	// Index of the record in its batch, from 0.
	Index   int
	Message string
}

// String returns the form in which Kafka lists a bad record in error messages.
func (e RecordError) String() string {
	return fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", e.Index, e.Message)
}

// InvalidError is the reason a batch was rejected. Message is what Kafka tells
// the client.
type InvalidError struct {
	Kind    Kind
	Message string
	// Records lists the bad records, at most MaxRecordErrors, empty if the
	// batch as a whole is the reason.
	Records []RecordError
	// Cause is the error of this package behind it, or nil.
	Cause error
}

// Error implements error.
func (e *InvalidError) Error() string { return e.Message }

// Unwrap returns Cause.
func (e *InvalidError) Unwrap() error { return e.Cause }

func invalid(kind Kind, format string, args ...any) *InvalidError {
	return &InvalidError{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// MaxRecordErrors limits the records an InvalidError lists: a batch may hold a
// hundred thousand records, each with a bad timestamp, and the list is longer
// than the batch was.
const MaxRecordErrors = 1000

// recordErrorsShown is how many bad records the error message names.
const recordErrorsShown = 3

// ValidateOptions says what to check a batch against. The zero value of a limit
// means that there is none.
type ValidateOptions struct {
	// Topic and Partition appear in error messages only.
	Topic     string
	Partition int32
	// MaxBatchBytes is max.message.bytes of the topic: the limit of the whole
	// batch, as stored.
	MaxBatchBytes int
	// MaxSegmentBytes is segment.bytes of the topic.
	MaxSegmentBytes int
	// NowMs is the time of the append in ms since 1970.
	NowMs int64
	// CheckTimestamps turns the two bounds below on; they count on topics that are
	// not LogAppendTime, for records that have a time.
	CheckTimestamps bool
	// BeforeMaxMs and AfterMaxMs are message.timestamp.before.max.ms and
	// message.timestamp.after.max.ms: how far before and after NowMs, inclusive,
	// the time of a record may lie.
	BeforeMaxMs, AfterMaxMs int64
	// LogAppendTime says that the topic's message.timestamp.type is
	// LogAppendTime: the batch is stamped with NowMs.
	LogAppendTime bool
	// Compacted says that cleanup.policy includes compact: keys must not be null.
	Compacted bool
	// FromBroker says that the batch comes from a coordinator or the controller
	// of this server, not from a client: control batches and any base offset are
	// allowed, and the offset range is not compared with the count.
	FromBroker bool
	// ProduceVersion is the version of the Produce request, 0 if there was none.
	ProduceVersion int16
	// Compression is compression.type of the topic, Level the configured level of
	// its codec (0: the codec's default).
	Compression CompressionType
	Level       int
	// MaxDecompressed limits the bytes the records may decompress to;
	// DefaultMaxDecompressed if 0.
	MaxDecompressed int64
}

// Validated is a batch that may be appended once offsets and leader epoch are
// assigned.
type Validated struct {
	// Batch aliases the bytes that were validated, unless Rebuilt.
	Batch Batch
	// MaxTimestamp is the largest record time in ms, the append time for
	// LogAppendTime, or NoTimestamp.
	MaxTimestamp int64
	// OffsetDeltaOfMaxTimestamp is the first record that has MaxTimestamp, relative
	// to the base offset; the last record for LogAppendTime.
	OffsetDeltaOfMaxTimestamp int32
	// Rebuilt says that the batch was encoded anew and lies in memory of its own.
	Rebuilt bool
}

// zstdProduceVersion is the first Produce version that may carry zstd (KIP-110).
const zstdProduceVersion = 7

// ValidateProduce checks that b is exactly one batch that a leader may append,
// and makes of it what the topic's configuration asks for. It is Kafka's
// ProduceRequest.validateRecords, UnifiedLog.analyzeAndValidateRecords and
// LogValidator in one: same order, same errors, same messages.
//
// b may be changed: for a LogAppendTime topic, or if the max timestamp in the
// header is not the maximum of the records, the header is corrected in place
// and the CRC computed anew. The result aliases b unless the topic stores
// another codec or the record offsets inside compressed data are wrong; then it
// is rebuilt.
//
// An uncompressed batch that needs no change is read once for the checksum and
// once for the records, and nothing is allocated. A compressed batch is
// decompressed through a fixed buffer, which may take long: see Batch.Codec to
// decide where to run it.
//
// The error is always an *InvalidError. Safe for concurrent use on different b.
func ValidateProduce(b []byte, o *ValidateOptions) (Validated, error) {
	batch, err := o.single(b)
	if err != nil {
		return Validated{}, err
	}
	if err := o.checkBatch(batch); err != nil {
		return Validated{}, err
	}
	v := validation{o: o, batch: batch, maxTs: NoTimestamp, appendTime: batch.TimestampType() == LogAppendTime}
	if err := v.records(); err != nil {
		return Validated{}, err
	}
	if err := v.recordErrors(); err != nil {
		return Validated{}, err
	}
	out := Validated{Batch: batch, MaxTimestamp: v.maxTs, OffsetDeltaOfMaxTimestamp: v.maxTsDelta}
	if o.LogAppendTime {
		out.MaxTimestamp, out.OffsetDeltaOfMaxTimestamp = o.NowMs, batch.LastOffsetDelta()
	}
	if target := o.Compression.Target(batch.Codec()); target != batch.Codec() || v.wrongOffsets {
		if out.Batch, err = o.rebuild(batch, target); err != nil {
			return Validated{}, err
		}
		out.Rebuilt = true
		if err := o.checkRebuiltSize(out.Batch.Size()); err != nil {
			return Validated{}, err
		}
	} else {
		o.stamp(batch, out.MaxTimestamp)
	}
	if o.MaxSegmentBytes > 0 && out.Batch.Size() > o.MaxSegmentBytes {
		return Validated{}, invalid(KindRecordListTooLarge,
			"Message batch size is %d bytes in append to partition %s, which exceeds the maximum configured segment size of %d.",
			out.Batch.Size(), o.partition(), o.MaxSegmentBytes)
	}
	return out, nil
}

// partition returns the name of the partition as Kafka writes it.
func (o *ValidateOptions) partition() string { return fmt.Sprintf("%s-%d", o.Topic, o.Partition) }

// single returns the one batch b holds.
func (o *ValidateOptions) single(b []byte) (Batch, error) {
	batch, rest, err := Next(b)
	switch {
	case errors.Is(err, ErrTruncated):
		return nil, wrapInvalid(KindInvalidRecord, err,
			"Produce requests with version %d must have at least one record batch per partition", o.ProduceVersion)
	case errors.Is(err, ErrMagic) && b[offMagic] > 2: // no format Kafka ever had
		return nil, wrapInvalid(KindCorruptMessage, err, "Invalid magic found in record: %d", int8(b[offMagic]))
	case errors.Is(err, ErrMagic):
		return nil, wrapInvalid(KindInvalidRecord, err,
			"Produce requests with version %d are only allowed to contain record batches with magic version 2", o.ProduceVersion)
	case err != nil:
		return nil, wrapInvalid(KindCorruptMessage, err,
			"Cannot append record batch with illegal length %d to log for %s. A possible cause is a corrupted produce request.",
			len(b), o.partition())
	}
	if batch.Codec() == CodecZstd && o.ProduceVersion > 0 && o.ProduceVersion < zstdProduceVersion {
		return nil, invalid(KindUnsupportedCompressionType,
			"Produce requests with version %d are not allowed to use ZStandard compression", o.ProduceVersion)
	}
	if len(rest) > 0 {
		return nil, invalid(KindInvalidRecord,
			"Produce requests with version %d are only allowed to contain exactly one record batch per partition", o.ProduceVersion)
	}
	return batch, nil
}

// checkBatch looks at everything that can be judged without reading records.
func (o *ValidateOptions) checkBatch(b Batch) error {
	if !o.FromBroker && b.BaseOffset() != 0 {
		return invalid(KindInvalidRecord, "The baseOffset of the record batch in the append to %s should be 0, but it is %d",
			o.partition(), b.BaseOffset())
	}
	if o.MaxBatchBytes > 0 && b.Size() > o.MaxBatchBytes {
		return invalid(KindMessageTooLarge,
			"The record batch size in the append to %s is %d bytes which exceeds the maximum configured value of %d).",
			o.partition(), b.Size(), o.MaxBatchBytes)
	}
	if stored := b.CRC(); stored != b.ComputeCRC() {
		return wrapInvalid(KindCorruptMessage, ErrCRC, "Record is corrupt (stored crc = %d) in topic partition %s.",
			stored, o.partition())
	}
	if !b.Codec().Valid() {
		return invalid(KindUnsupportedCompressionType, "Unknown compression type id: %d", int8(b.Codec()))
	}
	if o.FromBroker {
		return nil
	}
	count, span := int64(b.Count()), int64(b.LastOffsetDelta())+1
	switch {
	case span <= 0:
		return invalid(KindInvalidRecord, "Batch has an invalid offset range: [%d, %d] in topic partition %s",
			b.BaseOffset(), b.LastOffset(), o.partition())
	case count <= 0:
		return invalid(KindInvalidRecord, "Invalid reported count for record batch: %d in topic partition %s",
			count, o.partition())
	case count != span:
		return invalid(KindInvalidRecord,
			"Inconsistent batch offset range [%d, %d] and count of records %d in topic partition %s",
			b.BaseOffset(), b.LastOffset(), count, o.partition())
	case b.IsControl():
		return invalid(KindInvalidRecord, "Clients are not allowed to write control records in topic partition %s",
			o.partition())
	case b.HasProducerID() && b.BaseSequence() < 0:
		return invalid(KindInvalidRecord,
			"Invalid sequence number %d in record batch with producerId %d in topic partition %s",
			b.BaseSequence(), b.ProducerID(), o.partition())
	}
	return nil
}

// stamp corrects the timestamp fields of a batch that is stored as it came.
func (o *ValidateOptions) stamp(b Batch, maxTs int64) {
	switch {
	case o.LogAppendTime:
		b.SetLogAppendTime(o.NowMs)
	case b.MaxTimestamp() != maxTs:
		b.SetMaxTimestamp(maxTs)
	}
}

// rebuild encodes the records of b anew, with offsets 0..n-1.
func (o *ValidateOptions) rebuild(b Batch, target Codec) (Batch, error) {
	cfg := BuilderConfig{
		Codec: target, Transactional: b.IsTransactional(), Control: b.IsControl(),
		BaseOffset: b.BaseOffset(), PartitionLeaderEpoch: b.PartitionLeaderEpoch(),
		Producer: &Producer{b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()},
	}
	if target == Codec(o.Compression-CompressionUncompressed) {
		cfg.Level = o.Level
	}
	if o.LogAppendTime {
		cfg.LogAppendTime = &o.NowMs
	}
	w := NewBuilder(cfg)
	var headers []Header
	for r, err := range b.Records(o.MaxDecompressed) {
		if err != nil {
			return nil, o.parseError(err)
		}
		headers = headers[:0]
		for h := range r.Headers() {
			headers = append(headers, h)
		}
		w.Append(b.BaseTimestamp()+r.TimestampDelta, r.Key, r.Value, headers...)
		if w.Size() > maxRebuilt {
			return nil, o.parseError(ErrDecompressedSize)
		}
	}
	out, err := w.Build()
	if err != nil {
		return nil, wrapInvalid(KindInvalidRecord, err, "Cannot encode record batch for %s as %s: %v", o.partition(), target, err)
	}
	return out, nil
}

// maxRebuilt limits the uncompressed size of a batch that is encoded anew: unlike
// validation, this needs memory for all records at once.
const maxRebuilt = 128 << 20

func (o *ValidateOptions) checkRebuiltSize(size int) error {
	if o.MaxBatchBytes > 0 && size > o.MaxBatchBytes {
		return invalid(KindMessageTooLarge,
			"Message batch size is %d bytes in append topartition %s which exceeds the maximum configured size of %d.",
			size, o.partition(), o.MaxBatchBytes)
	}
	return nil
}

// parseError makes the answer to records that cannot be read.
func (o *ValidateOptions) parseError(err error) error {
	if errors.Is(err, ErrDecompressedSize) {
		return wrapInvalid(KindMessageTooLarge, err,
			"The records in the append to %s decompress to more than the limit", o.partition())
	}
	return wrapInvalid(KindInvalidRecord, err, "Cannot read the records in the append to %s: %v", o.partition(), err)
}

func wrapInvalid(kind Kind, cause error, format string, args ...any) *InvalidError {
	e := invalid(kind, format, args...)
	e.Cause = cause
	return e
}

// recordErrors returns the answer to the bad records found, or nil.
func (v *validation) recordErrors() error {
	if v.badCount == 0 {
		return nil
	}
	if v.badTimestamp {
		return &InvalidError{Kind: KindInvalidTimestamp, Records: v.bad,
			Message: "One or more records have been rejected due to invalid timestamp"}
	}
	var shown []string
	for _, e := range v.bad[:min(len(v.bad), recordErrorsShown)] {
		shown = append(shown, e.String())
	}
	return &InvalidError{Kind: KindInvalidRecord, Records: v.bad, Message: fmt.Sprintf(
		"One or more records have been rejected due to %d record errors in total, and only showing the first three errors at most: [%s]",
		v.badCount, strings.Join(shown, ", "))}
}
