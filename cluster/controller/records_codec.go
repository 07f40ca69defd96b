package controller

import (
	"encoding/binary"
	"fmt"
	"math"
)

// reader takes the fields of a record off the front of b. After the first error
// it returns zero values; nothing it returns refers to b.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrRecord, fmt.Sprintf(format, args...))
		r.b = nil
	}
}

// take returns the next n bytes, nil after an error.
func (r *reader) take(n uint64, what string) []byte {
	if n > uint64(len(r.b)) {
		r.fail("%s of %d bytes with %d left", what, n, len(r.b))
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > math.MaxUint32 {
		r.fail("bad varint")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int8() int8 {
	if p := r.take(1, "int8"); p != nil {
		return int8(p[0])
	}
	return 0
}

func (r *reader) bool() bool { return r.int8() != 0 }

func (r *reader) int16() int16 {
	if p := r.take(2, "int16"); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (r *reader) int32() int32 {
	if p := r.take(4, "int32"); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (r *reader) int64() int64 {
	if p := r.take(8, "int64"); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

func (r *reader) uuid() (u UUID) {
	copy(u[:], r.take(16, "uuid"))
	return u
}

// nullableString reads a compact string, nil for null.
func (r *reader) nullableString() *string {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	s := string(r.take(n-1, "string"))
	return &s
}

// string reads a compact string that must not be null.
func (r *reader) string() string {
	s := r.nullableString()
	if s == nil {
		r.fail("null string")
		return ""
	}
	return *s
}

// array reads the length of a compact array whose elements take at least size
// bytes each; ok is false for null.
func (r *reader) array(size int) (n int, ok bool) {
	v := r.uvarint()
	if v == 0 {
		return 0, false
	}
	if v-1 > uint64(len(r.b)/size) {
		r.fail("array of %d with %d bytes left", v-1, len(r.b))
		return 0, false
	}
	return int(v - 1), true
}

// length is array for one that must not be null.
func (r *reader) length(size int) int {
	n, ok := r.array(size)
	if !ok {
		r.fail("null array")
	}
	return n
}

// int32s reads an array of int32 that must not be null.
func (r *reader) int32s() []int32 {
	out := r.nullableInt32s()
	if out == nil {
		r.fail("null array")
	}
	return out
}

// nullableInt32s reads an array of int32; null is nil, and empty is not.
func (r *reader) nullableInt32s() []int32 {
	n, ok := r.array(4)
	if !ok {
		return nil
	}
	out := make([]int32, n)
	for i := range out {
		out[i] = r.int32()
	}
	return out
}

// uuids reads an array of uuids; null is nil, and empty is not.
func (r *reader) uuids() []UUID {
	n, ok := r.array(16)
	if !ok {
		return nil
	}
	out := make([]UUID, n)
	for i := range out {
		out[i] = r.uuid()
	}
	return out
}

// tags reads the tagged fields that end a structure. known reads the field of a
// tag from f and returns false for a tag it does not know, which is skipped
// (KIP-482).
func (r *reader) tags(known func(tag uint64, f *reader) bool) {
	last := -1
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		tag := r.uvarint()
		f := &reader{b: r.take(r.uvarint(), "tagged field")}
		if r.err == nil && int(tag) <= last {
			r.fail("tag %d after %d", tag, last)
		}
		last = int(tag)
		if r.err != nil || known == nil || !known(tag, f) {
			continue
		}
		if f.err != nil {
			r.fail("tag %d: %v", tag, f.err)
		} else if len(f.b) > 0 {
			r.fail("tag %d: %d bytes too many", tag, len(f.b))
		}
	}
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }
func appendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func appendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))+1), s...)
}

func appendNullableString(dst []byte, s *string) []byte {
	if s == nil {
		return append(dst, 0)
	}
	return appendString(dst, *s)
}

// appendInt32s appends an array; nil is empty.
func appendInt32s(dst []byte, v []int32) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(v))+1)
	for _, n := range v {
		dst = appendInt32(dst, n)
	}
	return dst
}

// appendUUIDs appends an array; nil is empty.
func appendUUIDs(dst []byte, v []UUID) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(v))+1)
	for _, u := range v {
		dst = append(dst, u[:]...)
	}
	return dst
}

// tagWriter collects tagged fields, which must come in ascending order.
type tagWriter struct {
	b []byte
	n int
}

func (w *tagWriter) add(tag int, value []byte) {
	w.n++
	w.b = binary.AppendUvarint(w.b, uint64(tag))
	w.b = binary.AppendUvarint(w.b, uint64(len(value)))
	w.b = append(w.b, value...)
}

// appendTo ends a structure with the collected fields.
func (w *tagWriter) appendTo(dst []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(w.n)), w.b...)
}

// noTags ends a structure without tagged fields.
func noTags(dst []byte) []byte { return append(dst, 0) }
