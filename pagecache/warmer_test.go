package pagecache

import (
	"errors"
	"sync"
	"testing"
	"time"
)

const mib = 1 << 20

func TestColdRangeIsReadOffTheCaller(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		f := r.newFile(100)
		began, woken := time.Now(), 0
		rg := Range{File: f, ID: f.id, FD: int(f.id), Off: 10*mib + 100, N: mib, Size: f.size}
		if r.Ready(rg, func() { woken++ }) {
			t.Fatal("ready although nothing is cached")
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the caller waited %v", took)
		}
		r.settle()
		if woken != 1 {
			t.Errorf("woken %d times", woken)
		}
		if n, _ := r.disk.loadCounts(f.id); n != 5 { // an unaligned MiB
			t.Errorf("%d pieces were read for a first range", n)
		}
		if !r.Ready(rg, func() { t.Error("woken although ready") }) {
			t.Error("not ready after it was read")
		}
		if f.held() != 0 {
			t.Errorf("%d pins left", f.held())
		}
		if s := r.Stats(); s.Warmed != 1 || s.Resident != 1 || s.WarmedBytes != 5*pieceBytes || s.AheadBytes != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A reader that goes on is read ahead of: it waits only until enough is.
func TestReaderIsReadAheadOf(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		rd := r.reader(r.newFile(100))
		rd.through(rd.f.size, 500*time.Microsecond) // the disk takes 400 us for as much
		if rd.waits > 6 {
			t.Errorf("waited %d times in 100 MiB", rd.waits)
		}
		if n, again := r.disk.loadCounts(rd.f.id); n != 400 || again != 0 {
			t.Errorf("%d of 400 pieces were read, %d again", n, again)
		}
	})
}

// One reader gets all the disk has: the time of reading is the disk's.
func TestReaderKeepsTheDiskBusy(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		began := time.Now()
		rd := r.reader(r.newFile(200))
		rd.through(rd.f.size, 100*time.Microsecond)
		if took, least := time.Since(began), 800*pieceTime; took > least*11/10 {
			t.Errorf("took %v, the disk alone %v", took, least)
		}
	})
}

func TestWhatIsPassedIsDropped(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		f := r.newFile(100)
		here := pieceKey{f.id, 40} // was there before
		r.disk.cached[here] = true
		rd := r.reader(f)
		rd.through(f.size, time.Millisecond)
		r.settle()
		if n := r.disk.count(f.id); n > passedLag+passedBehind/pieceBytes+dropAtOnce+1 {
			t.Errorf("%d pieces are still cached", n)
		}
		if r.disk.dropped[here] != 0 || !r.disk.cached[here] {
			t.Error("a piece was dropped that the reader had not brought in")
		}
		if s := r.Stats(); s.DroppedBytes < 80*mib {
			t.Errorf("%+v", s)
		}
		if f.held() != 0 {
			t.Errorf("%d pins left", f.held())
		}
	})
}

// A reader that reaches the tail drops nothing there, and goes on without dropping.
func TestReaderAtTheTailStopsDropping(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		f := r.newFile(100)
		rd := r.reader(f)
		tail := int64(60 * mib)
		rd.tail = func(off int64) bool { return off >= tail }
		rd.through(f.size, time.Millisecond)
		before := r.Stats().DroppedBytes
		other := r.reader(r.newFile(100)) // gives the device occasions to drop
		other.through(other.f.size, time.Millisecond)
		r.settle()
		for k, n := range r.disk.dropped {
			if k.file == f.id && n > 0 && k.offset() >= tail {
				t.Errorf("piece %d of the tail was dropped", k.index)
			}
		}
		if before < 40*mib {
			t.Errorf("only %d bytes were dropped before the tail", before)
		}
		if n := r.disk.count(f.id); n != 160 {
			t.Errorf("%d pieces are cached, the tail has 160", n)
		}
	})
}

