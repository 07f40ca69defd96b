package netio

import (
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"
)

// Sizes of the loop's memory.
const (
	minBlockBytes  = 512       // smallest block
	slabBlockBytes = 64 << 10  // largest block cut from a slab
	slabBytes      = 256 << 10 // address space taken for a size class at a time
	slabClasses    = 8         // 512 B, 1 KiB, ... 64 KiB
	bigUnitBytes   = 64 << 10  // blocks above slabBlockBytes are multiples of this
	pageBytes      = 4 << 10

	// hotClassBytes is how much free memory of one size class stays resident;
	// blocks of a page and more that are released beyond it go back to the
	// kernel and are faulted in anew.
	hotClassBytes = 1 << 20
	// keptBigBytes and keptBigCount bound the big blocks kept for reuse.
	keptBigBytes = 8 << 20
	keptBigCount = 16
)

// arena is the memory of one loop, outside the Go heap: the kernel reads and
// writes it while no Go pointer to it is live, and the garbage collector need
// not look at it. Memory is mapped without being touched, so an unused class
// costs address space only.
//
// A block is a slice with len == cap == the size of its class; its owner gives
// exactly that slice back. Only the loop's thread uses an arena.
type arena struct {
	hot   [slabClasses][][]byte // released blocks, resident
	cold  [slabClasses][][]byte // released blocks, given back to the kernel
	slab  [slabClasses][]byte   // rest of the current slab
	slabs [][]byte
	big   [][]byte // released big blocks
	bigN  int      // bytes in big
	inUse int64    // bytes of blocks handed out
}

func classOf(n int) int {
	if n <= minBlockBytes {
		return 0
	}
	return bits.Len(uint(n-1)) - bits.Len(uint(minBlockBytes-1))
}

// get returns a block of at least n bytes with unspecified content.
func (a *arena) get(n int) []byte {
	var b []byte
	if n > slabBlockBytes {
		b = a.getBig(n)
	} else {
		b = a.getSlab(classOf(n))
	}
	a.inUse += int64(len(b))
	return b
}

func (a *arena) getSlab(class int) []byte {
	for _, list := range []*[][]byte{&a.hot[class], &a.cold[class]} {
		if k := len(*list); k > 0 {
			b := (*list)[k-1]
			*list = (*list)[:k-1]
			return b
		}
	}
	if len(a.slab[class]) == 0 {
		s := mapMemory(slabBytes)
		a.slabs = append(a.slabs, s)
		a.slab[class] = s
	}
	size := minBlockBytes << class
	b := a.slab[class][:size:size]
	a.slab[class] = a.slab[class][size:]
	return b
}

func bigSize(n int) int { return (n + bigUnitBytes - 1) &^ (bigUnitBytes - 1) }

func (a *arena) getBig(n int) []byte {
	if b := a.takeKept(n); b != nil {
		return b
	}
	return mapMemory(bigSize(n))
}

// takeKept returns a big block kept for reuse that holds n bytes and is at most twice
// as large as they need, nil if there is none.
func (a *arena) takeKept(n int) []byte {
	size := bigSize(n)
	for i, b := range a.big {
		if len(b) >= size && len(b) <= 2*size {
			a.bigN -= len(b)
			last := len(a.big) - 1
			a.big[i] = a.big[last]
			a.big[last] = nil
			a.big = a.big[:last]
			return b
		}
	}
	return nil
}

// put takes a block back. nil is allowed.
func (a *arena) put(b []byte) {
	if b == nil {
		return
	}
	if len(b) != cap(b) || len(b) < minBlockBytes {
		panic(fmt.Sprintf("netio: block with len %d, cap %d released", len(b), cap(b)))
	}
	poison(b)
	a.inUse -= int64(len(b))
	if len(b) > slabBlockBytes {
		a.putBig(b)
		return
	}
	class := classOf(len(b))
	if len(b) >= pageBytes && len(a.hot[class])*len(b) >= hotClassBytes {
		// The advice can fail only for lack of kernel memory; then the block
		// stays resident, which is no harm.
		_ = unix.Madvise(b, unix.MADV_DONTNEED)
		a.cold[class] = append(a.cold[class], b)
		return
	}
	a.hot[class] = append(a.hot[class], b)
}

func (a *arena) putBig(b []byte) {
	if len(a.big) < keptBigCount && a.bigN+len(b) <= keptBigBytes {
		a.big = append(a.big, b)
		a.bigN += len(b)
		return
	}
	unmapMemory(b)
}

// grow returns a block of at least n bytes that begins with the first used
// bytes of b; b is given up. most, at least n, is what it will have to hold in the
// end: a big block that is kept for reuse is taken for all of it at once, because its
// memory is there already. Else a big block is remapped, not copied.
func (a *arena) grow(b []byte, used, n, most int) []byte {
	if most > slabBlockBytes {
		if kept := a.takeKept(most); kept != nil {
			a.inUse += int64(len(kept))
			copy(kept, b[:used])
			a.put(b)
			return kept
		}
	}
	if len(b) > slabBlockBytes {
		size := bigSize(n)
		nb, err := unix.Mremap(b, size, unix.MREMAP_MAYMOVE)
		if err != nil {
			panic(fmt.Sprintf("netio: mremap %d bytes to %d: %v", len(b), size, err))
		}
		a.inUse += int64(size - len(b))
		return nb[:size:size]
	}
	nb := a.get(n)
	copy(nb, b[:used])
	a.put(b)
	return nb
}

// close unmaps everything. Blocks that are still out become invalid.
func (a *arena) close() {
	for _, s := range a.slabs {
		unmapMemory(s)
	}
	for _, b := range a.big {
		unmapMemory(b)
	}
	*a = arena{}
}

// mapMemory maps n bytes of private memory without touching it. Failure means
// that the process is out of address space or over its limits, as fatal as the
// same failure is to the Go runtime.
func mapMemory(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		panic(fmt.Sprintf("netio: mmap of %d bytes: %v", n, err))
	}
	return b
}

func unmapMemory(b []byte) {
	if err := unix.Munmap(b); err != nil {
		panic(fmt.Sprintf("netio: munmap of %d bytes: %v", len(b), err))
	}
}
