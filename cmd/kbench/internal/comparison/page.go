package comparison

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"time"

	"github.com/dustin/go-humanize"

	"kserver/cmd/kbench/internal/latency"
	"kserver/cmd/kbench/internal/limits"
	"kserver/cmd/kbench/internal/report"
	"kserver/cmd/kbench/scenario"
)

//go:embed page.html.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"colour": func(i int) template.CSS { return template.CSS(colour(i)) }, // of a fixed list
	"number": number,
	"time":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
	"bytes":  func(n int64) string { return humanize.IBytes(uint64(n)) },
	"rate":   report.Rate,
	"mega":   func(n int) string { return humanize.Bytes(uint64(n)) },
}).Parse(pageText))

// page is what the template shows.
type page struct {
	Machine  report.Machine
	Disk     string
	Limits   *limits.Limits
	Sections []section
	Met      int
	Judged   int
}

// section is one scenario.
type section struct {
	*Outcome
	File  *scenario.Scenario
	Lines []Line
	Plots []template.HTML
}

// WritePage writes all results as one HTML page that needs nothing else.
func (r *Results) WritePage(out io.Writer) error {
	var p page
	for _, o := range r.Outcomes {
		s := section{Outcome: o}
		var err error
		if s.File, err = o.ParsedScenario(); err != nil {
			return fmt.Errorf("scenario %s: %w", o.Scenario, err)
		}
		if s.Lines, err = o.Lines(); err != nil {
			return err
		}
		s.Plots = o.plots()
		for _, l := range s.Lines {
			for _, v := range l.Verdicts {
				if v.Value.Rounds > 0 {
					p.Judged++
				}
				if v.Met {
					p.Met++
				}
			}
		}
		p.Sections = append(p.Sections, s)
		p.Machine, p.Disk = o.Machine, o.Disk
		if o.Limits != nil {
			p.Limits = o.Limits // the last that were measured
		}
	}
	if err := pageTemplate.Execute(out, &p); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// plots draws every run of the outcome: latencies, the course of rates and of the worst latency, and CPU per GB.
func (o *Outcome) plots() []template.HTML {
	sc, err := o.ParsedScenario()
	if err != nil {
		return nil // Lines has reported it
	}
	var plots []template.HTML
	names := sc.RunNames()
	for _, run := range names {
		in := ""
		if len(names) > 1 {
			in = " (" + run + ")"
		}
		plots = append(plots, o.latencyPlot(run, in)...)
		plots = append(plots, o.coursePlots(run, in)...)
		plots = append(plots, o.costPlot(run, in)...)
	}
	return plots
}

// percentiles are the places of a latency plot.
var percentiles = []struct {
	name string
	of   func(s *latency.Summary) time.Duration
}{
	{"p50", func(s *latency.Summary) time.Duration { return s.P50 }},
	{"p90", func(s *latency.Summary) time.Duration { return s.P90 }},
	{"p99", func(s *latency.Summary) time.Duration { return s.P99 }},
	{"p99.9", func(s *latency.Summary) time.Duration { return s.P999 }},
	{"p99.99", func(s *latency.Summary) time.Duration { return s.P9999 }},
	{"max", func(s *latency.Summary) time.Duration { return s.Max }},
}

// summaries returns the latencies of a system's run, round by round: those end to end where there are any, else of
// produce requests, else of fetches.
func (o *Outcome) summaries(system, run string) []latency.Summary {
	var list []latency.Summary
	for i := range o.Runs {
		m := &o.Runs[i]
		if m.System != system || m.Run != run {
			continue
		}
		for _, path := range []string{"end_to_end", "produce.latency", "consume.latency"} {
			var s latency.Summary
			if raw, ok := lookUp(m.Result, path); ok && json.Unmarshal(raw, &s) == nil && s.Count > 0 {
				list = append(list, s)
				break
			}
		}
	}
	return list
}

func (o *Outcome) latencyPlot(run, in string) []template.HTML {
	p := plot{title: "Latency, ms" + in, log: true}
	for _, q := range percentiles {
		p.xNames = append(p.xNames, q.name)
	}
	for i, s := range o.Systems {
		summaries := o.summaries(s.Name, run)
		if len(summaries) == 0 {
			continue
		}
		c := curve{colour: i}
		for _, q := range percentiles {
			var values []float64
			for j := range summaries {
				values = append(values, q.of(&summaries[j]).Seconds()*1e3)
			}
			sp := spreadOf(values)
			c.y, c.low, c.high = append(c.y, sp.Median), append(c.low, sp.Min), append(c.high, sp.Max)
		}
		p.curves = append(p.curves, c)
	}
	if len(p.curves) == 0 {
		return nil
	}
	return []template.HTML{p.svg()}
}

// course returns the series of the round of a system's run whose bytes are the median.
func (o *Outcome) course(system, run string) *report.Series {
	type candidate struct {
		bytes  float64
		series *report.Series
	}
	var rounds []candidate
	for i := range o.Runs {
		m := &o.Runs[i]
		if m.System != system || m.Run != run {
			continue
		}
		for _, flow := range []string{"produce", "consume"} {
			var s report.Series
			if raw, ok := lookUp(m.Result, flow+".series"); ok && json.Unmarshal(raw, &s) == nil && len(s.Bytes) > 0 && s.Interval > 0 {
				var sum float64
				for _, b := range s.Bytes {
					sum += float64(b)
				}
				rounds = append(rounds, candidate{sum, &s})
				break
			}
		}
	}
	if len(rounds) == 0 {
		return nil
	}
	var sums []float64
	for _, r := range rounds {
		sums = append(sums, r.bytes)
	}
	middle, best := spreadOf(sums).Median, 0
	for i := range rounds {
		if math.Abs(rounds[i].bytes-middle) < math.Abs(rounds[best].bytes-middle) {
			best = i
		}
	}
	return rounds[best].series
}

func (o *Outcome) coursePlots(run, in string) []template.HTML {
	rates := plot{title: "MB/s over time, the median round" + in}
	worst := plot{title: "Worst latency over time, ms" + in, log: true}
	var seconds []string
	for i, s := range o.Systems {
		series := o.course(s.Name, run)
		if series == nil {
			continue
		}
		rate, late := curve{colour: i}, curve{colour: i}
		for j, b := range series.Bytes {
			rate.y = append(rate.y, float64(b)/1e6/series.Interval.Seconds())
			if j < len(series.Worst) {
				late.y = append(late.y, series.Worst[j].Seconds()*1e3)
			}
			if j == len(seconds) {
				seconds = append(seconds, "")
				if at := time.Duration(j) * series.Interval; at%time.Second == 0 {
					seconds[j] = at.String()
				}
			}
		}
		rates.curves, worst.curves = append(rates.curves, rate), append(worst.curves, late)
	}
	if len(rates.curves) == 0 {
		return nil
	}
	rates.xNames, worst.xNames = seconds, seconds
	return []template.HTML{rates.svg(), worst.svg()}
}

func (o *Outcome) costPlot(run, in string) []template.HTML {
	cost, err := FigureOf("broker.cpu_gb")
	if err != nil {
		panic(err) // it is in the table
	}
	var bars []bar
	measured := false
	for i, s := range o.Systems {
		b := bar{colour: i, name: s.Name, value: o.values(cost, s.Name, run).spread()}
		measured = measured || b.value.Rounds > 0
		bars = append(bars, b)
	}
	if !measured {
		return nil
	}
	return []template.HTML{barsSVG("CPU s/GB of the broker"+in, bars)}
}
