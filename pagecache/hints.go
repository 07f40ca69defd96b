package pagecache

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ErrUnsupported is returned by Resident when the file system cannot say (no RWF_NOWAIT for reads).
var ErrUnsupported = errors.New("pagecache: residency probe is not supported here")

const pageBytes = 4096

// Resident reports whether the first and the last page of the n bytes at off are in the page cache and
// readable without waiting. A miss makes the kernel start reading the probed pages (preadv2(2), RWF_NOWAIT,
// since Linux 4.14). Bytes beyond the end of the file count as resident.
func Resident(fd int, off int64, n int) (bool, error) {
	if n <= 0 {
		return true, nil
	}
	ok, err := residentPage(fd, off)
	last := off + int64(n) - 1
	if !ok || err != nil || last/pageBytes == off/pageBytes {
		return ok, err
	}
	return residentPage(fd, last)
}

func residentPage(fd int, off int64) (bool, error) {
	var b [1]byte
	for {
		_, err := unix.Preadv2(fd, [][]byte{b[:]}, off, unix.RWF_NOWAIT)
		switch {
		case err == nil:
			return true, nil
		case err == unix.EAGAIN:
			return false, nil
		case err == unix.EINTR:
		case err == unix.EOPNOTSUPP || err == unix.ENOSYS || err == unix.EINVAL:
			return false, ErrUnsupported
		default:
			return false, err
		}
	}
}

// ReadNoWait reads len(p) bytes at off only as far as they are in the page cache. ok is false when some are
// not (what p holds is then undefined). A short read at the end of the file is n < len(p) with ok.
func ReadNoWait(fd int, p []byte, off int64) (n int, ok bool, err error) {
	for n < len(p) {
		m, err := unix.Preadv2(fd, [][]byte{p[n:]}, off+int64(n), unix.RWF_NOWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return n, false, nil
		case err == unix.EOPNOTSUPP || err == unix.ENOSYS || err == unix.EINVAL:
			return n, false, ErrUnsupported
		case err != nil:
			return n, false, err
		case m == 0:
			return n, true, nil
		}
		n += m
	}
	return n, true, nil
}

// WillNeed asks the kernel to read the range ahead (posix_fadvise). It may take some 200 us on the caller.
func WillNeed(fd int, off int64, n int64) error {
	return unix.Fadvise(fd, off, n, unix.FADV_WILLNEED)
}

// StartWriteback starts writing the dirty pages of the range to the device without waiting for them, so that
// a later sync has little left to do (sync_file_range, SYNC_FILE_RANGE_WRITE). It makes nothing durable.
func StartWriteback(fd int, off int64, n int64) error {
	for {
		err := unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE)
		if err != unix.EINTR {
			return err
		}
	}
}

// Drop evicts the clean pages of the range from the page cache (posix_fadvise, POSIX_FADV_DONTNEED), so that
// the next read comes from the device. Dirty pages stay: sync first.
func Drop(fd int, off int64, n int64) error {
	return unix.Fadvise(fd, off, n, unix.FADV_DONTNEED)
}
