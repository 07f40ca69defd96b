package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
)

// both runs a test on the real file system and on the one in memory.
func both(t *testing.T, test func(t *testing.T, fsys FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, OS, t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem()
		if err := m.MkdirAll("/dir"); err != nil {
			t.Fatal(err)
		}
		test(t, m, "/dir")
	})
	t.Run("fault", func(t *testing.T) { test(t, NewFault(OS), t.TempDir()) })
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		path := filepath.Join(dir, "file")
		if _, err := fsys.OpenReadWrite(path, false); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		f, err := fsys.OpenReadWrite(path, true)
		check(t, err)
		if n, err := f.WriteAt([]byte("hello"), 3); n != 5 || err != nil {
			t.Fatal(n, err)
		}
		b := make([]byte, 10)
		if n, err := f.ReadAt(b, 0); n != 8 || err != io.EOF || string(b[:n]) != "\x00\x00\x00hello" {
			t.Fatalf("%d %v %q", n, err, b[:n])
		}
		check(t, f.Truncate(5))
		check(t, f.Sync())
		if n, err := f.Size(); n != 5 || err != nil {
			t.Fatal(n, err)
		}
		// An open file outlives its name.
		check(t, fsys.Rename(path, path+"2"))
		check(t, fsys.Remove(path+"2"))
		if n, err := f.ReadAt(b[:5], 0); n != 5 || err != nil {
			t.Fatal(n, err)
		}
		check(t, f.Close())
		if _, err := fsys.Stat(path + "2"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := fsys.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	})
}

func TestDirectories(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		check(t, fsys.MkdirAll(filepath.Join(dir, "a/b")))
		check(t, WriteFile(fsys, filepath.Join(dir, "a/file"), []byte("x")))
		list, err := fsys.List(filepath.Join(dir, "a"))
		if err != nil || fmt.Sprint(list) != "[{b true} {file false}]" {
			t.Fatal(list, err)
		}
		check(t, ReplaceFileDurably(fsys, dir, filepath.Join(dir, "a/file"), []byte("longer")))
		if b, err := ReadFile(fsys, filepath.Join(dir, "a/file"), 6); err != nil || string(b) != "longer" {
			t.Fatal(b, err)
		}
		if _, err := ReadFile(fsys, filepath.Join(dir, "a/file"), 5); err == nil {
			t.Fatal("read more than the limit")
		}
		if err := fsys.Remove(filepath.Join(dir, "a")); !errors.Is(err, syscall.ENOTEMPTY) {
			t.Fatal(err)
		}
		check(t, fsys.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "c")))
		info, err := fsys.Stat(filepath.Join(dir, "c/file"))
		if err != nil || info.Size != 6 || info.Dir {
			t.Fatal(info, err)
		}
		check(t, fsys.SyncDir(filepath.Join(dir, "c")))
		check(t, fsys.SyncAll(dir))
		check(t, fsys.RemoveAll(filepath.Join(dir, "c")))
		check(t, fsys.RemoveAll(filepath.Join(dir, "c")))
		if free, total, err := fsys.FreeBytes(dir); err != nil || free <= 0 || total < free {
			t.Fatal(free, total, err)
		}
	})
}

func TestLock(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		path := filepath.Join(dir, ".lock")
		lock, err := fsys.Lock(path)
		check(t, err)
		if _, err := fsys.Lock(path); !errors.Is(err, ErrLocked) {
			t.Fatal(err)
		}
		check(t, lock.Close())
		lock, err = fsys.Lock(path)
		check(t, err)
		check(t, lock.Close())
	})
}

