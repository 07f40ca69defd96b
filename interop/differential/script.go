package differential

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Script is one file of cases, and what it says besides them.
type Script struct {
	Name  string // of the file, without its extension
	Cases []*Case
	path  string
	lines []string // of the file, without the answers
}

// Case is one script of a file, run once for each of its versions.
type Case struct {
	Name     string
	Versions []int16
	Steps    []Step
}

// Step is one line of a case.
type Step struct {
	// conn is the connection's name, "" for the case's first.
	conn string
	// verb is the name of an API, or of another kind of step; send and receive are set beside
	// an API where a line has only half of the exchange.
	verb          string
	send, receive bool
	api           int16
	version       int16  // -1: that of the run
	cut, pad      int    // bytes cut from or added to the end of the frame
	joined        bool   // sent in one write with the next request of the connection
	hide          string // a field of the answer that is not recorded
	words         []string
	fields        []field
	line          int // index of its last line in Script.lines

	// Answers are what Kafka answered, by version, in the form of render.
	Answers map[int16][]string
}

// apiKeys finds APIs by name.
var apiKeys = func() map[string]int16 {
	keys := make(map[string]int16)
	for k := int16(0); k < 128; k++ {
		if req := kmsg.RequestForKey(k); req != nil {
			keys[kmsg.NameForKey(k)] = k
		}
	}
	return keys
}()

// LoadScripts reads every script of a directory, by name.
func LoadScripts(dir string) ([]*Script, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var scripts []*Script
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		s, err := parseScript(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		s.path, s.Name = path, strings.TrimSuffix(filepath.Base(path), ".txt")
		scripts = append(scripts, s)
	}
	return scripts, nil
}

// parseScript reads the text of a file.
func parseScript(text string) (*Script, error) {
	s := &Script{}
	var versions []int16
	defines := make(map[string]string)
	var c *Case
	fail := func(i int, err error) error { return fmt.Errorf("line %d: %w", i+1, err) }
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "<"):
			if c == nil || len(c.Steps) == 0 {
				return nil, fail(i, fmt.Errorf("an answer without a request"))
			}
			if err := c.Steps[len(c.Steps)-1].addAnswer(line, c.Versions); err != nil {
				return nil, fail(i, err)
			}
			continue
		case strings.HasPrefix(line, "case "):
			c = &Case{Name: line[len("case "):], Versions: versions}
			s.Cases = append(s.Cases, c)
		case strings.HasPrefix(line, "versions "):
			vs, err := parseVersions(strings.Fields(line)[1:])
			if err != nil {
				return nil, fail(i, err)
			}
			if c == nil {
				versions = vs
			} else {
				c.Versions = vs
			}
		case strings.HasPrefix(line, "define "):
			name, text, ok := strings.Cut(line[len("define "):], " = ")
			if !ok {
				return nil, fail(i, fmt.Errorf("define name = text"))
			}
			defines[name] = text
		case strings.HasPrefix(line, "> "):
			if c == nil {
				return nil, fail(i, fmt.Errorf("a request without a case"))
			}
			whole := line[2:]
			first := i
			s.lines = append(s.lines, line)
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], ">  ") {
				i++
				whole += " " + strings.TrimSpace(lines[i][1:])
				s.lines = append(s.lines, lines[i])
			}
			step, err := parseStep(whole, defines)
			if err != nil {
				return nil, fail(first, err)
			}
			step.line = len(s.lines) - 1
			c.Steps = append(c.Steps, step)
			continue
		case line != "" && !strings.HasPrefix(line, "#"):
			return nil, fail(i, fmt.Errorf("neither case, versions, define, request, answer nor comment: %q", line))
		}
		s.lines = append(s.lines, line)
	}
	return s, s.check()
}

