package recordbatch

import (
	"errors"
	"fmt"
	"iter"
)

var (
	// ErrRecord says that the records of a batch cannot be parsed, do not fill
	// the batch, or are not as many as the header claims.
	ErrRecord = errors.New("recordbatch: malformed record")
	// ErrCompression says that the records cannot be decompressed.
	ErrCompression = errors.New("recordbatch: malformed compressed data")
	// ErrDecompressedSize says that decompression reached the caller's limit.
	ErrDecompressedSize = errors.New("recordbatch: decompressed records exceed the limit")
)

// The reasons a record cannot be parsed. They are made once, because the
// validation of a bad batch should cost no more than that of a good one.
var (
	errRecordVarint  = fmt.Errorf("%w: invalid varint", ErrRecord)
	errRecordSize    = fmt.Errorf("%w: declared size does not match its content", ErrRecord)
	errRecordHeaders = fmt.Errorf("%w: invalid record headers", ErrRecord)
	errRecordsEnd    = fmt.Errorf("%w: fewer records than the batch claims", ErrRecord)
	errRecordsRemain = fmt.Errorf("%w: bytes remain after the last record", ErrRecord)
	errRecordCount   = fmt.Errorf("%w: record count does not fit the batch", ErrRecord)
)

// Header is one header of a record. Value is nil for a null value.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record of a batch. Key and Value are nil if null on the wire;
// an empty one is not nil. The slices belong to the iteration that yielded the
// record, see [Batch.Records].
type Record struct {
	// OffsetDelta is relative to the base offset of the batch.
	OffsetDelta int32
	// TimestampDelta is in ms, relative to the base timestamp of the batch.
	TimestampDelta int64
	Key            []byte
	Value          []byte

	headerCount int32
	headers     []byte // checked by parse, so that Headers cannot fail
}

// HeaderCount returns the number of headers.
func (r *Record) HeaderCount() int { return int(r.headerCount) }

// Headers iterates over the headers in their order. A key may occur twice.
// Values alias the record.
func (r *Record) Headers() iter.Seq[Header] {
	return func(yield func(Header) bool) {
		b := r.headers
		for range r.headerCount {
			var h Header
			n, w := varint(b)
			h.Key = string(b[w : w+int(n)])
			b = b[w+int(n):]
			h.Value, b = mustBytes(b)
			if !yield(h) {
				return
			}
		}
	}
}

// mustBytes splits off nullable bytes that parse has checked before.
func mustBytes(b []byte) (p, rest []byte) {
	n, w := varint(b)
	if n < 0 {
		return nil, b[w:]
	}
	return b[w : w+int(n) : w+int(n)], b[w+int(n):]
}

// parse reads the record at the start of b, its length included, and returns
// its size. It allocates nothing; all slices alias b.
func (r *Record) parse(b []byte) (n int, err error) {
	length, w := varint(b)
	if w <= 0 {
		return 0, errRecordVarint
	}
	if length < 0 || int(length) > len(b)-w {
		return 0, errRecordSize
	}
	if err := r.parseBody(b[w : w+int(length)]); err != nil {
		return 0, err
	}
	return w + int(length), nil
}

// parseBody reads a record from exactly the bytes its length announced.
func (r *Record) parseBody(b []byte) error {
	if len(b) == 0 {
		return errRecordSize
	}
	b = b[1:] // attributes: no bit is in use
	ts, w := varlong(b)
	if w <= 0 {
		return errRecordVarint
	}
	b = b[w:]
	off, w := varint(b)
	if w <= 0 {
		return errRecordVarint
	}
	b = b[w:]
	r.TimestampDelta, r.OffsetDelta = ts, off
	var err error
	if r.Key, b, err = nullableBytes(b); err != nil {
		return err
	}
	if r.Value, b, err = nullableBytes(b); err != nil {
		return err
	}
	count, w := varint(b)
	if w <= 0 {
		return errRecordVarint
	}
	b = b[w:]
	// A header takes at least two bytes: an empty key and a null value.
	if count < 0 || int(count) > len(b)/2 {
		return errRecordHeaders
	}
	r.headerCount, r.headers = count, b
	for range count {
		n, w := varint(b)
		if w <= 0 || n < 0 || int(n) > len(b)-w {
			return errRecordHeaders
		}
		if _, b, err = nullableBytes(b[w+int(n):]); err != nil {
			return errRecordHeaders
		}
	}
	if len(b) != 0 {
		return errRecordSize
	}
	return nil
}

// nullableBytes splits off a varint length and as many bytes; nil for a
// negative length. Kafka reads every negative length as null.
func nullableBytes(b []byte) (p, rest []byte, err error) {
	n, w := varint(b)
	if w <= 0 {
		return nil, nil, errRecordVarint
	}
	b = b[w:]
	if n < 0 {
		return nil, b, nil
	}
	if int(n) > len(b) {
		return nil, nil, errRecordSize
	}
	return b[:n:n], b[n:], nil
}

// Records iterates over the records of the batch in their order. It decompresses
// as it goes and gives up with ErrDecompressedSize after limit bytes of
// decompressed records; limit <= 0 means DefaultMaxDecompressed. The checksum is
// not looked at.
//
// The slices of a Record alias the batch if it is not compressed, else a buffer
// that the next step of the iteration overwrites: copy what has to stay.
//
// An error ends the iteration and is yielded with a zero Record. Errors:
// ErrRecord, ErrCompression, ErrDecompressedSize.
func (b Batch) Records(limit int64) iter.Seq2[Record, error] {
	if b.Codec() == CodecNone {
		return b.plainRecords
	}
	return func(yield func(Record, error) bool) { b.compressedRecords(limit, yield) }
}

func (b Batch) plainRecords(yield func(Record, error) bool) {
	rest := b.Payload()
	if err := checkCount(b.Count(), int64(len(rest))); err != nil {
		yield(Record{}, err)
		return
	}
	for range b.Count() {
		if len(rest) == 0 {
			yield(Record{}, errRecordsEnd)
			return
		}
		var r Record
		n, err := r.parse(rest)
		if err != nil {
			yield(Record{}, err)
			return
		}
		rest = rest[n:]
		if !yield(r, nil) {
			return
		}
	}
	if len(rest) != 0 {
		yield(Record{}, errRecordsRemain)
	}
}

func (b Batch) compressedRecords(limit int64, yield func(Record, error) bool) {
	s, err := openStream(b.Codec(), b.Payload(), limit)
	if err != nil {
		yield(Record{}, err)
		return
	}
	defer s.close()
	if err := checkCount(b.Count(), s.limit); err != nil {
		yield(Record{}, err)
		return
	}
	for range b.Count() {
		body, err := s.recordBody()
		if err != nil {
			yield(Record{}, err)
			return
		}
		var r Record
		if err := r.parseBody(body); err != nil {
			yield(Record{}, err)
			return
		}
		if !yield(r, nil) {
			return
		}
	}
	if err := s.expectEnd(); err != nil {
		yield(Record{}, err)
	}
}

// checkCount refuses a record count that size bytes of records cannot hold.
func checkCount(count int32, size int64) error {
	if count < 0 || int64(count) > size/MinRecordSize {
		return errRecordCount
	}
	return nil
}

// Timestamp returns the time of record r of batch b in ms since 1970: the append
// time for LogAppendTime, else the record's own time.
func (b Batch) Timestamp(r *Record) int64 {
	if b.TimestampType() == LogAppendTime {
		return b.MaxTimestamp()
	}
	return b.BaseTimestamp() + r.TimestampDelta
}
