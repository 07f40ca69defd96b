package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// The damage matrix: every file of a log directory is hurt in every way, and the directory opened again. Files that
// follow from the log must be found out and made anew; the log itself must never lose or change a record silently.

// hurtFile is one way of damage. It returns false if it does not change this contents.
type hurtFile struct {
	name string
	hurt func(b []byte) ([]byte, bool)
}

// page is the unit in which disks lose and repeat data.
const page = 4096

// damages are the kinds of damage of a file of size bytes: single bits all over it, and whole pages.
func damages(size int) []hurtFile {
	list := []hurtFile{
		{"zero page", func(b []byte) ([]byte, bool) {
			at := len(b) / 2 / page * page
			n := min(page, len(b)-at)
			changed := !allZero(b[at : at+n])
			clear(b[at : at+n])
			return b, changed
		}},
		{"zero half", func(b []byte) ([]byte, bool) { clear(b[len(b)/2:]); return b, true }},
		{"truncate", func(b []byte) ([]byte, bool) { return b[:len(b)/2], len(b) > 0 }},
		{"truncate 1", func(b []byte) ([]byte, bool) { return b[:max(0, len(b)-1)], len(b) > 0 }},
		{"empty", func(b []byte) ([]byte, bool) { return nil, len(b) > 0 }},
		{"extend zeros", func(b []byte) ([]byte, bool) { return append(b, make([]byte, 100)...), true }},
		{"extend", func(b []byte) ([]byte, bool) { return append(b, "what is this doing here?"...), true }},
		{"duplicate", func(b []byte) ([]byte, bool) { return append(b, b...), len(b) > 0 }},
		{"duplicate within", func(b []byte) ([]byte, bool) {
			before := bytes.Clone(b)
			copy(b[len(b)/2:], before)
			return b, !bytes.Equal(before, b)
		}},
		{"swap halves", func(b []byte) ([]byte, bool) {
			swapped := append(bytes.Clone(b[len(b)/2:]), b[:len(b)/2]...)
			return swapped, !bytes.Equal(swapped, b)
		}},
		{"missing", nil},
	}
	for _, at := range []int{0, 1, size / 7, size / 5, size / 3, size / 2, size * 3 / 5, size * 5 / 7, size - 9, size - 2, size - 1} {
		if at < 0 || at >= size {
			continue
		}
		for _, bit := range []byte{0x01, 0x40} {
			list = append(list, hurtFile{fmt.Sprintf("flip %#x at %d", bit, at), func(b []byte) ([]byte, bool) {
				b[at] ^= bit
				return b, true
			}})
		}
	}
	return list
}

// flips are all single bits of a file of size bytes.
func flips(size int) (list []hurtFile) {
	for bit := range size * 8 {
		list = append(list, hurtFile{fmt.Sprintf("flip bit %d at %d", bit%8, bit/8), func(b []byte) ([]byte, bool) {
			b[bit/8] ^= 1 << (bit % 8)
			return b, true
		}})
	}
	return list
}

