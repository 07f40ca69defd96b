package pagecache

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testFile is an *os.File whose Fd does not change its mode.
type testFile struct {
	*os.File
	fd int
}

func (f testFile) Fd() int { return f.fd }

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
	if ok, err := Resident(f.fd, 2<<20, 10); !ok || err != nil {
		t.Fatalf("behind the end: %v %v", ok, err)
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

func TestWarmerReadsColdRangesOffTheCaller(t *testing.T) {
	f := coldFile(t, 3<<20)
	w := NewWarmer(Config{ReadAhead: -1, Concurrency: 2})
	id := NewFileID()
	var wg sync.WaitGroup
	warmed := 0
	for off := int64(0); off < 3<<20; off += 512 << 10 {
		wg.Add(1)
		if w.Ready(f, id, off, 512<<10, wg.Done) {
			wg.Done()
		} else {
			warmed++
		}
	}
	wg.Wait()
	w.Close()
	stats := w.Stats()
	if int(stats.Warmed) != warmed || stats.Resident+stats.Warmed+stats.Stalled != 6 || stats.Queued != 0 {
		t.Fatalf("%+v, %d went cold", stats, warmed)
	}
	if warmed == 0 {
		t.Skip("nothing was cold here")
	}
	if !w.Ready(f, id, 0, 3<<20, func() { t.Error("woken although ready") }) {
		t.Fatal("not ready after it was read")
	}
}

func TestWarmerQueueIsBounded(t *testing.T) {
	f := coldFile(t, 8<<20)
	requireCold(t, f, 4<<20, 1<<20)
	w := NewWarmer(Config{ReadAhead: -1, Concurrency: 1, MaxQueued: 1})
	w.mu.Lock()
	w.running = 1 // nobody takes from the queue
	w.mu.Unlock()
	woken := make(chan struct{}, 2)
	if w.Ready(f, 1, 0, 1<<20, func() { woken <- struct{}{} }) {
		t.Skip("not cold")
	}
	if !w.Ready(f, 1, 2<<20, 1<<20, func() { woken <- struct{}{} }) {
		t.Fatal("queued beyond the limit")
	}
	if w.Stats().Stalled != 1 {
		t.Fatalf("%+v", w.Stats())
	}
	go w.work()
	<-woken
	w.Close()
}

func TestFileWithoutDescriptorIsReady(t *testing.T) {
	w := NewWarmer(Config{})
	defer w.Close()
	if !w.Ready(testFile{nil, -1}, 1, 0, 100, func() { t.Error("woken") }) {
		t.Fatal("not ready")
	}
}

func TestTrackerForgetsLeastRecentlyUsed(t *testing.T) {
	tr := NewTracker(3)
	for i := range int64(3) {
		tr.Touch(1, i<<20, 1<<20)
	}
	tr.Touch(1, 0, 1<<20) // window 1 is now the oldest
	tr.Touch(2, 0, 100)
	for window, want := range []bool{true, false, true} {
		if got := tr.Hot(1, int64(window)<<20, 1<<20); got != want {
			t.Errorf("window %d: %v", window, got)
		}
	}
	if !tr.Hot(2, 0, 100) || tr.Hot(2, 0, 101) || !tr.Hot(2, 10, 20) || tr.Hot(3, 0, 1) {
		t.Error("wrong bytes")
	}
	tr.Touch(2, 100, 50) // joins
	if !tr.Hot(2, 0, 150) {
		t.Error("touching intervals were not joined")
	}
	tr.Touch(2, 1000, 10) // replaces: one interval per window
	if tr.Hot(2, 0, 10) || !tr.Hot(2, 1000, 10) {
		t.Error("the newer interval did not replace the older")
	}
}

// TestTrackerAgainstModel compares it with a plain list.
func TestTrackerAgainstModel(t *testing.T) {
	const limit = 8
	tr := NewTracker(limit)
	var model []windowKey // newest last
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		key := windowKey{FileID(rng.IntN(3)), int64(rng.IntN(8))}
		for i, k := range model {
			if k == key {
				model = append(model[:i], model[i+1:]...)
				break
			}
		}
		model = append(model, key)
		if len(model) > limit {
			model = model[1:]
		}
		tr.Touch(key.file, key.window<<windowShift, windowBytes)
		for file := range FileID(3) {
			for window := range int64(8) {
				want := false
				for _, k := range model {
					want = want || k == windowKey{file, window}
				}
				if got := tr.Hot(file, window<<windowShift, windowBytes); got != want {
					t.Fatalf("file %d window %d: %v, want %v", file, window, got, want)
				}
			}
		}
	}
}
