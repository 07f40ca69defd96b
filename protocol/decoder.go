package protocol

import "encoding/binary"

// decoder reads a request body, from b, until something is not ok; from then on what it returns means nothing. It
// is what the decoders of the hot path are made of, which use their memory again and take the same bodies as Check.
type decoder struct {
	checker
	limit int // of elements
	b     []byte
	ok    bool
}

func newDecoder(flexible bool, limit int, body []byte) decoder {
	return decoder{checker: checker{flexible: flexible}, limit: min(limit, MaxElements), b: body, ok: true}
}

// take splits off n bytes.
func (d *decoder) take(n int) []byte {
	if d.ok = d.ok && n <= len(d.b); !d.ok {
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) int8() int8 {
	if p := d.take(1); d.ok {
		return int8(p[0])
	}
	return 0
}

func (d *decoder) int32() int32 {
	if p := d.take(4); d.ok {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if p := d.take(8); d.ok {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

// bytes splits off nullable bytes, or a nullable string; nil is null. classic is the size of the length field in
// versions that are not flexible.
func (d *decoder) bytes(classic int) []byte {
	if !d.ok {
		return nil
	}
	var n int
	if n, d.b, d.ok = d.length(d.b, classic); !d.ok || n < 0 {
		return nil
	}
	return d.take(n)
}

// string splits off a string that is not null.
func (d *decoder) string() []byte {
	p := d.bytes(2)
	d.ok = d.ok && p != nil
	return p
}

// count reads the length of an array and counts its elements; a null one is empty.
func (d *decoder) count() int {
	if !d.ok {
		return 0
	}
	var n int
	if n, d.b, d.ok = d.length(d.b, 4); !d.ok || n <= 0 {
		return 0
	}
	if n > len(d.b) { // an element takes a byte and more
		d.ok = false
		return 0
	}
	if d.elements += n; d.elements > d.limit {
		d.ok = false
	}
	return n
}

// tagged splits off the tagged fields that end a structure of a flexible version.
func (d *decoder) tagged(known []tag) []byte {
	if !d.ok || !d.flexible {
		return nil
	}
	begin := d.b
	if d.b, d.ok = d.tags(known, d.b); !d.ok {
		return nil
	}
	return begin[:len(begin)-len(d.b)]
}

// taggedField is the value of a field among tagged ones, nil when it is not there. Of several the last counts.
func taggedField(tagged []byte, number uint32) (value []byte) {
	count, b, _ := uvarint(tagged)
	for range count {
		var at, size uint32
		at, b, _ = uvarint(b)
		size, b, _ = uvarint(b)
		if at == number {
			value = b[:size]
		}
		b = b[size:]
	}
	return value
}

// more lengthens s by an element, whose memory may have been another's.
func more[T any](s []T) ([]T, *T) {
	if len(s) < cap(s) {
		s = s[:len(s)+1]
	} else {
		var zero T
		s = append(s, zero)
	}
	return s, &s[len(s)-1]
}