// A reader that follows another finds what that one has read, and only the last one drops it.
func TestReadersNearEachOtherShare(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		f := r.newFile(200)
		first, second := r.reader(f), r.reader(f)
		first.through(20*mib, time.Millisecond)
		var wg sync.WaitGroup
		for _, rd := range []*reader{first, second} {
			wg.Go(func() { rd.through(f.size, time.Millisecond) })
		}
		wg.Wait()
		r.settle()
		// The first had 8 MiB behind it dropped before the second came.
		if n, again := r.disk.loadCounts(f.id); n != 800 || again > 80 {
			t.Errorf("%d of 800 pieces were read, %d again", n, again)
		}
		if n := r.disk.count(f.id); n > passedLag+passedBehind/pieceBytes+dropAtOnce+1 {
			t.Errorf("%d pieces are still cached when both have passed", n)
		}
		if s := r.Stats(); s.Readers != 2 {
			t.Errorf("%d readers", s.Readers)
		}
	})
}

// Two that ask for the same range wait for the same reads.
func TestSameRangeIsReadOnce(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		f := r.newFile(10)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { r.reader(f).ask(mib) })
		}
		wg.Wait()
		if n, again := r.disk.loadCounts(f.id); again != 0 {
			t.Errorf("%d pieces were read, %d again", n, again)
		}
		if s := r.Stats(); s.Readers != 1 {
			t.Errorf("%d readers at one place", s.Readers)
		}
	})
}

// Readers that stop, with data read ahead of them, take nothing from one that goes on.
func TestSlowReadersPinNothing(t *testing.T) {
	bubble(t, Config{ReadAheadBytes: 16 * mib}, func(r *rig) {
		for range 100 {
			slow := r.reader(r.newFile(100))
			slow.through(4*mib, 0)
		}
		time.Sleep(2 * readingNow)
		r.settle()
		if s := r.Stats(); s.InFlightBytes != 0 || s.Queued != 0 {
			t.Errorf("budget held by readers that ask for nothing: %+v", s)
		}
		began := time.Now()
		rd := r.reader(r.newFile(100))
		rd.through(rd.f.size, 100*time.Microsecond)
		if took, least := time.Since(began), 400*pieceTime; took > least*11/10 {
			t.Errorf("took %v beside readers that have stopped, the disk alone %v", took, least)
		}
	})
}

// What is read at a time is bounded however many readers there are, and each gets its turn.
func TestBudgetHoldsUnderAThousandReaders(t *testing.T) {
	for _, tt := range []struct {
		name    string
		commits bool
		budget  int64
	}{{"shared", true, 512 << 10}, {"alone", false, 2 * mib}} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Config{}, func(r *rig) {
				d := r.deviceLocked(1)
				stop := make(chan struct{})
				var commits, wg sync.WaitGroup
				if tt.commits {
					d.commits.Begin()
					d.commits.End()
					commits.Go(func() {
						for {
							select {
							case <-stop:
								return
							case <-time.After(sharedFor / 2):
								d.commits.Begin()
								d.commits.End()
							}
						}
					})
				}
				for range 1000 {
					wg.Go(func() { r.reader(r.newFile(10)).through(4*mib, 0) })
				}
				wg.Wait()
				close(stop)
				commits.Wait()
				r.settle()
				if r.disk.most > tt.budget || r.disk.most < tt.budget/2 {
					t.Errorf("%d bytes were read at a time, the budget is %d", r.disk.most, tt.budget)
				}
				if s := r.Stats(); s.MostInFlight != r.disk.most || s.Stalled != 0 || s.Queued != 0 {
					t.Errorf("%+v", s)
				}
				// When the last file has had its first piece, none has had much more than its share.
				seen, had, most := map[FileID]bool{}, map[FileID]int{}, 0
				for _, k := range r.disk.order {
					seen[k.file] = true
					had[k.file]++
					most = max(most, had[k.file])
					if len(seen) == 1000 {
						break
					}
				}
				if len(seen) != 1000 || most > 2*aloneJobPieces {
					t.Errorf("%d files, one had %d pieces before the last had any", len(seen), most)
				}
			})
		})
	}
}

