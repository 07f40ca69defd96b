package engine

import (
	"testing"

	"kserver/engine/vfs"
)

// A log that nothing was appended to between two checkpoints lets go of what it can read again, and goes on.
func TestTrimmedLogGoesOn(t *testing.T) {
	m := openManager(t, Config{FS: vfs.NewMem(), stepped: true})
	cfg := testLogConfig()
	cfg.FlushMessages = 1 << 40
	cfg.SegmentBytes, cfg.SegmentIndexBytes, cfg.IndexIntervalBytes = 1<<20, 1<<20, 100
	l := create(t, m, TopicPartition{"t", 0}, cfg)
	const batchesEach = indexTailEntries + 10 // some entries are in the file, some are not
	check := func(n int) {
		t.Helper()
		if got := batches(t, readAll(t, l, 0)); len(got) != n {
			t.Fatalf("%d batches, want %d", len(got), n)
		}
		for offset := range int64(n) {
			info, err := l.Read(offset, 1, int64(n), true)
			if err != nil || info.StartOffset != offset {
				t.Fatalf("read of %d: %+v, %v", offset, info, err)
			}
			info.Range.Release()
		}
	}
	for round := 1; round <= 2; round++ {
		for range batchesEach {
			appendBatch(t, l, batchSpec{padBytes: 200})
		}
		entries := l.segments[0].offsets.count()
		for checkpoint := range 3 {
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			if trimmed := l.recent.ring == nil; trimmed != (checkpoint > 0) {
				t.Errorf("round %d, checkpoint %d: trimmed %v", round, checkpoint, trimmed)
			}
			check(round * batchesEach)
		}
		if n := l.segments[0].offsets.count(); n != entries || n <= indexTailEntries {
			t.Errorf("%d entries, were %d", n, entries)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}
