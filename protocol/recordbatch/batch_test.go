package recordbatch

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"testing"
)

// goldenBatch is a batch of two records, checked by hand field by field:
// key "k" value "v" at time 1000, and null key, empty value, one header h=null,
// at 1005.
const goldenBatch = "0000000000000000" + // base offset
	"00000044" + // length: 80 - 12
	"00000007" + "02" + "5a4db6bd" + // leader epoch, magic, CRC
	"0000" + "00000001" + // attributes, last offset delta
	"00000000000003e8" + "00000000000003ed" + // base and max timestamp
	"ffffffffffffffff" + "ffff" + "ffffffff" + // producer
	"00000002" + // count
	"10" + "00" + "00" + "00" + "026b" + "0276" + "00" + // first record, 8 bytes
	"12" + "00" + "0a" + "02" + "01" + "00" + "02" + "0268" + "01" // second, 9 bytes: ts +5, offset +1

func golden(t testing.TB) Batch {
	t.Helper()
	b, err := hex.DecodeString(goldenBatch)
	if err != nil {
		t.Fatal(err)
	}
	return Batch(b)
}

func TestGoldenBatch(t *testing.T) {
	raw := golden(t)
	b, rest, err := Next(raw)
	if err != nil || len(rest) != 0 {
		t.Fatalf("Next: %d bytes left, %v", len(rest), err)
	}
	if err := b.CheckCRC(); err != nil {
		t.Error(err)
	}
	if b.Count() != 2 || b.LastOffset() != 1 || b.NextOffset() != 2 || b.BaseTimestamp() != 1000 ||
		b.MaxTimestamp() != 1005 || b.HasProducerID() || b.PartitionLeaderEpoch() != 7 || b.Codec() != CodecNone {
		t.Errorf("header fields of % x", raw)
	}
	w := NewBuilder(BuilderConfig{PartitionLeaderEpoch: 7})
	w.Append(1000, []byte("k"), []byte("v"))
	w.Append(1005, nil, []byte{}, Header{Key: "h"})
	if w.Size() != len(raw) {
		t.Errorf("Size = %d, want %d", w.Size(), len(raw))
	}
	built, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(built, raw) {
		t.Errorf("built\n% x, want\n% x", []byte(built), []byte(raw))
	}
}

func TestSetters(t *testing.T) {
	b := golden(t)
	crc := b.CRC()
	b.SetBaseOffset(1 << 40)
	b.SetPartitionLeaderEpoch(12)
	if b.CRC() != crc || b.CheckCRC() != nil {
		t.Error("offset and epoch must not touch the checksum")
	}
	if b.BaseOffset() != 1<<40 || b.LastOffset() != 1<<40+1 || b.PartitionLeaderEpoch() != 12 {
		t.Error("offset or epoch not stored")
	}
	b.SetMaxTimestamp(77)
	if b.MaxTimestamp() != 77 || b.CRC() == crc || b.CheckCRC() != nil || b.TimestampType() != CreateTime {
		t.Error("SetMaxTimestamp")
	}
	b.SetLogAppendTime(99)
	if b.MaxTimestamp() != 99 || b.CheckCRC() != nil || b.TimestampType() != LogAppendTime || b.BaseTimestamp() != 1000 {
		t.Error("SetLogAppendTime")
	}
	for r, err := range b.Records(0) {
		if err != nil || b.Timestamp(&r) != 99 {
			t.Errorf("record time %d, %v", b.Timestamp(&r), err)
		}
	}
	b[70]++
	if err := b.CheckCRC(); !errors.Is(err, ErrCRC) {
		t.Errorf("CheckCRC of a changed batch: %v", err)
	}
}

