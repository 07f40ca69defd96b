package engine

import (
	"errors"
	"fmt"
	"io"

	"kserver/engine/vfs"
	"kserver/pagecache"
	"kserver/protocol/recordbatch"
)

// batchReader reads the batches of sealed segments one after another through one buffer, and checks each. What
// it brought into the page cache it takes out again, so that compaction does not push out what consumers read.
// It belongs to one goroutine.
type batchReader struct {
	step  func(n int) error // called before n bytes are read
	bytes int               // of the buffer; a larger batch gets a larger one for its time
	buf   []byte

	s         *LogSegment
	f         vfs.File
	pos, size int64 // of the next batch; end of the segment
	at        int64 // position of the batch read last
	expect    int64 // offset no batch may lie below
	chunkAt   int64
	chunk     []byte
	cold      bool // the chunk was not in the page cache

	coldBytes, allBytes int64 // since begin
}

func (r *batchReader) begin(bytes int, step func(int) error) {
	r.bytes, r.step = bytes, step
	r.coldBytes, r.allBytes = 0, 0
	if cap(r.buf) != bytes {
		r.buf = make([]byte, bytes)
	}
}

// open begins with the batch at position pos of a pinned segment whose log file is f.
func (r *batchReader) open(s *LogSegment, f vfs.File, pos int64) {
	r.s, r.f, r.pos, r.size = s, f, pos, s.size.Load()
	r.expect = s.base
	r.chunkAt, r.chunk = 0, nil
}

// close ends the use of the segment.
func (r *batchReader) close() {
	r.drop()
	r.s, r.f = nil, nil
}

// next returns the next batch, valid until the next call. io.EOF at the end of the segment, ErrCorrupt for what
// does not check.
func (r *batchReader) next() (recordbatch.Batch, error) {
	left := r.size - r.pos
	if left == 0 {
		return nil, io.EOF
	}
	r.at = r.pos
	head, err := r.peek(min(left, recordbatch.HeaderSize))
	if err != nil {
		return nil, err
	}
	if left < recordbatch.HeaderSize {
		return nil, r.corrupt(fmt.Errorf("%d bytes are no batch", left))
	}
	size, err := recordbatch.PeekSize(head)
	switch {
	case head[magicOffset] != recordbatch.Magic:
		return nil, r.corrupt(fmt.Errorf("magic %d", head[magicOffset]))
	case err != nil:
		return nil, r.corrupt(err)
	case int64(size) > left:
		return nil, r.corrupt(fmt.Errorf("batch of %d bytes, %d are left", size, left))
	}
	whole, err := r.peek(int64(size))
	if err != nil {
		return nil, err
	}
	b := recordbatch.Batch(whole)
	switch err := b.CheckCRC(); {
	case err != nil:
		return nil, r.corrupt(err)
	case b.BaseOffset() < r.expect || b.LastOffsetDelta() < 0 || b.LastOffset()-r.s.base > maxRelativeOffset:
		return nil, r.corrupt(fmt.Errorf("offsets %d to %d behind %d", b.BaseOffset(), b.LastOffset(), r.expect-1))
	}
	r.expect = b.NextOffset()
	r.pos += int64(size)
	return b, nil
}

// corrupt says where the batch read last lies.
func (r *batchReader) corrupt(err error) error {
	return fmt.Errorf("%w: %s.log: position %d: %w", ErrCorrupt, r.s.prefix(), r.at, err)
}

// peek returns the n bytes at pos.
func (r *batchReader) peek(n int64) ([]byte, error) {
	if at := r.pos - r.chunkAt; at < 0 || at+n > int64(len(r.chunk)) {
		if err := r.fill(n); err != nil {
			return nil, err
		}
	}
	return r.chunk[r.pos-r.chunkAt:][:n:n], nil
}

// fill reads at least n bytes from pos on.
func (r *batchReader) fill(n int64) error {
	r.drop()
	want := max(n, min(int64(r.bytes), r.size-r.pos))
	if want > int64(cap(r.buf)) || want <= int64(r.bytes) && cap(r.buf) > r.bytes {
		r.buf = make([]byte, max(want, int64(r.bytes)))
	}
	if err := r.step(int(want)); err != nil {
		return err
	}
	r.chunkAt, r.chunk = r.pos, r.buf[:want]
	r.cold = false
	if fd := r.f.Fd(); fd >= 0 {
		resident, err := pagecache.Resident(fd, r.pos, int(want))
		r.cold = err == nil && !resident
	}
	r.allBytes += want
	if r.cold {
		r.coldBytes += want
	}
	err := readFull(r.f, r.chunk, r.pos, false)
	if err != nil {
		r.chunk = nil
	}
	if err == io.ErrUnexpectedEOF {
		return r.corrupt(errors.New("the file is shorter than its batches"))
	}
	return err
}

// drop takes the chunk out of the page cache if it was not there before.
func (r *batchReader) drop() {
	if r.cold && len(r.chunk) > 0 {
		_ = pagecache.Drop(r.f.Fd(), r.chunkAt, int64(len(r.chunk))) // a hint
	}
	r.cold, r.chunk = false, nil
}

// mostlyCold says whether nobody seems to read what was read since begin.
func (r *batchReader) mostlyCold() bool { return r.coldBytes > r.allBytes/2 }
