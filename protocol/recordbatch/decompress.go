package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const (
	// zstdStreamWindow is the largest window, in bytes, a pooled zstd decoder
	// keeps history for. It covers the levels up to 19.
	zstdStreamWindow = 8 << 20
	// zstdMaxWindow is the largest window accepted at all: what the highest
	// level, 22, uses and what zstd-jni, and so a Java consumer, decodes.
	zstdMaxWindow = 128 << 20
	// zstdMaxBlock is the largest size of a zstd block, decompressed (RFC 8878).
	zstdMaxBlock = 128 << 10
	// snappyMaxRatio bounds how much a snappy block can expand: its densest
	// element makes 64 bytes of 3.
	snappyMaxRatio = 22
	// snappyMaxPooled is the largest snappy block buffer that is kept.
	snappyMaxPooled = 1 << 20
)

// decompressor yields the decompressed bytes of one batch.
type decompressor interface {
	io.Reader
	// release puts the decompressor back into its pool.
	release()
}

// openDecompressor starts decompressing payload. limit bounds buffers whose size
// the data itself announces.
func openDecompressor(codec Codec, payload []byte, limit int64) (decompressor, error) {
	switch codec {
	case CodecGzip:
		return openGzip(payload)
	case CodecSnappy:
		return openSnappy(payload, limit)
	case CodecLZ4:
		return openLZ4(payload)
	case CodecZstd:
		return openZstd(payload, limit)
	}
	return nil, fmt.Errorf("%w: codec %s", ErrCompression, codec)
}

func compressionError(err error) error { return fmt.Errorf("%w: %w", ErrCompression, err) }

// ---- gzip ----

type gzipDecompressor struct {
	gzip.Reader
	src bytes.Reader
}

var gzipPool = sync.Pool{New: func() any { return new(gzipDecompressor) }}

func openGzip(payload []byte) (decompressor, error) {
	d := gzipPool.Get().(*gzipDecompressor)
	d.src.Reset(payload)
	if err := d.Reset(&d.src); err != nil {
		d.release()
		return nil, compressionError(err)
	}
	return d, nil
}

func (d *gzipDecompressor) release() {
	d.src.Reset(nil)
	gzipPool.Put(d)
}

// ---- snappy ----

// snappy-java ("xerial") wraps blocks in a stream of its own: this magic, two
// version numbers, then blocks with an int32 length before each. Java, sarama
// and kafka-python send it; librdkafka and franz-go send one bare block.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const (
	xerialHeaderSize = 16
	// xerialVersion is the version and lowest compatible version written.
	xerialVersion = 1
)

type snappyDecompressor struct {
	src    []byte
	framed bool
	limit  int64
	block  []byte // memory for a decoded block
	unread []byte // part of block
}

var snappyPool = sync.Pool{New: func() any { return new(snappyDecompressor) }}

func openSnappy(payload []byte, limit int64) (decompressor, error) {
	d := snappyPool.Get().(*snappyDecompressor)
	d.src, d.framed, d.limit, d.unread = payload, false, limit, nil
	if bytes.HasPrefix(payload, xerialMagic) {
		d.framed = true
		if err := d.xerialHeader(); err != nil {
			d.release()
			return nil, compressionError(err)
		}
	}
	return d, nil
}

func (d *snappyDecompressor) release() {
	d.src, d.unread = nil, nil
	if cap(d.block) > snappyMaxPooled {
		d.block = nil
	}
	snappyPool.Put(d)
}

// xerialHeader consumes the stream header. Only the first version number is
// checked: its byte order differs between clients, and all of them wrote 1.
func (d *snappyDecompressor) xerialHeader() error {
	if len(d.src) < xerialHeaderSize {
		return io.ErrUnexpectedEOF
	}
	if v := int32(binary.BigEndian.Uint32(d.src[8:])); v < xerialVersion {
		return fmt.Errorf("snappy stream version %d", v)
	}
	d.src = d.src[xerialHeaderSize:]
	return nil
}

