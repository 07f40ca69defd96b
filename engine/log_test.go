package engine

import (
	"bytes"
	"errors"
	"testing"
)

func TestAppendReadCommitOnDisk(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dirs: []string{dir}}
	m := openManager(t, cfg)
	l := create(t, m, testTP, testLogConfig())
	var want []byte
	for i := range 40 {
		spec := batchSpec{records: 1 + i%3, value: "value"}
		info := appendBatch(t, l, spec)
		b := spec.build(t)
		b.SetBaseOffset(info.FirstOffset)
		b.SetPartitionLeaderEpoch(1)
		want = append(want, b...)
		waitDurable(t, l, info.LastOffset+1)
	}
	if got := readAll(t, l, 0); !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, want %d", len(got), len(want))
	}
	if n := len(l.Segments()); n < 3 {
		t.Fatalf("%d segments", n)
	}
	end := l.LogEndOffset()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openManager(t, cfg)
	l, ok := m.Log(testTP)
	if !ok || l.LogEndOffset() != end {
		t.Fatalf("found %v, end %d, want %d", ok, l.LogEndOffset(), end)
	}
	if got := readAll(t, l, 0); !bytes.Equal(got, want) {
		t.Fatal("different bytes after a restart")
	}
	if _, err := l.Read(end+1, 100, end, true); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// A range that was released is nobody's to release again.
func TestRangeReleasedTwice(t *testing.T) {
	m := openManager(t, Config{Dirs: []string{t.TempDir()}})
	l := create(t, m, testTP, testLogConfig())
	waitDurable(t, l, appendBatch(t, l, batchSpec{records: 1, value: "value"}).LastOffset+1)
	info, err := l.Read(0, 1<<20, l.LogEndOffset(), true)
	if err != nil || info.Range == nil {
		t.Fatal(info, err)
	}
	info.Range.Release()
	defer func() {
		if recover() == nil {
			t.Error("the second release did not panic")
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	info.Range.Release()
}
