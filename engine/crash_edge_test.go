package engine

import (
	"testing"

	"kserver/engine/vfs"
)

// A truncation into a batch ends the log below the offset asked for, and so must the recovery point, whenever the power
// goes: else the log would count as one that lost durable records.
func TestCrashInTruncationWithinABatch(t *testing.T) {
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		fault := vfs.NewFault(mem)
		m := openManager(t, Config{FS: fault, stepped: true})
		l := create(t, m, testTP, testLogConfig())
		for range 3 {
			appendBatch(t, l, batchSpec{records: 3})
		}
		m.step()
		if err := m.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		fault.CrashAfter(n)
		err := l.TruncateTo(4)
		finished := err == nil && !fault.Crashed()
		fault.CrashAfter(0)
		_ = m.Close() // refused
		for seed := range uint64(8) {
			again := openManager(t, Config{FS: mem.Crash(seed), stepped: true})
			l, _ := again.Log(testTP)
			if err := l.Load(); err != nil {
				t.Fatalf("operation %d, seed %d: %v", n, seed, err)
			}
			if end := l.LogEndOffset(); end != 9 && end != 3 || finished && end != 3 {
				t.Fatalf("operation %d, seed %d: ends at %d", n, seed, end)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if finished {
			return
		}
	}
}

// A crash may forget names that are not durable in any selection, but not the first segment alone.
func TestCrashKeepsNoSecondSegmentAlone(t *testing.T) {
	mem := vfs.NewMem()
	m := openManager(t, Config{FS: mem, stepped: true})
	defer m.Close()
	l := create(t, m, testTP, testLogConfig())
	for len(l.segmentList()) < 3 {
		appendBatch(t, l, batchSpec{padBytes: 300})
	}
	for seed := range uint64(200) {
		after := openManager(t, Config{FS: mem.Crash(seed), stepped: true})
		if l, found := after.Log(testTP); found && l.LogStartOffset() != 0 {
			t.Fatalf("seed %d: the log begins at %d", seed, l.LogStartOffset())
		}
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
