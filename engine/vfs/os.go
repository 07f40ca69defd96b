package vfs

import (
	"errors"
	"io"
	"os"

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

// osFile keeps the descriptor beside the os.File, because os.File.Fd would put it into blocking mode on
// every call.
type osFile struct {
	f  *os.File
	fd int
}

func openOS(path string, flags int) (File, error) {
	f, err := os.OpenFile(path, flags, fileMode)
	if err != nil {
		return nil, err
	}
	return &osFile{f: f, fd: int(f.Fd())}, nil
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

func (osFS) MkdirAll(path string) error           { return os.MkdirAll(path, dirMode) }
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
	for {
		err = unix.Statfs(path, &st)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error)  { return f.f.ReadAt(p, off) }
func (f *osFile) WriteAt(p []byte, off int64) (int, error) { return f.f.WriteAt(p, off) }
func (f *osFile) Truncate(n int64) error                   { return f.f.Truncate(n) }
func (f *osFile) Fd() int                                  { return f.fd }
func (f *osFile) Close() error                             { return f.f.Close() }

func (f *osFile) Sync() error {
	for {
		err := unix.Fdatasync(f.fd)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &os.PathError{Op: "fdatasync", Path: f.f.Name(), Err: err}
		}
	}
}

func (f *osFile) Size() (int64, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstat(f.fd, &st)
		if err == nil {
			return st.Size, nil
		}
		if err != unix.EINTR {
			return 0, &os.PathError{Op: "fstat", Path: f.f.Name(), Err: err}
		}
	}
}
