package vfs

import (
	"errors"
	"io"
	"os"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// OS is the real file system.
var OS FS = osFS{}

// File and directory modes: log data is for the broker's user alone.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

type osFS struct{}

// osFile is a descriptor and nothing else. An os.File takes some 500 bytes more, and as many files are open as there are
// partitions in use. It is closed only when nobody uses it any more, as File says.
type osFile struct{ fd atomic.Int32 } // -1 once it is closed

// openOS opens a file; like every descriptor of Go's, a child process does not inherit it.
func openOS(path string, flags int) (File, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, fileMode)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := new(osFile)
	f.fd.Store(int32(fd))
	return f, nil
}

// retry makes a system call until no signal interrupts it.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (osFS) Create(path string) (File, error) { return openOS(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC) }

func (osFS) Open(path string) (File, error) { return openOS(path, os.O_RDONLY) }

func (osFS) OpenReadWrite(path string, create bool) (File, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	return openOS(path, flags)
}

// MkdirAll tries at once to make the directory: mostly that is all there is to do.
func (osFS) MkdirAll(path string) error {
	if retry(func() error { return unix.Mkdir(path, dirMode) }) == nil {
		return nil
	}
	return os.MkdirAll(path, dirMode)
}

func (osFS) Remove(path string) error             { return os.Remove(path) }
func (osFS) RemoveAll(path string) error          { return os.RemoveAll(path) }
func (osFS) Rename(oldPath, newPath string) error { return os.Rename(oldPath, newPath) }

func (osFS) List(path string) ([]Entry, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	list := make([]Entry, len(entries))
	for i, e := range entries {
		list[i] = Entry{Name: e.Name(), Dir: e.IsDir()}
	}
	return list, nil
}

func (osFS) Stat(path string) (FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return FileInfo{}, err
	}
	fi := FileInfo{ModTime: info.ModTime(), Dir: info.IsDir()}
	if !fi.Dir {
		fi.Size = info.Size()
	}
	return fi, nil
}

func (osFS) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osFS) SyncAll(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	if err = unix.Syncfs(int(d.Fd())); err != nil {
		err = &os.PathError{Op: "syncfs", Path: path, Err: err}
	}
	return errors.Join(err, d.Close())
}

// Lock takes both kinds of lock Linux has, which do not know of each other: flock, as other kservers do, and a record
// lock of the whole file, as a JVM does (FileChannel.tryLock), so that Kafka and kserver keep off each other's
// directories.
func (osFS) Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	op := "flock"
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		op = "fcntl"
		whole := unix.Flock_t{Type: unix.F_WRLCK}
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &whole)
	}
	if err == nil {
		return f, nil // closing the only descriptor gives both locks back
	}
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EACCES) {
		err = ErrLocked
	}
	return nil, &os.PathError{Op: op, Path: path, Err: errors.Join(err, f.Close())}
}

func (osFS) FreeBytes(path string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(path, &st) }); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

// failed names the file of a failed call by what the kernel calls it now.
func (f *osFile) failed(op string, err error) error {
	path, lerr := os.Readlink("/proc/self/fd/" + strconv.Itoa(f.Fd()))
	if lerr != nil {
		return os.NewSyscallError(op, err)
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

func (f *osFile) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pread(f.Fd(), p[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, f.failed("read", err)
		case m == 0:
			return n, io.EOF
		default:
			n += m
		}
	}
	return n, nil
}

func (f *osFile) WriteAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pwrite(f.Fd(), p[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, f.failed("write", err)
		case m == 0: // the kernel never does, of a regular file
			return n, f.failed("write", io.ErrUnexpectedEOF)
		default:
			n += m
		}
	}
	return n, nil
}

func (f *osFile) Truncate(n int64) error {
	if err := retry(func() error { return unix.Ftruncate(f.Fd(), n) }); err != nil {
		return f.failed("truncate", err)
	}
	return nil
}

func (f *osFile) Sync() error {
	if err := retry(func() error { return unix.Fdatasync(f.Fd()) }); err != nil {
		return f.failed("fdatasync", err)
	}
	return nil
}

func (f *osFile) Size() (int64, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(f.Fd(), &st) }); err != nil {
		return 0, f.failed("fstat", err)
	}
	return st.Size, nil
}

func (f *osFile) Fd() int { return int(f.fd.Load()) }

// Close closes the descriptor once: a second call, or any use after it, finds none (EBADF). It is not tried again when
// a signal interrupts it, because Linux has closed the descriptor then.
func (f *osFile) Close() error {
	if err := unix.Close(int(f.fd.Swap(-1))); err != nil && err != unix.EINTR {
		return os.NewSyscallError("close", err)
	}
	return nil
}
