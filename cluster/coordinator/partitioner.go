package coordinator

// PartitionFor gives the partition of an internal topic that holds key, as
// Kafka does: the absolute value of Java's String.hashCode (over UTF-16 code
// units; the most negative hash counts as 0) modulo the partition count.
func PartitionFor(key string, partitions int32) int32 {
	var h int32
	for _, r := range key {
		if r <= 0xFFFF {
			h = 31*h + int32(r)
			continue
		}
		r -= 0x10000
		h = 31*h + (0xD800 + int32(r>>10))
		h = 31*h + (0xDC00 + int32(r&0x3FF))
	}
	switch {
	case h == -1<<31:
		h = 0
	case h < 0:
		h = -h
	}
	return h % partitions
}
