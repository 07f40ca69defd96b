package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
)

// truncateThreshold is the number of bytes from which dropping them in the kernel (one extra system call) is cheaper
// than copying them out with the rest of the buffer.
const truncateThreshold = 32 << 10

// reader is a buffered reader that decodes Kafka's primitive types, never reads past the frame it is in, and drops
// bytes without copying them.
type reader struct {
	c     io.Reader
	raw   syscall.RawConn // nil when the connection has no descriptor
	buf   []byte
	r, w  int
	limit int // bytes of the current frame not consumed yet
	total *atomic.Int64
}

var errFrameEnd = errors.New("answer ends inside a field")

func (r *reader) init(c io.Reader, size int, total *atomic.Int64) {
	r.c, r.total = c, total
	r.buf = make([]byte, size)
	if tcp, ok := c.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			r.raw = raw
		}
	}
}

// peek returns the next n bytes without consuming them. They are valid until the next call. n must not exceed the
// buffer.
func (r *reader) peek(n int) ([]byte, error) {
	if n > r.limit {
		return nil, errFrameEnd
	}
	if n > len(r.buf) {
		return nil, fmt.Errorf("field of %d bytes, buffer holds %d", n, len(r.buf))
	}
	if r.r+n > len(r.buf) {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	for r.w-r.r < n {
		m, err := r.c.Read(r.buf[r.w:])
		r.w += m
		r.total.Add(int64(m))
		if err != nil && r.w-r.r < n {
			return nil, unexpected(err, r.w-r.r)
		}
	}
	return r.buf[r.r : r.r+n], nil
}

// take is peek that consumes.
func (r *reader) take(n int) ([]byte, error) {
	b, err := r.peek(n)
	if err != nil {
		return nil, err
	}
	r.r += n
	r.limit -= n
	return b, nil
}

// full fills p.
func (r *reader) full(p []byte) error {
	if len(p) > r.limit {
		return errFrameEnd
	}
	r.limit -= len(p)
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	if n == len(p) {
		return nil
	}
	m, err := io.ReadFull(r.c, p[n:])
	r.total.Add(int64(m))
	return unexpected(err, n+m)
}

// skip drops n bytes.
func (r *reader) skip(n int) error {
	if n > r.limit {
		return errFrameEnd
	}
	r.limit -= n
	for {
		have := min(n, r.w-r.r)
		r.r += have
		n -= have
		if n == 0 {
			return nil
		}
		r.r, r.w = 0, 0
		if n >= truncateThreshold && r.raw != nil {
			m, err := Drop(r.raw, r.buf, n)
			r.total.Add(int64(m))
			return err
		}
		m, err := r.c.Read(r.buf)
		r.w = m
		r.total.Add(int64(m))
		if err != nil && m == 0 {
			return unexpected(err, 1)
		}
	}
}

// unexpected turns an end of stream in the middle of a frame into io.ErrUnexpectedEOF.
func unexpected(err error, have int) error {
	if err == io.EOF && have > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (r *reader) int16() (int16, error) {
	b, err := r.take(2)
	if err != nil {
		return 0, err
	}
	return int16(binary.BigEndian.Uint16(b)), nil
}

// uvarint reads an unsigned varint of at most 32 bits, the only kind in Kafka's compact types.
func (r *reader) uvarint() (uint32, error) {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b, err := r.take(1)
		if err != nil {
			return 0, err
		}
		v |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			if v > 1<<32-1 {
				break
			}
			return uint32(v), nil
		}
	}
	return 0, errors.New("varint of more than 32 bits")
}

// compactLen reads the length of a compact string, bytes or array; null is -1.
func (r *reader) compactLen() (int, error) {
	n, err := r.uvarint()
	if err != nil {
		return 0, err
	}
	if int64(n)-1 > int64(r.limit) {
		return 0, errFrameEnd
	}
	return int(n) - 1, nil
}

func (r *reader) skipTags() error {
	n, err := r.uvarint()
	for ; err == nil && n > 0; n-- {
		if _, err = r.uvarint(); err != nil {
			break
		}
		var size uint32
		if size, err = r.uvarint(); err != nil {
			break
		}
		err = r.skip(int(size))
	}
	return err
}
