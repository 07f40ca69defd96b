package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// MaxCPU is the highest number of a processor that Pin takes.
const MaxCPU = 1023

// maxPinPasses bounds how often Pin looks for threads that were born while it pinned the others.
const maxPinPasses = 100

// Pin binds every thread of pid and of its living descendants to the processors of these numbers
// (sched_setaffinity(2)); threads born later inherit that. release gives each thread back what it was bound to before,
// and to threads born meanwhile what pid's first thread was bound to. Threads that end on the way do not matter; that
// pid does not exist is ErrGone.
func Pin(pid int, cpus []int) (release func() error, err error) {
	var set unix.CPUSet
	for _, n := range cpus {
		if n < 0 || n > MaxCPU {
			return nil, fmt.Errorf("processor %d: want 0 to %d", n, MaxCPU)
		}
		set.Set(n)
	}
	before := make(map[int]unix.CPUSet) // by thread
	release = func() error { return unpin(pid, before) }
	for range maxPinPasses {
		found, err := threads(pid)
		if err != nil {
			return nil, errors.Join(err, release())
		}
		fresh := false
		for _, tid := range found {
			if _, known := before[tid]; known {
				continue
			}
			fresh = true
			var was unix.CPUSet
			err := unix.SchedGetaffinity(tid, &was)
			if err == nil {
				before[tid] = was
				err = unix.SchedSetaffinity(tid, &set)
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return nil, errors.Join(fmt.Errorf("pin thread %d to processors %v: %w", tid, cpus, err), release())
			}
		}
		if !fresh {
			return release, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("pin process %d: it does not cease to start threads", pid), release())
}

// unpin binds the threads of pid and its descendants to what they were bound to before.
func unpin(pid int, before map[int]unix.CPUSet) error {
	found, err := threads(pid)
	if errors.Is(err, ErrGone) {
		return nil
	}
	errs := []error{err}
	for _, tid := range found {
		was, known := before[tid]
		if !known {
			if was, known = before[pid]; !known {
				continue
			}
		}
		if err := unix.SchedSetaffinity(tid, &was); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("unpin thread %d: %w", tid, err))
		}
	}
	return errors.Join(errs...)
}

// threads returns the threads of pid and of its living descendants.
func threads(pid int) ([]int, error) {
	var tids []int
	queue := []int{pid}
	for i := 0; i < len(queue) && i < maxDescendants; i++ {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", queue[i]))
		switch {
		case errors.Is(err, os.ErrNotExist) && i > 0:
			continue // a descendant that ended while we looked
		case errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("process %d: %w", pid, ErrGone)
		case err != nil:
			return nil, err
		}
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil {
				return nil, fmt.Errorf("thread of process %d: %w", queue[i], err)
			}
			tids = append(tids, tid)
		}
		queue = append(queue, children(queue[i])...)
	}
	return tids, nil
}
