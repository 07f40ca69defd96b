package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pageBytes = 4 << 10
	// touchChunk is how much memory is mapped and touched at a time, between two looks at the clock.
	touchChunk = 256 << 20
	// touchTimeout bounds the touching.
	touchTimeout = 30 * time.Second
)

// touchMemory writes to free memory, at most most bytes of it, and gives it back. The memory of a virtual machine may be
// given to it only when it is first used, and taken away again when it is free; a page then costs many times what it
// costs otherwise. Without this, who happens to get such pages for the page cache looks several times as slow.
func touchMemory(most int64) error {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	free, err := freeMemory(string(text))
	if err != nil {
		return err
	}
	var chunks [][]byte
	deadline := time.Now().Add(touchTimeout)
	for left := min(most, free); left >= touchChunk && time.Now().Before(deadline); left -= touchChunk {
		m, err := unix.Mmap(-1, 0, touchChunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			break // as much as there is
		}
		for i := 0; i < len(m); i += pageBytes {
			m[i] = 1
		}
		chunks = append(chunks, m)
	}
	for _, m := range chunks {
		if err := unix.Munmap(m); err != nil {
			return fmt.Errorf("munmap: %w", err)
		}
	}
	return nil
}

// spareMemory is left untouched, for everybody else.
const spareMemory = 1 << 30

// freeMemory reads from the text of /proc/meminfo how many bytes are free, less what is spared. Memory that holds cached
// files is not free: it has been used.
func freeMemory(meminfo string) (int64, error) {
	for line := range strings.Lines(meminfo) {
		rest, ok := strings.CutPrefix(line, "MemFree:")
		if !ok {
			continue
		}
		if f := strings.Fields(rest); len(f) > 0 {
			kib, err := strconv.ParseInt(f[0], 10, 64)
			return max(0, kib<<10-spareMemory), err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo does not say what is free")
}
