package recordbatch

import "fmt"

// Codec is the number of a compression format in the batch attributes.
type Codec int8

// The codecs of Kafka (org.apache.kafka.common.record.CompressionType).
const (
	CodecNone   Codec = 0
	CodecGzip   Codec = 1
	CodecSnappy Codec = 2
	CodecLZ4    Codec = 3
	CodecZstd   Codec = 4
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Valid reports whether the number is one of the codecs above.
func (c Codec) Valid() bool { return c >= CodecNone && c <= CodecZstd }

// String returns Kafka's name of the codec.
func (c Codec) String() string {
	if !c.Valid() {
		return fmt.Sprintf("unknown(%d)", int8(c))
	}
	return codecNames[c]
}

// CompressionType is the value of the topic configuration compression.type:
// what the broker does to batches. The zero value keeps them as the producer
// sent them.
type CompressionType int8

// The values of compression.type.
const (
	// CompressionProducer keeps each batch as it came.
	CompressionProducer CompressionType = iota
	// CompressionUncompressed stores batches without compression.
	CompressionUncompressed
	CompressionGzip
	CompressionSnappy
	CompressionLZ4
	CompressionZstd
)

var compressionTypeNames = [...]string{"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"}

// String returns the value as it is written in the configuration.
func (t CompressionType) String() string {
	if t < 0 || int(t) >= len(compressionTypeNames) {
		return fmt.Sprintf("unknown(%d)", int8(t))
	}
	return compressionTypeNames[t]
}

// ParseCompressionType reads a value of compression.type; ok is false if it is
// none of the six names.
func ParseCompressionType(s string) (t CompressionType, ok bool) {
	for i, name := range compressionTypeNames {
		if s == name {
			return CompressionType(i), true
		}
	}
	return CompressionProducer, false
}

// Target returns the codec in which a batch that came in codec source is stored.
func (t CompressionType) Target(source Codec) Codec {
	if t == CompressionProducer {
		return source
	}
	return Codec(t - CompressionUncompressed)
}
