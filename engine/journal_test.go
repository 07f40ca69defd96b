package engine

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// journalConfig has a journal from the first round on that gains by one.
func journalConfig(fsys vfs.FS) Config {
	return Config{FS: fsys, stepped: true, journalAfter: 1, JournalBytes: journalFiles * 8 * journalBlock, SyncThreads: 1}
}

// journaledLogs opens a manager with n logs, and appends rounds batches to each, one round of commits after the other.
func journaledLogs(t testing.TB, fsys vfs.FS, n, rounds int) (*LogManager, []*Log) {
	t.Helper()
	return journaledLogsOf(t, journalConfig(fsys), n, rounds)
}

func journaledLogsOf(t testing.TB, cfg Config, n, rounds int) (*LogManager, []*Log) {
	t.Helper()
	m, err := tryOpen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	logs := make([]*Log, n)
	for i := range logs {
		logs[i] = create(t, m, TopicPartition{"j", int32(i)}, testLogConfig())
	}
	for r := range rounds {
		for i, l := range logs {
			appendBatch(t, l, batchSpec{value: fmt.Sprint(r, "-", i), padBytes: 40})
		}
		m.step()
	}
	return m, logs
}

// unflushed takes the power away with records that only the journal has, and returns the disk and how many each log has.
func unflushed(t testing.TB, n, rounds int) (disk *vfs.Mem, each int) {
	t.Helper()
	mem := vfs.NewMem()
	m, logs := journaledLogs(t, mem, n, rounds)
	if m.Dirs()[0].Commits.Journal.Rounds == 0 {
		t.Fatal("nothing was journaled")
	}
	disk = mem.Crash(0)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return disk, int(logs[0].LogEndOffset())
}