// The file goes while a read is under way, and while others wait.
func TestFileDeletedWhileItIsRead(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		f := r.newFile(100)
		var wg sync.WaitGroup
		for i := range int64(20) {
			rd := r.reader(f)
			rd.off = i * 4 * mib
			wg.Go(func() {
				woken := make(chan struct{})
				if !r.Ready(Range{File: f, ID: f.id, FD: int(f.id), Off: rd.off, N: mib, Size: f.size}, func() { close(woken) }) {
					<-woken
				}
			})
		}
		time.Sleep(pieceTime / 2)
		if f.held() == 0 {
			t.Error("nothing is being read")
		}
		f.delete()
		wg.Wait() // all are woken
		if s := r.Stats(); s.Errors == 0 || f.held() != 0 {
			t.Errorf("%+v, %d pins", s, f.held())
		}
	})
}

func TestFailedReadWakesAndIsForgotten(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		f := r.newFile(10)
		r.disk.err = errors.New("bad sector")
		r.reader(f).ask(mib)
		r.settle()
		if s := r.Stats(); s.Errors == 0 || s.WarmedBytes != 0 {
			t.Errorf("%+v", s)
		}
		r.disk.err = nil
		again := r.reader(f)
		if again.ask(mib); again.waits != 1 {
			t.Error("taken for cached after its read had failed")
		}
	})
}

// Reads make way for commits, but not for ever.
func TestReadsYieldToCommits(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		c := &r.deviceLocked(1).commits
		f := r.newFile(10)
		rd := r.reader(f)
		rd.off = mib // nothing is read ahead of who begins here
		began := time.Now()
		c.Begin()
		time.AfterFunc(300*time.Microsecond, c.End)
		rd.ask(pieceBytes)
		if took := time.Since(began); took != 300*time.Microsecond+pieceTime {
			t.Errorf("a read beside a commit of 300 us took %v", took)
		}
		rd = r.reader(r.newFile(10))
		rd.off = mib
		began = time.Now()
		c.Begin()
		rd.ask(pieceBytes)
		if took := time.Since(began); took != commitYield+pieceTime {
			t.Errorf("a read beside a commit without end took %v", took)
		}
		c.End()
		if s := r.Stats(); s.Yields < 2 || s.Yielded < 300*time.Microsecond+commitYield {
			t.Errorf("%+v", s)
		}
		var none *Commits
		none.Begin()
		none.End()
	})
}

// Beside commits the disk has less to do at a time.
func TestLessInFlightBesideCommits(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		r.reader(r.newFile(20)).through(20*mib, 0)
		r.settle()
		if r.disk.most != 2*mib {
			t.Errorf("%d bytes at a time alone", r.disk.most)
		}
		r.disk.most = 0
		c := &r.deviceLocked(1).commits
		c.Begin()
		c.End()
		r.reader(r.newFile(20)).through(20*mib, 0)
		r.settle()
		if r.disk.most != 512<<10 {
			t.Errorf("%d bytes at a time beside commits", r.disk.most)
		}
	})
}

