package engine

import (
	"os"
	"path/filepath"
	"testing"

	"kserver/internal/heaptest"
)

// What a partition of three segments may take of the heap, in bytes. Nearly all of a large node's partitions are not
// used between two starts.
const (
	maxUnusedLogBytes = 900  // nobody has used it since the start, whatever the stop before it was like
	maxLoadedLogBytes = 2900 // somebody has read it, and its files are still open
)

func TestMemoryPerLog(t *testing.T) {
	const logs = 300
	dir := t.TempDir()
	clean, killed := filepath.Join(dir, "clean"), filepath.Join(dir, "killed")
	m := openManager(t, Config{Dirs: []string{clean}, stepped: true})
	cfg := testLogConfig()
	cfg.FlushMessages = 1 << 40 // no sync for each
	cfg.SegmentBytes = 1500
	for i := range logs {
		l := create(t, m, TopicPartition{"m", int32(i)}, cfg)
		for n := range int32(6) {
			appendBatch(t, l, batchSpec{pid: 4, seq: n, padBytes: 500})
		}
		if n := len(l.segmentList()); n != 3 {
			t.Fatalf("%d segments", n)
		}
	}
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(killed, os.DirFS(clean)); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, dir string }{{"clean stop", clean}, {"kill", killed}} {
		before := heaptest.InUse()
		m := openManager(t, Config{Dirs: []string{tc.dir}, stepped: true})
		m.step()
		if d := m.Dirs()[0]; d.UnrecoveredLogs != 0 || d.RecoveredLogs != 0 && tc.dir == clean || d.RecoveredLogs != logs && tc.dir == killed {
			t.Fatalf("%s: %+v", tc.name, d)
		}
		for _, l := range m.Logs() {
			l.SetConfig(cfg)
		}
		unused := (heaptest.InUse() - before) / logs
		for _, l := range m.Logs() {
			if got := batches(t, readAll(t, l, 0)); len(got) != 6 {
				t.Fatalf("%s: %d batches", tc.name, len(got))
			}
		}
		loaded := (heaptest.InUse() - before) / logs
		t.Logf("after a %s: %d bytes each unused, %d loaded", tc.name, unused, loaded)
		if unused > maxUnusedLogBytes || loaded > maxLoadedLogBytes {
			t.Errorf("after a %s a log takes %d bytes, %d once it is loaded", tc.name, unused, loaded)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