// Rounds that save syncs go to the journal, others do not, and a power loss takes nothing of either.
func TestJournalIsReplayed(t *testing.T) {
	disk, each := unflushed(t, 5, 6)
	short := 0
	for i := range 5 {
		if info, err := disk.Stat(fmt.Sprintf("/data/j-%d/%s.log", i, offsetFileName(0))); err != nil || info.Size < 300 {
			short++
		}
	}
	if short == 0 {
		t.Fatal("all segments were synced, so nothing is to be shown")
	}
	for range 2 { // the second start has nothing to replay
		m := openManager(t, Config{FS: disk, stepped: true})
		for i := range 5 {
			l, ok := m.Log(TopicPartition{"j", int32(i)})
			if !ok {
				t.Fatalf("log %d is gone", i)
			}
			if id, ok := l.TopicID(); !ok || id != testTID {
				t.Errorf("topic id %x %v", id, ok)
			}
			if got := batches(t, readAll(t, l, 0)); len(got) != each || l.DurableEndOffset() != int64(each) {
				t.Errorf("log %d has %d batches, not %d", i, len(got), each)
			}
		}
		if _, err := disk.Stat("/data/" + journalDirName); !isNotExist(err) {
			t.Error("the journal is still there", err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A frame continues bytes that were durable before it. If those are damaged, nothing of the log is a torn tail, although
// no checkpoint knows of them.
func TestF3JournalVouchesForWhatItContinues(t *testing.T) {
	mem := vfs.NewMem()
	m, logs := journaledLogs(t, mem, 4, 2)
	flushed := logs[1].segmentList()[0].size.Load()
	if err := m.dirs[0].flushJournal(); err != nil { // the segments are synced, and their frames not needed any more
		t.Fatal(err)
	}
	for _, l := range logs {
		appendBatch(t, l, batchSpec{value: "more"})
	}
	m.step()
	for name, hurt := range map[string]func(b []byte) []byte{
		"bit":  func(b []byte) []byte { b[flushed-3] ^= 1; return b },
		"zero": func(b []byte) []byte { clear(b[flushed/2 : flushed]); return b },
	} {
		disk := mem.Crash(0)
		path := filepath.Join("/data", logs[1].tp.String(), offsetFileName(0)+".log")
		b, err := vfs.ReadFile(disk, path, 1<<20)
		if err == nil {
			err = vfs.WriteFile(disk, path, hurt(b))
		}
		if err != nil {
			t.Fatal(err)
		}
		again := openManager(t, Config{FS: disk, stepped: true})
		l, _ := again.Log(logs[1].tp)
		if err := l.Load(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if l, _ = again.Log(logs[2].tp); len(batches(t, readAll(t, l, 0))) != 3 {
			t.Errorf("%s: another log has suffered", name)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// Large batches go straight to their segments, and those of one log already when they are of medium size.
func TestJournalIsForSmallWrites(t *testing.T) {
	small := journalConfig(vfs.NewMem())
	small.JournalBytes = journalFiles << 20
	m, logs := journaledLogsOf(t, small, 4, 4)
	defer m.Close()
	rounds := func() uint64 { return m.Dirs()[0].Commits.Journal.Rounds }
	cfg := testLogConfig()
	cfg.SegmentBytes = 1 << 30
	for _, l := range logs {
		l.SetConfig(cfg)
	}
	for _, c := range []struct {
		name      string
		logs      []*Log
		padBytes  int
		journaled uint64
	}{
		{"small batch of one log", logs[:1], 0, 1},
		{"medium batch of one log", logs[:1], 2 * journalLoneBytes, 0},
		{"small batches of several logs", logs, 0, 1},
		{"medium batches of several logs", logs, 2 * journalLoneBytes, 1},
		{"large batches of several logs", logs, 3 * journalBytesPerSync, 0},
	} {
		before := rounds()
		for _, l := range c.logs {
			appendBatch(t, l, batchSpec{padBytes: c.padBytes})
		}
		m.step()
		if got := rounds() - before; got != c.journaled {
			t.Errorf("%s: %d rounds went to the journal, want %d", c.name, got, c.journaled)
		}
	}
}

// A clean stop leaves what Kafka expects, and nothing else.
func TestJournalGoesWithACleanStop(t *testing.T) {
	mem := vfs.NewMem()
	m, logs := journaledLogs(t, mem, 4, 5)
	if _, err := mem.Stat("/data/" + journalDirName); err != nil {
		t.Fatal(err)
	}
	end := logs[0].LogEndOffset()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{journalDirName, journalGoneName} {
		if _, err := mem.Stat("/data/" + name); !isNotExist(err) {
			t.Error(name, err)
		}
	}
	disk := mem.Crash(0) // everything of it was synced
	m = openManager(t, Config{FS: disk, stepped: true})
	defer m.Close()
	for _, l := range m.Logs() {
		if got := batches(t, readAll(t, l, 0)); len(got) != int(end) {
			t.Errorf("%d batches, want %d", len(got), end)
		}
	}
}

// A directory that was cleanly stopped by somebody else after our crash must not be written over by our journal.
func TestJournalOfAnotherTimeIsRefused(t *testing.T) {
	disk, _ := unflushed(t, 4, 4)
	if err := vfs.WriteFile(disk, "/data/"+cleanShutdownFile, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(Config{FS: disk, stepped: true}); err == nil || !errors.Is(err, ErrStorage) {
		t.Fatal(err)
	}
	if _, err := disk.Stat("/data/" + journalDirName + "/" + journalFileName(0)); err != nil {
		t.Error("the journal went", err)
	}
}

// Segments sync behind the journal, so that it never fills the disk, and the recovery points follow.
func TestJournalIsFlushed(t *testing.T) {
	mem := vfs.NewMem()
	m, logs := journaledLogs(t, mem, 4, 60)
	defer m.Close()
	s := m.Dirs()[0].Commits.Journal
	if s.Flushes == 0 || s.Rounds < 50 || s.Size > journalConfig(nil).JournalBytes {
		t.Errorf("%+v", s)
	}
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	points, err := readOffsetCheckpoint(mem, "/data/"+recoveryPointFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		if points[l.tp] != l.LogEndOffset() {
			t.Errorf("%s: recovery point %d, log end %d", l.tp, points[l.tp], l.LogEndOffset())
		}
	}
	if kept := m.dirs[0].journal.kept.Load(); kept != 0 {
		t.Errorf("%d segments are kept open after a flush", kept)
	}
}

// Without room beyond the reserve there is no journal, and nobody misses it.
func TestJournalTakesNothingFromTheReserve(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(1 << 20)
	cfg := journalConfig(mem)
	cfg.DiskReserveBytes = 1<<20 - 20<<10
	m, err := tryOpen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a, b := create(t, m, TopicPartition{"j", 0}, testLogConfig()), create(t, m, TopicPartition{"j", 1}, testLogConfig())
	for range 5 {
		appendBatch(t, a, batchSpec{})
		appendBatch(t, b, batchSpec{})
		m.step()
	}
	if s := m.Dirs()[0].Commits.Journal; s.Rounds != 0 || s.Size != 0 || m.Dirs()[0].Err != nil {
		t.Errorf("%+v, %v", s, m.Dirs()[0].Err)
	}
	if a.DurableEndOffset() != 5 {
		t.Error(a.DurableEndOffset())
	}
}

// Every damage to a journal is seen, or does no harm: no byte of it can make a log lose acknowledged records, but those
// of the newest round, which nobody can tell from one that the crash cut short, or show others.
func TestJournalDamageAtEveryByte(t *testing.T) {
	if err := journalDamageFinding(t); err != nil {
		t.Fatal(err)
	}
}

func journalDamageFinding(t testing.TB) error {
	const logs, rounds = 3, 5
	disk, each := unflushed(t, logs, rounds)
	dir := "/data/" + journalDirName
	j, err := readJournal(disk, "/data")
	if err != nil || len(j.frames) < 3 {
		return fmt.Errorf("%d frames, %w", len(j.frames), err)
	}
	newest := j.frames[len(j.frames)-1]
	want := logBytes(t, disk.Kill(), logs)
	for i := range j.frames {
		frame := &j.frames[i]
		end := frame.where() + frame.payload
		for at := frame.off; at < end; at++ {
			for _, flip := range []byte{0x01, 0xff} {
				damaged := disk.Kill()
				if err := flipByte(damaged, filepath.Join(dir, frame.file), at, flip); err != nil {
					return err
				}
				if err := journalDamageHarmless(damaged, want, each, frame.seq == newest.seq); err != nil {
					return fmt.Errorf("byte %d of frame %d: %w", at-frame.off, frame.seq, err)
				}
			}
		}
	}
	return nil
}

// logBytes are the contents of all logs after a replay.
func logBytes(t testing.TB, disk *vfs.Mem, logs int) (all [][]byte) {
	t.Helper()
	m := openManager(t, Config{FS: disk, stepped: true})
	defer m.Close()
	for i := range logs {
		l, _ := m.Log(TopicPartition{"j", int32(i)})
		all = append(all, readAll(t, l, 0))
	}
	return all
}

func flipByte(fsys vfs.FS, path string, at int64, flip byte) error {
	f, err := fsys.OpenReadWrite(path, false)
	if err != nil {
		return err
	}
	var b [1]byte
	if _, err = f.ReadAt(b[:], at); err == nil {
		b[0] ^= flip
		_, err = f.WriteAt(b[:], at)
	}
	return errors.Join(err, f.Close())
}

// journalDamageHarmless opens a disk with a damaged journal: that must be refused, or all be there. Of the newest frame
// the round may be missing.
func journalDamageHarmless(disk *vfs.Mem, want [][]byte, each int, newest bool) error {
	m, err := tryOpen(Config{FS: disk, stepped: true})
	if errors.Is(err, ErrCorrupt) && !newest {
		return nil
	}
	if err != nil {
		return err
	}
	defer m.Close()
	if !newest {
		return errors.New("not detected")
	}
	for i := range want {
		l, ok := m.Log(TopicPartition{"j", int32(i)})
		if !ok {
			return fmt.Errorf("log %d is gone", i)
		}
		got, err := tryReadAll(l, 0)
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(want[i], got) || l.LogEndOffset() < int64(each-1) {
			return fmt.Errorf("log %d ends at %d of %d, with other records", i, l.LogEndOffset(), each)
		}
		for rest := got; len(rest) > 0; {
			var batch recordbatch.Batch
			if batch, rest, err = recordbatch.Next(rest); err != nil || batch.CheckCRC() != nil {
				return fmt.Errorf("log %d has a damaged batch", i)
			}
		}
	}
	return nil
}

// A replay that is interrupted begins anew, and one that is over holds.
func TestCrashDuringJournalReplay(t *testing.T) {
	if err := replayCrashes(t); err != nil {
		t.Fatal(err)
	}
}

func replayCrashes(t testing.TB) error {
	disk, each := unflushed(t, 4, 6)
	for n := 0; ; n++ {
		mem := disk.Kill()
		fault := vfs.NewFault(mem)
		fault.CrashAfter(n)
		m, err := tryOpen(Config{FS: fault, stepped: true, SyncThreads: 1})
		finished := err == nil && !fault.Crashed()
		for seed := range uint64(6) {
			if err := allThere(mem.Crash(seed), 4, each); err != nil {
				return fmt.Errorf("operation %d, seed %d: %w", n, seed, err)
			}
		}
		if err == nil {
			_ = m.Close() // refused, or unrecovered
		}
		if finished {
			return nil
		}
	}
}

// allThere opens a disk and looks for so many batches in each of so many logs.
func allThere(disk *vfs.Mem, logs, each int) error {
	m, err := tryOpen(Config{FS: disk, stepped: true})
	if err != nil {
		return err
	}
	defer m.Close()
	if n := len(m.Logs()); n != logs {
		return fmt.Errorf("%d logs", n)
	}
	for _, l := range m.Logs() {
		if end := l.LogEndOffset(); end != int64(each) {
			return fmt.Errorf("%s ends at %d, not %d", l.tp, end, each)
		}
	}
	return nil
}

// FuzzJournalFrame reads frames out of anything.
func FuzzJournalFrame(f *testing.F) {
	disk, _ := unflushed(f, 3, 4)
	j, err := readJournal(disk, "/data")
	if err != nil {
		f.Fatal(err)
	}
	for i := range j.frames {
		b, err := vfs.ReadFile(disk, filepath.Join(j.dir, j.frames[i].file), 1<<20)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[j.frames[i].off:][:j.frames[i].size()], true)
	}
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if len(b) > 1<<16 {
			return
		}
		if sealed { // else nothing gets past the checksum
			sealJournalHeader(b)
		}
		mem := vfs.NewMem()
		if err := errors.Join(mem.MkdirAll("/data/"+journalDirName), vfs.WriteFile(mem, "/data/"+journalDirName+"/"+journalFileName(0), b)); err != nil {
			t.Fatal(err)
		}
		j, err := readJournal(mem, "/data")
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		for i := range j.frames {
			again := make([]byte, journalHeaderBytes+j.frames[i].table)
			j.frames[i].encode(again)
			if !bytes.Equal(again, b[j.frames[i].off:][:len(again)]) {
				t.Fatalf("%x was read as %+v", again, j.frames[i])
			}
		}
		m, err := tryOpen(Config{FS: mem, stepped: true})
		if err != nil {
			return
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