// nextBlock splits the next compressed block off the source.
func (d *snappyDecompressor) nextBlock() ([]byte, error) {
	if !d.framed {
		block := d.src
		d.src = nil
		return block, nil
	}
	// A second stream may follow the first: snappy-java reads on.
	for bytes.HasPrefix(d.src, xerialMagic) {
		if err := d.xerialHeader(); err != nil {
			return nil, err
		}
	}
	if len(d.src) == 0 {
		return nil, nil
	}
	if len(d.src) < 4 {
		return nil, io.ErrUnexpectedEOF
	}
	n := int64(binary.BigEndian.Uint32(d.src))
	if n > int64(len(d.src)-4) {
		return nil, io.ErrUnexpectedEOF
	}
	block := d.src[4 : 4+n]
	d.src = d.src[4+n:]
	return block, nil
}

// Read implements io.Reader.
func (d *snappyDecompressor) Read(p []byte) (int, error) {
	for len(d.unread) == 0 {
		if len(d.src) == 0 {
			return 0, io.EOF
		}
		block, err := d.nextBlock()
		if err != nil {
			return 0, err
		}
		if len(block) == 0 {
			continue
		}
		size, err := snappy.DecodedLen(block)
		if err != nil {
			return 0, err
		}
		if int64(size) > d.limit {
			return 0, ErrDecompressedSize
		}
		if size > snappyMaxRatio*len(block) {
			return 0, snappy.ErrCorrupt
		}
		// Strict, because the fast decoder also accepts an extension that the
		// consumers' snappy does not know.
		decoded, err := snappy.DecodeStrict(d.block[:cap(d.block)], block)
		if err != nil {
			return 0, err
		}
		d.block, d.unread = decoded, decoded
	}
	n := copy(p, d.unread)
	d.unread = d.unread[n:]
	return n, nil
}

// ---- lz4 ----

type lz4Decompressor struct {
	*lz4.Reader
	src bytes.Reader
}

var lz4Pool = sync.Pool{New: func() any {
	d := new(lz4Decompressor)
	d.Reader = lz4.NewReader(&d.src)
	return d
}}

func openLZ4(payload []byte) (decompressor, error) {
	if err := checkLZ4Frame(payload); err != nil {
		return nil, compressionError(err)
	}
	d := lz4Pool.Get().(*lz4Decompressor)
	d.src.Reset(payload)
	d.Reset(&d.src)
	return d, nil
}

func (d *lz4Decompressor) release() {
	d.src.Reset(nil)
	d.Reset(&d.src)
	lz4Pool.Put(d)
}

// Parts of an LZ4 frame.
const (
	lz4Magic              = 0x184D2204
	lz4FlagReserved       = 0x03 // one reserved bit and the dictionary id
	lz4FlagContentSum     = 0x04
	lz4FlagContentSize    = 0x08
	lz4FlagBlockSum       = 0x10
	lz4FlagIndependent    = 0x20
	lz4FlagVersionMask    = 0xC0
	lz4FlagVersion1       = 0x40
	lz4BlockUncompressed  = 1 << 31
	lz4ErrNotOneFrame     = lz4Error("not exactly one frame")
	lz4ErrDependentBlocks = lz4Error("dependent blocks")
	lz4ErrFlags           = lz4Error("unsupported frame flags")
)

type lz4Error string

func (e lz4Error) Error() string { return "lz4: " + string(e) }

