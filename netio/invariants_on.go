//go:build invariants

package netio

// poisonByte fills memory that nobody may read any more.
const poisonByte = 0xDB

// poison overwrites released memory so that a late reader sees nonsense: the
// race detector does not know what the kernel reads.
func poison(b []byte) {
	for i := range b {
		b[i] = poisonByte
	}
}
