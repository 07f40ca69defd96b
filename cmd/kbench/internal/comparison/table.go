package comparison

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// noValue stands where nothing was measured.
const noValue = "-"

// String returns the median, and the range where there is more than one round.
func (s Spread) String() string {
	switch {
	case s.Rounds == 0:
		return noValue
	case s.Rounds == 1:
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", number(s.Median), number(s.Min), number(s.Max))
}

// String says what was asked for and whether it is so.
func (v Verdict) String() string {
	switch {
	case v.Value.Rounds == 0:
		return v.Target.String() + ": not measured"
	case v.Met:
		return v.Target.String() + ": met"
	}
	return v.Target.String() + ": MISSED, " + number(v.Value.Median)
}

func (l *Line) name() string {
	if l.Unit == "" {
		return l.Label
	}
	return l.Label + ", " + l.Unit
}

// cell is a system's value, and how the first system stands to it.
func (l *Line) cell(i int) string {
	if l.Ratios[i].Rounds == 0 {
		return l.Values[i].String()
	}
	return l.Values[i].String() + "  x" + number(l.Ratios[i].Median)
}

// WriteTable writes the outcome for people: medians, ranges, and behind x what the first system's figure is divided by
// the other's.
func (o *Outcome) WriteTable(out io.Writer) error {
	lines, err := o.Lines()
	if err != nil {
		return err
	}
	sc, err := o.ParsedScenario()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) // keeps everything until Flush, which reports what fails
	fmt.Fprintf(w, "%s: %s, %d rounds\n", o.Scenario, sc.Title, o.Rounds)
	row := []string{""}
	for _, s := range o.Systems {
		row = append(row, s.Name)
	}
	fmt.Fprintln(w, strings.Join(append(row, "target"), "\t"))
	for i := range lines {
		l := &lines[i]
		row := []string{l.name()}
		for j := range o.Systems {
			row = append(row, l.cell(j))
		}
		var verdicts []string
		for _, v := range l.Verdicts {
			verdicts = append(verdicts, v.String())
		}
		fmt.Fprintln(w, strings.Join(append(row, strings.Join(verdicts, "; ")), "\t"))
	}
	for _, c := range o.Checks {
		fmt.Fprintln(w, c.String())
	}
	return w.Flush()
}

// String says what was checked and what was found.
func (c Check) String() string {
	if c.OK {
		return fmt.Sprintf("integrity of %s on %s: OK, %d records acknowledged and read back", c.Run, c.System, c.Records)
	}
	return fmt.Sprintf("FAULT of %s on %s: %s", c.Run, c.System, c.Fault)
}

// WriteMarkdown writes all results as one table, a line per figure.
func (r *Results) WriteMarkdown(out io.Writer) error {
	var b strings.Builder
	b.WriteString("| | the first system | the others, and how the first stands to them | target |\n|---|---|---|---|\n")
	for _, o := range r.Outcomes {
		lines, err := o.Lines()
		if err != nil {
			return err
		}
		sc, err := o.ParsedScenario()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "| **%s** (`%s`) | %s | %s | |\n", sc.Title, o.Scenario, o.Systems[0].about(), joined(o.Systems[1:], Side.about))
		for i := range lines {
			l := &lines[i]
			var others, verdicts []string
			for j := 1; j < len(o.Systems); j++ {
				if l.Values[j].Rounds > 0 {
					others = append(others, o.Systems[j].Name+" "+l.cell(j))
				}
			}
			for _, v := range l.Verdicts {
				verdicts = append(verdicts, v.String())
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", l.name(), l.Values[0], strings.Join(others, "<br>"), strings.Join(verdicts, "<br>"))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// WriteSummary writes the lines that have a headline as one table: a column per system that any of them measured, and
// below it what an acknowledgement of each means. Who is not in a line's scenario has an empty cell.
func (r *Results) WriteSummary(out io.Writer) error {
	type row struct {
		headline string
		cells    map[string]string
	}
	var rows []row
	var systems []Side
	for _, o := range r.Outcomes {
		lines, err := o.Lines()
		if err != nil {
			return err
		}
		for i := range lines {
			l := &lines[i]
			if l.Headline == "" {
				continue
			}
			cells := make(map[string]string)
			for j, s := range o.Systems {
				if !slices.ContainsFunc(systems, func(x Side) bool { return x.Name == s.Name }) {
					systems = append(systems, s)
				}
				if l.Values[j].Rounds > 0 {
					cells[s.Name] = number(l.Values[j].Median)
				}
			}
			rows = append(rows, row{l.Headline, cells})
		}
	}
	var b strings.Builder
	b.WriteString("| |")
	for _, s := range systems {
		b.WriteString(" " + s.Name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(systems)) + "\n")
	for _, row := range rows {
		b.WriteString("| " + row.headline + " |")
		for _, s := range systems {
			b.WriteString(" " + row.cells[s.Name] + " |")
		}
		b.WriteByte('\n')
	}
	b.WriteString("\nAn acknowledged record is:\n\n")
	for _, s := range systems {
		b.WriteString("* " + s.about() + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// about names a system and what it promises.
func (s Side) about() string {
	if s.Durability == "" {
		return s.Name
	}
	return s.Name + ": " + s.Durability
}

func joined(sides []Side, text func(Side) string) string {
	var parts []string
	for _, s := range sides {
		parts = append(parts, text(s))
	}
	return strings.Join(parts, "<br>")
}
