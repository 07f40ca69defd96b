package pagecache

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testFile is a File that stays open.
type testFile struct {
	*os.File
	fd int
}

func (f testFile) Pin() (int, error) { return f.fd, nil }
func (f testFile) Unpin()            {}

// coldFile makes a file of n bytes that is not in the page cache; it skips the test where that cannot be.
func coldFile(t *testing.T, n int64) testFile {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "cold"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	file := testFile{f, int(f.Fd())}
	if err := Drop(file.fd, 0, n); err != nil {
		t.Fatal(err)
	}
	return file
}

func requireCold(t *testing.T, f testFile, off int64, n int) {
	t.Helper()
	ok, err := Resident(f.fd, off, n)
	if errors.Is(err, ErrUnsupported) || err == nil && ok {
		t.Skip("this file system keeps its pages, or cannot say")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestResident(t *testing.T) {
	f := coldFile(t, 1<<20)
	requireCold(t, f, 512<<10, 4096)
	if _, err := f.ReadAt(make([]byte, 64<<10), 0); err != nil {
		t.Fatal(err)
	}
	if ok, err := Resident(f.fd, 0, 64<<10); !ok || err != nil {
		t.Fatalf("just read: %v %v", ok, err)
	}
	b := make([]byte, 100)
	if n, ok, err := ReadNoWait(f.fd, b, 1000); n != 100 || !ok || err != nil || b[0] != byte(1000%256) {
		t.Fatalf("read of cached bytes: %d %v %v", n, ok, err)
	}
	if n, ok, err := ReadNoWait(f.fd, b, 1<<20-40); err != nil || ok && n != 40 {
		t.Fatalf("read across the end: %d %v %v", n, ok, err)
	}
	if err := StartWriteback(f.fd, 0, 4096); err != nil {
		t.Fatal(err)
	}
}

// TestWarmerOnKernel: what is woken is there, whatever the file system can do.
func TestWarmerOnKernel(t *testing.T) {
	f := coldFile(t, 3<<20)
	w := NewWarmer(Config{})
	id := NewFileID()
	var wg sync.WaitGroup
	for off := int64(0); off < 3<<20; off += 512 << 10 {
		wg.Add(1)
		if w.Ready(Range{File: f, ID: id, FD: f.fd, Off: off, N: 512 << 10, Size: 3 << 20}, wg.Done) {
			wg.Done()
		}
	}
	wg.Wait()
	w.Close()
	stats := w.Stats()
	if stats.Resident+stats.Warmed+stats.Stalled != 6 || stats.Queued != 0 || stats.Errors != 0 {
		t.Fatalf("%+v", stats)
	}
	if ok, err := Resident(f.fd, 0, 3<<20); stats.Warmed > 0 && (!ok || err != nil) {
		t.Fatalf("after it was read: %v %v", ok, err)
	}
	if !w.Ready(Range{File: f, ID: id, FD: f.fd, N: 3 << 20, Size: 3 << 20}, func() { t.Error("woken although ready") }) {
		t.Fatal("not ready after it was read")
	}
}

// Both ways of waiting for pages bring them in, and end at the end of the file.
func TestLoad(t *testing.T) {
	for name, load := range map[string]func(fd int, off, n int64) error{"advice": kernel{}.load, "read": readThrough} {
		f := coldFile(t, 1<<20-100)
		if err := load(f.fd, 300<<10, 1<<20); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if ok, err := Resident(f.fd, 300<<10, 1<<20-100-300<<10); !ok && !errors.Is(err, ErrUnsupported) || err != nil && !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v %v", name, ok, err)
		}
		if err := load(f.fd, 5<<20, 100); err != nil {
			t.Errorf("%s behind the end: %v", name, err)
		}
		if err := load(-1, 0, 100); err == nil {
			t.Errorf("%s of no file: no error", name)
		}
	}
}

func TestCommitsOfADirectory(t *testing.T) {
	w := NewWarmer(Config{})
	defer w.Close()
	dir := t.TempDir()
	a, err := w.Commits(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := w.Commits(dir); b != a || err != nil {
		t.Errorf("another one for the same device, %v", err)
	}
	if _, err := w.Commits(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that is not there has a device")
	}
}
