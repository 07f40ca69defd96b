package engine

import (
	"errors"
	"path/filepath"
	"testing"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// flipLog flips a byte of a log file.
func flipLog(t *testing.T, mem *vfs.Mem, base, at int64) {
	t.Helper()
	f, err := mem.OpenReadWrite("/data/t-0/"+offsetFileName(base)+".log", false)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// A flipped bit in a record is found by the scrub, with its place; readers get an error there and all else.
func TestF3ScrubFindsDamage(t *testing.T) {
	mem, _ := damageDisk(t, true)
	m := openManager(t, Config{FS: mem, stepped: true})
	defer m.Close()
	l, _ := m.Log(testTP)
	m.scrub.pass(m.dirs[0])
	if s := m.ScrubStats(); s.Damaged != 0 || s.Passes != 1 || int64(s.Bytes) != l.Size() {
		t.Fatalf("%+v of a good log of %d bytes", s, l.Size())
	}
	segments := l.Segments()
	base := segments[1].BaseOffset
	bad := batches(t, readAll(t, l, base))[2]
	f, err := l.segmentList()[1].acquire()
	if err != nil {
		t.Fatal(err)
	}
	at, _, err := l.segmentList()[1].locate(f, bad.BaseOffset(), segments[1].Size, false)
	l.segmentList()[1].release()
	if err != nil {
		t.Fatal(err)
	}
	flipLog(t, mem, base, at.position+70)
	for range 2 { // a second pass finds nothing new
		m.scrub.pass(m.dirs[0])
		if s := m.ScrubStats(); s.Damaged != 1 {
			t.Fatalf("%+v", s)
		}
	}
	info, err := l.Read(base, 1<<20, l.LogEndOffset(), true)
	if err != nil || int64(info.Size) != at.position {
		t.Fatalf("read up to the damage: %+v, %v, want %d bytes", info, err, at.position)
	}
	info.Range.Release()
	if _, err := l.Read(bad.BaseOffset(), 1<<20, l.LogEndOffset(), true); !errors.Is(err, ErrCorrupt) || errors.Is(err, ErrStorage) {
		t.Fatalf("read at the damage: %v", err)
	}
	got := readAll(t, l, bad.NextOffset())
	if b, _, err := recordbatch.Next(got); err != nil || b.BaseOffset() != bad.NextOffset() {
		t.Fatalf("read behind the damage: %v", err)
	}
	if _, err := l.AppendAsLeader(batchSpec{}.build(t), AppendOptions{LeaderEpoch: 9}); err != nil {
		t.Fatalf("append to a log with damage elsewhere: %v", err)
	}
}

// A header that is no header is damage up to the next batch the index knows.
func TestF3ScrubSurvivesABadHeader(t *testing.T) {
	mem, _ := damageDisk(t, true)
	m := openManager(t, Config{FS: mem, stepped: true})
	defer m.Close()
	l, _ := m.Log(testTP)
	if err := l.ensureLoaded(); err != nil {
		t.Fatal(err)
	}
	base := l.Segments()[0].BaseOffset
	flipLog(t, mem, base, 16) // magic
	m.scrub.pass(m.dirs[0])
	if s := m.ScrubStats(); s.Damaged != 1 || int64(s.Bytes) >= l.Size() || int64(s.Bytes) < l.Size()/2 {
		t.Fatalf("%+v", s)
	}
}

// A pass that is interrupted goes on, after a restart, where it was.
func TestScrubResumes(t *testing.T) {
	mem, _ := damageDisk(t, true)
	clock := newManualClock()
	m := openManager(t, Config{FS: mem, Clock: clock, stepped: true})
	l, _ := m.Log(testTP)
	segments := l.Segments()
	var skipped int64
	for _, s := range segments[:2] {
		skipped += s.Size
	}
	m.scrub.note(m.dirs[0], map[TopicPartition]int64{testTP: segments[2].BaseOffset})
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openManager(t, Config{FS: mem, Clock: clock, stepped: true})
	defer m.Close()
	l, _ = m.Log(testTP)
	if due := m.scrub.due(m.dirs[0]); due > 0 {
		t.Fatalf("goes on in %v", due)
	}
	m.scrub.pass(m.dirs[0])
	if s := m.ScrubStats(); int64(s.Bytes) != l.Size()-skipped || s.Passes != 1 {
		t.Fatalf("%+v, skipped %d of %d", s, skipped, l.Size())
	}
	if due := m.scrub.due(m.dirs[0]); due <= 0 {
		t.Fatal("the next pass begins at once")
	}
	m.scrub.pass(m.dirs[0])
	if s := m.ScrubStats(); int64(s.Bytes) != 2*l.Size()-skipped {
		t.Fatalf("the next pass does not begin at the beginning: %+v", s)
	}
}

// A new directory has nothing to check. That it is looked at in a week is written when the start is over, whose first syncs
// are for its clients.
func TestScrubOfANewDirectory(t *testing.T) {
	mem, clock := vfs.NewMem(), newManualClock()
	m := openManager(t, Config{FS: mem, Clock: clock, stepped: true})
	defer m.Close()
	noted := func() bool {
		_, err := mem.Stat(filepath.Join(m.dirs[0].path, scrubCheckpointFile))
		return err == nil
	}
	if due := m.scrub.due(m.dirs[0]); due != scrubCheckpointInterval || noted() {
		t.Errorf("at the start: due in %v, written %v", due, noted())
	}
	clock.Advance(scrubCheckpointInterval)
	if due := m.scrub.due(m.dirs[0]); due != m.cfg.ScrubInterval || !noted() {
		t.Errorf("later: due in %v, written %v", due, noted())
	}
}