// check reports cases without versions and names used twice.
func (s *Script) check() error {
	seen := make(map[string]bool)
	for _, c := range s.Cases {
		if len(c.Versions) == 0 || len(c.Steps) == 0 || seen[c.Name] {
			return fmt.Errorf("case %q: no versions, no steps, or its name is used twice", c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}

func parseVersions(words []string) (versions []int16, err error) {
	for _, w := range words {
		v, err := strconv.ParseInt(w, 10, 16)
		if err != nil {
			return nil, err
		}
		versions = append(versions, int16(v))
	}
	return versions, nil
}

// parseStep reads one request, or another kind of step. A word of defines where the fields begin
// stands for its text, with the rest of the line filled in.
func parseStep(line string, defines map[string]string) (s Step, err error) {
	p := &parser{in: line}
	s.version = -1
	word := p.word()
	if strings.HasPrefix(word, "@") {
		s.conn, word = word[1:], p.word()
	}
	switch word {
	case "topic", "state", "wait", "gone", "produce", "member", "let", "frame", "bytes", "idle", "receive", "client", "catchup":
		s.verb, s.words = word, strings.Fields(line[p.pos:])
		s.receive = word == "receive" || word == "frame" || word == "bytes"
		return s, nil
	case "send":
		s.send, word = true, p.word()
	default:
		s.send, s.receive = true, true
	}
	key, ok := apiKeys[word]
	if !ok {
		return s, fmt.Errorf("there is no API %q", word)
	}
	s.verb, s.api = word, key
	for {
		at := p.pos
		w := p.word()
		name, number, _ := strings.Cut(w, "=")
		if len(w) > 1 && w[0] == 'v' && number == "" {
			name, number = "v", w[1:]
		}
		n, nerr := strconv.Atoi(number)
		switch {
		case nerr == nil && name == "v":
			s.version = int16(n)
		case nerr == nil && name == "cut":
			s.cut = n
		case nerr == nil && name == "pad":
			s.pad = n
		case nerr == nil && name == "joined":
			s.joined = true
		case name == "hide" && number != "":
			s.hide = number
		default:
			if text, ok := defines[w]; ok && p.peek() != ':' {
				p, at = &parser{in: substitute(text, strings.TrimSpace(p.in[p.pos:]))}, 0
			}
			p.pos = at
			s.fields, err = p.fieldList(0)
			return s, err
		}
	}
}

// substitute puts the rest of a line into a defined text: its words in place of "%1", "%2"..., or all of
// it in place of "%".
func substitute(text, rest string) string {
	if !strings.Contains(text, "%1") {
		return strings.ReplaceAll(text, "%", rest)
	}
	for i, word := range strings.Fields(rest) {
		text = strings.ReplaceAll(text, "%"+strconv.Itoa(i+1), word)
	}
	return text
}

// records reports whether the step has an answer to record.
func (s *Step) records() bool { return s.receive || s.verb == "idle" }

// addAnswer takes a line that begins with "<" into the recording.
func (s *Step) addAnswer(line string, versions []int16) error {
	if s.Answers == nil {
		s.Answers = make(map[int16][]string)
	}
	head, text, ok := strings.Cut(line[1:], " ")
	if !ok {
		return fmt.Errorf("an answer without text")
	}
	if head != "" {
		var err error
		if versions, err = parseVersions(strings.Split(strings.TrimSuffix(head, ":"), ",")); err != nil {
			return err
		}
	}
	for _, v := range versions {
		s.Answers[v] = append(s.Answers[v], text)
	}
	return nil
}

// formatAnswers is the inverse of addAnswer: versions with the same answer share it.
func formatAnswers(answers map[int16][]string, versions []int16) (lines []string) {
	done := make(map[string]bool)
	for _, v := range versions {
		text := strings.Join(answers[v], "\n")
		if done[text] {
			continue
		}
		done[text] = true
		var same []string
		for _, w := range versions {
			if strings.Join(answers[w], "\n") == text {
				same = append(same, strconv.Itoa(int(w)))
			}
		}
		head := "<" + strings.Join(same, ",") + ": "
		if len(same) == len(versions) {
			head = "< "
		}
		for _, l := range answers[v] {
			lines = append(lines, head+l)
		}
	}
	return lines
}

// Write puts the answers of got, by case name, into the file. Cases that are not in got keep theirs.
func (s *Script) Write(got map[string]Transcript) error {
	after := make(map[int][]string)
	for _, c := range s.Cases {
		for i := range c.Steps {
			step := &c.Steps[i]
			answers := step.Answers
			if t, ok := got[c.Name]; ok {
				answers = t.answers(i)
			}
			if step.records() {
				after[step.line] = formatAnswers(answers, c.Versions)
			}
		}
	}
	var b strings.Builder
	for i, line := range s.lines {
		b.WriteString(line + "\n")
		for _, a := range after[i] {
			b.WriteString(a + "\n")
		}
	}
	return os.WriteFile(s.path, []byte(b.String()), 0o644)
}
