package observe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSearchLog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	log := "level=INFO msg=started\n" + strings.Repeat("level=ERROR msg=\"handler panicked\"\n", MaxFindings+5) + "WARNING: DATA RACE\n"
	if err := os.WriteFile(name, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	lines, n, err := SearchLog(name)
	if err != nil || n != MaxFindings+6 || len(lines) != MaxFindings {
		t.Errorf("%d lines of %d, %v", len(lines), n, err)
	}
}

// A process has what it has opened, and what it has closed is no longer there.
func TestDescriptors(t *testing.T) {
	before, err := ReadDescriptors(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	during, err := ReadDescriptors(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if added := during.Added(before); !during.More(before) || len(added) != 1 || added[0] != f.Name() {
		t.Errorf("before %v, during %v: %q", before, during, added)
	}
	if n, err := CountDescriptors(os.Getpid()); err != nil || n < int64(during.Sockets+len(during.Files)) {
		t.Errorf("%d descriptors, among them %v: %v", n, during, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := Settle(t.Context(), os.Getpid(), before, 0); err != nil || after.More(before) {
		t.Errorf("before %v, after %v, %v", before, after, err)
	}
}
