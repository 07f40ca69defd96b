package adopt

import (
	"errors"
	"path/filepath"
	"testing"

	"kserver/engine/vfs"
	"kserver/internal/fuzzing"
	"kserver/protocol/recordbatch"
)

// FuzzReadControlRecord: a control record is read or refused by name, in memory that follows its length.
func FuzzReadControlRecord(f *testing.F) {
	for voters := range 3 {
		key, value := leaderChange(voters)
		f.Add(key, value)
	}
	f.Add([]byte{0, 0, 0, controlVoters}, []byte{0, 0, 2, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 2, 2, 'c', 2, 'h', 35, 132, 0, 0, 0, 0, 1, 0, 0})
	f.Add([]byte{0, 0, 0, controlKRaftVersion}, []byte{0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var c controlRecord
		var err error
		fuzzing.Bounded(t, 64*uint64(len(value)), func() { c, err = readControlRecord(key, value) })
		if err != nil && !errors.Is(err, errControlRecord) || c.voters < 0 || c.voters > len(value)/4 {
			t.Fatalf("%+v: %v", c, err)
		}
	})
}

// FuzzReadKRaftLog: a metadata log with a snapshot is read or refused as damaged; what was read is written again and
// leads to the same end.
func FuzzReadKRaftLog(f *testing.F) {
	golden := goldenFS(f)
	dir := filepath.Join(goldenDir, metadataDir)
	entries, err := golden.List(dir)
	if err != nil {
		f.Fatal(err)
	}
	var segment, snapshot []byte
	for _, e := range entries {
		b, err := vfs.ReadFile(golden, filepath.Join(dir, e.Name), 1<<20)
		if err != nil {
			f.Fatal(err)
		}
		switch filepath.Ext(e.Name) {
		case segmentSuffix:
			segment = append([]byte(nil), b...)
		case snapshotSuffix:
			snapshot = append([]byte(nil), b...)
		}
	}
	f.Add(segment, snapshot, int64(0), int64(0))
	f.Add(segment, []byte(nil), int64(0), int64(-1))
	f.Fuzz(func(t *testing.T, segment, snapshot []byte, base, snapshotEnd int64) {
		fsys := vfs.NewMem()
		if err := fsys.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		rebase(segment, base)
		if base >= 0 {
			if err := vfs.WriteFile(fsys, filepath.Join(dir, offsetName(base)+segmentSuffix), segment); err != nil {
				t.Fatal(err)
			}
		}
		if snapshotEnd >= 0 {
			if err := vfs.WriteFile(fsys, filepath.Join(dir, offsetName(snapshotEnd)+"-0000000001"+snapshotSuffix), snapshot); err != nil {
				t.Fatal(err)
			}
		}
		l, err := readKRaftLog(fsys, dir, "c")
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if l.end < max(snapshotEnd, 0) || l.draft.Image() == nil {
			t.Fatalf("%+v", l)
		}
	})
}

// rebase makes the checksums of a segment's batches true, so that the fuzzer gets behind them, and the first batch
// begin at base.
func rebase(b []byte, base int64) {
	for first := true; len(b) > 0; first = false {
		batch, rest, err := recordbatch.Next(b)
		if err != nil {
			return
		}
		if first {
			batch.SetBaseOffset(base)
		}
		batch.UpdateCRC()
		b = rest
	}
}
