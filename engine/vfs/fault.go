package vfs

import (
	"errors"
	"fmt"
	"io"
	"path"
	"sync"
)

// Op names an operation to a fault rule. Reads and queries are not counted as I/O that a crash can fall
// between, but rules can fail them.
type Op string

// The operations of FS and File.
const (
	OpCreate   Op = "create" // Create, and OpenReadWrite that makes the file
	OpOpen     Op = "open"
	OpMkdir    Op = "mkdir"
	OpRemove   Op = "remove" // Remove and RemoveAll
	OpRename   Op = "rename"
	OpSyncDir  Op = "syncdir"
	OpSyncAll  Op = "syncall"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpSync     Op = "sync"
	OpRead     Op = "read"
	OpList     Op = "list"
	OpStat     Op = "stat" // Stat and Size
	OpLock     Op = "lock"
	OpFree     Op = "free"
	OpClose    Op = "close"
)

// changes says whether an operation can change what is on the disk: those are numbered for crashes.
func (o Op) changes() bool {
	switch o {
	case OpCreate, OpMkdir, OpRemove, OpRename, OpSyncDir, OpSyncAll, OpWrite, OpTruncate, OpSync:
		return true
	}
	return false
}

// Rule makes operations fail.
type Rule struct {
	// Op is the operation; empty is any.
	Op Op
	// Glob matches the whole path or its last element (path.Match); empty is any.
	Glob string
	// Nth is the first matching operation that fails, counted from 1; 0 is 1.
	Nth int
	// Count is how many fail from then on; 0 is all.
	Count int
	// Err is the error; required.
	Err error
	// Bytes of a failing write that are written nevertheless.
	Bytes int
	// When is asked, if set, at each operation that matches, instead of Nth and Count; false lets it happen.
	When func() bool
	// Fired, if set, is told of each operation that fails. Both are called under a lock and must not use the file
	// system.
	Fired func(op Op, name string)
	// After lets the operation happen and reports Err all the same.
	After bool

	seen int
}

// ErrCrashed is what every operation returns behind the crash point.
var ErrCrashed = errors.New("vfs: crashed")

// Fault wraps a file system and makes chosen operations fail. Safe for concurrent use.
type Fault struct {
	fs FS

	mu      sync.Mutex
	rules   []*Rule
	ops     int // changing operations so far
	crashAt int // the last one that happens; -1 none
	crashed bool
	log     []string
	logging bool
}

var _ FS = (*Fault)(nil)

// NewFault wraps fs, following rules in order: the first that applies decides.
func NewFault(fs FS, rules ...Rule) *Fault {
	f := &Fault{fs: fs, crashAt: -1}
	for _, r := range rules {
		f.AddRule(r)
	}
	return f
}

// AddRule adds a rule behind the others.
func (f *Fault) AddRule(r Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, &r)
}

// ClearRules forgets all rules.
func (f *Fault) ClearRules() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// CrashAfter lets n changing operations happen from now on; every later operation fails with ErrCrashed.
func (f *Fault) CrashAfter(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashAt = f.ops + n
	f.crashed = n == 0
}

// Crashed reports whether an operation was refused because of CrashAfter, or would be.
func (f *Fault) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}

// Ops is the number of changing operations so far.
func (f *Fault) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// StartLog begins to record changing operations; Log returns them, one line each.
func (f *Fault) StartLog() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logging = true
}

// Log returns the recorded operations.
func (f *Fault) Log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.log...)
}

// do runs one operation. partial, for writes, does the first n bytes of it.
func (f *Fault) do(op Op, name string, run func() error, partial func(n int)) error {
	rule, err := f.decide(op, name)
	if err != nil {
		return err
	}
	if rule == nil {
		return run()
	}
	if rule.After {
		_ = run() // its own failure is no worse than the one to report
	} else if rule.Bytes > 0 && partial != nil {
		partial(rule.Bytes)
	}
	return fmt.Errorf("%s %s: %w", op, name, rule.Err)
}

func (f *Fault) decide(op Op, name string) (*Rule, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return nil, ErrCrashed
	}
	if op.changes() {
		if f.crashAt >= 0 && f.ops >= f.crashAt {
			f.crashed = true
			return nil, ErrCrashed
		}
		f.ops++
		if f.logging {
			f.log = append(f.log, string(op)+" "+name)
		}
	}
	for _, r := range f.rules {
		if r.matches(op, name) {
			return r, nil
		}
	}
	return nil, nil
}

func (r *Rule) matches(op Op, name string) bool {
	if r.Op != "" && r.Op != op {
		return false
	}
	if r.Glob != "" {
		whole, _ := path.Match(r.Glob, name)
		last, _ := path.Match(r.Glob, path.Base(name))
		if !whole && !last {
			return false
		}
	}
	r.seen++
	first := max(r.Nth, 1)
	hit := r.seen >= first && (r.Count == 0 || r.seen < first+r.Count)
	if r.When != nil {
		hit = r.When()
	}
	if hit && r.Fired != nil {
		r.Fired(op, name)
	}
	return hit
}

