// Package process reads what a process and its descendants cost: processor time, resident memory, threads, file
// bytes; and binds them to processors. Linux only, from /proc; it needs no privilege for processes of the same user.
//
// Concurrency: all functions are safe for concurrent use.
package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, the unit of times in /proc/PID/stat; it is 100 on every Linux Go runs on (proc(5)).
const ticksPerSecond = 100

// maxDescendants bounds the processes that are added up for one root.
const maxDescendants = 4096

// Usage is the cost of a process tree up to one moment.
type Usage struct {
	User, System time.Duration // of all threads, ended ones included, and of ended children that were waited for
	RSSBytes     int64         // resident now
	PeakRSSBytes int64         // sum of each process's own peak
	Threads      int
	Processes    int
	WrittenBytes int64 // bytes sent to the storage layer (write_bytes of /proc/PID/io); 0 when not readable
	ReadBytes    int64 // bytes fetched from the storage layer
}

// CPU is user and system time together.
func (u Usage) CPU() time.Duration { return u.User + u.System }

// ErrGone is returned when the process does not exist (any more).
var ErrGone = errors.New("no such process")

// Read returns the usage of pid, all its threads and all its living descendants.
func Read(pid int) (Usage, error) {
	var sum Usage
	queue := []int{pid}
	for i := 0; i < len(queue) && i < maxDescendants; i++ {
		u, err := readOne(queue[i])
		if err != nil {
			if i > 0 && errors.Is(err, ErrGone) {
				continue // a descendant that ended while we looked
			}
			return Usage{}, fmt.Errorf("process %d: %w", queue[i], err)
		}
		sum.User += u.User
		sum.System += u.System
		sum.RSSBytes += u.RSSBytes
		sum.PeakRSSBytes += u.PeakRSSBytes
		sum.Threads += u.Threads
		sum.WrittenBytes += u.WrittenBytes
		sum.ReadBytes += u.ReadBytes
		sum.Processes++
		queue = append(queue, children(queue[i])...)
	}
	return sum, nil
}

// RunTime returns the processor time of pid's living threads, exact to the nanosecond: for processes that use next to
// nothing, where Read sees steps of 10 ms. Descendants and threads that have ended are not in it.
func RunTime(pid int) (time.Duration, error) {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	entries, err := os.ReadDir(tasks)
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	var sum time.Duration
	for _, e := range entries {
		text, err := readFile(tasks + "/" + e.Name() + "/schedstat")
		if errors.Is(err, ErrGone) {
			continue // it ended while we looked
		}
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(text, " ") // time on a processor, in ns (Documentation/scheduler/sched-stats.rst)
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("schedstat of thread %s does not parse: %.80q", e.Name(), text)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// MachineTime is what became of the processor time of the whole machine since it started.
type MachineTime struct {
	Used time.Duration // by processes and the kernel, interrupts included
	// Stolen is the time in which processors had something to do and the hypervisor did not let them, because they shared
	// the host or had used up their share of it. Nothing on the machine gets on meanwhile.
	Stolen time.Duration
}

// StolenPercent is the part of the time of all processors that the hypervisor took while elapsed passed.
func StolenPercent(stolen, elapsed time.Duration) float64 {
	return 100 * stolen.Seconds() / elapsed.Seconds() / float64(runtime.NumCPU())
}

// Machine returns the times of the first line of /proc/stat.
func Machine() (MachineTime, error) {
	text, err := readFile("/proc/stat")
	if err != nil {
		return MachineTime{}, err
	}
	return parseMachine(text)
}

// parseMachine adds up the first line of /proc/stat but for idle time (proc(5)).
func parseMachine(text string) (m MachineTime, err error) {
	line, _, _ := strings.Cut(text, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return m, fmt.Errorf("/proc/stat does not parse: %.80q", line)
	}
	for _, i := range []int{1, 2, 3, 6, 7, 8} { // user, nice, system, irq, softirq, steal; 4 and 5 are idle and iowait
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return m, fmt.Errorf("/proc/stat does not parse: %w", err)
		}
		to := &m.Used
		if i == 8 {
			to = &m.Stolen
		}
		*to += time.Duration(n) * (time.Second / ticksPerSecond)
	}
	return m, nil
}

// Self returns the processor time of the calling process.
func Self() (time.Duration, error) {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano()), nil
}

func readOne(pid int) (Usage, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := readFile(dir + "/stat")
	if err != nil {
		return Usage{}, err
	}
	u, err := parseStat(stat)
	if err != nil {
		return Usage{}, err
	}
	status, err := readFile(dir + "/status")
	if err != nil {
		return Usage{}, err
	}
	u.RSSBytes = field(status, "VmRSS:") << 10
	u.PeakRSSBytes = field(status, "VmHWM:") << 10
	if io, err := readFile(dir + "/io"); err == nil { // another user's process hides it
		u.WrittenBytes, u.ReadBytes = field(io, "write_bytes:"), field(io, "read_bytes:")
	}
	return u, nil
}

func readFile(name string) (string, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return "", ErrGone
	}
	return string(b), err
}

// parseStat reads processor times and the number of threads from the text of /proc/PID/stat. The command name, in
// parentheses, may itself hold spaces and parentheses, so fields count from the last ')'.
func parseStat(stat string) (Usage, error) {
	i := strings.LastIndexByte(stat, ')')
	f := strings.Fields(stat[i+1:])
	if i < 0 || len(f) < 18 {
		return Usage{}, fmt.Errorf("stat does not parse: %.80q", stat)
	}
	var v [18]int64
	for _, n := range []int{11, 12, 13, 14, 17} { // utime, stime, cutime, cstime, num_threads
		var err error
		if v[n], err = strconv.ParseInt(f[n], 10, 64); err != nil {
			return Usage{}, fmt.Errorf("stat does not parse: %w", err)
		}
	}
	const tick = time.Second / ticksPerSecond
	return Usage{
		User:    time.Duration(v[11]+v[13]) * tick,
		System:  time.Duration(v[12]+v[14]) * tick,
		Threads: int(v[17]),
	}, nil
}

// field returns the first number after name in a "Name:  number unit" text, 0 when absent.
func field(text, name string) int64 {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok {
			continue
		}
		if f := strings.Fields(rest); len(f) > 0 {
			if n, err := strconv.ParseInt(f[0], 10, 64); err == nil {
				return n
			}
		}
	}
	return 0
}

// children returns the child processes of every thread of pid. The kernel may leave it out
// (CONFIG_PROC_CHILDREN); then there are none to add.
func children(pid int) []int {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	entries, err := os.ReadDir(tasks)
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		text, err := os.ReadFile(tasks + "/" + e.Name() + "/children")
		if err != nil {
			continue
		}
		for f := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(f); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}
