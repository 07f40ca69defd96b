package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"text/tabwriter"

	"kserver/cmd/kbench/internal/latency"
)

// Labels that a comparison goes by.
const (
	LabelScenario = "scenario"
	LabelSystem   = "system"
)

// ReadResult reads a result that WriteJSON wrote.
func ReadResult(name string) (*Result, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r := new(Result)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// metric is one figure of a result that can be compared.
type metric struct {
	name         string
	higherBetter bool
	value        func(*Result) float64 // NaN or 0 when the result has none
}

var metrics = []metric{
	{"produce records/s", true, func(r *Result) float64 { return free(r.Produce).RecordsPerSecond }},
	{"produce MB/s", true, func(r *Result) float64 { return free(r.Produce).BytesPerSecond / 1e6 }},
	{"produce p50 ms", false, func(r *Result) float64 { return flowOf(r.Produce).Latency.P50.Seconds() * 1e3 }},
	{"produce p99 ms", false, func(r *Result) float64 { return flowOf(r.Produce).Latency.P99.Seconds() * 1e3 }},
	{"produce p99.9 ms", false, func(r *Result) float64 { return flowOf(r.Produce).Latency.P999.Seconds() * 1e3 }},
	{"consume records/s", true, func(r *Result) float64 { return free(r.Consume).RecordsPerSecond }},
	{"consume MB/s", true, func(r *Result) float64 { return free(r.Consume).BytesPerSecond / 1e6 }},
	{"e2e p50 ms", false, func(r *Result) float64 { return e2eOf(r).P50.Seconds() * 1e3 }},
	{"e2e p99 ms", false, func(r *Result) float64 { return e2eOf(r).P99.Seconds() * 1e3 }},
	{"e2e p99.9 ms", false, func(r *Result) float64 { return e2eOf(r).P999.Seconds() * 1e3 }},
	{"broker CPU s/GB", false, func(r *Result) float64 { return costOf(r).CPUPerGB }},
	{"broker CPU s/M records", false, func(r *Result) float64 { return costOf(r).CPUPerMillion }},
	{"broker max RSS MiB", false, func(r *Result) float64 { return float64(costOf(r).MaxRSSBytes) / (1 << 20) }},
}

func flowOf(f *Flow) Flow {
	if f == nil {
		return Flow{}
	}
	return *f
}

// free returns a flow that ran as fast as it could, and nothing for one that followed a rate: its throughput is the
// schedule's.
func free(f *Flow) Flow {
	if f == nil || f.TargetRate > 0 {
		return Flow{}
	}
	return *f
}

func costOf(r *Result) Cost {
	if r.Broker == nil {
		return Cost{}
	}
	return *r.Broker
}

func e2eOf(r *Result) latency.Summary {
	if r.EndToEnd == nil {
		return latency.Summary{}
	}
	return *r.EndToEnd
}

// Spread is a figure over several rounds.
type Spread struct {
	Rounds int     `json:"rounds"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Row compares one figure of one scenario between a system and the baseline.
type Row struct {
	Scenario string `json:"scenario"`
	Metric   string `json:"metric"`
	System   string `json:"system"`
	Baseline string `json:"baseline"`
	Value    Spread `json:"value"`
	Against  Spread `json:"against"`
	// Ratio says how many times better the system is than the baseline: above 1 is better, whichever way the figure
	// counts. It is the median of the ratios of the rounds; round i of one is set against round i of the other.
	Ratio Spread `json:"ratio"`
}

// Compare sets the results of every system against those of baseline, per scenario and figure. Results without
// scenario and system labels, interrupted ones and scenarios that the baseline did not run are refused.
func Compare(results []*Result, baseline string) ([]Row, error) {
	type key struct{ scenario, system string }
	groups := make(map[key][]*Result)
	var scenarios, systems []string
	for i, r := range results {
		k := key{r.Labels[LabelScenario], r.Labels[LabelSystem]}
		if k.scenario == "" || k.system == "" {
			return nil, fmt.Errorf("result %d has no labels %s and %s", i+1, LabelScenario, LabelSystem)
		}
		if r.Interrupted {
			return nil, fmt.Errorf("a result of %s on %s was interrupted", k.scenario, k.system)
		}
		if !slices.Contains(scenarios, k.scenario) {
			scenarios = append(scenarios, k.scenario)
		}
		if !slices.Contains(systems, k.system) {
			systems = append(systems, k.system)
		}
		groups[k] = append(groups[k], r)
	}
	var rows []Row
	for _, sc := range scenarios {
		base := groups[key{sc, baseline}]
		if len(base) == 0 {
			return nil, fmt.Errorf("scenario %s has no result of the baseline %s", sc, baseline)
		}
		for _, m := range metrics {
			for _, sys := range systems {
				if rs := groups[key{sc, sys}]; sys != baseline && len(rs) > 0 {
					if row, ok := compareOne(m, rs, base); ok {
						row.Scenario, row.System, row.Baseline = sc, sys, baseline
						rows = append(rows, row)
					}
				}
			}
		}
	}
	return rows, nil
}

func compareOne(m metric, system, base []*Result) (Row, bool) {
	var a, b, ratios []float64
	for i := range min(len(system), len(base)) {
		x, y := m.value(system[i]), m.value(base[i])
		if x <= 0 || y <= 0 {
			return Row{}, false
		}
		a, b = append(a, x), append(b, y)
		if m.higherBetter {
			ratios = append(ratios, x/y)
		} else {
			ratios = append(ratios, y/x)
		}
	}
	if len(a) == 0 {
		return Row{}, false
	}
	return Row{Metric: m.name, Value: spread(a), Against: spread(b), Ratio: spread(ratios)}, true
}

func spread(v []float64) Spread {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return Spread{Rounds: n, Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1]}
}

// WriteComparison writes rows for people.
func WriteComparison(out io.Writer, rows []Row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	e := &tableWriter{w: w}
	e.line("scenario\tfigure\tsystem\tmedian\tbaseline\tmedian\ttimes better\t(min - max)\trounds\t")
	for _, r := range rows {
		e.line("%s\t%s\t%s\t%s\t%s\t%s\t%.2f\t(%.2f - %.2f)\t%d\t", r.Scenario, r.Metric, r.System, figure(r.Value.Median),
			r.Baseline, figure(r.Against.Median), r.Ratio.Median, r.Ratio.Min, r.Ratio.Max, r.Ratio.Rounds)
	}
	if e.err != nil {
		return e.err
	}
	return w.Flush()
}

// figure formats a number with about three digits.
func figure(v float64) string {
	digits := 2 - int(math.Floor(math.Log10(max(math.Abs(v), 1e-6))))
	return fmt.Sprintf("%.*f", max(digits, 0), v)
}