func TestCrashDropsWhatWasNotSynced(t *testing.T) {
	m := NewMem()
	check(t, m.MkdirAll("/d"))
	check(t, m.SyncDir("/"))
	f := must(m.Create("/d/synced"))
	must(f.WriteAt([]byte("one"), 0))
	check(t, f.Sync())
	must(f.WriteAt([]byte("two"), 3))
	check(t, m.SyncDir("/d"))
	g := must(m.Create("/d/name-not-synced"))
	must(g.WriteAt([]byte("x"), 0))
	check(t, g.Sync())
	check(t, m.Rename("/d/synced", "/d/renamed"))

	dropped := m.Crash(0)
	if b, err := ReadFile(dropped, "/d/synced", 10); err != nil || string(b) != "one" {
		t.Fatalf("%q %v", b, err)
	}
	if list := must(dropped.List("/d")); len(list) != 1 {
		t.Fatal(list)
	}
	kept := m.Crash(1)
	if b, err := ReadFile(kept, "/d/renamed", 10); err != nil || string(b) != "onetwo" {
		t.Fatalf("%q %v", b, err)
	}
	if list := must(kept.List("/d")); len(list) != 2 {
		t.Fatal(list)
	}
	if b, err := ReadFile(m, "/d/renamed", 10); err != nil || string(b) != "onetwo" {
		t.Fatalf("the crash changed the original: %q %v", b, err)
	}
}

// TestCrashIsUnkindInEveryWay looks for each kind of damage among many seeds, and that one seed is one crash.
func TestCrashIsUnkindInEveryWay(t *testing.T) {
	m := NewMem()
	f := must(m.Create("/f"))
	check(t, m.SyncDir("/"))
	ones := bytes.Repeat([]byte{1}, 10_000)
	must(f.WriteAt(ones, 0))
	check(t, f.Sync())
	twos := bytes.Repeat([]byte{2}, 10_000)
	must(f.WriteAt(twos, 10_000))
	must(f.WriteAt(twos, 20_000))
	seen := map[string]bool{}
	for seed := range uint64(200) {
		b := must(ReadFile(m.Crash(seed), "/f", 1<<20))
		if !bytes.Equal(b, must(ReadFile(m.Crash(seed), "/f", 1<<20))) {
			t.Fatal("the same seed made two crashes")
		}
		if !bytes.Equal(b[:10_000], ones) {
			t.Fatal("synced bytes changed")
		}
		tail := b[10_000:]
		zeros, data := bytes.Count(tail, []byte{0}), bytes.Count(tail, []byte{2})
		switch {
		case len(tail) == 0:
			seen["dropped"] = true
		case len(tail) == 20_000 && zeros == 0:
			seen["kept"] = true
		case zeros == 0:
			seen["cut"] = true
		case bytes.HasSuffix(tail, make([]byte, 100)):
			seen["zero tail"] = true
		case data > 0 && zeros > 0:
			seen["hole"] = true
		}
	}
	for _, kind := range []string{"dropped", "kept", "cut", "zero tail", "hole"} {
		if !seen[kind] {
			t.Errorf("no crash left the file %s", kind)
		}
	}
}

// A failed sync loses what was written, though reads still show it, and a later sync does not bring it back.
func TestFailedSyncLoses(t *testing.T) {
	m := NewMem()
	fault := NewFault(m, Rule{Op: OpSync, Nth: 2, Count: 1, Err: syscall.EIO})
	f := must(fault.Create("/f"))
	must(f.WriteAt([]byte("one"), 0))
	check(t, f.Sync())
	check(t, m.SyncDir("/"))
	must(f.WriteAt([]byte("two"), 3))
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	check(t, f.Sync())
	if b := must(ReadFile(m, "/f", 10)); string(b) != "onetwo" {
		t.Fatalf("the cache shows %q", b)
	}
	if b := must(ReadFile(m.Crash(0), "/f", 10)); string(b) != "one" {
		t.Fatalf("the disk has %q", b)
	}
	must(f.WriteAt([]byte("three"), 6))
	check(t, f.Sync())
	if b := must(ReadFile(m.Crash(0), "/f", 20)); string(b) != "one\x00\x00\x00three" {
		t.Fatalf("the disk has %q", b)
	}
}

// After a kill everything is there, and a crash then still takes what was not synced.
func TestKillKeepsThePageCache(t *testing.T) {
	m := NewMem()
	check(t, m.MkdirAll("/d"))
	check(t, m.SyncDir("/"))
	f := must(m.Create("/d/f"))
	must(f.WriteAt([]byte("one"), 0))
	check(t, f.Sync())
	check(t, m.SyncDir("/d"))
	must(f.WriteAt([]byte("two"), 3))
	must(m.Create("/d/g"))
	killed := m.Kill()
	if b := must(ReadFile(killed, "/d/f", 10)); string(b) != "onetwo" || len(must(killed.List("/d"))) != 2 {
		t.Fatalf("%q", b)
	}
	lost := killed.Crash(0)
	if b := must(ReadFile(lost, "/d/f", 10)); string(b) != "one" || len(must(lost.List("/d"))) != 1 {
		t.Fatalf("%q", b)
	}
}