// Create implements FS.
func (f *Fault) Create(name string) (file File, err error) {
	err = f.do(OpCreate, name, func() error { file, err = f.fs.Create(name); return err }, nil)
	return f.wrap(name, file, err)
}

// Open implements FS.
func (f *Fault) Open(name string) (file File, err error) {
	err = f.do(OpOpen, name, func() error { file, err = f.fs.Open(name); return err }, nil)
	return f.wrap(name, file, err)
}

// OpenReadWrite implements FS.
func (f *Fault) OpenReadWrite(name string, create bool) (file File, err error) {
	op := OpOpen
	if create {
		if _, err := f.fs.Stat(name); err != nil {
			op = OpCreate
		}
	}
	err = f.do(op, name, func() error { file, err = f.fs.OpenReadWrite(name, create); return err }, nil)
	return f.wrap(name, file, err)
}

func (f *Fault) wrap(name string, file File, err error) (File, error) {
	if err != nil {
		if file != nil {
			_ = file.Close() // the caller gets an error, not a file
		}
		return nil, err
	}
	return &faultFile{f, file, name}, nil
}

// MkdirAll implements FS.
func (f *Fault) MkdirAll(name string) error {
	return f.do(OpMkdir, name, func() error { return f.fs.MkdirAll(name) }, nil)
}

// Remove implements FS.
func (f *Fault) Remove(name string) error {
	return f.do(OpRemove, name, func() error { return f.fs.Remove(name) }, nil)
}

// RemoveAll implements FS.
func (f *Fault) RemoveAll(name string) error {
	return f.do(OpRemove, name, func() error { return f.fs.RemoveAll(name) }, nil)
}

// Rename implements FS; rules see the old name.
func (f *Fault) Rename(oldName, newName string) error {
	return f.do(OpRename, oldName, func() error { return f.fs.Rename(oldName, newName) }, nil)
}

// List implements FS.
func (f *Fault) List(name string) (list []Entry, err error) {
	err = f.do(OpList, name, func() error { list, err = f.fs.List(name); return err }, nil)
	return list, err
}

// Stat implements FS.
func (f *Fault) Stat(name string) (info FileInfo, err error) {
	err = f.do(OpStat, name, func() error { info, err = f.fs.Stat(name); return err }, nil)
	return info, err
}

// SyncDir implements FS.
func (f *Fault) SyncDir(name string) error {
	return f.do(OpSyncDir, name, func() error { return f.fs.SyncDir(name) }, nil)
}

// SyncAll implements FS.
func (f *Fault) SyncAll(name string) error {
	return f.do(OpSyncAll, name, func() error { return f.fs.SyncAll(name) }, nil)
}

// Lock implements FS.
func (f *Fault) Lock(name string) (lock io.Closer, err error) {
	err = f.do(OpLock, name, func() error { lock, err = f.fs.Lock(name); return err }, nil)
	return lock, err
}

// FreeBytes implements FS.
func (f *Fault) FreeBytes(name string) (free, total int64, err error) {
	err = f.do(OpFree, name, func() error { free, total, err = f.fs.FreeBytes(name); return err }, nil)
	return free, total, err
}

// faultFile is a File whose operations follow the rules. It hides the descriptor, so that nothing goes past
// them.
type faultFile struct {
	fault *Fault
	f     File
	name  string
}

func (f *faultFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.fault.do(OpRead, f.name, func() error { n, err = f.f.ReadAt(p, off); return err }, nil)
	return n, err
}

func (f *faultFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.fault.do(OpWrite, f.name, func() error { n, err = f.f.WriteAt(p, off); return err },
		func(bytes int) { n, _ = f.f.WriteAt(p[:min(bytes, len(p))], off) })
	return n, err
}

func (f *faultFile) Truncate(n int64) error {
	return f.fault.do(OpTruncate, f.name, func() error { return f.f.Truncate(n) }, nil)
}

// Sync, when a rule fails it before it happens, loses what was not synced, as Linux does: see Mem.
func (f *faultFile) Sync() error {
	err := f.fault.do(OpSync, f.name, func() error { return f.f.Sync() }, nil)
	if m, ok := f.f.(*memHandle); ok && err != nil && !errors.Is(err, ErrCrashed) {
		m.loseUnsynced()
	}
	return err
}

func (f *faultFile) Size() (n int64, err error) {
	err = f.fault.do(OpStat, f.name, func() error { n, err = f.f.Size(); return err }, nil)
	return n, err
}

func (f *faultFile) Fd() int { return -1 }

func (f *faultFile) Close() error {
	return f.fault.do(OpClose, f.name, func() error { return f.f.Close() }, nil)
}
