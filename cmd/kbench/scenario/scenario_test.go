package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const whole = `# how it is
title  Catch-up beside a tail
about  One line.
about  And another.
systems kserver kafka

setup  produce -t cold -p 2
run    quiet e2e -t tail-{round} --rate 100
evict
run    loaded e2e -t tail-{round} --rate 100
beside readers consume -t cold

show   e2e.p99@loaded / e2e.p99@quiet
target kserver <= 1.5
show   consume.mb@readers
headline two readers of a cold log
target kserver >= 1000
target kserver/kafka > 0.5
`

func TestParse(t *testing.T) {
	s, err := Parse("catch-up", whole)
	if err != nil {
		t.Fatal(err)
	}
	want := &Scenario{
		Name: "catch-up", Title: "Catch-up beside a tail", About: []string{"One line.", "And another."},
		Systems: []string{"kserver", "kafka"}, Setup: []Command{{"produce", "-t", "cold", "-p", "2"}},
		Runs: []Run{
			{Name: "quiet", Command: Command{"e2e", "-t", "tail-{round}", "--rate", "100"}},
			{Name: "loaded", Command: Command{"e2e", "-t", "tail-{round}", "--rate", "100"}, Evict: true,
				Beside: []Beside{{Name: "readers", Command: Command{"consume", "-t", "cold"}}}},
		},
		Shows: []Show{
			{Of: Ref{"e2e.p99", "loaded"}, Per: &Ref{"e2e.p99", "quiet"}, Targets: []Target{{System: "kserver", Op: "<=", Value: 1.5}}},
			{Of: Ref{"consume.mb", "readers"}, Headline: "two readers of a cold log", Targets: []Target{
				{System: "kserver", Op: ">=", Value: 1000}, {System: "kserver", Base: "kafka", Op: ">", Value: 0.5}}},
		},
		Text: whole,
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	if got := s.Runs[0].Command.ForRound(3).String(); got != "e2e -t tail-3 --rate 100" {
		t.Errorf("round 3: %s", got)
	}
	if s.Runs[0].Command[2] != "tail-{round}" {
		t.Error("ForRound changed the scenario")
	}
	if got := s.Shows[1].Targets[1].String(); got != "kserver/kafka > 0.5" {
		t.Errorf("target %s", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "no title\nno systems\nno run\nnothing to show",
		"titel x":                              `line 1: unknown directive "titel"`,
		"title":                                `line 1: "title" says nothing`,
		"title a\ntitle b":                     "line 2: a second title",
		"systems a b a":                        "system a is named twice",
		"evict now":                            "line 1: evict stands alone",
		"run x produce\nevict":                 "evict is followed by no run",
		"run x":                                "line 1: run x has no command",
		"run x produce\nrun x produce":         "line 2: a second run x",
		"beside x consume":                     "line 1: beside what?",
		"run x produce\nbeside x consume":      "line 2: a second run x",
		"show f":                               "line 1: f: of which of 0 runs?",
		"run x produce\nrun y produce\nshow f": "line 3: f: of which of 2 runs?",
		"run x produce\nshow f@y":              `line 2: f@y: no run "y"`,
		"run x produce\nshow @x":               "line 2: @x names no figure",
		"run x produce\nshow f g":              "line 2: show f g: want FIGURE",
		"run x produce\nshow f / g@y":          `line 2: g@y: no run "y"`,
		"headline x":                           "line 1: headline of what?",
		"run x produce\nshow f\nheadline a\nheadline b": "line 4: a second headline",
		"target a < 1":                                     "line 1: target of what?",
		"run x produce\nshow f\ntarget a 1":                "line 3: target a 1: want SYSTEM",
		"run x produce\nshow f\ntarget a = 1":              `"=" is none of`,
		"run x produce\nshow f\ntarget a < 0":              `"0" is no number above 0`,
		"run x produce\nshow f\ntarget a < NaN":            `"NaN" is no number above 0`,
		"systems b\nrun x produce\nshow f\ntarget a/b < 1": "target a/b < 1: no system a",
		"systems a\nrun x produce\nshow f\ntarget a/b < 1": "target a/b < 1: no system b",
		strings.Repeat("\n", maxLines):                     "1001 lines, more than 1000",
	} {
		_, err := Parse("x", text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func TestTargetMet(t *testing.T) {
	for _, tt := range []struct {
		op   string
		v    float64
		want bool
	}{{"<", 2, false}, {"<", 1, true}, {"<=", 2, true}, {"<=", 3, false}, {">", 2, false}, {">", 3, true}, {">=", 2, true}, {">=", 1, false}} {
		if got := (Target{Op: tt.op, Value: 2}).Met(tt.v); got != tt.want {
			t.Errorf("%v %s 2: %v", tt.v, tt.op, got)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"good.scenario", "good.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(whole), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := Read(filepath.Join(dir, "good.scenario")); err != nil || s.Name != "good" {
		t.Errorf("%v, %v", s, err)
	}
	for _, name := range []string{"good.txt", "missing.scenario"} {
		if _, err := Read(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}