// damageDisk makes a log directory with everything in it: segments, epochs, producers, aborted transactions, one
// of them behind the last checkpoint, a raised log start; left by a clean stop, or by a crash some appends after the last checkpoint.
// old is the disk some appends and a checkpoint before.
func damageDisk(t testing.TB, clean bool) (mem, old *vfs.Mem) {
	mem = vfs.NewMem()
	m, err := tryOpen(Config{FS: mem, stepped: true})
	if err != nil {
		t.Fatal(err)
	}
	l := create(t, m, testTP, testLogConfig())
	txn := func(seq int32) batchSpec { return batchSpec{records: 2, value: "txn", pid: 9, seq: seq, txn: true} }
	for i := range 30 {
		spec := batchSpec{records: 2, value: "filled", ts: 1_700_000_000_000 + int64(i)*1000}
		if i%3 == 0 {
			spec.pid, spec.seq = 4, int32(i/3*2)
		}
		epoch := AppendOptions{LeaderEpoch: int32(i / 10 * 2)}
		switch i {
		case 7:
			spec = txn(0)
		case 28:
			spec = txn(2)
		}
		if _, err := l.AppendAsLeader(spec.build(t), epoch); err != nil {
			t.Fatal(err)
		}
		if i == 8 || i == 29 {
			if _, err := l.AppendAsLeader(txnMarker(t, 9, 0, false, 1_700_000_000_000), AppendOptions{LeaderEpoch: epoch.LeaderEpoch, Origin: OriginCoordinator}); err != nil {
				t.Fatal(err)
			}
		}
		m.step()
		if i == 20 {
			l.UpdateHighWatermark(l.DurableEndOffset())
			if err := l.SetLogStartOffset(3); err != nil {
				t.Fatal(err)
			}
		}
		if i == 22 {
			old = mem.Kill()
		}
		if i == 15 || i == 25 {
			l.UpdateHighWatermark(l.DurableEndOffset())
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !clean {
		mem = mem.Kill()
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return mem, old
}

// logState is everything a log shows.
type logState struct {
	start, end int64
	id         [16]byte
	idKnown    bool
	batches    map[int64][]byte // what reads return, by base offset, good batches only
	bad        int              // batches that readers see to be bad
	readErr    error            // what ended the reading
	facts      string           // epochs, producers, transactions, searches
}

// inspectLog opens the directory and looks at the log. err is that of the directory. With hurt set it looks a second
// time, at what the open log shows after that.
func inspectLog(mem *vfs.Mem, hurt func() error) (s *logState, err error) {
	m, err := tryOpen(Config{FS: mem, stepped: true})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	s = &logState{batches: map[int64][]byte{}}
	l, ok := m.Log(testTP)
	if !ok {
		s.readErr = errors.New("the log is gone")
		return s, nil
	}
	l.SetConfig(testLogConfig())
	if s.readErr = l.ensureLoaded(); s.readErr != nil {
		return s, nil
	}
	s.id, s.idKnown = l.TopicID()
	s.look(l)
	if hurt != nil {
		if err := hurt(); err != nil {
			return nil, err
		}
		s.batches, s.bad = map[int64][]byte{}, 0
		s.look(l)
	}
	return s, nil
}

// look reads all there is to see.
func (s *logState) look(l *Log) {
	s.start, s.end = l.LogStartOffset(), l.LogEndOffset()
	if s.readErr = s.readAll(l); s.readErr == nil {
		s.facts = logFacts(l)
	}
}

// readAll reads batch after batch, as consumers do: from one's end to the next, none left out.
func (s *logState) readAll(l *Log) error {
	for next := s.start; next < s.end; {
		info, err := l.Read(next, 1, s.end, true)
		if err != nil {
			return err
		}
		if info.Range == nil {
			return fmt.Errorf("nothing to read at %d", next)
		}
		b, err := readRange(info.Range)
		info.Range.Release()
		if err != nil && err != io.EOF {
			return err
		}
		batch, _, err := recordbatch.Next(b)
		if err == nil {
			err = batch.CheckCRC()
		}
		if err != nil { // the client sees it
			s.bad++
			return fmt.Errorf("%w: at %d: %w", ErrCorrupt, next, err)
		}
		if batch.BaseOffset() > next {
			return fmt.Errorf("SILENT: offset %d was skipped, the next batch is at %d", next, batch.BaseOffset())
		}
		kept := recordbatch.Batch(bytes.Clone(batch))
		kept.SetPartitionLeaderEpoch(0) // under no checksum, and no part of the records
		s.batches[batch.BaseOffset()] = kept
		next = batch.NextOffset()
	}
	return nil
}

func logFacts(l *Log) string {
	var b strings.Builder
	for epoch := range int32(6) {
		found, end := l.EndOffsetForEpoch(epoch)
		fmt.Fprintln(&b, "epoch", epoch, found, end)
	}
	for i := range int64(32) {
		offset, ts, epoch, ok, err := l.OffsetForTimestamp(1_700_000_000_000+i*1000, l.LogEndOffset())
		fmt.Fprintln(&b, "time", i, offset, ts, epoch, ok, err)
	}
	offset, ts, _, ok, err := l.MaxTimestampOffset(l.LogEndOffset())
	fmt.Fprintln(&b, "max", offset, ts, ok, err)
	aborted, err := l.AbortedTxns(0, l.LogEndOffset())
	fmt.Fprintln(&b, "aborted", aborted, err)
	again := batchSpec{records: 2, value: "filled", ts: 1_700_000_000_000 + 27*1000, pid: 4, seq: 18}
	if batch, _, err := recordbatch.Next(builtBatch(again)); err == nil {
		info, err := l.AppendAsLeader(batch, AppendOptions{LeaderEpoch: 4})
		fmt.Fprintln(&b, "duplicate", info.Duplicate, info.FirstOffset, err)
	}
	late := builtBatch(batchSpec{records: 2, pid: 4, seq: 24})
	_, err = l.AppendAsLeader(late, AppendOptions{LeaderEpoch: 4})
	fmt.Fprintln(&b, "late", errors.Is(err, ErrOutOfOrderSequence))
	return b.String()
}

// builtBatch is batchSpec.build where there is no test to fail.
func builtBatch(s batchSpec) recordbatch.Batch { return s.build(panicking{}) }

// panicking is a testing.TB for what cannot fail.
type panicking struct{ testing.TB }

func (panicking) Helper()           {}
func (panicking) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// damage hurts a file of the disk.
func (how *hurtFile) damage(mem *vfs.Mem, path string) error {
	if how.hurt == nil {
		err := mem.Remove(path)
		if isNotExist(err) { // the start has taken it away
			err = nil
		}
		return err
	}
	b, err := vfs.ReadFile(mem, path, 1<<20)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	b, changed := how.hurt(b)
	if !changed {
		return nil
	}
	return vfs.WriteFile(mem, path, b)
}

// damageCase hurts one file of a copy of the disk, before the start or while the log is open, and judges what the
// broker makes of it.
func damageCase(mem *vfs.Mem, truth *logState, path string, how hurtFile, open bool, recoveryPoint int64) error {
	mem = mem.Kill()
	var got *logState
	var err error
	if open {
		got, err = inspectLog(mem, func() error { return how.damage(mem, path) })
	} else if err = how.damage(mem, path); err == nil {
		got, err = inspectLog(mem, nil)
	}
	if err == nil {
		err = got.compare(truth, filepath.Base(path), recoveryPoint)
	} else if filepath.Base(path) == metaPropertiesFile {
		err = nil // nobody else knows whose directory it is
	}
	if err != nil {
		return fmt.Errorf("%s, %s, open %v: %w", path, how.name, open, err)
	}
	return nil
}

// compare says what was lost, or changed without notice.
func (s *logState) compare(truth *logState, file string, recoveryPoint int64) error {
	if s.readErr != nil && strings.Contains(s.readErr.Error(), "SILENT") {
		return s.readErr
	}
	for base, b := range s.batches {
		if want, ok := truth.batches[base]; base >= truth.start && (!ok || !bytes.Equal(b, want)) {
			return fmt.Errorf("another batch at offset %d", base)
		}
	}
	if s.idKnown && s.id != truth.id {
		return fmt.Errorf("topic id %x", s.id)
	}
	if strings.HasSuffix(file, ".log") {
		// It may be unreadable in part or in whole, but the log must not end early as if nothing were missing.
		if s.readErr == nil && s.end < min(recoveryPoint, truth.end) {
			return fmt.Errorf("ends at %d without an error, %d was durable", s.end, recoveryPoint)
		}
		if s.readErr != nil && !errors.Is(s.readErr, ErrCorrupt) {
			return fmt.Errorf("not told as damage: %w", s.readErr)
		}
		return nil
	}
	if s.readErr != nil {
		return fmt.Errorf("a file that can be made anew: %w", s.readErr)
	}
	// Without log-start-offset-checkpoint deleted records come back, as in Kafka: better than the other way round.
	startKnown := file != logStartFile
	if startKnown && s.start != truth.start || s.start > truth.start || s.end != truth.end {
		return fmt.Errorf("offsets [%d, %d), not [%d, %d)", s.start, s.end, truth.start, truth.end)
	}
	if startKnown && s.facts != truth.facts {
		return fmt.Errorf("shows other facts:\n%s", diffLines(truth.facts, s.facts))
	}
	return nil
}

func diffLines(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out strings.Builder
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			fmt.Fprintf(&out, "- %s\n+ %s\n", a[i], b[i])
		}
	}
	return out.String()
}

// damageMatrix runs all cases; with first set it returns at the first finding.
func damageMatrix(t testing.TB, first bool) (cases int, err error) {
	var errs []error
	for _, clean := range []bool{true, false} {
		mem, old := damageDisk(t, clean)
		truth, err := inspectLog(mem.Kill(), nil)
		if err == nil {
			err = truth.readErr
		}
		if err != nil {
			return cases, err
		}
		points, err := readOffsetCheckpoint(mem, "/data/"+recoveryPointFile)
		if err != nil {
			return cases, err
		}
		files := 0
		for _, dir := range []string{"/data", "/data/" + testTP.String()} {
			entries, err := mem.List(dir)
			if err != nil {
				return cases, err
			}
			for _, e := range entries {
				if e.Dir || e.Name == lockFile {
					continue
				}
				files++
				path := filepath.Join(dir, e.Name)
				info, err := mem.Stat(path)
				if err != nil {
					return cases, err
				}
				list := damages(int(info.Size))
				if everyBit := strings.HasSuffix(e.Name, txnIndexSuffix) || e.Name == txnSumsFile; everyBit {
					list = append(list, flips(int(info.Size))...)
				}
				if b, err := vfs.ReadFile(old, path, 1<<20); err == nil {
					list = append(list, hurtFile{"restore old", func(now []byte) ([]byte, bool) { return bytes.Clone(b), !bytes.Equal(b, now) }})
				}
				for i := range 2 * len(list) {
					cases++
					if err := damageCase(mem, truth, path, list[i/2], i%2 == 1, points[testTP]); err != nil {
						errs = append(errs, fmt.Errorf("clean %v: %w", clean, err))
						if first {
							return cases, err
						}
					}
				}
			}
		}
		if files < 17 {
			return cases, fmt.Errorf("only %d files to hurt", files)
		}
	}
	return cases, errors.Join(errs...)
}

func TestF3F4DamageMatrix(t *testing.T) {
	cases, err := damageMatrix(t, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cases", cases)
}