func TestCapacity(t *testing.T) {
	m := NewMem()
	f := must(m.Create("/f"))
	m.SetCapacity(10)
	if n, err := f.WriteAt(make([]byte, 15), 0); n != 10 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(n, err)
	}
	must(f.WriteAt(make([]byte, 10), 0)) // rewriting needs no room
	check(t, f.Truncate(4))
	if free, _, _ := m.FreeBytes("/"); free != 6 {
		t.Fatal(free)
	}
	check(t, m.Remove("/f"))
	if free, _, _ := m.FreeBytes("/"); free != 10 {
		t.Fatal(free)
	}
}

func TestFaultRules(t *testing.T) {
	mem := NewMem()
	f := NewFault(mem,
		Rule{Op: OpWrite, Glob: "*.log", Nth: 2, Count: 1, Err: syscall.EIO, Bytes: 2},
		Rule{Op: OpSync, Err: syscall.ENOSPC, After: true})
	log := must(f.Create("/a.log"))
	other := must(f.Create("/b.idx"))
	must(log.WriteAt([]byte("1234"), 0))
	must(other.WriteAt([]byte("1234"), 0))
	if n, err := log.WriteAt([]byte("5678"), 4); n != 2 || !errors.Is(err, syscall.EIO) {
		t.Fatal(n, err)
	}
	if size := must(log.Size()); size != 6 {
		t.Fatal(size)
	}
	must(log.WriteAt([]byte("78"), 6))
	if err := log.Sync(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	f.ClearRules()
	check(t, log.Sync())
	if log.Fd() != -1 {
		t.Fatal("a descriptor goes past the rules")
	}
}

func TestFaultCrashPoint(t *testing.T) {
	f := NewFault(NewMem())
	f.StartLog()
	check(t, f.MkdirAll("/d"))
	f.CrashAfter(2)
	file := must(f.Create("/d/f"))
	must(file.WriteAt([]byte("x"), 0))
	if f.Crashed() || f.Ops() != 3 {
		t.Fatal(f.Crashed(), f.Ops())
	}
	if _, err := file.WriteAt([]byte("y"), 1); !errors.Is(err, ErrCrashed) {
		t.Fatal(err)
	}
	if _, err := file.ReadAt(make([]byte, 1), 0); !errors.Is(err, ErrCrashed) || !f.Crashed() {
		t.Fatal("reads work after the crash")
	}
	if log := f.Log(); fmt.Sprint(log) != "[mkdir /d create /d/f write /d/f]" {
		t.Fatal(log)
	}
}

// An open file has no name of its own: its errors tell the one it has now, and once it is closed it can do no harm to
// whoever gets its descriptor.
func TestOpenFileIsItsDescriptor(t *testing.T) {
	dir := t.TempDir()
	path, renamed := filepath.Join(dir, "file"), filepath.Join(dir, "renamed")
	check(t, WriteFile(OS, path, []byte("some bytes")))
	f := must(OS.Open(path))
	check(t, OS.Rename(path, renamed))
	var failed *fs.PathError
	if _, err := f.WriteAt([]byte("x"), 0); !errors.As(err, &failed) || failed.Path != renamed || failed.Op != "write" {
		t.Errorf("write to a file opened for reading: %v", err)
	}
	check(t, f.Close())
	other := must(OS.Open(renamed)) // most likely by the same descriptor
	defer other.Close()
	_, rerr := f.ReadAt(make([]byte, 1), 0)
	_, werr := f.WriteAt([]byte("x"), 0)
	_, serr := f.Size()
	for i, err := range []error{rerr, werr, serr, f.Truncate(0), f.Sync(), f.Close()} {
		if !errors.Is(err, syscall.EBADF) {
			t.Errorf("use %d of a closed file: %v", i, err)
		}
	}
	if f.Fd() != -1 || must(other.Size()) != 10 {
		t.Errorf("descriptor %d, %d bytes", f.Fd(), must(other.Size()))
	}
}
