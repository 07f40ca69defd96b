package comparison

import (
	"fmt"

	"kserver/cmd/kbench/scenario"
)

// Line is one line of a result: a figure of every system.
type Line struct {
	Label string
	// Headline is its name in the summary, empty when it is not in it.
	Headline string
	Unit     string // empty for what is divided
	More     bool   // more is better
	// Values and Ratios are in the order of the outcome's systems. A ratio is the first system's figure divided by that
	// of the other, round by round; the first has none. Systems without the figure have spreads of no rounds.
	Values, Ratios []Spread
	Verdicts       []Verdict
}

// Verdict is a target beside what was measured.
type Verdict struct {
	Target scenario.Target
	Value  Spread // what is judged by its median
	Met    bool   // false, too, when nothing was measured
}

// Lines finds what the outcome's scenario shows.
func (o *Outcome) Lines() ([]Line, error) {
	sc, err := o.ParsedScenario()
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", o.Scenario, err)
	}
	manyRuns := len(sc.RunNames()) > 1
	var lines []Line
	for _, show := range sc.Shows {
		l, err := o.line(show, manyRuns)
		if err != nil {
			return nil, fmt.Errorf("scenario %s: %w", o.Scenario, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func (o *Outcome) line(show scenario.Show, nameRuns bool) (Line, error) {
	f, err := FigureOf(show.Of.Figure)
	if err != nil {
		return Line{}, err
	}
	label := func(f Figure, run string) string {
		if nameRuns {
			return f.Label + " (" + run + ")"
		}
		return f.Label
	}
	l := Line{Label: label(f, show.Of.Run), Headline: show.Headline, Unit: f.Unit, More: f.More}
	of := make(map[string]byRound)
	for _, s := range o.Systems {
		of[s.Name] = o.values(f, s.Name, show.Of.Run)
	}
	if show.Per != nil {
		per, err := FigureOf(show.Per.Figure)
		if err != nil {
			return Line{}, err
		}
		l.Label, l.Unit = l.Label+" / "+label(per, show.Per.Run), ""
		for _, s := range o.Systems {
			of[s.Name] = ratios(of[s.Name], o.values(per, s.Name, show.Per.Run))
		}
	}
	first := o.Systems[0].Name
	for i, s := range o.Systems {
		l.Values = append(l.Values, of[s.Name].spread())
		var ratio Spread
		if i > 0 && show.Per == nil {
			ratio = ratios(of[first], of[s.Name]).spread()
		}
		l.Ratios = append(l.Ratios, ratio)
	}
	for _, t := range show.Targets {
		value := of[t.System]
		if t.Base != "" {
			value = ratios(value, of[t.Base])
		}
		v := Verdict{Target: t, Value: value.spread()}
		v.Met = v.Value.Rounds > 0 && t.Met(v.Value.Median)
		l.Verdicts = append(l.Verdicts, v)
	}
	return l, nil
}

// values returns a figure of a system's run in every round that has it.
func (o *Outcome) values(f Figure, system, run string) byRound {
	v := make(byRound)
	for i := range o.Runs {
		if m := &o.Runs[i]; m.System == system && m.Run == run {
			if x, ok := f.in(m.Result); ok {
				v[m.Round] = x
			}
		}
	}
	return v
}
