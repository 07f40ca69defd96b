package vfs

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory that is as forgetful as POSIX allows: Crash returns what a machine would
// find after losing power, where unsynced writes may be missing, torn or reordered, unsynced names forgotten,
// and files longer than their data.
//
// All methods are safe for concurrent use. Files have no descriptor (Fd is -1).
type Mem struct {
	mu       sync.Mutex
	root     *memDir
	locks    map[string]bool
	capacity int64 // bytes of file data, 0 without limit
	used     int64
	now      func() time.Time
}

var _ FS = (*Mem)(nil)

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{root: newMemDir(), locks: map[string]bool{}, now: time.Now}
}

// SetCapacity limits the bytes all files together may hold; writes beyond it fail with ENOSPC, after writing
// what fits. 0 is no limit.
func (m *Mem) SetCapacity(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = n
}

// SetClock replaces the source of modification times.
func (m *Mem) SetClock(now func() time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = now
}

// memNode is a *memFile or a *memDir.
type memNode any

// memDir is a directory: its names as programs see them, as they were last synced, and the changes between.
type memDir struct {
	names   map[string]memNode
	durable map[string]memNode
	pending []nameChange
}

// nameChange is one unsynced change of a directory's names; a rename is one change of both its names.
type nameChange struct {
	removed, set string // either may be empty
	node         memNode
}

func newMemDir() *memDir {
	return &memDir{names: map[string]memNode{}, durable: map[string]memNode{}}
}

func (d *memDir) change(c nameChange) {
	c.apply(d.names)
	d.pending = append(d.pending, c)
}

func (c nameChange) apply(names map[string]memNode) {
	if c.removed != "" {
		delete(names, c.removed)
	}
	if c.set != "" {
		names[c.set] = c.node
	}
}

func (d *memDir) sync() {
	for _, c := range d.pending {
		c.apply(d.durable)
	}
	d.pending = nil
}

// memFile is a file's contents now, as last synced, and the changes between.
type memFile struct {
	data    []byte
	durable []byte
	pending []dataChange
	modTime time.Time
}

// dataChange is one unsynced write, or a truncation if data is nil.
type dataChange struct {
	off  int64
	data []byte
}

func pathErr(op, path string, err error) error { return &fs.PathError{Op: op, Path: path, Err: err} }

func splitPath(path string) []string {
	path = filepath.Clean("/" + path)
	if path == "/" {
		return nil
	}
	return strings.Split(path[1:], "/")
}

// parent finds the directory that holds path, and the last element of path.
func (m *Mem) parent(op, path string) (*memDir, string, error) {
	parts := splitPath(path)
	if len(parts) == 0 {
		return nil, "", pathErr(op, path, fs.ErrInvalid)
	}
	d, err := m.dir(op, path, parts[:len(parts)-1])
	return d, parts[len(parts)-1], err
}

func (m *Mem) dir(op, path string, parts []string) (*memDir, error) {
	d := m.root
	for _, part := range parts {
		switch n := d.names[part].(type) {
		case *memDir:
			d = n
		case nil:
			return nil, pathErr(op, path, fs.ErrNotExist)
		default:
			return nil, pathErr(op, path, syscall.ENOTDIR)
		}
	}
	return d, nil
}

// Create implements FS.
func (m *Mem) Create(path string) (File, error) {
	f, err := m.openFile("create", path, true)
	if err != nil {
		return nil, err
	}
	return f, f.Truncate(0)
}

// Open implements FS.
func (m *Mem) Open(path string) (File, error) {
	f, err := m.openFile("open", path, false)
	if err != nil {
		return nil, err
	}
	f.readOnly = true
	return f, nil
}

