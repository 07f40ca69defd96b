package recordbatch

import "fmt"

// validation is the pass over the records of one batch.
type validation struct {
	o     *ValidateOptions
	batch Batch
	// appendTime: the batch claims LogAppendTime, which is not for clients to set.
	appendTime bool

	maxTs      int64
	maxTsDelta int32
	// wrongOffsets: offset deltas inside compressed data are not 0..n-1. Some old
	// clients did that; Kafka rebuilds such batches and so do we.
	wrongOffsets bool

	bad          []RecordError
	badCount     int
	badTimestamp bool
}

// recordView is what validation looks at in a record.
type recordView struct {
	timestampDelta int64
	offsetDelta    int32
	// Sizes of key and value in bytes, -1 for null; for messages.
	keySize, valueSize int
}

// records checks every record and gathers the maximum of their times. The error
// is for records that cannot be read; bad records are only noted.
func (v *validation) records() error {
	if v.batch.Codec() == CodecNone {
		return v.plain()
	}
	return v.compressed()
}

// plain is the hot path: one pass over the bytes of an uncompressed batch,
// without allocation.
func (v *validation) plain() error {
	rest := v.batch.Payload()
	count := v.batch.Count()
	if err := checkCount(count, int64(len(rest))); err != nil {
		return v.o.parseError(err)
	}
	var r Record
	for i := range count {
		if len(rest) == 0 {
			return v.o.parseError(errRecordsEnd)
		}
		n, err := r.parse(rest)
		if err != nil {
			return v.o.parseError(err)
		}
		rest = rest[n:]
		if r.OffsetDelta != i && !v.o.FromBroker {
			return invalid(KindInvalidRecord,
				"Record %d of the batch has offset delta %d in topic partition %s", i, r.OffsetDelta, v.o.partition())
		}
		v.record(int(i), r.TimestampDelta, r.OffsetDelta, sizeOf(r.Key), sizeOf(r.Value))
	}
	if len(rest) != 0 {
		return v.o.parseError(errRecordsRemain)
	}
	return nil
}

func sizeOf(p []byte) int {
	if p == nil {
		return -1
	}
	return len(p)
}

// compressed reads the records off the decompressor and skips over their
// contents.
func (v *validation) compressed() error {
	s, err := openStream(v.batch.Codec(), v.batch.Payload(), v.o.MaxDecompressed)
	if err != nil {
		return v.o.parseError(err)
	}
	defer s.close()
	count := v.batch.Count()
	if err := checkCount(count, s.limit); err != nil {
		return v.o.parseError(err)
	}
	for i := range count {
		r, err := s.recordView()
		if err != nil {
			return v.o.parseError(err)
		}
		if r.offsetDelta != i {
			v.wrongOffsets = true
		}
		v.record(int(i), r.timestampDelta, r.offsetDelta, r.keySize, r.valueSize)
	}
	if err := s.expectEnd(); err != nil {
		return v.o.parseError(err)
	}
	return nil
}

// recordView consumes one record: the same grammar as Record.parse, but the
// record need not fit the buffer.
func (s *stream) recordView() (r recordView, err error) {
	length, err := s.varint()
	if err != nil {
		return r, err
	}
	end := s.consumed() + int64(length)
	if length < 0 {
		return r, errRecordSize
	}
	if err = s.skip(1); err != nil { // attributes
		return r, err
	}
	if r.timestampDelta, err = s.varlong(); err != nil {
		return r, err
	}
	if r.offsetDelta, err = s.varint(); err != nil {
		return r, err
	}
	if r.keySize, err = s.skipBytes(end); err != nil {
		return r, err
	}
	if r.valueSize, err = s.skipBytes(end); err != nil {
		return r, err
	}
	if err = s.skipHeaders(end); err != nil {
		return r, err
	}
	if s.consumed() != end {
		return r, errRecordSize
	}
	return r, nil
}

// skipBytes consumes nullable bytes that must lie before position end, and
// returns their size, -1 for null.
func (s *stream) skipBytes(end int64) (int, error) {
	n, err := s.varint()
	if err != nil {
		return 0, err
	}
	if n < 0 {
		return -1, nil
	}
	if s.consumed()+int64(n) > end {
		return 0, errRecordSize
	}
	return int(n), s.skip(int(n))
}

// skipHeaders consumes the headers of a record that ends at position end.
func (s *stream) skipHeaders(end int64) error {
	count, err := s.varint()
	if err != nil {
		return err
	}
	if count < 0 || int64(count) > (end-s.consumed())/2 {
		return errRecordHeaders
	}
	for range count {
		n, err := s.skipBytes(end)
		if err != nil {
			return err
		}
		if n < 0 {
			return errRecordHeaders
		}
		if _, err := s.skipBytes(end); err != nil {
			return err
		}
	}
	return nil
}

// record judges one record.
func (v *validation) record(i int, tsDelta int64, offsetDelta int32, keySize, valueSize int) {
	o := v.o
	ts := v.batch.BaseTimestamp() + tsDelta
	if v.appendTime {
		ts = v.batch.MaxTimestamp()
	}
	switch {
	case o.Compacted && keySize < 0 && !v.batch.IsControl():
		if v.reject(false) {
			v.explain(i, "Compacted topic cannot accept message without key in topic partition %s", o.partition())
		}
	case v.appendTime:
		if v.reject(true) {
			v.explain(i, "Invalid timestamp type in message "+
				"DefaultRecord(offset=%d, timestamp=%d, key=%d bytes, value=%d bytes). "+
				"Producer should not set timestamp type to LogAppendTime.",
				offsetDelta, ts, max(keySize, 0), max(valueSize, 0))
		}
	case o.CheckTimestamps && !o.LogAppendTime && ts != NoTimestamp && o.outOfBounds(ts):
		if v.reject(true) {
			v.explain(i, "Timestamp %d of message with offset %d is out of range. "+
				"The timestamp should be within [%d, %d]", ts, offsetDelta, o.NowMs-o.BeforeMaxMs, o.NowMs+o.AfterMaxMs)
		}
	case ts > v.maxTs:
		v.maxTs, v.maxTsDelta = ts, offsetDelta
	}
}

// outOfBounds compares with Kafka's arithmetic, overflow included.
func (o *ValidateOptions) outOfBounds(ts int64) bool {
	age := o.NowMs - ts
	return age > o.BeforeMaxMs || -age > o.AfterMaxMs
}

// reject counts a bad record and reports whether there is room to explain it.
func (v *validation) reject(timestamp bool) bool {
	v.badCount++
	v.badTimestamp = v.badTimestamp || timestamp
	return len(v.bad) < MaxRecordErrors
}

// explain notes why record i is bad.
func (v *validation) explain(i int, format string, args ...any) {
	v.bad = append(v.bad, RecordError{Index: i, Message: fmt.Sprintf(format, args...)})
}
