package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// damagedDisk is what the recovery targets start from: a directory with one partition of several segments, producers
// and epochs, as a stop in order and as a kill leave it.
type damagedDisk struct {
	clean, killed *vfs.Mem
	files         []string // those that may be damaged, the partition's and the directory's
	content       []byte   // of the log, all segments
	recoveryPoint int64
}

var intactDisk = sync.OnceValue(func() *damagedDisk {
	tb := new(fakeTB)
	mem := vfs.NewMem()
	m := openManager(tb, Config{FS: mem})
	l := create(tb, m, testTP, testLogConfig())
	write := func(from, to int) {
		for i := from; i < to; i++ {
			spec := batchSpec{records: 1 + i%3, value: string(rune('a' + i)), ts: int64(1_700_000_000_000 + 1000*i), padBytes: 40 * (i % 4)}
			if i%3 == 1 {
				spec.pid, spec.seq, spec.txn = int64(1+i%2), 0, i > 12
				spec.epoch = int16(i)
			}
			if i%5 == 4 {
				spec.codec = recordbatch.CodecLZ4
			}
			if _, err := l.AppendAsLeader(spec.build(tb), AppendOptions{LeaderEpoch: int32(i / 4)}); err != nil {
				panic(err)
			}
		}
		waitDurable(tb, l, l.LogEndOffset())
	}
	write(0, 12)
	if err := m.Checkpoint(); err != nil {
		panic(err)
	}
	checked := l.LogEndOffset()
	write(12, 18)
	d := &damagedDisk{recoveryPoint: checked, content: readAll(tb, l, 0), killed: mem.Crash(1)}
	if err := m.Close(); err != nil {
		panic(err)
	}
	d.clean = mem.Crash(1)
	for _, dir := range []string{"/data/t-0", "/data"} {
		entries, err := mem.List(dir)
		if err != nil {
			panic(err)
		}
		for _, e := range entries {
			if !e.Dir && e.Name != lockFile {
				d.files = append(d.files, filepath.Join(dir, e.Name))
			}
		}
	}
	return d
})

// fakeTB lets helpers of tests make what several tests share. Their failures are panics.
type fakeTB struct{ testing.TB }

func (*fakeTB) Helper()           {}
func (*fakeTB) Fatal(args ...any) { panic(args) }

// The ways a file is damaged; an operation is seven bytes: which, two of position, two of length, two of value.
const (
	damageFlip = iota
	damageZero
	damageCut
	damageRepeat
	damageKinds
	damageBytes = 7
)

// harm applies operations to the contents of a file.
func harm(b, ops []byte) []byte {
	for ; len(ops) >= damageBytes && len(b) > 0; ops = ops[damageBytes:] {
		at := int(binary.BigEndian.Uint16(ops[1:])) % len(b)
		end := min(len(b), at+1+int(binary.BigEndian.Uint16(ops[3:]))%64)
		switch ops[0] % damageKinds {
		case damageFlip:
			b[at] ^= max(ops[5], 1)
		case damageZero:
			clear(b[at:end])
		case damageCut:
			b = b[:at]
		case damageRepeat:
			b = slices.Insert(b, end, b[at:end]...)
		}
	}
	return b
}

