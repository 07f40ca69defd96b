package recordbatch

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// retainSource is a batch of n records k0.. with every third one a tombstone, made by a producer.
func retainSource(t testing.TB, codec Codec, n int, logAppendTime *int64) Batch {
	t.Helper()
	b := NewBuilder(BuilderConfig{
		Codec: codec, BaseOffset: 1000, PartitionLeaderEpoch: 5, Transactional: true,
		Producer: &Producer{ID: 7, Epoch: 3, BaseSequence: 40}, LogAppendTime: logAppendTime,
	})
	for i := range n {
		var value []byte
		if i%3 != 2 {
			value = []byte(fmt.Sprintf("value %d", i))
		}
		b.Append(5000-int64(i)*10, []byte(fmt.Sprintf("k%d", i)), value, Header{"h", []byte{byte(i)}})
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// contents lists offset, time, key, value and headers of all records.
func contents(t testing.TB, b Batch) []string {
	t.Helper()
	if err := b.CheckCRC(); err != nil {
		t.Fatal(err)
	}
	var list []string
	for r, err := range b.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%d %d %s %q %v", b.BaseOffset()+int64(r.OffsetDelta), b.Timestamp(&r), r.Key, r.Value, r.Value == nil)
		for h := range r.Headers() {
			line += fmt.Sprintf(" %s=%v", h.Key, h.Value)
		}
		list = append(list, line)
	}
	return list
}

func TestRetain(t *testing.T) {
	appended := int64(9000)
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		for _, stamp := range []*int64{nil, &appended} {
			t.Run(fmt.Sprintf("%s/%v", codec, stamp != nil), func(t *testing.T) {
				b := retainSource(t, codec, 9, stamp)
				before := bytes.Clone(b)
				all := contents(t, b)
				var w Retainer
				same, n, err := w.Retain(b, RetainOptions{DeleteHorizon: NoDeleteHorizon}, func(*Record) bool { return true })
				if err != nil || n != 9 || &same[0] != &b[0] {
					t.Fatalf("all kept: %d records, %v, not the batch itself", n, err)
				}
				odd := func(r *Record) bool { return r.OffsetDelta%2 == 1 }
				for _, horizon := range []int64{NoDeleteHorizon, 123456} {
					out, n, err := w.Retain(b, RetainOptions{DeleteHorizon: horizon}, odd)
					if err != nil || n != 4 || out.Count() != 4 {
						t.Fatalf("%d records, %v", n, err)
					}
					if got, want := contents(t, out), []string{all[1], all[3], all[5], all[7]}; fmt.Sprint(got) != fmt.Sprint(want) {
						t.Fatalf("horizon %d:\n got %v\nwant %v", horizon, got, want)
					}
					if out.BaseOffset() != 1000 || out.LastOffset() != 1008 || out.LastSequence() != 48 || out.ProducerID() != 7 ||
						out.ProducerEpoch() != 3 || out.PartitionLeaderEpoch() != 5 || out.Codec() != codec || !out.IsTransactional() {
						t.Fatalf("header changed: %x", out[:HeaderSize])
					}
					want := int64(4990) // of record 1
					if stamp != nil {
						want = appended
					}
					if out.MaxTimestamp() != want || out.TimestampType() != b.TimestampType() {
						t.Fatalf("max timestamp %d, %v", out.MaxTimestamp(), out.TimestampType())
					}
					if out.HasDeleteHorizon() != (horizon >= 0) || horizon >= 0 && out.BaseTimestamp() != horizon {
						t.Fatalf("horizon %d: %v %d", horizon, out.HasDeleteHorizon(), out.BaseTimestamp())
					}
				}
				out, n, err := w.Retain(b, RetainOptions{DeleteHorizon: 55}, func(*Record) bool { return false })
				if out != nil || n != 0 || err != nil {
					t.Fatalf("nothing kept: %v %d %v", out, n, err)
				}
				if !bytes.Equal(before, b) {
					t.Fatal("the source was changed")
				}
			})
		}
	}
}

// TestRetainHorizon: the horizon is set once, and only for tombstones and markers.
func TestRetainHorizon(t *testing.T) {
	var w Retainer
	b := retainSource(t, CodecLZ4, 9, nil)
	values := func(r *Record) bool { return r.Value != nil }
	out, _, err := w.Retain(b, RetainOptions{DeleteHorizon: 77}, values)
	if err != nil || out.HasDeleteHorizon() {
		t.Fatalf("no tombstone left, but a horizon: %v", err)
	}
	out, _, err = w.Retain(b, RetainOptions{DeleteHorizon: 77, Marker: true}, values)
	if err != nil || !out.HasDeleteHorizon() {
		t.Fatalf("a marker without horizon: %v", err)
	}
	first := append(Batch(nil), out...)
	again, _, err := w.Retain(first, RetainOptions{DeleteHorizon: 99}, func(*Record) bool { return true })
	if err != nil || again.BaseTimestamp() != 77 {
		t.Fatalf("horizon moved to %d: %v", again.BaseTimestamp(), err)
	}
}

func TestRetainEmpty(t *testing.T) {
	b := retainSource(t, CodecZstd, 9, nil)
	e := b.Empty()
	if got := contents(t, e); len(got) != 0 {
		t.Fatalf("records %v", got)
	}
	if next, rest, err := Next(e); err != nil || len(rest) != 0 || len(next) != HeaderSize {
		t.Fatal(err)
	}
	if e.BaseOffset() != 1000 || e.LastOffset() != 1008 || e.LastSequence() != 48 || e.ProducerID() != 7 || e.ProducerEpoch() != 3 ||
		e.PartitionLeaderEpoch() != 5 || e.Codec() != CodecNone || !e.IsTransactional() || e.IsControl() || e.HasDeleteHorizon() ||
		e.MaxTimestamp() != 5000 || e.BaseTimestamp() != NoTimestamp {
		t.Fatalf("header %x", e)
	}
}

func TestRetainDamage(t *testing.T) {
	var w Retainer
	b := retainSource(t, CodecNone, 3, nil)
	b[offCount+3] = 4
	if _, _, err := w.Retain(b, RetainOptions{}, func(*Record) bool { return true }); !errors.Is(err, ErrRecord) {
		t.Fatalf("wrong count: %v", err)
	}
	z := retainSource(t, CodecGzip, 300, nil)
	if _, _, err := w.Retain(z, RetainOptions{Limit: 100}, func(*Record) bool { return true }); !errors.Is(err, ErrDecompressedSize) && !errors.Is(err, ErrRecord) {
		t.Fatalf("over the limit: %v", err)
	}
	w.Shrink(16)
	if cap(w.records) > 16 || cap(w.out) > 16 {
		t.Fatal("memory was kept")
	}
}
