package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Extension is that of scenario files; the rest of the file's name is the scenario's.
const Extension = ".scenario"

// maxLines bounds a file.
const maxLines = 1000

// Scenario is one file.
type Scenario struct {
	Name    string
	Title   string
	About   []string
	Systems []string
	Setup   []Command
	Runs    []Run
	Shows   []Show
	Text    string // of the file
}

// Command is a command's name and its arguments.
type Command []string

// Name is the command's first word.
func (c Command) Name() string { return c[0] }

// ForRound returns the command with {round} replaced.
func (c Command) ForRound(round int) Command {
	out := make(Command, len(c))
	for i, word := range c {
		out[i] = strings.ReplaceAll(word, "{round}", strconv.Itoa(round))
	}
	return out
}

// String returns the command as it is written.
func (c Command) String() string { return strings.Join(c, " ") }

// Run is a measured run with what goes on beside it.
type Run struct {
	Name    string
	Command Command
	Evict   bool // drop the system's files from the page cache before it
	Beside  []Beside
}

// Beside is a run at the same time as another.
type Beside struct {
	Name    string
	Command Command
}

// Ref names a figure of a run.
type Ref struct {
	Figure, Run string
}

func (r Ref) String() string { return r.Figure + "@" + r.Run }

// Show is one line of the result.
type Show struct {
	Of  Ref
	Per *Ref // what Of is divided by; nil for Of itself
	// Headline is the line's name in the summary of many scenarios; empty for lines that are not in it.
	Headline string
	Targets  []Target
}

// Target is what a line of the result should be.
type Target struct {
	System string
	Base   string // the system that System is divided by; empty for System itself
	Op     string
	Value  float64
}

// Met reports whether v is what the target asks for.
func (t Target) Met(v float64) bool {
	switch t.Op {
	case "<":
		return v < t.Value
	case "<=":
		return v <= t.Value
	case ">":
		return v > t.Value
	}
	return v >= t.Value
}

// String returns the target as it is written.
func (t Target) String() string {
	of := t.System
	if t.Base != "" {
		of += "/" + t.Base
	}
	return of + " " + t.Op + " " + strconv.FormatFloat(t.Value, 'g', -1, 64)
}

// RunNames returns the names of all runs, those beside others included, in the order of the file.
func (s *Scenario) RunNames() []string {
	var names []string
	for _, r := range s.Runs {
		names = append(names, r.Name)
		for _, b := range r.Beside {
			names = append(names, b.Name)
		}
	}
	return names
}