// FuzzRecovery damages one file of a data directory and starts on it, after a kill and after a stop in order. The
// start must not fail but for the file that names the directory's owner. A damaged index, snapshot, epoch file or
// checkpoint must cost nothing; of a damaged segment, after a kill, only whole batches with good checksums may be
// left behind the recovery point, and never may offsets go back. What is left takes appends and stays through the
// next start.
func FuzzRecovery(f *testing.F) {
	d := intactDisk()
	for i := range d.files {
		for kind := range byte(damageKinds) {
			f.Add(kind%2 == 0, byte(i), []byte{kind, 0, 20 * kind, 0, 9, 0x80, 0})
		}
	}
	f.Fuzz(func(t *testing.T, clean bool, which byte, ops []byte) {
		name := d.files[int(which)%len(d.files)]
		fsys := d.killed.Crash(1)
		if clean {
			fsys = d.clean.Crash(1)
		}
		b, err := vfs.ReadFile(fsys, name, math.MaxInt32)
		if isNotExist(err) {
			return // only in the other one
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := vfs.WriteFile(fsys, name, harm(b, ops[:min(len(ops), 4*damageBytes)])); err != nil {
			t.Fatal(err)
		}
		m, err := tryOpen(Config{FS: fsys})
		if err != nil {
			if filepath.Base(name) != metaPropertiesFile {
				t.Fatalf("%s: the start failed: %v", name, err)
			}
			return
		}
		end, ok := useDamaged(t, m, name, clean, d)
		if err := m.Close(); err != nil && ok {
			t.Fatalf("%s: close: %v", name, err)
		}
		if !ok {
			return
		}
		if m, err = tryOpen(Config{FS: fsys}); err != nil {
			t.Fatalf("%s: second start: %v", name, err)
		}
		defer m.Close()
		l, _ := m.Log(testTP)
		if err := l.Load(); errors.Is(err, ErrCorrupt) && strings.HasSuffix(name, ".log") {
			return // a start that has a reason to check more has found what the one before believed, and says so
		}
		if l.LogEndOffset() != end {
			t.Fatalf("%s: the log ends at %d, then at %d: %v", name, end, l.LogEndOffset(), l.Load())
		}
	})
}

// useDamaged looks at the log after a start, appends to it, and returns where it ends. ok is false when it may not
// be used any more.
func useDamaged(t *testing.T, m *LogManager, name string, clean bool, d *damagedDisk) (end int64, ok bool) {
	t.Helper()
	segment := strings.HasSuffix(name, ".log")
	l, found := m.Log(testTP)
	if !found {
		if filepath.Base(name) != partitionMetadataFile {
			t.Fatalf("%s: the log is gone", name)
		}
		return 0, false
	}
	base, _ := parseOffsetFileName(filepath.Base(name), ".log")
	trusted := segment && (clean || base < d.recoveryPoint) // nothing checks it at a start
	got, err := tryReadAll(l, l.LogStartOffset())
	if err != nil {
		if !trusted {
			t.Errorf("%s: read: %v", name, err)
		}
		return 0, false
	}
	if !segment {
		if !bytes.Equal(got, d.content) && l.LogStartOffset() == 0 {
			t.Errorf("%s: %d bytes of records, want %d", name, len(got), len(d.content))
		}
	}
	next := int64(-1)
	for rest := got; len(rest) > 0 && !trusted; {
		b, tail, err := recordbatch.Next(rest)
		if err != nil {
			t.Fatalf("%s: what was read is no batch: %v", name, err)
		}
		if err := b.CheckCRC(); err != nil || b.BaseOffset() < next {
			t.Errorf("%s: offset %d after %d, %v", name, b.BaseOffset(), next, err)
		}
		next, rest = b.NextOffset(), tail
	}
	last := l.LogEndOffset()
	for offset := l.LogStartOffset(); offset < last && !segment; offset++ { // each of them asks the indexes
		info, err := l.Read(offset, 1, last, true)
		if err != nil || info.StartOffset > offset || info.Range == nil {
			t.Fatalf("%s: read at %d: %+v, %v", name, offset, info, err)
		}
		first, err := readRange(info.Range)
		info.Range.Release()
		if err != nil || len(batches(t, first)) != 1 || recordbatch.Batch(first).NextOffset() <= offset {
			t.Fatalf("%s: read at %d: a batch from %d on, %v", name, offset, info.StartOffset, err)
		}
		if _, _, _, _, err := l.OffsetForTimestamp(1_700_000_000_000+offset*500, last); err != nil {
			t.Fatalf("%s: by time: %v", name, err)
		}
	}
	info, err := l.AppendAsLeader(batchSpec{value: "after", ts: 1_700_000_100_000}.build(t), AppendOptions{LeaderEpoch: 9})
	if err != nil {
		if !segment {
			t.Errorf("%s: append: %v", name, err)
		}
		return 0, false
	}
	if info.FirstOffset != last {
		t.Errorf("%s: appended at %d, the log ended at %d", name, info.FirstOffset, last)
	}
	waitDurable(t, l, info.LastOffset+1)
	if b, err := tryReadAll(l, info.FirstOffset); err != nil || len(batches(t, b)) != 1 {
		t.Errorf("%s: the new record is read as %d bytes, %v", name, len(b), err)
	}
	return l.LogEndOffset(), true
}