// checkLZ4Frame makes sure that the payload is what Java's Lz4BlockInputStream
// reads: exactly one frame, blocks that do not depend on each other, no
// dictionary. The reader behind it would take more, and then the log would hold
// a batch that Java consumers cannot read. Checksums are left to the reader.
func checkLZ4Frame(p []byte) error {
	if len(p) < 7 || binary.LittleEndian.Uint32(p) != lz4Magic {
		return lz4ErrNotOneFrame
	}
	flags := p[4]
	if flags&lz4FlagVersionMask != lz4FlagVersion1 || flags&lz4FlagReserved != 0 {
		return lz4ErrFlags
	}
	if flags&lz4FlagIndependent == 0 {
		return lz4ErrDependentBlocks
	}
	at := 7 // magic, flags, block size, header checksum
	if flags&lz4FlagContentSize != 0 {
		at += 8
	}
	blockSum, contentSum := 0, 0
	if flags&lz4FlagBlockSum != 0 {
		blockSum = 4
	}
	if flags&lz4FlagContentSum != 0 {
		contentSum = 4
	}
	for len(p)-at >= 4 {
		n := int64(binary.LittleEndian.Uint32(p[at:]) &^ uint32(lz4BlockUncompressed))
		at += 4
		if n == 0 {
			if at+contentSum != len(p) {
				return lz4ErrNotOneFrame
			}
			return nil
		}
		if n > int64(len(p)-at-blockSum) {
			return io.ErrUnexpectedEOF
		}
		at += int(n) + blockSum
	}
	return io.ErrUnexpectedEOF
}

// ---- zstd ----

type zstdDecompressor struct {
	*zstd.Decoder
	src bytes.Reader
}

var zstdPool = sync.Pool{New: func() any {
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1), // no goroutines
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdStreamWindow),
		zstd.IgnoreChecksum(false))
	if err != nil {
		panic(fmt.Sprintf("recordbatch: zstd decoder options: %v", err))
	}
	return &zstdDecompressor{Decoder: dec}
}}

func openZstd(payload []byte, limit int64) (decompressor, error) {
	var h zstd.Header
	if err := h.Decode(payload); err != nil {
		return nil, compressionError(err)
	}
	if h.WindowSize > zstdMaxWindow {
		return nil, compressionError(zstd.ErrWindowSizeExceeded)
	}
	if h.WindowSize > zstdStreamWindow {
		return openZstdLarge(payload, limit)
	}
	d := zstdPool.Get().(*zstdDecompressor)
	d.src.Reset(payload)
	if err := d.Reset(&d.src); err != nil {
		d.release()
		return nil, compressionError(err)
	}
	return d, nil
}

func (d *zstdDecompressor) release() {
	d.src.Reset(nil)
	// Reset(nil) cannot fail: it drops the source.
	_ = d.Reset(nil)
	zstdPool.Put(d)
}

// zstdWhole serves a batch that was decompressed as a whole.
type zstdWhole struct{ bytes.Reader }

func (*zstdWhole) release() {}

// zstdWholeDecoder decompresses frames with a window above zstdStreamWindow. A
// stream decoder would allocate the window first; this one writes into the slice
// it is given, whose capacity is the limit, so openZstdLarge can let the memory
// follow the data.
var zstdWholeDecoder = sync.OnceValue(func() *zstd.Decoder {
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(2),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdMaxWindow),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(fmt.Sprintf("recordbatch: zstd decoder options: %v", err))
	}
	return dec
})

// openZstdLarge decompresses the payload in memory that doubles until the data
// fits: at most twice the work, and no allocation on a mere claim.
func openZstdLarge(payload []byte, limit int64) (decompressor, error) {
	for size := int64(zstdStreamWindow); ; size *= 2 {
		size = min(size, limit)
		out, err := zstdWholeDecoder().DecodeAll(payload, make([]byte, 0, size))
		// The decoder has two errors for a full slice: one by name, and one that
		// also means a bad block, when less than a block is free.
		full := errors.Is(err, zstd.ErrDecoderSizeExceeded) || size-int64(len(out)) < zstdMaxBlock
		switch {
		case err == nil:
			d := new(zstdWhole)
			d.Reset(out)
			return d, nil
		case !full:
			return nil, compressionError(err)
		case size == limit:
			return nil, ErrDecompressedSize
		}
	}
}
