package uring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// maxBuffers is the most buffers of a group (the kernel's limit).
const maxBuffers = 1 << 15

// Buffers is a group of equal receive buffers provided to the kernel through a
// shared ring (Linux 5.19). A completion names the buffer it filled; that buffer
// is the caller's until Put. Same thread as its Ring.
type Buffers struct {
	ring  *Ring
	group uint16
	size  int
	slots []byte // the shared ring
	data  []byte
	n     int
	tail  uint16
}

// NewBuffers provides n (a power of two up to 32768) buffers of size bytes each
// as the given group. The memory is touched only as the kernel fills it.
func (r *Ring) NewBuffers(group uint16, n, size int) (*Buffers, error) {
	if n <= 0 || n > maxBuffers || n&(n-1) != 0 || size <= 0 {
		return nil, fmt.Errorf("uring: %d buffers of %d bytes: want a power of two up to %d", n, size, maxBuffers)
	}
	b := &Buffers{ring: r, group: group, size: size, n: n}
	var err error
	if b.slots, err = Map(n * int(unsafe.Sizeof(bufferEntry{}))); err != nil {
		return nil, err
	}
	if b.data, err = Map(n * size); err != nil {
		return nil, errors.Join(err, Unmap(b.slots))
	}
	reg := bufferRingReg{addr: addressOf(b.slots), entries: uint32(n), group: group}
	if err := r.registerBuffers(&reg); err != nil {
		return nil, errors.Join(fmt.Errorf("uring: registering %d buffers: %w", n, err), Unmap(b.slots), Unmap(b.data))
	}
	for id := range n {
		b.Put(uint16(id))
	}
	b.Publish()
	return b, nil
}

// Bytes are the first n bytes of a buffer.
func (b *Buffers) Bytes(id uint16, n int) []byte {
	at := int(id) * b.size
	return b.data[at : at+n : at+b.size]
}

// Put gives a buffer back; the kernel sees it after Publish. Giving one back
// twice corrupts the group.
func (b *Buffers) Put(id uint16) {
	at := (int(b.tail) & (b.n - 1)) * int(unsafe.Sizeof(bufferEntry{}))
	e := (*bufferEntry)(unsafe.Pointer(&b.slots[at]))
	e.addr = addressOf(b.data[int(id)*b.size:])
	e.len = uint32(b.size)
	e.id = id
	b.tail++
}

// Publish makes what was put visible to the kernel, with the ordering it needs:
// the tail shares a 32-bit word with the id of the first entry, which only this
// side writes, so one atomic store of the word does it.
func (b *Buffers) Publish() {
	const word = unsafe.Offsetof(bufferEntry{}.id)
	first := *(*uint16)(unsafe.Pointer(&b.slots[word]))
	var w uint32
	*(*[2]uint16)(unsafe.Pointer(&w)) = [2]uint16{first, b.tail}
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b.slots[word])), w)
}

// Close takes the group back from the kernel and unmaps it. No receive may be
// armed on it.
func (b *Buffers) Close() error {
	reg := bufferRingReg{group: b.group}
	return errors.Join(b.ring.unregisterBuffers(&reg), Unmap(b.slots), Unmap(b.data))
}
