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

// load asks for the whole range at once, which keeps the device busy, and then waits for it by sending it to
// /dev/null: sendfile(2) passes pages on once they are read, and nothing copies them.
func (kernel) load(fd int, off, n int64) error {
	// Advice: without it the reads below are slower. It also keeps the kernel from reading ahead on its own,
	// beyond every budget, because the reads below find their pages there.
	_ = unix.Fadvise(fd, off, n, unix.FADV_WILLNEED)
	null, err := devNull()
	if err != nil {
		return readThrough(fd, off, n)
	}
	for n > 0 {
		sent, err := unix.Sendfile(null, fd, &off, int(n))
		switch {
		case err == unix.EINTR:
		case err == unix.EINVAL || err == unix.ENOSYS || err == unix.EOPNOTSUPP:
			return readThrough(fd, off, n) // a file system that cannot splice
		case err != nil:
			return fmt.Errorf("pagecache: reading %d bytes at %d: %w", n, off, err)
		case sent == 0:
			return nil // the end of the file
		}
		n -= int64(max(sent, 0)) // sendfile has moved off
	}
	return nil
}

// devNull is a descriptor of /dev/null that stays open.
var devNull = sync.OnceValues(func() (int, error) {
	return unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
})

var scratch = sync.Pool{New: func() any { b := make([]byte, pieceBytes); return &b }}

// readThrough reads a range into memory that nobody looks at.
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
