package pagecache

import (
	"errors"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ErrUnsupported is returned by Resident when the file system cannot say (no RWF_NOWAIT for reads).
var ErrUnsupported = errors.New("pagecache: residency probe is not supported here")

var pageBytes = int64(os.Getpagesize())

// Resident reports whether the n bytes at off, which lie within the file, are in the page cache and can be read
// without waiting. It starts no read of what is not there.
//
// cachestat(2), since Linux 6.5, says how many pages are there, but counts those whose read is still under way; so
// the first and the last page are probed as well. Before Linux 6.5, or where a filter forbids the call, these probes
// are all there is, and a miss makes the kernel read the probed page.
func Resident(fd int, off int64, n int) (bool, error) {
	if n <= 0 {
		return true, nil
	}
	if missing, known := missingPages(fd, off, int64(n)); known && missing {
		return false, nil
	}
	ok, err := residentPage(fd, off)
	if !ok || err != nil || off/pageBytes == (off+int64(n)-1)/pageBytes {
		return ok, err
	}
	return residentPage(fd, off+int64(n)-1)
}

// missingPages reports whether pages of a range are neither in the page cache nor being read. known is false where the
// kernel does not say.
func missingPages(fd int, off, n int64) (missing, known bool) {
	first, last := off/pageBytes, (off+n-1)/pageBytes
	there, known := cachedPages(fd, first*pageBytes, (last-first+1)*pageBytes)
	return there < uint64(last-first+1), known
}

// noCachestat is set once the kernel has refused cachestat(2).
var noCachestat atomic.Bool

// cachedPages counts the pages of a range in the page cache. known is false where the kernel does not say.
func cachedPages(fd int, off, n int64) (pages uint64, known bool) {
	if noCachestat.Load() {
		return 0, false
	}
	var st unix.Cachestat_t
	switch err := unix.Cachestat(uint(fd), &unix.CachestatRange{Off: uint64(off), Len: uint64(n)}, &st, 0); err {
	case nil:
		return st.Cache, true
	case unix.ENOSYS, unix.EPERM, unix.EACCES:
		noCachestat.Store(true)
	}
	return 0, false // EOPNOTSUPP: this file system; the probes meet other errors themselves
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

// WriteOut writes the dirty pages of a file to the device and waits for them (sync_file_range, WAIT_BEFORE, WRITE and
// WAIT_AFTER), and reports their errors. It makes nothing durable: the device may hold them in its cache, and the file
// system may not know yet where they are.
func WriteOut(fd int) error {
	for {
		err := unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
		if err != unix.EINTR {
			return err
		}
	}
}

// Drop evicts the clean pages of the range from the page cache (posix_fadvise, POSIX_FADV_DONTNEED), so that
// the next read comes from the device. Dirty pages and pages that a socket still refers to stay.
func Drop(fd int, off int64, n int64) error {
	return unix.Fadvise(fd, off, n, unix.FADV_DONTNEED)
}
