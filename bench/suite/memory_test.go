package main

import "testing"

func TestFreeMemory(t *testing.T) {
	for text, want := range map[string]int64{
		"MemTotal:  9000000 kB\nMemFree:   4194304 kB\nMemAvailable: 1 kB\n": 3 << 30,
		"MemFree: 1000 kB\n": 0,
	} {
		if got, err := freeMemory(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "MemFree:\n", "MemFree: x kB\n"} {
		if _, err := freeMemory(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if err := touchMemory(touchChunk); err != nil {
		t.Error(err)
	}
}
