package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"kserver/cmd/kbench/process"
)

const (
	sampleInterval = 50 * time.Millisecond
	maxLogLine     = 1 << 20
	maxFindings    = 10 // lines of the log that are shown
)

// cpu returns the processor time the broker has used, 0 when it is gone, which is found elsewhere.
func cpu(pid int) time.Duration {
	u, err := process.Read(pid)
	if err != nil {
		return 0
	}
	return u.CPU()
}

// threads returns how many the broker has, 0 when it is gone.
func threads(pid int) int {
	u, err := process.Read(pid)
	if err != nil {
		return 0
	}
	return u.Threads
}

// memory samples the resident memory of the broker until its context ends. The largest sample is kept, not the
// kernel's mark, which also knows the time before.
type memory struct {
	pid          int
	largest, now atomic.Int64 // bytes
	phase        atomic.Int64 // largest since the last call of next
}

func watchMemory(ctx context.Context, pid int) *memory {
	m := &memory{pid: pid}
	m.sample()
	go func() {
		tick := time.NewTicker(sampleInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				m.sample()
			}
		}
	}()
	return m
}

// sample reads once. A broker that is gone is found elsewhere.
func (m *memory) sample() {
	u, err := process.Read(m.pid)
	if err != nil {
		return
	}
	m.now.Store(u.RSSBytes)
	m.largest.Store(max(m.largest.Load(), u.RSSBytes))
	m.phase.Store(max(m.phase.Load(), u.RSSBytes))
}

// next begins a new phase and returns the largest sample of the one before.
func (m *memory) next() int64 { return m.phase.Swap(m.now.Load()) }

// descriptors are the open ones of a process.
type descriptors struct {
	sockets int
	files   []string // everything else, as the kernel names it
}

func (d descriptors) String() string {
	return fmt.Sprintf("%d sockets, %d others", d.sockets, len(d.files))
}

// more reports whether there are more of them than before.
func (d descriptors) more(before descriptors) bool {
	return d.sockets > before.sockets || len(d.files) > len(before.files)
}

// added returns the files that were not there before, as often as they are there more often.
func (d descriptors) added(before descriptors) []string {
	left := slices.Clone(before.files)
	var added []string
	for _, f := range d.files {
		if i := slices.Index(left, f); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			added = append(added, f)
		}
	}
	return added
}

func readDescriptors(pid int) (d descriptors, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return d, err
	}
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist): // closed meanwhile
		case err != nil:
			return d, err
		case strings.HasPrefix(to, "socket:"):
			d.sockets++
		case strings.HasPrefix(filepath.Base(filepath.Dir(to)), "__"):
			// Logs of internal topics are there before and are opened when somebody first uses them.
		default:
			d.files = append(d.files, to)
		}
	}
	return d, nil
}

// settle waits until no more descriptors are open than before, and returns what is left in any case.
func settle(ctx context.Context, pid int, before descriptors, timeout time.Duration) (descriptors, error) {
	deadline := time.Now().Add(timeout)
	for {
		d, err := readDescriptors(pid)
		if err != nil || ctx.Err() != nil {
			return d, errors.Join(err, ctx.Err())
		}
		if !d.more(before) || time.Now().After(deadline) {
			return d, nil
		}
		time.Sleep(sampleInterval)
	}
}

// alarming matches lines that no input may cause.
var alarming = regexp.MustCompile(`(?i)panic|fatal error|DATA RACE|unexpected fault|level=ERROR`)

// searchLog returns the first alarming lines of a log file and how many there are.
func searchLog(name string) (lines []string, n int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, maxLogLine)
	for s.Scan() {
		if !alarming.MatchString(s.Text()) {
			continue
		}
		if n++; len(lines) < maxFindings {
			lines = append(lines, s.Text())
		}
	}
	return lines, n, s.Err()
}
