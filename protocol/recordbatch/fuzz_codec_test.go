package recordbatch

import (
	"bytes"
	"errors"
	"testing"

	"kserver/internal/fuzzing"
)

const (
	// fuzzLimit is what a payload may decompress to.
	fuzzLimit = 256 << 10
	// codecMemory is what a decompressor takes before it has made a byte: windows and tables of its own, and the
	// window a zstd frame announces as far as that is believed (zstdStreamWindow, twice where history is kept).
	codecMemory = 2*zstdStreamWindow + 4<<20
)

// fuzzCodec holds the decompressor of a codec against what it promises for any payload: an answer that stays the
// same, no more bytes than allowed, no memory on a mere claim; and it reads what the compressor made of the payload.
func fuzzCodec(f *testing.F, codec Codec) {
	for _, size := range []int{0, 1, 100, 5000} {
		src := bytes.Repeat([]byte("seed "), size/5+1)[:size]
		packed, err := appendCompressed(nil, codec, DefaultLevel, src)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
		f.Add(packed[:len(packed)/2])
	}
	for _, b := range capturedBatches(f) {
		if b.Codec() == codec {
			f.Add([]byte(b.Payload()))
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var out []byte
		var err error
		fuzzing.Bounded(t, codecMemory+4*fuzzLimit+uint64(len(payload)), func() { out, err = decompress(codec, payload, fuzzLimit) })
		if len(out) > fuzzLimit {
			t.Errorf("%d bytes, more than %d", len(out), fuzzLimit)
		}
		if err != nil && !errors.Is(err, ErrCompression) && !errors.Is(err, ErrDecompressedSize) {
			t.Errorf("error %v", err)
		}
		again, err2 := decompress(codec, payload, fuzzLimit)
		if (err == nil) != (err2 == nil) || !bytes.Equal(out, again) {
			t.Errorf("first %d bytes and %v, then %d and %v", len(out), err, len(again), err2)
		}
		if len(payload) > fuzzLimit {
			return
		}
		packed, err := appendCompressed(nil, codec, DefaultLevel, payload)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decompress(codec, packed, fuzzLimit); err != nil || !bytes.Equal(back, payload) {
			t.Errorf("%d bytes came back as %d, %v", len(payload), len(back), err)
		}
	})
}

func FuzzGzip(f *testing.F)   { fuzzCodec(f, CodecGzip) }
func FuzzSnappy(f *testing.F) { fuzzCodec(f, CodecSnappy) }
func FuzzLZ4(f *testing.F)    { fuzzCodec(f, CodecLZ4) }
func FuzzZstd(f *testing.F)   { fuzzCodec(f, CodecZstd) }

// FuzzBuilder: what is appended to a batch of any codec is what its records say, and validation takes it.
func FuzzBuilder(f *testing.F) {
	f.Add(byte(0), int64(now), []byte("key"), []byte("value"), "header", uint8(3))
	f.Add(byte(4), int64(-1), []byte{}, []byte(nil), "", uint8(0))
	f.Fuzz(func(t *testing.T, codec byte, ts int64, key, value []byte, header string, more uint8) {
		w := NewBuilder(BuilderConfig{Codec: Codec(codec % (byte(CodecZstd) + 1))})
		count := int32(more%8) + 1
		for i := range count {
			w.Append(ts+int64(i), key, value[:min(len(value), int(i)*10)], Header{Key: header, Value: value})
		}
		b, err := w.Build()
		if err != nil {
			t.Fatal(err)
		}
		read := int32(0)
		for r, err := range b.Records(DefaultMaxDecompressed) {
			if err != nil {
				t.Fatal(err)
			}
			if r.OffsetDelta != read || b.Timestamp(&r) != ts+int64(read) || !bytes.Equal(r.Key, key) || !bytes.Equal(r.Value, value[:min(len(value), int(read)*10)]) {
				t.Fatalf("record %d is %+v", read, r)
			}
			for h := range r.Headers() {
				if h.Key != header || !bytes.Equal(h.Value, value) {
					t.Fatalf("record %d has the header %q", read, h.Key)
				}
			}
			read++
		}
		if read != count || b.Count() != count {
			t.Errorf("%d records of %d were read", read, count)
		}
		o := testOptions()
		o.CheckTimestamps = false
		if _, err := ValidateProduce(bytes.Clone(b), &o); err != nil && len(b) <= o.MaxBatchBytes {
			t.Errorf("validation: %v", err)
		}
	})
}
