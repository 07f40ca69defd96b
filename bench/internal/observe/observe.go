// Package observe watches a broker from outside, through /proc and its log: processor time, memory over time, threads,
// descriptors, and lines that no client may cause.
package observe

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

// MaxFindings is how many lines of a log are shown.
const MaxFindings = 10

const (
	sampleInterval = 50 * time.Millisecond
	maxLogLine     = 1 << 20
)

// CPU returns the processor time the broker has used, 0 when it is gone, which is found elsewhere.
func CPU(pid int) time.Duration {
	u, err := process.Read(pid)
	if err != nil {
		return 0
	}
	return u.CPU()
}

// MachineCPU returns the processor time that everything on the machine has used since it started, 0 when the kernel
// does not tell.
func MachineCPU() time.Duration {
	m, err := process.Machine()
	if err != nil {
		return 0
	}
	return m.Used
}

// Stolen returns how much of the time of all processors the hypervisor has taken since the machine started while they
// had work, 0 when the kernel does not tell.
func Stolen() time.Duration {
	m, err := process.Machine()
	if err != nil {
		return 0
	}
	return m.Stolen
}

// Threads returns how many the broker has, 0 when it is gone.
func Threads(pid int) int {
	u, err := process.Read(pid)
	if err != nil {
		return 0
	}
	return u.Threads
}

// Memory samples the resident memory of the broker until its context ends. The largest sample is kept, not the
// kernel's mark, which also knows the time before.
type Memory struct {
	pid          int
	largest, now atomic.Int64 // bytes
	phase        atomic.Int64 // largest since the last call of Next
}

// WatchMemory samples the memory of a process until ctx ends.
func WatchMemory(ctx context.Context, pid int) *Memory {
	m := &Memory{pid: pid}
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
func (m *Memory) sample() {
	u, err := process.Read(m.pid)
	if err != nil {
		return
	}
	m.now.Store(u.RSSBytes)
	m.largest.Store(max(m.largest.Load(), u.RSSBytes))
	m.phase.Store(max(m.phase.Load(), u.RSSBytes))
}

// Largest is the largest sample, in bytes.
func (m *Memory) Largest() int64 { return m.largest.Load() }

// Now is the last sample, in bytes.
func (m *Memory) Now() int64 { return m.now.Load() }

// Next begins a new phase and returns the largest sample of the one before.
func (m *Memory) Next() int64 { return m.phase.Swap(m.now.Load()) }

// Descriptors are the open ones of a process.
type Descriptors struct {
	Sockets int
	Files   []string // everything else, as the kernel names it
}

func (d Descriptors) String() string {
	return fmt.Sprintf("%d sockets, %d others", d.Sockets, len(d.Files))
}

// More reports whether there are more of them than before.
func (d Descriptors) More(before Descriptors) bool {
	return d.Sockets > before.Sockets || len(d.Files) > len(before.Files)
}

// Added returns the files that were not there before, as often as they are there more often.
func (d Descriptors) Added(before Descriptors) []string {
	left := slices.Clone(before.Files)
	var added []string
	for _, f := range d.Files {
		if i := slices.Index(left, f); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			added = append(added, f)
		}
	}
	return added
}

// ReadDescriptors reads those of a process.
func ReadDescriptors(pid int) (d Descriptors, err error) {
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
			d.Sockets++
		case strings.HasPrefix(filepath.Base(filepath.Dir(to)), "__"):
			// Logs of internal topics are there before and are opened when somebody first uses them.
		case filepath.Ext(to) == ".index", filepath.Ext(to) == ".timeindex":
			// Opened when their first block is written, long after the log, which is counted.
		default:
			d.Files = append(d.Files, to)
		}
	}
	return d, nil
}

// CountDescriptors counts all of a process.
func CountDescriptors(pid int) (int64, error) {
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	return int64(len(entries)), err
}

// Settle waits until no more descriptors are open than before, and returns what is left in any case.
func Settle(ctx context.Context, pid int, before Descriptors, timeout time.Duration) (Descriptors, error) {
	deadline := time.Now().Add(timeout)
	for {
		d, err := ReadDescriptors(pid)
		if err != nil || ctx.Err() != nil {
			return d, errors.Join(err, ctx.Err())
		}
		if !d.More(before) || time.Now().After(deadline) {
			return d, nil
		}
		time.Sleep(sampleInterval)
	}
}

// alarming matches lines that no input may cause.
var alarming = regexp.MustCompile(`(?i)panic|fatal error|DATA RACE|unexpected fault|level=ERROR`)

// Find returns the lines of a log that match, at most MaxFindings of them, and how many there are.
func Find(name string, what *regexp.Regexp) (lines []string, n int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, maxLogLine)
	for s.Scan() {
		if !what.MatchString(s.Text()) {
			continue
		}
		if n++; len(lines) < MaxFindings {
			lines = append(lines, s.Text())
		}
	}
	return lines, n, s.Err()
}

// SearchLog is Find of alarming lines.
func SearchLog(name string) (lines []string, n int, err error) { return Find(name, alarming) }
