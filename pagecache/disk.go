package pagecache

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// disk is what a Warmer asks of the kernel.
type disk interface {
	// device names the device a file lies on.
	device(fd int) (uint64, error)
	// resident is Resident.
	resident(fd int, off int64, n int) (bool, error)
	// load brings a range into the page cache and returns when it is there. The range may reach beyond the end
	// of the file.
	load(fd int, off, n int64) error
	// drop is Drop.
	drop(fd int, off, n int64) error
}

// kernel is the disk of real files.
type kernel struct{}

func (kernel) device(fd int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("pagecache: fstat: %w", err)
	}
	return uint64(st.Dev), nil
}

func (kernel) resident(fd int, off int64, n int) (bool, error) { return Resident(fd, off, n) }

func (kernel) drop(fd int, off, n int64) error { return Drop(fd, off, n) }

// waitStep is how far apart the bytes are that load waits for. A device is given one request for many pages that lie
// together, and all of them are there when it ends; requests are rarely shorter than this.
const waitStep = 64 << 10

// load asks for the whole range at once, which keeps the device busy, and then waits for it by reading a byte here and
// there: the pages between are not touched, and do not count as used, until they are sent.
func (kernel) load(fd int, off, n int64) error {
	// Advice. It also keeps the kernel from reading ahead on its own, beyond every budget, because the reads below
	// find their pages there.
	_ = unix.Fadvise(fd, off, n, unix.FADV_WILLNEED)
	for at, last := off, off+n-1; ; at = min(at+waitStep, last) {
		there, err := readByte(fd, at)
		if err != nil {
			return fmt.Errorf("pagecache: reading a byte at %d: %w", at, err)
		}
		if !there { // the file ends before it
			return readThrough(fd, off, n)
		}
		if at == last {
			break
		}
	}
	// Without memory, say, there are pages that the kernel has not begun to read. Where it cannot say, the sender waits
	// for them.
	if missing, known := missingPages(fd, off, n); known && missing {
		return readThrough(fd, off, n)
	}
	return nil
}

// readByte waits until one byte is in the page cache. ok is false when the file ends before it.
func readByte(fd int, at int64) (ok bool, err error) {
	var b [1]byte
	for {
		m, err := unix.Pread(fd, b[:], at)
		if err != unix.EINTR {
			return m > 0, err
		}
	}
}

var scratch = sync.Pool{New: func() any { b := make([]byte, pieceBytes); return &b }}

// readThrough reads a range, as far as the file reaches, into memory that nobody looks at.
func readThrough(fd int, off, n int64) error {
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	for n > 0 {
		m, err := unix.Pread(fd, (*buf)[:min(n, int64(len(*buf)))], off)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("pagecache: reading %d bytes at %d: %w", n, off, err)
		case m == 0:
			return nil
		}
		off, n = off+int64(max(m, 0)), n-int64(max(m, 0))
	}
	return nil
}
