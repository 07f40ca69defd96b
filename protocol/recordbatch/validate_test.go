package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const now = 1_700_000_000_000 // ms

// testOptions are those of an ordinary topic.
func testOptions() ValidateOptions {
	return ValidateOptions{
		Topic: "orders", Partition: 3, MaxBatchBytes: 1 << 20, MaxSegmentBytes: 1 << 30, NowMs: now,
		CheckTimestamps: true, BeforeMaxMs: 1 << 62, AfterMaxMs: 3_600_000, ProduceVersion: 9,
	}
}

// build makes a batch of n records with times now, now+1, ...
func build(t testing.TB, cfg BuilderConfig, n int) Batch {
	t.Helper()
	w := NewBuilder(cfg)
	for i := range n {
		w.Append(now+int64(i), []byte("key"), fmt.Appendf(nil, "value %d", i), Header{"trace", []byte("id")})
	}
	b, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// patch changes a batch and stores the checksum of what came out.
func patch(b Batch, change func(Batch)) Batch {
	b = bytes.Clone(b)
	change(b)
	b.UpdateCRC()
	return b
}

func put32(off int, v int32) func(Batch) {
	return func(b Batch) { binary.BigEndian.PutUint32(b[off:], uint32(v)) }
}

func TestValidateProduceRejects(t *testing.T) {
	plain := build(t, BuilderConfig{}, 3)
	producer := build(t, BuilderConfig{Producer: &Producer{9, 0, 0}}, 3)
	zstd := build(t, BuilderConfig{Codec: CodecZstd}, 3)
	nullKey := func(codec Codec) Batch {
		w := NewBuilder(BuilderConfig{Codec: codec})
		w.Append(now, []byte("a"), nil)
		w.Append(now, nil, []byte("b"))
		w.Append(now, nil, []byte("c"))
		b, err := w.Build()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	at := func(times ...int64) Batch {
		w := NewBuilder(BuilderConfig{})
		for _, ts := range times {
			w.Append(ts, []byte("k"), nil)
		}
		b, err := w.Build()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const where = " in topic partition orders-3"
	noKey := "Compacted topic cannot accept message without key" + where
	for _, tt := range []struct {
		name    string
		b       []byte
		opts    func(*ValidateOptions)
		kind    Kind
		message string
		records int
	}{
		{"empty", nil, nil, KindInvalidRecord,
			"Produce requests with version 9 must have at least one record batch per partition", 0},
		{"partial", plain[:len(plain)-1], nil, KindInvalidRecord,
			"Produce requests with version 9 must have at least one record batch per partition", 0},
		{"magic 1", patch(plain, func(b Batch) { b[offMagic] = 1 }), nil, KindInvalidRecord,
			"Produce requests with version 9 are only allowed to contain record batches with magic version 2", 0},
		{"magic 3", patch(plain, func(b Batch) { b[offMagic] = 3 }), nil, KindCorruptMessage, "Invalid magic found in record: 3", 0},
		{"magic -1", patch(plain, func(b Batch) { b[offMagic] = 0xff }), nil, KindCorruptMessage, "Invalid magic found in record: -1", 0},
		{"two batches", append(bytes.Clone(plain), plain...), nil, KindInvalidRecord,
			"Produce requests with version 9 are only allowed to contain exactly one record batch per partition", 0},
		{"trailing byte", append(bytes.Clone(plain), 0), nil, KindInvalidRecord,
			"Produce requests with version 9 are only allowed to contain exactly one record batch per partition", 0},
		{"length field", patch(plain, put32(offLength, 5)), nil, KindCorruptMessage,
			fmt.Sprintf("Cannot append record batch with illegal length %d to log for orders-3. A possible cause is a corrupted produce request.", len(plain)), 0},
		{"zstd before version 7", zstd, func(o *ValidateOptions) { o.ProduceVersion = 6 }, KindUnsupportedCompressionType,
			"Produce requests with version 6 are not allowed to use ZStandard compression", 0},
		{"unknown codec", patch(plain, func(b Batch) { b[offAttributes+1] = 5 }), nil, KindUnsupportedCompressionType,
			"Unknown compression type id: 5", 0},
		{"base offset", patch(plain, func(b Batch) { b.SetBaseOffset(4) }), nil, KindInvalidRecord,
			"The baseOffset of the record batch in the append to orders-3 should be 0, but it is 4", 0},
		{"too large", plain, func(o *ValidateOptions) { o.MaxBatchBytes = len(plain) - 1 }, KindMessageTooLarge,
			fmt.Sprintf("The record batch size in the append to orders-3 is %d bytes which exceeds the maximum configured value of %d).", len(plain), len(plain)-1), 0},
		{"segment", plain, func(o *ValidateOptions) { o.MaxSegmentBytes = len(plain) - 1 }, KindRecordListTooLarge,
			fmt.Sprintf("Message batch size is %d bytes in append to partition orders-3, which exceeds the maximum configured segment size of %d.", len(plain), len(plain)-1), 0},
		{"checksum", func() Batch { b := bytes.Clone(plain); b[80]++; return b }(), nil, KindCorruptMessage,
			fmt.Sprintf("Record is corrupt (stored crc = %d)%s.", plain.CRC(), where), 0},
		{"offset range", patch(plain, put32(offLastOffsetDelta, -2)), nil, KindInvalidRecord,
			"Batch has an invalid offset range: [0, -2]" + where, 0},
		{"count 0", patch(plain, put32(offCount, 0)), nil, KindInvalidRecord,
			"Invalid reported count for record batch: 0" + where, 0},
		{"count and range", patch(plain, put32(offLastOffsetDelta, 3)), nil, KindInvalidRecord,
			"Inconsistent batch offset range [0, 3] and count of records 3" + where, 0},
		{"control", build(t, BuilderConfig{Control: true}, 1), nil, KindInvalidRecord,
			"Clients are not allowed to write control records" + where, 0},
		{"sequence", patch(producer, put32(offBaseSequence, -1)), nil, KindInvalidRecord,
			"Invalid sequence number -1 in record batch with producerId 9" + where, 0},
		{"offset delta", patch(plain, func(b Batch) { b[HeaderSize+3] = 2 }), nil, KindInvalidRecord,
			"Record 0 of the batch has offset delta 1" + where, 0},
		{"more records claimed", patch(plain, func(b Batch) { put32(offCount, 4)(b); put32(offLastOffsetDelta, 3)(b) }), nil,
			KindInvalidRecord, "Cannot read the records in the append to orders-3: recordbatch: malformed record: fewer records than the batch claims", 0},
		{"fewer records claimed", patch(plain, func(b Batch) { put32(offCount, 2)(b); put32(offLastOffsetDelta, 1)(b) }), nil,
			KindInvalidRecord, "Cannot read the records in the append to orders-3: recordbatch: malformed record: bytes remain after the last record", 0},
		{"impossible count", patch(plain, func(b Batch) { put32(offCount, 1<<30)(b); put32(offLastOffsetDelta, 1<<30-1)(b) }), nil,
			KindInvalidRecord, "Cannot read the records in the append to orders-3: recordbatch: malformed record: record count does not fit the batch", 0},
		{"client sets append time", build(t, BuilderConfig{LogAppendTime: new(int64)}, 2), func(o *ValidateOptions) { o.LogAppendTime = true },
			KindInvalidTimestamp, "One or more records have been rejected due to invalid timestamp", 2},
		{"too new", at(now, now+3_600_001), nil, KindInvalidTimestamp,
			"One or more records have been rejected due to invalid timestamp", 1},
		{"too old", at(now-1001, now, now-5000), func(o *ValidateOptions) { o.BeforeMaxMs = 1000 }, KindInvalidTimestamp,
			"One or more records have been rejected due to invalid timestamp", 2},
		{"null key", nullKey(CodecNone), func(o *ValidateOptions) { o.Compacted = true }, KindInvalidRecord,
			"One or more records have been rejected due to 2 record errors in total, and only showing the first three errors at most: " +
				"[RecordError(batchIndex=1, message='" + noKey + "'), RecordError(batchIndex=2, message='" + noKey + "')]", 2},
		{"null key, compressed", nullKey(CodecLZ4), func(o *ValidateOptions) { o.Compacted = true }, KindInvalidRecord,
			"One or more records have been rejected due to 2 record errors in total, and only showing the first three errors at most: " +
				"[RecordError(batchIndex=1, message='" + noKey + "'), RecordError(batchIndex=2, message='" + noKey + "')]", 2},
		{"decompressed size", build(t, BuilderConfig{Codec: CodecZstd}, 1000), func(o *ValidateOptions) { o.MaxDecompressed = 10_000 }, KindMessageTooLarge,
			"The records in the append to orders-3 decompress to more than the limit", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions()
			if tt.opts != nil {
				tt.opts(&o)
			}
			_, err := ValidateProduce(tt.b, &o)
			invalid, ok := errors.AsType[*InvalidError](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			if invalid.Kind != tt.kind || invalid.Message != tt.message || len(invalid.Records) != tt.records {
				t.Errorf("kind %d, %d records, message\n%s\nwant %d, %d,\n%s",
					invalid.Kind, len(invalid.Records), invalid.Message, tt.kind, tt.records, tt.message)
			}
		})
	}
}

func TestRecordErrorMessages(t *testing.T) {
	o := testOptions()
	o.BeforeMaxMs = 1000
	w := NewBuilder(BuilderConfig{})
	w.Append(now, nil, nil)
	w.Append(now-1001, nil, nil)
	b, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	_, err = ValidateProduce(b, &o)
	invalid, _ := errors.AsType[*InvalidError](err)
	want := RecordError{1, fmt.Sprintf("Timestamp %d of message with offset 1 is out of range. The timestamp should be within [%d, %d]",
		int64(now-1001), int64(now-1000), int64(now+3_600_000))}
	if invalid == nil || len(invalid.Records) != 1 || invalid.Records[0] != want {
		t.Errorf("%+v, want %+v", invalid, want)
	}

	stamp := int64(now)
	b = build(t, BuilderConfig{LogAppendTime: &stamp}, 1)
	_, err = ValidateProduce(b, &o)
	invalid, _ = errors.AsType[*InvalidError](err)
	want = RecordError{0, "Invalid timestamp type in message DefaultRecord(offset=0, timestamp=1700000000000, key=3 bytes, value=7 bytes). " +
		"Producer should not set timestamp type to LogAppendTime."}
	if invalid == nil || invalid.Kind != KindInvalidTimestamp || invalid.Records[0] != want {
		t.Errorf("%+v, want %+v", invalid, want)
	}
}

func TestRecordErrorsAreLimited(t *testing.T) {
	w := NewBuilder(BuilderConfig{})
	for range MaxRecordErrors + 500 {
		w.Append(now, nil, nil)
	}
	b, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions()
	o.Compacted = true
	_, err = ValidateProduce(b, &o)
	invalid, _ := errors.AsType[*InvalidError](err)
	if invalid == nil || len(invalid.Records) != MaxRecordErrors || !strings.Contains(invalid.Message, "due to 1500 record errors") {
		t.Errorf("%d records, %v", len(invalid.Records), err)
	}
}

func TestValidateProduceAccepts(t *testing.T) {
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		t.Run(codec.String(), func(t *testing.T) {
			b := build(t, BuilderConfig{Codec: codec, Producer: &Producer{1, 0, 0}}, 100)
			before := bytes.Clone(b)
			o := testOptions()
			v, err := ValidateProduce(b, &o)
			if err != nil {
				t.Fatal(err)
			}
			if v.Rebuilt || &v.Batch[0] != &b[0] || !bytes.Equal(v.Batch, before) {
				t.Error("the batch was not kept as it came")
			}
			if v.MaxTimestamp != now+99 || v.OffsetDeltaOfMaxTimestamp != 99 {
				t.Errorf("max timestamp %d at %d", v.MaxTimestamp, v.OffsetDeltaOfMaxTimestamp)
			}

			wrong := patch(b, func(b Batch) { b.SetMaxTimestamp(now + 12345) })
			if v, err = ValidateProduce(wrong, &o); err != nil || !bytes.Equal(v.Batch, before) {
				t.Errorf("max timestamp not corrected: %v", err)
			}

			o.LogAppendTime = true
			v, err = ValidateProduce(bytes.Clone(b), &o)
			if err != nil {
				t.Fatal(err)
			}
			if v.Batch.TimestampType() != LogAppendTime || v.MaxTimestamp != now || v.Batch.MaxTimestamp() != now ||
				v.Batch.CheckCRC() != nil || v.Batch.BaseTimestamp() != b.BaseTimestamp() || v.OffsetDeltaOfMaxTimestamp != 99 {
				t.Error("not stamped with the append time")
			}
		})
	}
}

func TestNoTimestampIsExempt(t *testing.T) {
	w := NewBuilder(BuilderConfig{})
	w.Append(NoTimestamp, nil, nil)
	b, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions()
	o.BeforeMaxMs = 10
	if v, err := ValidateProduce(b, &o); err != nil || v.MaxTimestamp != NoTimestamp {
		t.Errorf("max timestamp %d, %v", v.MaxTimestamp, err)
	}
}

// sameRecords compares the records of two batches, times included.
func sameRecords(t testing.TB, a, b Batch) {
	t.Helper()
	list := func(b Batch) (out []string) {
		for r, err := range b.Records(0) {
			if err != nil {
				t.Fatal(err)
			}
			line := fmt.Sprintf("%d %d %q %t %q %t", r.OffsetDelta, b.Timestamp(&r), r.Key, r.Key == nil, r.Value, r.Value == nil)
			for h := range r.Headers() {
				line += fmt.Sprintf(" %q=%q/%t", h.Key, h.Value, h.Value == nil)
			}
			out = append(out, line)
		}
		return out
	}
	la, lb := list(a), list(b)
	if len(la) == 0 || strings.Join(la, "\n") != strings.Join(lb, "\n") {
		t.Errorf("records differ:\n%s\n\n%s", strings.Join(la, "\n"), strings.Join(lb, "\n"))
	}
}

func TestCompressionType(t *testing.T) {
	for source := CodecNone; source <= CodecZstd; source++ {
		for target := CompressionUncompressed; target <= CompressionZstd; target++ {
			b := build(t, BuilderConfig{Codec: source, Producer: &Producer{4, 3, 2}, Transactional: true}, 50)
			o := testOptions()
			o.Compression = target
			v, err := ValidateProduce(bytes.Clone(b), &o)
			if err != nil {
				t.Fatalf("%s to %s: %v", source, target, err)
			}
			if v.Batch.Codec() != target.Target(source) || v.Rebuilt != (source != target.Target(source)) || v.Batch.CheckCRC() != nil {
				t.Errorf("%s to %s: codec %s, rebuilt %t", source, target, v.Batch.Codec(), v.Rebuilt)
			}
			if v.Batch.ProducerID() != 4 || v.Batch.ProducerEpoch() != 3 || v.Batch.BaseSequence() != 2 || !v.Batch.IsTransactional() ||
				v.Batch.LastOffsetDelta() != 49 || v.Batch.MaxTimestamp() != b.MaxTimestamp() || v.Batch.BaseTimestamp() != b.BaseTimestamp() {
				t.Errorf("%s to %s: header fields lost", source, target)
			}
			sameRecords(t, b, v.Batch)
			if _, err := ValidateProduce(v.Batch, &o); err != nil {
				t.Errorf("%s to %s: rebuilt batch is invalid: %v", source, target, err)
			}
		}
	}
	o := testOptions()
	o.Compression, o.LogAppendTime = CompressionLZ4, true
	v, err := ValidateProduce(build(t, BuilderConfig{}, 5), &o)
	if err != nil || v.Batch.TimestampType() != LogAppendTime || v.Batch.MaxTimestamp() != now || v.MaxTimestamp != now {
		t.Errorf("rebuilt for a LogAppendTime topic: %v", err)
	}
	if got, ok := ParseCompressionType("zstd"); got != CompressionZstd || !ok {
		t.Error("ParseCompressionType")
	}
	if _, ok := ParseCompressionType("none"); ok {
		t.Error("none is no compression.type")
	}
}

func TestRebuiltTooLarge(t *testing.T) {
	b := build(t, BuilderConfig{Codec: CodecZstd}, 1000)
	o := testOptions()
	o.Compression, o.MaxBatchBytes = CompressionUncompressed, len(b)+10
	_, err := ValidateProduce(b, &o)
	if invalid, _ := errors.AsType[*InvalidError](err); invalid == nil || invalid.Kind != KindMessageTooLarge {
		t.Errorf("error %v", err)
	}
}

// Old clients numbered the records inside compressed data wrongly; Kafka repairs
// such batches.
func TestWrongOffsetsInsideCompressedData(t *testing.T) {
	plain := patch(build(t, BuilderConfig{}, 3), func(b Batch) { b[HeaderSize+3] = 8 })
	payload, err := appendCompressed(nil, CodecGzip, DefaultLevel, plain.Payload())
	if err != nil {
		t.Fatal(err)
	}
	b := patch(append(plain[:HeaderSize:HeaderSize], payload...), func(b Batch) {
		put32(offLength, int32(len(b)-LengthOverhead))(b)
		b[offAttributes+1] = byte(CodecGzip)
	})
	o := testOptions()
	v, err := ValidateProduce(b, &o)
	if err != nil || !v.Rebuilt || v.Batch.Codec() != CodecGzip {
		t.Fatalf("rebuilt %t, %v", v.Rebuilt, err)
	}
	sameRecords(t, build(t, BuilderConfig{}, 3), v.Batch)
}

func TestValidateDoesNotAllocate(t *testing.T) {
	b := build(t, BuilderConfig{Producer: &Producer{1, 0, 0}}, 200)
	o := testOptions()
	if n := testing.AllocsPerRun(50, func() {
		if _, err := ValidateProduce(b, &o); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkValidateProduce(b *testing.B) {
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		for _, size := range []int{100, 1000} {
			b.Run(fmt.Sprintf("%s/%dB", codec, size), func(b *testing.B) {
				w := NewBuilder(BuilderConfig{Codec: codec})
				value := bytes.Repeat([]byte("some text that compresses well enough "), size/38+1)[:size]
				for i := range 100_000 / size {
					binary.BigEndian.PutUint64(value[size/2:], uint64(i)*0x9E3779B97F4A7C15)
					w.Append(now+int64(i), []byte("key"), value)
				}
				batch, err := w.Build()
				if err != nil {
					b.Fatal(err)
				}
				o := testOptions()
				b.SetBytes(int64(w.Size()))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := ValidateProduce(batch, &o); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkCheckCRC(b *testing.B) {
	batch := build(b, BuilderConfig{}, 2000)
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		if err := batch.CheckCRC(); err != nil {
			b.Fatal(err)
		}
	}
}
