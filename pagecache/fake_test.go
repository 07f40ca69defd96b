package pagecache

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeDisk is one device under a page cache that evicts only what it is told to. It serves one read at a time,
// at pieceTime for each piece. File descriptors are file ids.
type fakeDisk struct {
	serving chan struct{} // holds the token of the read that is served

	mu       sync.Mutex
	cached   map[pieceKey]bool
	loads    map[pieceKey]int
	order    []pieceKey // as they were loaded
	dropped  map[pieceKey]int
	inFlight int64
	most     int64
	err      error // of reads
}

const pieceTime = 100 * time.Microsecond

func newFakeDisk() *fakeDisk {
	return &fakeDisk{serving: make(chan struct{}, 1), cached: map[pieceKey]bool{}, loads: map[pieceKey]int{}, dropped: map[pieceKey]int{}}
}

// each calls f for every piece of a range, with the lock held.
func (d *fakeDisk) each(fd int, off, n int64, f func(pieceKey)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := off >> pieceShift; i <= (off+n-1)>>pieceShift; i++ {
		f(pieceKey{FileID(fd), i})
	}
}

func (d *fakeDisk) device(int) (uint64, error) { return 1, nil }

func (d *fakeDisk) resident(fd int, off int64, n int) (bool, error) {
	all := true
	d.each(fd, off, int64(n), func(k pieceKey) { all = all && d.cached[k] })
	return all, nil
}

func (d *fakeDisk) load(fd int, off, n int64) error {
	d.mu.Lock()
	d.inFlight += n
	d.most = max(d.most, d.inFlight)
	d.mu.Unlock()
	d.serving <- struct{}{}
	time.Sleep(time.Duration(n>>pieceShift) * pieceTime)
	<-d.serving
	d.each(fd, off, n, func(k pieceKey) {
		if d.err == nil {
			d.loads[k]++
			d.order = append(d.order, k)
			d.cached[k] = true
		}
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inFlight -= n
	return d.err
}

func (d *fakeDisk) drop(fd int, off, n int64) error {
	d.each(fd, off, n, func(k pieceKey) { d.dropped[k]++; delete(d.cached, k) })
	return nil
}

// count counts the pieces of a file that are cached.
func (d *fakeDisk) count(file FileID) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range d.cached {
		if k.file == file {
			n++
		}
	}
	return n
}

// loadCounts returns how many pieces of a file were read, and how many of them again.
func (d *fakeDisk) loadCounts(file FileID) (once, again int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, n := range d.loads {
		if k.file == file {
			once++
			again += n - 1
		}
	}
	return once, again
}

// fakeFile is a file of a fakeDisk.
type fakeFile struct {
	id   FileID
	size int64

	mu   sync.Mutex
	pins int
	gone bool
}

var errGone = errors.New("gone")

func (f *fakeFile) Pin() (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return -1, errGone
	}
	f.pins++
	return int(f.id), nil
}

func (f *fakeFile) Unpin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pins--
}

func (f *fakeFile) held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pins
}

func (f *fakeFile) delete() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
}

// rig is a Warmer on a fakeDisk in a bubble.
type rig struct {
	*Warmer
	t    *testing.T
	disk *fakeDisk
}

// bubble runs f with a Warmer whose time and disk are fake, and expects it to leave nothing behind.
func bubble(t *testing.T, cfg Config, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeDisk()
		cfg.disk = d
		r := &rig{NewWarmer(cfg), t, d}
		f(r)
		r.Close()
		if s := r.Stats(); s.Queued != 0 || s.InFlightBytes != 0 {
			t.Errorf("left behind: %+v", s)
		}
	})
}

// settle lets everything under way come to its end.
func (r *rig) settle() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

// newFile makes a file of so many MiB that is not cached.
func (r *rig) newFile(mib int64) *fakeFile { return &fakeFile{id: NewFileID(), size: mib << 20} }

// reader goes through a file.
type reader struct {
	r     *rig
	f     *fakeFile
	off   int64
	tail  func(off int64) bool // nil: never
	waits int
}

func (r *rig) reader(f *fakeFile) *reader { return &reader{r: r, f: f} }

// ask asks for n bytes where the reader is and waits until they are ready.
func (rd *reader) ask(n int64) {
	rd.r.t.Helper()
	woken := make(chan struct{})
	rg := Range{File: rd.f, ID: rd.f.id, FD: int(rd.f.id), Off: rd.off, N: int(n), Size: rd.f.size, Tail: rd.tail != nil && rd.tail(rd.off)}
	if !rd.r.Ready(rg, func() { close(woken) }) {
		rd.waits++
		<-woken
	}
	if ok, _ := rd.r.disk.resident(rg.FD, rg.Off, rg.N); !ok && rd.r.disk.err == nil {
		rd.r.t.Errorf("file %d: %d bytes at %d are not there when they are ready", rd.f.id, n, rd.off)
	}
	rd.off += n
}

// through reads on to a position, 1 MiB at a time, taking so long for each.
func (rd *reader) through(to int64, each time.Duration) {
	rd.r.t.Helper()
	for rd.off < to {
		rd.ask(min(1<<20, to-rd.off))
		time.Sleep(each)
	}
}
