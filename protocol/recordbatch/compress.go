package recordbatch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// DefaultLevel selects the level each codec uses by itself: gzip 6, lz4 fast,
// zstd 3. Snappy has no levels.
const DefaultLevel = 0

// snappyBlockSize is the size of the blocks in a snappy-java stream, in bytes
// before compression: what Java's producer uses.
const snappyBlockSize = 32 << 10

// lz4BlockSize is what Java's producer uses (KafkaLZ4BlockOutputStream).
const lz4BlockSize = lz4.Block64Kb

// CheckLevel says whether level is one the codec knows: Kafka's ranges of
// compression.gzip.level (1..9, -1), compression.lz4.level (1..17) and
// compression.zstd.level (-131072..22), and DefaultLevel everywhere.
func (c Codec) CheckLevel(level int) error {
	lo, hi := 0, 0
	switch c {
	case CodecGzip:
		lo, hi = -1, 9
	case CodecLZ4:
		lo, hi = 0, 17
	case CodecZstd:
		lo, hi = -131072, 22
	}
	if level < lo || level > hi {
		return fmt.Errorf("recordbatch: level %d of codec %s is outside %d..%d", level, c, lo, hi)
	}
	return nil
}

// appendCompressed appends src, compressed, to dst. The framing is that of the
// Java producer, which every client reads.
func appendCompressed(dst []byte, codec Codec, level int, src []byte) ([]byte, error) {
	if err := codec.CheckLevel(level); err != nil {
		return nil, err
	}
	switch codec {
	case CodecNone:
		return append(dst, src...), nil
	case CodecGzip:
		return appendGzip(dst, level, src)
	case CodecSnappy:
		return appendSnappy(dst, src), nil
	case CodecLZ4:
		return appendLZ4(dst, level, src)
	case CodecZstd:
		return appendZstd(dst, level, src)
	}
	return nil, fmt.Errorf("%w: codec %s", ErrCompression, codec)
}

// gzipWriters has one pool per level, -1..9.
var gzipWriters [11]sync.Pool

func appendGzip(dst []byte, level int, src []byte) ([]byte, error) {
	if level == DefaultLevel {
		level = gzip.DefaultCompression
	}
	pool := &gzipWriters[level+1]
	out := bytes.NewBuffer(dst)
	w, _ := pool.Get().(*gzip.Writer)
	if w == nil {
		var err error
		if w, err = gzip.NewWriterLevel(out, level); err != nil {
			return nil, err
		}
	} else {
		w.Reset(out)
	}
	defer pool.Put(w)
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func appendSnappy(dst, src []byte) []byte {
	dst = append(dst, xerialMagic...)
	dst = binary.BigEndian.AppendUint32(dst, xerialVersion)
	dst = binary.BigEndian.AppendUint32(dst, xerialVersion)
	for len(src) > 0 {
		block := src[:min(len(src), snappyBlockSize)]
		src = src[len(block):]
		at := len(dst)
		dst = append(dst, make([]byte, 4+s2.MaxEncodedLen(len(block)))...)
		n := len(s2.EncodeSnappy(dst[at+4:], block))
		binary.BigEndian.PutUint32(dst[at:], uint32(n))
		dst = dst[:at+4+n]
	}
	return dst
}

var lz4Writers = sync.Pool{New: func() any { return lz4.NewWriter(nil) }}

func appendLZ4(dst []byte, level int, src []byte) ([]byte, error) {
	w := lz4Writers.Get().(*lz4.Writer)
	defer lz4Writers.Put(w)
	out := bytes.NewBuffer(dst)
	w.Reset(out)
	// Blocks of this writer are independent of each other, as Java demands.
	err := w.Apply(
		lz4.BlockSizeOption(lz4BlockSize),
		lz4.ChecksumOption(false),
		lz4.ConcurrencyOption(1),
		lz4.CompressionLevelOption(lz4Level(level)))
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// lz4DefaultLevel is Kafka's default of compression.lz4.level. It means the fast
// compressor there; every other level is one of the slow compressor.
const lz4DefaultLevel = 9

// lz4Level maps Kafka's levels 1..17 to the library's: 1..9 are its powers of
// two, higher ones its maximum.
func lz4Level(level int) lz4.CompressionLevel {
	if level == DefaultLevel || level == lz4DefaultLevel {
		return lz4.Fast
	}
	return lz4.CompressionLevel(1 << (8 + min(level, 9)))
}

// zstdEncoders has one pool per speed of the library, 1..4.
var zstdEncoders [5]sync.Pool

func appendZstd(dst []byte, level int, src []byte) ([]byte, error) {
	speed := zstd.SpeedDefault
	if level != DefaultLevel {
		speed = zstd.EncoderLevelFromZstd(level)
	}
	pool := &zstdEncoders[speed]
	enc, _ := pool.Get().(*zstd.Encoder)
	if enc == nil {
		var err error
		enc, err = zstd.NewWriter(nil,
			zstd.WithEncoderLevel(speed),
			zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(zstdStreamWindow),
			zstd.WithZeroFrames(true))
		if err != nil {
			return nil, err
		}
	}
	defer pool.Put(enc)
	return enc.EncodeAll(src, dst), nil
}
