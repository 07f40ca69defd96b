package hostile

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
)

// Damage changes p in one of many ways and returns it.
func Damage(rng *rand.Rand, p []byte) []byte {
	if len(p) == 0 {
		return RandomBytes(rng, rng.IntN(20))
	}
	at, n := rng.IntN(len(p)), 1+rng.IntN(16)
	end := min(len(p), at+n)
	switch rng.IntN(8) {
	case 0: // bits
		for range 1 + rng.IntN(8) {
			p[rng.IntN(len(p))] ^= 1 << rng.IntN(8)
		}
	case 1:
		return p[:at]
	case 2:
		return slices.Delete(p, at, end)
	case 3:
		return slices.Insert(p, end, slices.Repeat(p[at:end], 1+rng.IntN(50))...)
	case 4: // move a part to the front
		return slices.Concat(p[at:end], p[:at], p[end:])
	case 5:
		return slices.Insert(p, at, RandomBytes(rng, n)...)
	case 6:
		return append(p, RandomBytes(rng, n)...)
	default:
		return PutCount(rng, p, at)
	}
	return p
}

// mostElements is the logarithm of the length of the longest arrays that are really sent.
const mostElements = 17

// largeCounts are numbers of elements or bytes that few requests have.
var largeCounts = []int64{-1, -2, math.MinInt32, math.MaxInt32, math.MaxInt32 - 1, 1 << 24, 1 << 20, 20_000_000, math.MaxInt16, 1000, math.MaxUint32}

// PutCount overwrites p from at with a count, as fixed integers or variable ones write it.
func PutCount(rng *rand.Rand, p []byte, at int) []byte {
	c := largeCounts[rng.IntN(len(largeCounts))]
	var w []byte
	switch rng.IntN(5) {
	case 0:
		w = binary.BigEndian.AppendUint16(nil, uint16(c))
	case 1:
		w = binary.BigEndian.AppendUint32(nil, uint32(c))
	case 2:
		w = binary.AppendUvarint(nil, uint64(uint32(c)))
	case 3:
		w = binary.AppendVarint(nil, c)
	default:
		w = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}[:1+rng.IntN(11)]
	}
	return slices.Concat(p[:at], w, p[min(len(p), at+len(w)):])
}

// header writes a flexible request header up to its tags.
func header(key, version int16, rng *rand.Rand) []byte {
	p := binary.BigEndian.AppendUint16(nil, uint16(key))
	p = binary.BigEndian.AppendUint16(p, uint16(version))
	p = binary.BigEndian.AppendUint32(p, rng.Uint32())
	return append(p, 0xff, 0xff) // no client id
}

// ManyTags declares tags in the header: far more than follow, or very many, or one longer than the frame.
func ManyTags(rng *rand.Rand) []byte {
	p := header(18, 3, rng)
	switch rng.IntN(3) {
	case 0:
		p = binary.AppendUvarint(p, 20_000_000)
		return append(p, RandomBytes(rng, rng.IntN(2000))...)
	case 1:
		n := rng.IntN(5000)
		p = binary.AppendUvarint(p, uint64(n))
		for i := range n {
			p = append(binary.AppendUvarint(p, uint64(i)), 0)
		}
		return append(p, 1, 1, 0)
	default:
		p = append(p, 1, 77)
		p = binary.AppendUvarint(p, uint64(rng.Uint32()))
		return append(p, RandomBytes(rng, rng.IntN(200))...)
	}
}

// ManyElements sends a Metadata, Fetch or OffsetFetch request with as many elements as it says: each of them tiny.
func ManyElements(rng *rand.Rand) []byte {
	n := rng.IntN(1 << (1 + rng.IntN(mostElements)))
	switch rng.IntN(3) {
	case 0: // Metadata 9: names of one byte
		p := append(header(3, 9, rng), 0)
		p = binary.AppendUvarint(p, uint64(n)+1)
		for i := range n {
			p = append(p, 2, byte('a'+i%26), 0)
		}
		return append(p, 0, 0, 0, 0)
	case 1: // Fetch 4: topics without partitions
		p := header(1, 4, rng)
		p = append(p, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 16, 0, 0)
		p = binary.BigEndian.AppendUint32(p, uint32(n))
		return append(p, make([]byte, 6*n)...)
	default: // OffsetFetch 5: partitions of one topic
		p := append(header(9, 5, rng), 0, 1, 'g')
		p = append(p, 0, 0, 0, 1, 0, 1, 't')
		p = binary.BigEndian.AppendUint32(p, uint32(n))
		return append(p, make([]byte, 4*n)...)
	}
}
