package recordbatch

import (
	"errors"
	"io"
	"sync"
)

// DefaultMaxDecompressed limits, in bytes, what one batch may decompress to
// where the caller names no limit.
const DefaultMaxDecompressed int64 = 256 << 20

// streamBufferSize is the size of a stream's buffer. A record larger than this
// makes the buffer of its own iteration grow; such a buffer is not pooled.
const streamBufferSize = 32 << 10

var streamPool = sync.Pool{New: func() any { return &stream{buf: make([]byte, streamBufferSize)} }}

// stream reads the decompressed records of one batch through a window:
//
//	buf: [ consumed | unread | free ]
//	                r        w
//
// It counts what comes out of the decompressor and stops with
// ErrDecompressedSize when that exceeds limit, so that neither memory nor time
// is spent on what a few compressed bytes may claim to be.
type stream struct {
	src   decompressor
	buf   []byte
	r, w  int
	total int64 // bytes taken from src
	limit int64
}

// openStream starts decompressing payload. close must be called if err is nil.
func openStream(codec Codec, payload []byte, limit int64) (*stream, error) {
	if limit <= 0 {
		limit = DefaultMaxDecompressed
	}
	src, err := openDecompressor(codec, payload, limit)
	if err != nil {
		return nil, err
	}
	s := streamPool.Get().(*stream)
	s.src, s.r, s.w, s.total, s.limit = src, 0, 0, 0, limit
	return s, nil
}

// close gives the decompressor and the buffer back. Slices handed out by peek
// and recordBody must not be used any more.
func (s *stream) close() {
	s.src.release()
	s.src = nil
	if len(s.buf) == streamBufferSize {
		streamPool.Put(s)
	}
}

// consumed returns how many decompressed bytes have been read off the stream.
func (s *stream) consumed() int64 { return s.total - int64(s.w-s.r) }

// fill reads more bytes behind the unread ones. It moves the unread bytes to the
// front first, and doubles the buffer only if they already fill it: the buffer
// follows the bytes that arrived, never a length that was claimed.
func (s *stream) fill() error {
	if s.r > 0 {
		s.w = copy(s.buf, s.buf[s.r:s.w])
		s.r = 0
	}
	if s.w == len(s.buf) {
		grown := make([]byte, 2*len(s.buf))
		copy(grown, s.buf)
		s.buf = grown
	}
	for range 100 {
		n, err := s.src.Read(s.buf[s.w:])
		s.w += n
		s.total += int64(n)
		switch {
		case s.total > s.limit:
			return ErrDecompressedSize
		case n > 0:
			return nil
		case err == io.EOF:
			return io.EOF
		case errors.Is(err, ErrDecompressedSize):
			return err
		case err != nil:
			return compressionError(err)
		}
	}
	return io.ErrNoProgress
}

// peek returns the next n bytes without consuming them, valid until the next
// call. It returns fewer, with io.EOF, if the stream ends before.
func (s *stream) peek(n int) ([]byte, error) {
	for s.w-s.r < n {
		if err := s.fill(); err != nil {
			return s.buf[s.r:s.w], err
		}
	}
	return s.buf[s.r : s.r+n], nil
}

// skip consumes n bytes.
func (s *stream) skip(n int) error {
	for s.w-s.r < n {
		n -= s.w - s.r
		s.r = s.w
		if err := s.fill(); err != nil {
			return endOfRecords(err)
		}
	}
	s.r += n
	return nil
}

// varint consumes a 32-bit varint.
func (s *stream) varint() (int32, error) {
	if s.w-s.r < maxVarintSize {
		if _, err := s.peek(maxVarintSize); err != nil && err != io.EOF {
			return 0, err
		}
	}
	v, n := varint(s.buf[s.r:s.w])
	if n <= 0 {
		return 0, varintError(n)
	}
	s.r += n
	return v, nil
}

// varlong consumes a 64-bit varint.
func (s *stream) varlong() (int64, error) {
	if s.w-s.r < maxVarintSize {
		if _, err := s.peek(maxVarintSize); err != nil && err != io.EOF {
			return 0, err
		}
	}
	v, n := varlong(s.buf[s.r:s.w])
	if n <= 0 {
		return 0, varintError(n)
	}
	s.r += n
	return v, nil
}

// recordBody consumes one record and returns its bytes without the length,
// valid until the next call.
func (s *stream) recordBody() ([]byte, error) {
	n, err := s.varint()
	if err != nil {
		return nil, err
	}
	if n < 0 {
		return nil, errRecordSize
	}
	body, err := s.peek(int(n))
	if err != nil {
		return nil, endOfRecords(err)
	}
	s.r += int(n)
	return body, nil
}

// expectEnd checks that nothing follows. It makes the decompressor read to its
// end, where most codecs keep a checksum.
func (s *stream) expectEnd() error {
	if s.r != s.w {
		return errRecordsRemain
	}
	switch err := s.fill(); err {
	case io.EOF:
		return nil
	case nil:
		return errRecordsRemain
	default:
		return err
	}
}

func endOfRecords(err error) error {
	if err == io.EOF {
		return errRecordsEnd
	}
	return err
}

func varintError(n int) error {
	if n == 0 {
		return errRecordsEnd
	}
	return errRecordVarint
}
