package process

import (
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	u, err := parseStat("12 (a) b (c)) S 1 12 12 0 -1 4194560 100 0 0 0 150 50 7 3 20 0 9 0 33 1 2 3")
	if err != nil {
		t.Fatal(err)
	}
	if u.User != 1570*time.Millisecond || u.System != 530*time.Millisecond || u.Threads != 9 {
		t.Errorf("usage %+v", u)
	}
	for _, bad := range []string{"", "12 (x) S 1", "12 (x) S 1 12 12 0 -1 4194560 100 0 0 0 x 50 7 3 20 0 9 0 33"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestReadSelfWithChild(t *testing.T) {
	cmd := exec.Command("cat") // waits for its input to end
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	u, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.RSSBytes < 1<<20 || u.PeakRSSBytes < u.RSSBytes/2 || u.Threads < 2 {
		t.Errorf("usage %+v", u)
	}
	if len(children(os.Getpid())) > 0 && u.Processes < 2 { // the kernel may not list children
		t.Errorf("child was not counted: %+v", u)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(cmd.Process.Pid); !errors.Is(err, ErrGone) {
		t.Errorf("ended process: %v", err)
	}
	if cpu, err := Self(); err != nil || cpu <= 0 {
		t.Errorf("Self = %v, %v", cpu, err)
	}
}

// A process that works gains run time; one that does not exist has none.
func TestRunTime(t *testing.T) {
	before, err := RunTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	after := before
	for x := uint64(1); after <= before; x = x*2862933555777941757 + 3037000493 { // works until it shows
		if x%4096 == 0 {
			if after, err = RunTime(os.Getpid()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := RunTime(1 << 30); !errors.Is(err, ErrGone) {
		t.Errorf("of nobody: %v", err)
	}
}

func TestParseMachine(t *testing.T) {
	m, err := parseMachine("cpu  100 20 30 4000 500 6 7 8 90 91\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
	if want := (MachineTime{Used: 1630 * time.Millisecond, Stolen: 80 * time.Millisecond}); err != nil || m != want {
		t.Errorf("%v, %v", m, err)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu x 2 3 4 5 6 7 8"} {
		if _, err := parseMachine(bad); err == nil {
			t.Errorf("%q parsed", bad)
		}
	}
	if now, err := Machine(); err != nil || now.Used <= 0 {
		t.Errorf("this machine: %v, %v", now, err)
	}
}
