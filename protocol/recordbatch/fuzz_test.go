package recordbatch

import (
	"bytes"
	"errors"
	"testing"
)

// addSeeds adds real batches, built ones of every codec, and pieces of them.
func addSeeds(f *testing.F) {
	for _, b := range capturedBatches(f) {
		f.Add([]byte(b))
		f.Add([]byte(b[:len(b)-1]))
	}
	f.Add([]byte(golden(f)))
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		f.Add([]byte(build(f, BuilderConfig{Codec: codec, Producer: &Producer{1, 2, 3}}, 5)))
	}
}

func FuzzNext(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		batch, rest, err := Next(b)
		if err != nil {
			if batch != nil || len(rest) != len(b) {
				t.Errorf("error %v with %d bytes of batch, %d left of %d", err, len(batch), len(rest), len(b))
			}
			return
		}
		if len(batch) < HeaderSize || len(batch)+len(rest) != len(b) {
			t.Errorf("%d + %d bytes of %d", len(batch), len(rest), len(b))
		}
		if n, err := PeekSize(b); n != len(batch) || err != nil {
			t.Errorf("PeekSize %d, %v; batch has %d", n, err, len(batch))
		}
	})
}

func FuzzRecords(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		batch, _, err := Next(b)
		if err != nil {
			return
		}
		count, size := 0, 0
		for r, err := range batch.Records(1 << 20) {
			if err != nil {
				if !errors.Is(err, ErrRecord) && !errors.Is(err, ErrCompression) && !errors.Is(err, ErrDecompressedSize) {
					t.Errorf("error %v", err)
				}
				return
			}
			count++
			size += len(r.Key) + len(r.Value)
			headers := 0
			for h := range r.Headers() {
				size += len(h.Key) + len(h.Value)
				headers++
			}
			if headers != r.HeaderCount() {
				t.Errorf("%d headers of %d", headers, r.HeaderCount())
			}
		}
		if count != int(batch.Count()) || size > 1<<20 {
			t.Errorf("%d records of %d, %d bytes", count, batch.Count(), size)
		}
	})
}

// FuzzValidateProduce holds validation against what must follow from it, and the
// streaming parser of compressed batches against the one for plain bytes.
func FuzzValidateProduce(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if batch, _, err := Next(b); err == nil {
			batch.UpdateCRC() // else nothing gets past the checksum
		}
		o := testOptions()
		o.CheckTimestamps, o.MaxDecompressed = false, 1<<20
		v, err := ValidateProduce(bytes.Clone(b), &o)
		if err != nil {
			if _, ok := errors.AsType[*InvalidError](err); !ok {
				t.Errorf("error %T", err)
			}
			return
		}
		if err := v.Batch.CheckCRC(); err != nil {
			t.Error(err)
		}
		again, err := ValidateProduce(bytes.Clone(v.Batch), &o)
		if err != nil || !bytes.Equal(again.Batch, v.Batch) {
			t.Fatalf("second validation: %v", err)
		}
		next, maxTs := int32(0), NoTimestamp
		for r, err := range v.Batch.Records(1 << 20) {
			if err != nil {
				t.Fatalf("a valid batch cannot be read: %v", err)
			}
			if r.OffsetDelta != next {
				t.Fatalf("record %d has offset delta %d", next, r.OffsetDelta)
			}
			next++
			maxTs = max(maxTs, v.Batch.Timestamp(&r))
		}
		if next != v.Batch.Count() || maxTs != v.Batch.MaxTimestamp() {
			t.Errorf("%d records of %d, max timestamp %d, header has %d", next, v.Batch.Count(), maxTs, v.Batch.MaxTimestamp())
		}
		o.Compression = CompressionUncompressed
		plain, err := ValidateProduce(bytes.Clone(v.Batch), &o)
		if err != nil {
			return // larger than a batch may be once decompressed
		}
		sameRecords(t, v.Batch, plain.Batch)
	})
}
