package engine

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kserver/engine/vfs"
)

// faultLog is a log on a memory file system that can be made to fail.
func faultLog(t *testing.T) (*vfs.Mem, *vfs.Fault, *LogManager, *Log) {
	t.Helper()
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	m := openManager(t, Config{FS: fault})
	return mem, fault, m, create(t, m, testTP, testLogConfig())
}

// failedListener keeps what it is told.
type failedListener struct{ failed chan error }

func (f *failedListener) Durable(int64)    {}
func (f *failedListener) Failed(err error) { f.failed <- err }

func TestF1FailedSyncIsFinal(t *testing.T) {
	mem, fault, m, l := faultLog(t)
	waitDurable(t, l, appendBatch(t, l, batchSpec{}).LastOffset+1)
	durable := l.DurableEndOffset()
	heard := &failedListener{make(chan error, 1)}
	l.SetDurableListener(heard)
	fault.AddRule(vfs.Rule{Op: vfs.OpSync, Glob: "*.log", Err: syscall.EIO, Count: 1})

	info := appendBatch(t, l, batchSpec{})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := l.WaitDurable(ctx, info.LastOffset+1); !errors.Is(err, ErrStorage) {
		t.Fatalf("waiter got %v", err)
	}
	if err := <-heard.failed; !errors.Is(err, ErrStorage) {
		t.Fatalf("listener got %v", err)
	}
	if l.DurableEndOffset() != durable {
		t.Fatal("the durable end moved")
	}
	// The disk would work again now. Nobody asks it.
	if _, err := l.AppendAsLeader(batchSpec{}.build(t), AppendOptions{}); !errors.Is(err, ErrStorage) {
		t.Fatalf("append got %v", err)
	}
	if _, err := l.Read(0, 100, 1, true); !errors.Is(err, ErrStorage) {
		t.Fatalf("read got %v", err)
	}
	if m.Dirs()[0].Err == nil {
		t.Fatal("directory is not offline")
	}
	other := TopicPartition{"other", 0}
	if _, err := m.Create(other, testTID, testLogConfig()); !errors.Is(err, ErrStorage) {
		t.Fatalf("create got %v", err)
	}
	late := &failedListener{make(chan error, 1)}
	l.SetDurableListener(late)
	if err := <-late.failed; !errors.Is(err, ErrStorage) {
		t.Fatalf("late listener got %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := mem.Stat("/data/" + cleanShutdownFile); err == nil {
		t.Fatal("an offline directory was marked as cleanly closed")
	}
}

func TestF1FailedWriteIsFinal(t *testing.T) {
	_, fault, m, l := faultLog(t)
	waitDurable(t, l, appendBatch(t, l, batchSpec{}).LastOffset+1)
	fault.AddRule(vfs.Rule{Op: vfs.OpWrite, Glob: "*.log", Err: syscall.EIO, Count: 1, Bytes: 30})
	if _, err := l.AppendAsLeader(batchSpec{}.build(t), AppendOptions{}); !errors.Is(err, ErrStorage) || errors.Is(err, ErrDiskFull) {
		t.Fatalf("append got %v", err)
	}
	if l.LogEndOffset() != 1 {
		t.Fatal("log end moved")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestF1OtherDirectoriesGoOn(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	m := openManager(t, Config{FS: fault, Dirs: []string{"/one", "/two"}})
	a := create(t, m, TopicPartition{"a", 0}, testLogConfig())
	b := create(t, m, TopicPartition{"b", 0}, testLogConfig())
	if a.Dir() == b.Dir() {
		t.Fatal("both in one directory")
	}
	fault.AddRule(vfs.Rule{Op: vfs.OpSync, Glob: a.Dir() + "/a-0/*", Err: syscall.EIO})
	appendBatch(t, a, batchSpec{})
	if err := a.WaitDurable(context.Background(), 1); !errors.Is(err, ErrStorage) {
		t.Fatal(err)
	}
	waitDurable(t, b, appendBatch(t, b, batchSpec{}).LastOffset+1)
	if c := create(t, m, TopicPartition{"c", 0}, testLogConfig()); c.Dir() != b.Dir() {
		t.Fatal("created in an offline directory")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	// It starts again without the bad directory.
	fault.AddRule(vfs.Rule{Glob: "/one/*", Err: syscall.EIO})
	m = openManager(t, Config{FS: fault, Dirs: []string{"/one", "/two"}})
	if b, ok := m.Log(TopicPartition{"b", 0}); !ok || b.LogEndOffset() != 1 {
		t.Fatal("the good directory is not served")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestF2FullDiskRefusesAndRecovers(t *testing.T) {
	mem, _, m, l := faultLog(t)
	spec := batchSpec{pid: 9, value: "full", padBytes: 100}
	appendBatch(t, l, spec)
	spec.seq = 1
	waitDurable(t, l, 1)
	before := readAll(t, l, 0)
	free, _, err := mem.FreeBytes("/")
	if err != nil {
		t.Fatal(err)
	}
	used := int64(1<<50) - free
	for room := int64(0); room < int64(len(spec.build(t))); room += 40 {
		mem.SetCapacity(used + room)
		_, err := l.AppendAsLeader(spec.build(t), AppendOptions{LeaderEpoch: 1})
		if !errors.Is(err, ErrStorage) || !errors.Is(err, ErrDiskFull) {
			t.Fatalf("room %d: %v", room, err)
		}
		if got := readAll(t, l, 0); !bytes.Equal(got, before) || l.LogEndOffset() != 1 {
			t.Fatal("a refused append left something behind")
		}
	}
	mem.SetCapacity(0)
	info, err := l.AppendAsLeader(spec.build(t), AppendOptions{LeaderEpoch: 1}) // the same sequence: it is not in the log
	if err != nil || info.Duplicate || info.FirstOffset != 1 {
		t.Fatalf("%+v, %v", info, err)
	}
	waitDurable(t, l, 2)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestF2FullDiskDuringRoll(t *testing.T) {
	mem, _, m, l := faultLog(t)
	n := int64(0)
	for ; len(l.Segments()) < 3; n++ {
		waitDurable(t, l, appendBatch(t, l, batchSpec{padBytes: 150}).LastOffset+1)
	}
	free, _, _ := mem.FreeBytes("/")
	mem.SetCapacity(int64(1<<50) - free + 1) // a file, but not one byte in it
	refused := 0
	for range 10 {
		if _, err := l.AppendAsLeader(batchSpec{padBytes: 150}.build(t), AppendOptions{LeaderEpoch: 1}); !errors.Is(err, ErrDiskFull) {
			t.Fatal(err)
		}
		refused++
	}
	mem.SetCapacity(0)
	for ; len(l.Segments()) < 5; n++ {
		waitDurable(t, l, appendBatch(t, l, batchSpec{padBytes: 150}).LastOffset+1)
	}
	if got := batches(t, readAll(t, l, 0)); int64(len(got)) != n {
		t.Fatalf("%d batches, want %d", len(got), n)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestF2ReserveKeepsCoordinatorsGoing(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(100_000)
	m := openManager(t, Config{FS: mem, DiskReserveBytes: 200_000})
	l := create(t, m, testTP, testLogConfig())
	if _, err := l.AppendAsLeader(batchSpec{}.build(t), AppendOptions{}); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("client got %v", err)
	}
	if _, err := l.AppendAsLeader(batchSpec{}.build(t), AppendOptions{Origin: OriginCoordinator}); err != nil {
		t.Fatalf("coordinator got %v", err)
	}
	mem.SetCapacity(1_000_000)
	if _, err := l.AppendAsLeader(batchSpec{}.build(t), AppendOptions{}); err != nil {
		t.Fatalf("with space again: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// filledLog has several segments, epochs and producers, and is closed.
func filledLog(t *testing.T, clean bool) (*vfs.Mem, []byte) {
	t.Helper()
	mem := vfs.NewMem()
	m := openManager(t, Config{FS: mem})
	l := create(t, m, testTP, testLogConfig())
	for i := range 30 {
		spec := batchSpec{records: 2, value: "filled"}
		if i%3 == 0 {
			spec.pid, spec.seq = 4, int32(i/3*2)
		}
		info, err := l.AppendAsLeader(spec.build(t), AppendOptions{LeaderEpoch: int32(i / 10)})
		if err != nil {
			t.Fatal(err)
		}
		waitDurable(t, l, info.LastOffset+1)
		if i == 25 {
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := readAll(t, l, 0)
	if !clean {
		mem = mem.Crash(1)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return mem, want
}

// damage is what can happen to a file.
var damage = map[string]func(f vfs.File, size int64) error{
	"truncated": func(f vfs.File, size int64) error { return f.Truncate(size / 2) },
	"odd":       func(f vfs.File, size int64) error { return f.Truncate(max(0, size-3)) },
	"emptied":   func(f vfs.File, size int64) error { return f.Truncate(0) },
	"zeroed":    func(f vfs.File, size int64) error { _, err := f.WriteAt(make([]byte, size), 0); return err },
	"flipped": func(f vfs.File, size int64) error {
		if size == 0 {
			return nil
		}
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, size/3); err != nil {
			return err
		}
		b[0] ^= 0x40
		_, err := f.WriteAt(b, size/3)
		return err
	},
}

func TestF4DamagedSideFilesAreRebuilt(t *testing.T) {
	for _, clean := range []bool{true, false} {
		mem, want := filledLog(t, clean)
		var files []string
		for _, dir := range []string{"/data", "/data/t-0"} {
			entries, err := mem.List(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !e.Dir && !strings.HasSuffix(e.Name, ".log") && e.Name != metaPropertiesFile && e.Name != cleanShutdownFile {
					files = append(files, filepath.Join(dir, e.Name))
				}
			}
		}
		if len(files) < 10 {
			t.Fatalf("only %v", files)
		}
		for _, path := range files {
			for name, hurt := range damage {
				checkDamaged(t, mem, path, name, want, func(f vfs.File) error {
					size, err := f.Size()
					if err != nil {
						return err
					}
					return hurt(f, size)
				})
			}
			checkDamaged(t, mem, path, "missing", want, nil)
		}
	}
}

func checkDamaged(t *testing.T, original *vfs.Mem, path, name string, want []byte, hurt func(f vfs.File) error) {
	t.Helper()
	mem := original.Crash(1)
	if hurt == nil {
		if err := mem.Remove(path); err != nil {
			t.Fatal(err)
		}
	} else {
		f, err := mem.OpenReadWrite(path, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := hurt(f); err != nil {
			t.Fatal(err)
		}
	}
	m, err := tryOpen(Config{FS: mem})
	if err != nil {
		t.Errorf("%s %s: %v", path, name, err)
		return
	}
	defer m.Close()
	l := create(t, m, testTP, testLogConfig())
	for offset := int64(0); offset < 60; offset += 7 { // every lookup uses the indexes
		info, err := l.Read(offset, 1, 60, true)
		if err != nil || info.StartOffset != offset/2*2 {
			t.Errorf("%s %s: read at %d: %+v, %v", path, name, offset, info, err)
		}
		if info.Range != nil {
			info.Range.Release()
		}
	}
	if got, err := tryReadAll(l, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s %s: different contents, %v", path, name, err)
	}
	if e, end := l.EndOffsetForEpoch(1); e != 1 || end != 40 {
		t.Errorf("%s %s: epoch %d ends at %d", path, name, e, end)
	}
	if offset, _, _, ok, err := l.OffsetForTimestamp(1_700_000_000_000, 60); err != nil || !ok || offset != 0 {
		t.Errorf("%s %s: by time: %d, %v, %v", path, name, offset, ok, err)
	}
	dup, err := l.AppendAsLeader(batchSpec{records: 2, pid: 4, seq: 18, value: "filled"}.build(t), AppendOptions{LeaderEpoch: 3})
	if err != nil || !dup.Duplicate || dup.FirstOffset != 54 {
		t.Errorf("%s %s: duplicate: %+v, %v", path, name, dup, err)
	}
}

func TestF3DamageBelowTheDurableEndIsNotSkipped(t *testing.T) {
	mem, want := filledLog(t, false)
	// A flipped bit in the last segment, below the recovery point of the checkpoint.
	f, err := mem.OpenReadWrite("/data/t-0/"+offsetFileName(lastBase(t, mem))+".log", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 70); err != nil {
		t.Fatal(err)
	}
	m := openManager(t, Config{FS: mem})
	defer m.Close()
	l, _ := m.Log(testTP)
	if _, err := l.Read(0, 100, 60, true); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("read of a log with a hole: %v", err)
	}
	size, _ := f.Size()
	if total := int64(len(want)); size == 0 || size > total {
		t.Fatal("the damaged file was changed")
	}
}

func lastBase(t *testing.T, mem *vfs.Mem) int64 {
	t.Helper()
	files, err := listLogFiles(mem, "/data/t-0")
	if err != nil {
		t.Fatal(err)
	}
	return files.bases[len(files.bases)-1]
}

func TestF3TornTailIsCutAndKeptAside(t *testing.T) {
	mem, want := filledLog(t, false)
	f, err := mem.OpenReadWrite("/data/t-0/"+offsetFileName(lastBase(t, mem))+".log", false)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	torn := batchSpec{value: "torn"}.build(t)
	torn.SetBaseOffset(60)
	if _, err := f.WriteAt(torn[:len(torn)-5], size); err != nil {
		t.Fatal(err)
	}
	m := openManager(t, Config{FS: mem})
	defer m.Close()
	l, _ := m.Log(testTP)
	if got := readAll(t, l, 0); !bytes.Equal(got, want) || l.LogEndOffset() != 60 {
		t.Fatal("recovery changed the good part")
	}
	entries, _ := mem.List("/data/t-0")
	for _, e := range entries {
		if strings.HasSuffix(e.Name, ".torn") {
			return
		}
	}
	t.Fatal("the torn tail was thrown away")
}
