package process

import (
	"errors"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// allowed are the processors this test may run on.
func allowed(t *testing.T) (set unix.CPUSet, first int) {
	t.Helper()
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for first < MaxCPU && !set.IsSet(first) {
		first++
	}
	return set, first
}

// A process and its child are bound to one processor and get back what each had.
func TestPin(t *testing.T) {
	all, first := allowed(t)
	cmd := exec.Command("sh", "-c", "cat & echo $!; wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // the child is there
		t.Fatal(err)
	}
	pids := append(children(cmd.Process.Pid), cmd.Process.Pid) // the kernel may not list children
	release, err := Pin(cmd.Process.Pid, []int{first})
	if err != nil {
		t.Fatal(err)
	}
	bound := func(want unix.CPUSet) {
		t.Helper()
		for _, pid := range pids {
			var got unix.CPUSet
			if err := unix.SchedGetaffinity(pid, &got); err != nil || got != want {
				t.Errorf("process %d is bound to %d processors, want %d; %v", pid, got.Count(), want.Count(), err)
			}
		}
	}
	var one unix.CPUSet
	one.Set(first)
	bound(one)
	if err := release(); err != nil {
		t.Fatal(err)
	}
	bound(all)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Errorf("release of what has ended: %v", err)
	}
	if _, err := Pin(cmd.Process.Pid, []int{first}); !errors.Is(err, ErrGone) {
		t.Errorf("a process that has ended: %v", err)
	}
}

// A processor that the machine does not have leaves everything as it was.
func TestPinRefuses(t *testing.T) {
	all, _ := allowed(t)
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{-1, MaxCPU, MaxCPU + 1} {
		if all.IsSet(n) {
			continue
		}
		if _, err := Pin(cmd.Process.Pid, []int{n}); err == nil {
			t.Errorf("pinned to processor %d", n)
		}
	}
	var got unix.CPUSet
	if err := unix.SchedGetaffinity(cmd.Process.Pid, &got); err != nil || got != all {
		t.Errorf("bound to %d processors, want %d; %v", got.Count(), all.Count(), err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}
