package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// offsetSlotBytes is what one key costs in an offsetMap.
const offsetSlotBytes = 16 + 8

// offsetSlot is one key's hash and newest offset.
type offsetSlot struct {
	hash [16]byte
	next int64 // the offset plus one; 0 is a free slot
}

// offsetMap says at which offset a key occurs last, in a fixed amount of memory. Kafka's SkimpyOffsetMap: keys
// are not kept, only 16 bytes of a hash, so that a key of any length costs offsetSlotBytes.
//
// Two keys of one hash would make compaction drop a record. The hash is SHA-256 cut to 128 bits, over a random
// salt and the key: n keys collide with probability n^2/2^129, which is below 10^-20 for a thousand million
// keys, and nobody who chooses keys can do better, because finding a pair takes some 2^64 hashes with a salt
// that leaves the process in no form. (Kafka uses MD5, for which pairs are made in seconds.)
//
// It belongs to one goroutine.
type offsetMap struct {
	salt    [16]byte
	slots   []offsetSlot // probed linearly
	limit   int          // keys it may hold
	keys    int
	scratch []byte
}

// reset empties the map and gives it room for want keys, as far as memory bytes filled up to load (0 to 1)
// allow; there is always room for one key. It keeps its memory if that is large enough.
func (m *offsetMap) reset(want int64, memory int64, load float64) {
	_, _ = rand.Read(m.salt[:]) // never fails
	most := max(2, memory/offsetSlotBytes)
	n := most
	if float64(want) < float64(most)*load {
		n = min(most, int64(float64(want)/load)+2)
	}
	if int64(cap(m.slots)) >= n && int64(cap(m.slots)) <= most {
		m.slots = m.slots[:n]
		clear(m.slots)
	} else {
		m.slots = make([]offsetSlot, n)
	}
	m.limit = min(max(1, int(float64(n)*load)), int(n)-1)
	m.keys = 0
}

func (m *offsetMap) hash(key []byte) (h [16]byte) {
	m.scratch = append(append(m.scratch[:0], m.salt[:]...), key...)
	sum := sha256.Sum256(m.scratch)
	copy(h[:], sum[:])
	return h
}

// slot is where hash h is, or belongs.
func (m *offsetMap) slot(h *[16]byte) *offsetSlot {
	high, _ := bits.Mul64(binary.LittleEndian.Uint64(h[:]), uint64(len(m.slots)))
	for i := int(high); ; {
		s := &m.slots[i]
		if s.next == 0 || s.hash == *h {
			return s
		}
		if i++; i == len(m.slots) {
			i = 0
		}
	}
}

// put notes that key occurs at offset, which is larger than those before. It returns false, changing nothing,
// if the key is new and the map is full.
func (m *offsetMap) put(key []byte, offset int64) bool {
	h := m.hash(key)
	s := m.slot(&h)
	if s.next == 0 {
		if m.keys == m.limit {
			return false
		}
		m.keys++
		s.hash = h
	}
	s.next = offset + 1
	return true
}

// get returns the offset noted last for key, -1 if there is none.
func (m *offsetMap) get(key []byte) int64 {
	h := m.hash(key)
	return m.slot(&h).next - 1
}

// utilization is how full the map is, from 0 to 1.
func (m *offsetMap) utilization() float64 { return float64(m.keys) / float64(len(m.slots)) }
