package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kserver/cmd/kbench/scenario"
)

const scenarios = "../scenarios"

// Every scenario can be read, names systems there are, and begins with ours.
func TestScenarios(t *testing.T) {
	list, err := readScenarios(scenarios, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 20 {
		t.Errorf("only %d scenarios", len(list))
	}
	for _, s := range list {
		if s.Systems[0] != "kserver" {
			t.Errorf("%s begins with %s", s.Name, s.Systems[0])
		}
	}
}

func TestReadScenariosRefuses(t *testing.T) {
	if _, err := readScenarios(scenarios, []string{"no-such"}); err == nil {
		t.Error("no such scenario, and no error")
	}
	dir := t.TempDir()
	text := "title x\nsystems nobody\nrun a produce\nshow produce.mb\n"
	if err := os.WriteFile(filepath.Join(dir, "x"+scenario.Extension), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readScenarios(dir, nil); err == nil || !strings.Contains(err.Error(), "no system is called nobody") {
		t.Errorf("%v", err)
	}
}

// Every system says what its acknowledgement promises and lives on a broker there is.
func TestSystems(t *testing.T) {
	for name, s := range systems {
		b, ok := brokers[s.broker]
		if !ok || s.durability == "" || len(s.settings) == 0 {
			t.Errorf("%s: %+v", name, s)
		}
		if b.amqp != (s.queue != "") {
			t.Errorf("%s: a queue and a broker that has none, or the other way round", name)
		}
		if (b.script == "") == (b.binary == nil) {
			t.Errorf("broker %s: either a script or a program of ours", s.broker)
		}
		if b.script != "" {
			if st, err := os.Stat(filepath.Join("..", "peers", b.script)); err != nil || st.Mode()&0o111 == 0 {
				t.Errorf("broker %s: %v cannot be run, %v", s.broker, b.script, err)
			}
		}
	}
}

func TestStartProgram(t *testing.T) {
	p := &programs{kserver: "/bin/kserver", firstack: "/bin/firstack", peers: "/peers"}
	want := []string{"/bin/firstack", "--binary", "/peers/kafka.sh", "--cmd", "{binary} run {dir} {port}", "--dir", "/d", "--runs", "1",
		"--restarts=false", "--settle", "2s", "--idle", "4s", "--prepare", "{binary} format {dir} {port}"}
	if diff := cmp.Diff(want, p.start("kafka", "/d")); diff != "" {
		t.Error(diff)
	}
	if got := p.start("kserver", "/d"); got[2] != "/bin/kserver" || slices.Contains(got, "--prepare") {
		t.Errorf("%q", got)
	}
}

func TestLocate(t *testing.T) {
	o := &options{root: "../.."}
	if err := o.locate(); err != nil {
		t.Fatal(err)
	}
	if dir := filepath.Dir(o.out); !filepath.IsAbs(o.out) || !strings.HasSuffix(dir, "bench/results") || o.work != filepath.Join(dir, "tmp") {
		t.Errorf("out %s, work %s", o.out, o.work)
	}
	if _, err := time.Parse("2006-01-02", filepath.Base(o.out)); err != nil {
		t.Error(err)
	}
	if err := (&options{root: t.TempDir()}).locate(); err == nil {
		t.Error("a directory that is no repository was taken")
	}
}

// A broker that does not start is reported with its last words, and nothing is left running.
func TestBrokerThatFails(t *testing.T) {
	script := filepath.Join(t.TempDir(), kafkaScript)
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho no room at all\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := &runningBrokers{dir: t.TempDir(), programs: &programs{peers: filepath.Dir(script)}}
	if _, err := r.get(t.Context(), "kafka"); err == nil || !strings.Contains(err.Error(), "no room at all") {
		t.Errorf("%v", err)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}
