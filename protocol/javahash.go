package protocol

import "unicode/utf8"

// JavaHash returns String.hashCode() of Java for s: over UTF-16 code units, with
// 32-bit overflow. Bytes that are not UTF-8 count as U+FFFD, as Java decodes them.
func JavaHash(s string) int32 {
	var h int32
	for _, r := range s {
		if r >= 0x10000 {
			r -= 0x10000
			h = 31*h + int32(0xD800+r>>10)
			r = 0xDC00 + r&0x3FF
		}
		h = 31*h + r
	}
	return h
}

// CoordinatorPartition returns the partition of an internal topic with n > 0
// partitions that is responsible for a group or transactional id: abs(hash) % n,
// where the absolute value of the smallest integer is 0 (Kafka's Utils.abs).
func CoordinatorPartition(id string, n int32) int32 {
	h := JavaHash(id)
	if h == -1<<31 {
		h = 0
	}
	return max(h, -h) % n
}

// javaLength returns String.length() of Java: the number of UTF-16 code units.
func javaLength(s string) int {
	n := utf8.RuneCountInString(s)
	for _, r := range s {
		if r >= 0x10000 {
			n++
		}
	}
	return n
}
