package interop

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// record is one record as every client library can express it. Nil Key and Value are null.
type record struct {
	Partition int32
	Offset    int64 // -1 when the library does not know it
	Timestamp int64 // ms since the epoch
	Key       []byte
	Value     []byte
	Headers   []header
}

type header struct {
	Key   string
	Value []byte // nil is null
}

// anyTime is the Timestamp of a wanted record whose time the test does not know.
const anyTime = -1

// same says whether two records are equal but for Offset, and how they differ.
func (r record) same(o record) error {
	switch {
	case r.Partition != o.Partition:
		return fmt.Errorf("partition %d, want %d", r.Partition, o.Partition)
	case r.Timestamp != o.Timestamp && o.Timestamp != anyTime:
		return fmt.Errorf("timestamp %d, want %d", r.Timestamp, o.Timestamp)
	case !sameBytes(r.Key, o.Key):
		return fmt.Errorf("key %s, want %s", show(r.Key), show(o.Key))
	case !sameBytes(r.Value, o.Value):
		return fmt.Errorf("value %s, want %s", show(r.Value), show(o.Value))
	case !slices.EqualFunc(r.Headers, o.Headers, func(a, b header) bool { return a.Key == b.Key && sameBytes(a.Value, b.Value) }):
		return fmt.Errorf("headers %v, want %v", r.Headers, o.Headers)
	}
	return nil
}

// sameBytes tells null from empty.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func show(p []byte) string {
	switch {
	case p == nil:
		return "null"
	case len(p) > 40:
		return fmt.Sprintf("%d bytes %s...", len(p), hex.EncodeToString(p[:40]))
	default:
		return fmt.Sprintf("%q", p)
	}
}

// wantRecords compares what was read with what was written, in order and byte by byte.
func wantRecords(t *testing.T, got, want []record) {
	t.Helper()
	if err := sameRecords(got, want); err != nil {
		t.Fatal(err)
	}
}

// sameRecords says how two lists of records differ.
func sameRecords(got, want []record) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if err := got[i].same(want[i]); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		if want[i].Offset >= 0 && got[i].Offset != want[i].Offset {
			return fmt.Errorf("record %d: offset %d, want %d", i, got[i].Offset, want[i].Offset)
		}
	}
	return nil
}

// oddRecords are n records of partition p that hold what encoders like to get wrong: null and empty
// keys and values, repeated, empty, null and binary headers, times that go back, bytes that do
// not compress and bytes that do.
func oddRecords(p int32, n int) []record {
	now := time.Now().UnixMilli()
	noise := rand.New(rand.NewPCG(7, 11))
	records := make([]record, n)
	for i := range records {
		r := record{Partition: p, Offset: -1, Timestamp: now - int64(1000*i), Key: fmt.Appendf(nil, "key-%d", i)}
		switch i % 8 {
		case 0:
			r.Value = bytes.Repeat([]byte("compressible "), 40)
		case 1:
			r.Value = nil // a tombstone
		case 2:
			r.Key, r.Value = nil, []byte("no key")
		case 3:
			r.Key, r.Value = []byte{}, []byte{}
		case 4:
			r.Value = []byte("headers")
			r.Headers = []header{{"twice", []byte("1")}, {"twice", []byte("2")}, {"empty", []byte{}}, {"null", nil}, {"", []byte("no name")}}
		case 5:
			r.Value = make([]byte, 700)
			for j := range r.Value {
				r.Value[j] = byte(noise.Uint32())
			}
			r.Headers = []header{{"binary", r.Value[:32]}, {"ключ", []byte("unicode")}}
		case 6:
			r.Key, r.Value = nil, nil
		case 7:
			r.Value = []byte{0}
		}
		records[i] = r
	}
	return records
}

// plainRecords are n small records of partition p with values "prefix-i".
func plainRecords(p int32, n int, prefix string) []record {
	now := time.Now().UnixMilli()
	records := make([]record, n)
	for i := range records {
		records[i] = record{Partition: p, Offset: -1, Timestamp: now + int64(i), Value: fmt.Appendf(nil, "%s-%d", prefix, i)}
	}
	return records
}