// OpenReadWrite implements FS.
func (m *Mem) OpenReadWrite(path string, create bool) (File, error) {
	f, err := m.openFile("open", path, create)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (m *Mem) openFile(op, path string, create bool) (*memHandle, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, name, err := m.parent(op, path)
	if err != nil {
		return nil, err
	}
	switch n := d.names[name].(type) {
	case *memFile:
		return &memHandle{m: m, f: n, path: path}, nil
	case *memDir:
		return nil, pathErr(op, path, syscall.EISDIR)
	}
	if !create {
		return nil, pathErr(op, path, fs.ErrNotExist)
	}
	f := &memFile{modTime: m.now()}
	d.change(nameChange{set: name, node: f})
	return &memHandle{m: m, f: f, path: path}, nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.root
	for _, part := range splitPath(path) {
		switch n := d.names[part].(type) {
		case *memDir:
			d = n
		case nil:
			child := newMemDir()
			d.change(nameChange{set: part, node: child})
			d = child
		default:
			return pathErr("mkdir", path, syscall.ENOTDIR)
		}
	}
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, name, err := m.parent("remove", path)
	if err != nil {
		return err
	}
	switch n := d.names[name].(type) {
	case nil:
		return pathErr("remove", path, fs.ErrNotExist)
	case *memDir:
		if len(n.names) > 0 {
			return pathErr("remove", path, syscall.ENOTEMPTY)
		}
	case *memFile:
		m.used -= int64(len(n.data))
	}
	d.change(nameChange{removed: name})
	return nil
}

// RemoveAll implements FS.
func (m *Mem) RemoveAll(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, name, err := m.parent("remove", path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if n, ok := d.names[name]; ok {
		m.used -= bytesIn(n)
		d.change(nameChange{removed: name})
	}
	return nil
}

func bytesIn(n memNode) (sum int64) {
	switch n := n.(type) {
	case *memFile:
		return int64(len(n.data))
	case *memDir:
		for _, child := range n.names {
			sum += bytesIn(child)
		}
	}
	return sum
}

// Rename implements FS. Between two directories it counts as a removal and an addition that may be forgotten
// apart.
func (m *Mem) Rename(oldPath, newPath string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, oldName, err := m.parent("rename", oldPath)
	if err != nil {
		return err
	}
	to, newName, err := m.parent("rename", newPath)
	if err != nil {
		return err
	}
	n, ok := from.names[oldName]
	if !ok {
		return pathErr("rename", oldPath, fs.ErrNotExist)
	}
	switch target := to.names[newName].(type) {
	case *memDir:
		if len(target.names) > 0 {
			return pathErr("rename", newPath, syscall.ENOTEMPTY)
		}
	case *memFile:
		if target != n {
			m.used -= int64(len(target.data))
		}
	}
	if from == to {
		from.change(nameChange{removed: oldName, set: newName, node: n})
	} else {
		to.change(nameChange{set: newName, node: n})
		from.change(nameChange{removed: oldName})
	}
	return nil
}

// List implements FS.
func (m *Mem) List(path string) ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dir("list", path, splitPath(path))
	if err != nil {
		return nil, err
	}
	list := make([]Entry, 0, len(d.names))
	for name, n := range d.names {
		_, isDir := n.(*memDir)
		list = append(list, Entry{name, isDir})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

// Stat implements FS.
func (m *Mem) Stat(path string) (FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(splitPath(path)) == 0 {
		return FileInfo{Dir: true}, nil
	}
	d, name, err := m.parent("stat", path)
	if err != nil {
		return FileInfo{}, err
	}
	switch n := d.names[name].(type) {
	case *memFile:
		return FileInfo{Size: int64(len(n.data)), ModTime: n.modTime}, nil
	case *memDir:
		return FileInfo{Dir: true}, nil
	}
	return FileInfo{}, pathErr("stat", path, fs.ErrNotExist)
}

// SyncDir implements FS.
func (m *Mem) SyncDir(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dir("fsync", path, splitPath(path))
	if err != nil {
		return err
	}
	d.sync()
	return nil
}

// SyncAll implements FS.
func (m *Mem) SyncAll(string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	syncTree(m.root)
	return nil
}

func syncTree(n memNode) {
	switch n := n.(type) {
	case *memFile:
		n.sync()
	case *memDir:
		n.sync()
		for _, child := range n.names {
			syncTree(child)
		}
	}
}

func (f *memFile) sync() {
	for _, c := range f.pending {
		if c.data == nil {
			f.durable = resize(f.durable, c.off)
		} else {
			f.durable = applyWrite(f.durable, c.off, c.data)
		}
	}
	f.pending = nil
}

type memLock struct {
	m    *Mem
	path string
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.path)
	return nil
}

// Lock implements FS.
func (m *Mem) Lock(path string) (io.Closer, error) {
	if _, err := m.openFile("lock", path, true); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	path = filepath.Clean(path)
	if m.locks[path] {
		return nil, pathErr("lock", path, ErrLocked)
	}
	m.locks[path] = true
	return &memLock{m, path}, nil
}

// memUnlimited is what FreeBytes reports without a capacity.
const memUnlimited = 1 << 50

// FreeBytes implements FS.
func (m *Mem) FreeBytes(string) (free, total int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.capacity == 0 {
		return memUnlimited - m.used, memUnlimited, nil
	}
	return max(0, m.capacity-m.used), m.capacity, nil
}

// memHandle is an open memFile.
type memHandle struct {
	m        *Mem
	f        *memFile
	path     string
	readOnly bool
	closed   bool
}

func (h *memHandle) check(op string, write bool) error {
	switch {
	case h.closed:
		return pathErr(op, h.path, fs.ErrClosed)
	case write && h.readOnly:
		return pathErr(op, h.path, syscall.EBADF)
	}
	return nil
}

func (h *memHandle) ReadAt(p []byte, off int64) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.check("read", false); err != nil {
		return 0, err
	}
	if off >= int64(len(h.f.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *memHandle) WriteAt(p []byte, off int64) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.check("write", true); err != nil {
		return 0, err
	}
	var full error
	if room := h.m.room(int64(len(h.f.data))); off+int64(len(p)) > room {
		p = p[:max(0, min(int64(len(p)), room-off))]
		full = pathErr("write", h.path, syscall.ENOSPC)
	}
	if len(p) > 0 {
		h.grow(off + int64(len(p)))
		copy(h.f.data[off:], p)
		h.f.pending = append(h.f.pending, dataChange{off, append([]byte(nil), p...)})
		h.f.modTime = h.m.now()
	}
	return len(p), full
}

// room is how long a file of size bytes may become.
func (m *Mem) room(size int64) int64 {
	if m.capacity == 0 {
		return memUnlimited
	}
	return size + max(0, m.capacity-m.used)
}

func (h *memHandle) grow(size int64) {
	if n := size - int64(len(h.f.data)); n > 0 {
		h.f.data = append(h.f.data, make([]byte, n)...)
		h.m.used += n
	}
}

func (h *memHandle) Truncate(n int64) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.check("truncate", true); err != nil {
		return err
	}
	if n == int64(len(h.f.data)) {
		return nil
	}
	if n < int64(len(h.f.data)) {
		h.m.used -= int64(len(h.f.data)) - n
		h.f.data = h.f.data[:n:n]
	} else {
		h.grow(n)
	}
	h.f.pending = append(h.f.pending, dataChange{off: n})
	h.f.modTime = h.m.now()
	return nil
}

func (h *memHandle) Sync() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.check("sync", false); err != nil {
		return err
	}
	h.f.sync()
	return nil
}

// loseUnsynced is what a failed sync does: the cache still shows what was written, and no later sync writes it.
func (h *memHandle) loseUnsynced() {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.f.pending = nil
}

func (h *memHandle) Size() (int64, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	return int64(len(h.f.data)), h.check("stat", false)
}

func (h *memHandle) Fd() int { return -1 }

func (h *memHandle) Close() error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := h.check("close", false); err != nil {
		return err
	}
	h.closed = true
	return nil
}
