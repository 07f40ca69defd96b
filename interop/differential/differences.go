package differential

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Differences are the answers of kserver that are meant to be others than Kafka's.
//
// The file is Markdown. A heading is a reason, and the text under it says more; the code blocks
// under it list what differs because of it:
//
//	## Reason
//	```
//	more ProduceResponseTopicPartition.ErrorMessage   a field kserver fills where Kafka leaves it empty
//	text "Kafka's words" = "kserver's words"     wherever an answer has exactly this text
//	case 19_create_topics/a name: step 1 v4,5     and then what differs there
//	- line of Kafka's answer
//	+ line of kserver's
//	```
type Differences struct {
	more  []string // fields as Type.Field
	texts []textPair
	cases map[string][]string // by "file/case", lines as of Compare
	used  map[string]bool     // cases and texts that were met
}

// textPair is a text of Kafka's and the one kserver has in its place.
type textPair struct{ kafka, ours string }

// LoadDifferences reads the file.
func LoadDifferences(path string) (*Differences, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := &Differences{cases: make(map[string][]string), used: make(map[string]bool)}
	inside, name := false, ""
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside, name = !inside, ""
		case !inside || line == "":
		case strings.HasPrefix(line, "more "):
			d.more = append(d.more, line[len("more "):])
		case strings.HasPrefix(line, "text "):
			pair, err := parseTextPair(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
			}
			d.texts = append(d.texts, pair)
		case strings.HasPrefix(line, "case "):
			var step string
			name, step, _ = strings.Cut(line[len("case "):], ": step ")
			d.cases[name] = append(d.cases[name], "step "+step)
		case name != "" && (line[0] == '-' || line[0] == '+'):
			d.cases[name] = append(d.cases[name], line)
		default:
			return nil, fmt.Errorf("%s:%d: neither more, text, case, - nor +", path, i+1)
		}
	}
	return d, nil
}

func parseTextPair(line string) (pair textPair, err error) {
	rest := strings.TrimPrefix(line, "text ")
	first, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return pair, err
	}
	second, ok := strings.CutPrefix(rest[len(first):], " = ")
	if !ok {
		return pair, fmt.Errorf(`text "..." = "..." is needed`)
	}
	if pair.kafka, err = strconv.Unquote(first); err != nil {
		return pair, err
	}
	pair.ours, err = strconv.Unquote(second)
	return pair, err
}

// Compare lists what differs between the recording of a case and what was answered now: for each step
// that differs a line "step N vV,V", then lines of Kafka's with "- " and lines of the other with "+ ".
func (d *Differences) Compare(c *Case, got Transcript) []string {
	var out []string
	for i := range c.Steps {
		s := &c.Steps[i]
		if !s.records() {
			continue
		}
		byDiff := make(map[int16][]string)
		for _, v := range c.Versions {
			byDiff[v] = d.diffAnswers(s.Answers[v], got[v][i])
		}
		var done []string
		for _, v := range c.Versions {
			key := strings.Join(byDiff[v], "\n")
			if key == "" || slices.Contains(done, key) {
				continue
			}
			done = append(done, key)
			var same []string
			for _, w := range c.Versions {
				if strings.Join(byDiff[w], "\n") == key {
					same = append(same, strconv.Itoa(int(w)))
				}
			}
			out = append(out, fmt.Sprintf("step %d v%s", i+1, strings.Join(same, ",")))
			out = append(out, byDiff[v]...)
		}
	}
	return out
}

// diffAnswers compares two answers, the second also without what it has more than Kafka's.
func (d *Differences) diffAnswers(kafka []string, got Answer) []string {
	diff := d.diffLines(kafka, got.lines)
	if len(diff) == 0 || got.more == "" {
		return diff
	}
	less := d.diffLines(kafka, got.without)
	if len(less) == 0 {
		for _, field := range strings.Fields(got.more) {
			d.used[field] = true
		}
	}
	if len(less) < len(diff) {
		return less
	}
	return diff
}

// diffLines compares two answers by their longest common subsequence of lines.
func (d *Differences) diffLines(kafka, ours []string) []string {
	n, m := len(kafka), len(ours)
	common := make([][]int, n+1)
	for i := range common {
		common[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if d.same(kafka[i], ours[j]) {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case i < n && j < m && d.same(kafka[i], ours[j]):
			i, j = i+1, j+1
		case j == m || i < n && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+kafka[i])
			i++
		default:
			out = append(out, "+ "+ours[j])
			j++
		}
	}
	return out
}

// same compares two lines; a listed text of kserver's stands for Kafka's.
func (d *Differences) same(kafka, ours string) bool {
	if kafka == ours {
		return true
	}
	for _, p := range d.texts {
		if replaced := strings.ReplaceAll(ours, p.ours, p.kafka); replaced != ours && replaced == kafka {
			d.used[p.kafka+"\x00"+p.ours] = true
			return true
		}
	}
	return false
}

// Check compares what differs in a case with what is listed for it. It returns the reason to fail,
// or "".
func (d *Differences) Check(name string, diff []string) string {
	listed := d.cases[name]
	d.used[name] = true
	switch {
	case slices.Equal(listed, diff):
		return ""
	case len(diff) == 0:
		return "is listed as a difference, and there is none any more"
	case len(listed) > 0:
		return "differs otherwise than it is listed:\n" + formatDifference(name, diff)
	}
	return "differs from Kafka:\n" + formatDifference(name, diff)
}

// Unused lists what is in the file and was not met. It means something after a run of all scripts.
func (d *Differences) Unused() (out []string) {
	for name := range d.cases {
		if !d.used[name] {
			out = append(out, "case "+name)
		}
	}
	for _, field := range d.more {
		if !d.used[field] {
			out = append(out, "more "+field)
		}
	}
	for _, p := range d.texts {
		if !d.used[p.kafka+"\x00"+p.ours] {
			out = append(out, fmt.Sprintf("text %q = %q", p.kafka, p.ours))
		}
	}
	slices.Sort(out)
	return out
}

// formatDifference writes a difference as the file has it.
func formatDifference(name string, diff []string) string {
	var b strings.Builder
	for _, line := range diff {
		if strings.HasPrefix(line, "step ") {
			line = "case " + name + ": " + line
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
