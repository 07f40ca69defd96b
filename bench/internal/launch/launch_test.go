package launch

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestArgs(t *testing.T) {
	s := &Spec{Command: DefaultCommand, Binary: "/x/my server", Dir: "/d e", Port: 7, Backend: "epoll"}
	got, err := s.Args()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/x/my server", "--listeners", "PLAINTEXT://127.0.0.1:7", "--log.dirs", "/d e", "--io.backend", "epoll"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := (&Spec{}).Args(); err == nil {
		t.Error("an empty command was accepted")
	}
}

func TestProcess(t *testing.T) {
	var out strings.Builder
	s := &Spec{Command: "cat {dir}", Dir: "-", Output: &out}
	p, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	<-p.Exited() // its input is empty
	if err := p.Kill(); err != nil {
		t.Errorf("kill an ended process: %v", err)
	}
	if _, err := p.Connect(t.Context(), "127.0.0.1:1", time.Minute); err == nil || !strings.Contains(err.Error(), "the broker ended") {
		t.Errorf("connect to an ended broker: %v", err)
	}

	p, err = (&Spec{Command: "sleep 60"}).Start()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Connect(t.Context(), "127.0.0.1:1", 0); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("connect to a deaf broker: %v", err)
	}
	if err := p.Terminate(time.Minute); err != nil {
		t.Error(err)
	}
}

func TestSummary(t *testing.T) {
	d := Durations{4 * time.Millisecond, time.Millisecond, 2 * time.Millisecond, 9 * time.Millisecond}
	if diff := cmp.Diff(Summary{4, 1, 3, 9}, d.Summary()); diff != "" {
		t.Error(diff)
	}
	if (Durations{}).Summary() != (Summary{}) {
		t.Error("summary of nothing")
	}
}