// Read reads the named file.
func Read(file string) (*Scenario, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	name, ok := strings.CutSuffix(filepath.Base(file), Extension)
	if !ok {
		return nil, fmt.Errorf("%s: the name of a scenario ends in %s", file, Extension)
	}
	s, err := Parse(name, string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// Parse reads the text of the scenario called name. All mistakes are reported together, each with its line.
func Parse(name, text string) (*Scenario, error) {
	p := parser{s: &Scenario{Name: name, Text: text}}
	lines := strings.Split(text, "\n")
	if len(lines) > maxLines {
		return nil, fmt.Errorf("%d lines, more than %d", len(lines), maxLines)
	}
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := p.line(line); err != nil {
			p.errs = append(p.errs, fmt.Errorf("line %d: %w", i+1, err))
		}
	}
	p.finish()
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	return p.s, nil
}

// parser is a file half read.
type parser struct {
	s     *Scenario
	evict bool // seen, and no run since
	errs  []error
}

func (p *parser) line(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	if word == "evict" {
		if rest != "" {
			return errors.New("evict stands alone")
		}
		p.evict = true
		return nil
	}
	if rest == "" {
		return fmt.Errorf("%q says nothing", word)
	}
	words := strings.Fields(rest)
	switch word {
	case "title":
		if p.s.Title != "" {
			return errors.New("a second title")
		}
		p.s.Title = rest
	case "about":
		p.s.About = append(p.s.About, rest)
	case "systems":
		p.s.Systems = append(p.s.Systems, words...)
	case "setup":
		p.s.Setup = append(p.s.Setup, words)
	case "run":
		return p.run(words)
	case "beside":
		return p.beside(words)
	case "show":
		return p.show(words)
	case "headline":
		return p.headline(rest)
	case "target":
		return p.target(words)
	default:
		return fmt.Errorf("unknown directive %q", word)
	}
	return nil
}

// named takes a run's name off its words.
func (p *parser) named(words []string) (string, Command, error) {
	if len(words) < 2 {
		return "", nil, fmt.Errorf("run %s has no command", words[0])
	}
	if slices.Contains(p.s.RunNames(), words[0]) {
		return "", nil, fmt.Errorf("a second run %s", words[0])
	}
	return words[0], words[1:], nil
}

func (p *parser) run(words []string) error {
	name, command, err := p.named(words)
	if err != nil {
		return err
	}
	p.s.Runs = append(p.s.Runs, Run{Name: name, Command: command, Evict: p.evict})
	p.evict = false
	return nil
}

func (p *parser) beside(words []string) error {
	if len(p.s.Runs) == 0 {
		return errors.New("beside what? there is no run before it")
	}
	name, command, err := p.named(words)
	if err != nil {
		return err
	}
	last := &p.s.Runs[len(p.s.Runs)-1]
	last.Beside = append(last.Beside, Beside{Name: name, Command: command})
	return nil
}

func (p *parser) show(words []string) error {
	var show Show
	switch {
	case len(words) == 1:
	case len(words) == 3 && words[1] == "/":
		per, err := p.ref(words[2])
		if err != nil {
			return err
		}
		show.Per = &per
	default:
		return fmt.Errorf("show %s: want FIGURE[@RUN] or FIGURE[@RUN] / FIGURE[@RUN]", strings.Join(words, " "))
	}
	var err error
	if show.Of, err = p.ref(words[0]); err != nil {
		return err
	}
	p.s.Shows = append(p.s.Shows, show)
	return nil
}

// ref reads FIGURE or FIGURE@RUN. The run may be left out when there is only one before it.
func (p *parser) ref(word string) (Ref, error) {
	figure, run, named := strings.Cut(word, "@")
	runs := p.s.RunNames()
	if !named {
		if len(runs) != 1 {
			return Ref{}, fmt.Errorf("%s: of which of %d runs?", word, len(runs))
		}
		run = runs[0]
	}
	if !slices.Contains(runs, run) {
		return Ref{}, fmt.Errorf("%s: no run %q before it", word, run)
	}
	if figure == "" {
		return Ref{}, fmt.Errorf("%s names no figure", word)
	}
	return Ref{Figure: figure, Run: run}, nil
}

func (p *parser) headline(text string) error {
	if len(p.s.Shows) == 0 {
		return errors.New("headline of what? there is no show before it")
	}
	last := &p.s.Shows[len(p.s.Shows)-1]
	if last.Headline != "" {
		return errors.New("a second headline")
	}
	last.Headline = text
	return nil
}

func (p *parser) target(words []string) error {
	if len(p.s.Shows) == 0 {
		return errors.New("target of what? there is no show before it")
	}
	if len(words) != 3 {
		return fmt.Errorf("target %s: want SYSTEM[/SYSTEM] OP NUMBER", strings.Join(words, " "))
	}
	t := Target{Op: words[1]}
	t.System, t.Base, _ = strings.Cut(words[0], "/")
	if !slices.Contains([]string{"<", "<=", ">", ">="}, t.Op) {
		return fmt.Errorf("target: %q is none of < <= > >=", t.Op)
	}
	var err error
	if t.Value, err = strconv.ParseFloat(words[2], 64); err != nil || !(t.Value > 0) {
		return fmt.Errorf("target: %q is no number above 0", words[2])
	}
	last := &p.s.Shows[len(p.s.Shows)-1]
	last.Targets = append(last.Targets, t)
	return nil
}

// finish checks what only the whole file shows.
func (p *parser) finish() {
	rule := func(ok bool, format string, args ...any) {
		if !ok {
			p.errs = append(p.errs, fmt.Errorf(format, args...))
		}
	}
	s := p.s
	rule(s.Title != "", "no title")
	rule(len(s.Systems) > 0, "no systems")
	rule(len(s.Runs) > 0, "no run")
	rule(len(s.Shows) > 0, "nothing to show")
	rule(!p.evict, "evict is followed by no run")
	for i, name := range s.Systems {
		rule(!slices.Contains(s.Systems[:i], name), "system %s is named twice", name)
	}
	for _, show := range s.Shows {
		for _, t := range show.Targets {
			rule(slices.Contains(s.Systems, t.System), "target %v: no system %s", t, t.System)
			rule(t.Base == "" || slices.Contains(s.Systems, t.Base), "target %v: no system %s", t, t.Base)
		}
	}
}