func TestNext(t *testing.T) {
	whole := golden(t)
	for n := range len(whole) {
		if _, rest, err := Next(whole[:n]); !errors.Is(err, ErrTruncated) || len(rest) != n {
			t.Fatalf("first %d bytes: %v", n, err)
		}
	}
	b, rest, err := Next(append(bytes.Clone(whole), 1, 2, 3))
	if err != nil || len(b) != len(whole) || cap(b) != len(b) || !bytes.Equal(rest, []byte{1, 2, 3}) {
		t.Errorf("Next with rest: %d bytes, rest % x, %v", len(b), rest, err)
	}
	with := func(change func(b Batch)) []byte {
		b := golden(t)
		change(b)
		return b
	}
	length := func(n int32) []byte {
		return with(func(b Batch) { binary.BigEndian.PutUint32(b[offLength:], uint32(n)) })
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"length below a header", length(HeaderSize - LengthOverhead - 1), ErrLength},
		{"negative length", length(-1), ErrLength},
		{"length near overflow", length(math.MaxInt32), ErrLength},
		{"length beyond the bytes", length(81), ErrTruncated},
		{"magic 1", with(func(b Batch) { b[offMagic] = 1 }), ErrMagic},
		{"magic 3", with(func(b Batch) { b[offMagic] = 3 }), ErrMagic},
	} {
		if _, _, err := Next(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if n, err := PeekSize(whole[:LengthOverhead]); n != len(whole) || err != nil {
		t.Errorf("PeekSize = %d, %v", n, err)
	}
	if _, err := PeekSize(whole[:LengthOverhead-1]); !errors.Is(err, ErrTruncated) {
		t.Errorf("PeekSize of 11 bytes: %v", err)
	}
}

func TestSequences(t *testing.T) {
	for _, tt := range []struct{ seq, n, want int32 }{
		{0, 0, 0}, {0, 9, 9}, {math.MaxInt32, 0, math.MaxInt32}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 4, 2},
	} {
		if got := AddSequence(tt.seq, tt.n); got != tt.want {
			t.Errorf("AddSequence(%d, %d) = %d, want %d", tt.seq, tt.n, got, tt.want)
		}
	}
	w := NewBuilder(BuilderConfig{Producer: &Producer{ID: 5, Epoch: 2, BaseSequence: math.MaxInt32}, Transactional: true})
	w.Append(1, nil, nil)
	w.Append(1, nil, nil)
	b, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	if b.LastSequence() != 0 || !b.HasProducerID() || b.ProducerID() != 5 || b.ProducerEpoch() != 2 || !b.IsTransactional() {
		t.Errorf("producer fields: last sequence %d", b.LastSequence())
	}
}

func TestControlBatch(t *testing.T) {
	w := NewBuilder(BuilderConfig{Control: true, Transactional: true, Producer: &Producer{7, 1, NoSequence}})
	w.Append(1, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 3})
	b, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	if !b.IsControl() || b.BaseSequence() != NoSequence || b.LastSequence() != NoSequence {
		t.Error("control batch fields")
	}
	if _, err := ValidateProduce(b, &ValidateOptions{Compacted: true, FromBroker: true}); err != nil {
		t.Errorf("from the broker: %v", err)
	}
}

func TestBuilderLimits(t *testing.T) {
	w := NewBuilder(BuilderConfig{})
	if _, err := w.Build(); !errors.Is(err, ErrEmptyBatch) {
		t.Errorf("Build without records: %v", err)
	}
	w.Reset(BuilderConfig{Codec: CodecGzip, Level: 12})
	w.Append(0, nil, nil)
	if _, err := w.Build(); err == nil {
		t.Error("gzip level 12 accepted")
	}
	w.Reset(BuilderConfig{})
	w.Append(5, nil, nil)
	w.Append(3, nil, nil) // time may go backwards
	b, err := w.Build()
	if err != nil || w.Count() != 2 || b.BaseTimestamp() != 5 || b.MaxTimestamp() != 5 {
		t.Errorf("times %d, %d, %v", b.BaseTimestamp(), b.MaxTimestamp(), err)
	}
}

func TestVarint(t *testing.T) {
	for _, v := range []int64{0, -1, 1, 63, 64, -64, -65, 8191, 8192, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64} {
		b := appendVarint(nil, v)
		if len(b) != varintSize(v) {
			t.Errorf("varintSize(%d) = %d, want %d", v, varintSize(v), len(b))
		}
		if got, n := varlong(b); got != v || n != len(b) {
			t.Errorf("varlong(% x) = %d, %d", b, got, n)
		}
		if want := binary.AppendVarint(nil, v); !bytes.Equal(b, want) {
			t.Errorf("%d: % x, want % x", v, b, want)
		}
		if v == int64(int32(v)) {
			if got, n := varint(b); int64(got) != v || n != len(b) {
				t.Errorf("varint(% x) = %d, %d", b, got, n)
			}
		}
		if _, n := varlong(b[:len(b)-1]); n != 0 {
			t.Errorf("truncated varlong(% x): n = %d", b, n)
		}
	}
	long := bytes.Repeat([]byte{0x80}, 11)
	if _, n := varint(long); n != -1 {
		t.Errorf("varint of %d continuation bytes: n = %d", len(long), n)
	}
	if _, n := varlong(long); n != -1 {
		t.Errorf("varlong of %d continuation bytes: n = %d", len(long), n)
	}
}
