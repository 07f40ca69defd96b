package recordbatch

// Varints in record batches are zig-zag coded, at most 5 bytes for 32 bits and
// 10 for 64 (KIP-98). Bits that do not fit are dropped and an encoding that is
// longer than needed is accepted, as Kafka's ByteUtils does.

// maxVarintSize is the size of the longest encoding of 64 bits.
const maxVarintSize = 10

// varint decodes a 32-bit varint. n is its size, 0 if b ends too early, or -1
// if the encoding is longer than 5 bytes.
func varint(b []byte) (v int32, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return unzigzag32(uint32(b[0])), 1
	}
	var u uint32
	for i := 0; i < 5; i++ {
		if i >= len(b) {
			return 0, 0
		}
		c := b[i]
		u |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			return unzigzag32(u), i + 1
		}
	}
	return 0, -1
}

// varlong decodes a 64-bit varint; n as in varint, with a limit of 10 bytes.
func varlong(b []byte) (v int64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return unzigzag64(uint64(b[0])), 1
	}
	var u uint64
	for i := 0; i < maxVarintSize; i++ {
		if i >= len(b) {
			return 0, 0
		}
		c := b[i]
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return unzigzag64(u), i + 1
		}
	}
	return 0, -1
}

func unzigzag32(u uint32) int32 { return int32(u>>1) ^ -int32(u&1) }
func unzigzag64(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// appendVarint appends the zig-zag varint of v. 32-bit values need no function
// of their own: sign extension keeps their encoding the same.
func appendVarint(dst []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// varintSize returns how many bytes appendVarint writes.
func varintSize(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	n := 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}