// What was evicted behind our back is a surprise only once, and a slow send that had another reason costs nothing.
func TestMissedIsFoundOut(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		f := r.newFile(100)
		r.reader(f).through(10*mib, 0)
		r.settle()
		r.Missed(f.id) // not so
		rd := r.reader(f)
		rd.through(10*mib, time.Millisecond)
		if s := r.Stats(); rd.waits != 0 || s.Missed != 0 {
			t.Errorf("%d waits for what is there, %+v", rd.waits, s)
		}
		clear(r.disk.cached)
		r.Missed(f.id)
		rd = r.reader(f)
		rd.off = 8 * mib
		rd.through(50*mib, time.Millisecond)
		if rd.waits == 0 || rd.waits > 8 {
			t.Errorf("waited %d times", rd.waits)
		}
		if s := r.Stats(); s.Missed != 1 || len(r.suspects) != 0 {
			t.Errorf("%+v, suspects %v", s, r.suspects)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	bubble(t, Config{MaxQueuedBytes: 8 * pieceBytes, InFlightBytes: 1, AloneInFlightBytes: 1}, func(r *rig) {
		f, ready, woken := r.newFile(1000), 0, 0
		for i := range int64(20) {
			if r.Ready(Range{File: f, ID: f.id, FD: int(f.id), Off: i * 10 * mib, N: mib, Size: f.size}, func() { woken++ }) {
				ready++
			}
		}
		if s := r.Stats(); ready == 0 || s.Stalled != uint64(ready) || s.Queued > 8 {
			t.Errorf("%d were let through, %+v", ready, s)
		}
		r.Close()
		r.settle()
		if woken != 20-ready {
			t.Errorf("%d of %d were woken", woken, 20-ready)
		}
	})
}

func TestReadersAreBounded(t *testing.T) {
	bubble(t, Config{MaxReaders: 10}, func(r *rig) {
		f := r.newFile(1000)
		for i := range int64(50) {
			rd := r.reader(f)
			rd.off = i * 10 * mib
			rd.ask(pieceBytes)
		}
		if s := r.Stats(); s.Readers != 10 {
			t.Errorf("%d readers", s.Readers)
		}
	})
}

// A log that is cached costs no reads and no readers.
// Who has been silent for long is forgotten when others read, and its file is not held on to: it may be deleted.
func TestSilentReadersAreForgotten(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		for range 5 {
			r.reader(r.newFile(1)).ask(mib)
		}
		time.Sleep(streamKept - time.Second)
		on := r.reader(r.newFile(10))
		on.ask(mib)
		if s := r.Stats(); s.Readers != 6 {
			t.Fatalf("%d readers", s.Readers)
		}
		time.Sleep(2 * time.Second)
		on.ask(mib)
		if s := r.Stats(); s.Readers != 1 || len(r.streams.files) != 1 {
			t.Errorf("%d readers of %d files", s.Readers, len(r.streams.files))
		}
	})
}

func TestCachedFileIsLeftAlone(t *testing.T) {
	bubble(t, Config{}, func(r *rig) {
		f := r.newFile(50)
		for i := range f.size >> pieceShift {
			r.disk.cached[pieceKey{f.id, i}] = true
		}
		rd := r.reader(f)
		rd.through(f.size, 0)
		if s := r.Stats(); rd.waits != 0 || s.Readers != 0 || s.WarmedBytes != 0 || s.Resident != 50 {
			t.Errorf("%d waits, %+v", rd.waits, s)
		}
	})
}

func TestRangeWithoutDescriptorIsReady(t *testing.T) {
	w := NewWarmer(Config{})
	defer w.Close()
	if !w.Ready(Range{FD: -1, N: 100}, func() { t.Error("woken") }) {
		t.Fatal("not ready")
	}
}

// A steady reader costs the loop no memory.
func TestReadyAllocatesNothing(t *testing.T) {
	d := newFakeDisk()
	w := NewWarmer(Config{disk: d, TrackedBytes: 10 * mib})
	defer w.Close()
	f := &fakeFile{id: NewFileID(), size: 100 * mib}
	for i := range f.size >> pieceShift {
		d.cached[pieceKey{f.id, i}] = true
	}
	off := int64(0)
	ask := func() {
		if !w.Ready(Range{File: f, ID: f.id, FD: int(f.id), Off: off, N: mib, Size: f.size}, nil) {
			t.Fatal("not ready")
		}
		off = (off + mib) % f.size
	}
	for range 200 {
		ask()
	}
	if n := testing.AllocsPerRun(1000, ask); n != 0 {
		t.Errorf("%v allocations per range", n)
	}
}
