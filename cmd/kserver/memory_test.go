package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHeapLimit(t *testing.T) {
	for _, tc := range []struct{ memory, requests, want int64 }{
		{4 << 30, 128 << 20, 3<<30 - 128<<20},
		{256 << 20, 128 << 20, leastHeap},
		{1 << 20, 1 << 30, leastHeap},
	} {
		if got := heapLimit(tc.memory, tc.requests); got != tc.want {
			t.Errorf("%d bytes, %d for requests: %d, want %d", tc.memory, tc.requests, got, tc.want)
		}
	}
}

func TestMemoryOf(t *testing.T) {
	machine := memoryOf(t.TempDir())
	if machine < 1<<20 {
		t.Fatalf("the machine has %d bytes", machine)
	}
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("proc/self/cgroup", "0::/a/b\n")
	write("sys/fs/cgroup/a/b/memory.max", "max\n")
	if got := memoryOf(root); got != machine {
		t.Errorf("without a limit %d, want the machine's %d", got, machine)
	}
	write("sys/fs/cgroup/a/memory.max", "65536\n")
	if got := memoryOf(root); got != 65536 {
		t.Errorf("%d, want the limit of the group above", got)
	}
}
