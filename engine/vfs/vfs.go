// Package vfs is the engine's only door to the disk.
//
// All storage code goes through FS and File, so that tests can put a memory file system behind it that
// forgets what was not synced (Mem), or one that fails the n-th operation (Fault). The real one is OS.
//
// The interfaces promise what Linux promises and no more: bytes written are durable after File.Sync, a
// name (create, rename, remove) is durable after SyncDir of its directory, and a failed Sync says nothing
// about later ones. All implementations are safe for concurrent use; a File's ReadAt, WriteAt and Sync may
// run concurrently, and an open File stays readable after its name is renamed or removed.
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"time"
)

// ErrLocked is what FS.Lock returns when another process (or another Lock of this one) holds the lock.
var ErrLocked = errors.New("vfs: locked by another process")

// File is an open regular file. Close ends its use; every other method may run concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Truncate sets the file's size in bytes; growth reads as zeros.
	Truncate(n int64) error
	// Sync makes all bytes written so far and the size durable (fdatasync). After a failure the state of
	// every byte since the last good Sync is unknown, and a later success means nothing for them.
	Sync() error
	// Size is the current size in bytes.
	Size() (int64, error)
	// Fd is the descriptor, or -1 when there is none; it is valid until Close. Callers may read, sync and
	// send from it, and must not write to it.
	Fd() int
	Close() error
}

// FileInfo describes a file or directory.
type FileInfo struct {
	Size    int64 // bytes; 0 for a directory
	ModTime time.Time
	Dir     bool
}

// Entry is one name in a directory.
type Entry struct {
	Name string
	Dir  bool
}

// FS is a file system. Errors satisfy errors.Is with fs.ErrNotExist, fs.ErrExist and syscall.ENOSPC where
// those apply. Paths use the slash of the platform (Linux only).
type FS interface {
	// Create makes the file, or empties the one that is there, and opens it for reading and writing.
	Create(path string) (File, error)
	// Open opens an existing file for reading.
	Open(path string) (File, error)
	// OpenReadWrite opens a file for reading and writing, making it first if create is set and it is absent.
	OpenReadWrite(path string, create bool) (File, error)
	// MkdirAll makes a directory and its missing parents; no error if it is there.
	MkdirAll(path string) error
	// Remove removes a file or an empty directory.
	Remove(path string) error
	// RemoveAll removes a directory with all it holds; no error if it is absent.
	RemoveAll(path string) error
	// Rename gives a file or directory a new name, replacing a file of that name atomically.
	Rename(oldPath, newPath string) error
	// List returns the names in a directory, sorted.
	List(path string) ([]Entry, error)
	Stat(path string) (FileInfo, error)
	// SyncDir makes the names of a directory durable.
	SyncDir(path string) error
	// SyncAll makes everything durable that was written so far, data and names, on the whole file system that
	// holds path (syncfs): one flush where thousands of files would each need theirs. It also waits for what
	// other programs have written there. It reports failures of writeback since Linux 5.8.
	SyncAll(path string) error
	// Lock takes an exclusive advisory lock on the file, making it if absent, until the Closer is closed or
	// the process ends. ErrLocked if somebody else holds it.
	Lock(path string) (io.Closer, error)
	// FreeBytes says how much an unprivileged process may still write on the file system of path, and how
	// large that file system is.
	FreeBytes(path string) (free, total int64, err error)
}

// ReadFile reads a whole file of at most limit bytes; a larger one is an error.
func ReadFile(fsys FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("file is larger than expected")}
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err == io.EOF && n == len(b) {
		err = nil
	}
	return b[:n], err
}

// WriteFile makes or empties the file and writes b to it, without making anything durable.
func WriteFile(fsys FS, path string, b []byte) error {
	f, err := fsys.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}

// ReplaceFileDurably gives path the contents b so that after a crash either the old or the new contents are
// there in whole: temporary file, sync, rename, sync of dir (the directory holding path).
func ReplaceFileDurably(fsys FS, dir, path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, path); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}
