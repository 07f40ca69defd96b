package comparison

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kserver/cmd/kbench/internal/limits"
	"kserver/cmd/kbench/internal/report"
	"kserver/cmd/kbench/scenario"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

const text = `title  A tail and its readers
about  Told <apart>.
systems ours theirs
setup  produce -t cold
run    quiet e2e -t tail-{round} --rate 10
evict
run    loaded e2e -t tail-{round}
beside readers consume -t cold
show   produce.mb@quiet
target ours/theirs >= 2
target ours >= 100
show   produce.p99@loaded / produce.p99@quiet
target ours <= 1.5
show   broker.cpu_gb@loaded
headline CPU, loaded, s/GB
show   consume.mb@readers
target theirs > 5000
show   start.idle_cpu@quiet
target ours < 1
`

func parsed(t *testing.T) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("tail", text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pair() []System {
	return []System{
		{Name: "ours", Address: "h:1", PID: 7, Dir: "/ours", Durability: "synced"},
		{Name: "theirs", Prime: 3 * time.Second, Address: "h:2", Dir: "/theirs", NoVerify: true, Args: []string{"--topic-config", "a=b"},
			Programs: map[string][]string{"consume": {"reader", "--for", "{duration}", "{warm-up}"}}},
	}
}

// options returns options whose programs are run by exec; the calls of everything are written into log, one a line.
func options(t *testing.T, log *[]string, exec Exec) *Options {
	var mu sync.Mutex
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		*log = append(*log, fmt.Sprintf(format, args...))
	}
	return &Options{
		Scenario: parsed(t), Systems: pair(), Rounds: 2, Duration: 5 * time.Second, WarmUp: time.Second, Prime: 2 * time.Second, KBench: "kbench",
		Exec: func(ctx context.Context, program []string) (json.RawMessage, string, error) {
			note("%s", strings.Join(program, " "))
			return exec(ctx, program)
		},
		Settle:   func(s *System) error { note("settle %s", s.Name); return nil },
		Evict:    func(dir string) error { note("evict %s", dir); return nil },
		Progress: io.Discard,
	}
}

func good(context.Context, []string) (json.RawMessage, string, error) {
	return json.RawMessage(`{"produce":{"bytes_per_second":1e6},"args":["secret"],"integrity":{"acked":3}}`), "", nil
}

// The systems take turns, round by round, with everything a run asks for around it.
func TestCompareInterleaves(t *testing.T) {
	var log []string
	o, err := Compare(t.Context(), options(t, &log, good))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"kbench produce --driver raw --bootstrap-server h:1 --topic tail-ours --warm-up 1s --duration 2s --broker-pid 7 -t cold",
		"kbench produce --driver raw --bootstrap-server h:2 --topic tail-theirs --warm-up 1s --duration 2s -t cold --topic-config a=b",
	}
	for round := range 3 {
		duration, theirs, verify := "5s", "5s", ""
		if round == 0 {
			duration, theirs, verify = "2s", "3s", " --verify"
		}
		want = append(want,
			"settle ours",
			fmt.Sprintf("kbench e2e --driver raw --bootstrap-server h:1 --topic tail-ours --warm-up 1s --duration %s --broker-pid 7%s -t tail-%d --rate 10", duration, verify, round),
			"settle ours", "evict /ours",
			fmt.Sprintf("kbench consume --driver raw --bootstrap-server h:1 --topic tail-ours --warm-up 1s --duration %s --broker-pid 7 -t cold", duration),
			fmt.Sprintf("kbench e2e --driver raw --bootstrap-server h:1 --topic tail-ours --warm-up 1s --duration %s --broker-pid 7%s -t tail-%d", duration, verify, round),
			"settle theirs",
			fmt.Sprintf("kbench e2e --driver raw --bootstrap-server h:2 --topic tail-theirs --warm-up 1s --duration %s -t tail-%d --rate 10 --topic-config a=b", theirs, round),
			"settle theirs", "evict /theirs",
			fmt.Sprintf("kbench e2e --driver raw --bootstrap-server h:2 --topic tail-theirs --warm-up 1s --duration %s -t tail-%d --topic-config a=b", theirs, round),
			fmt.Sprintf("reader --for %s 1s -t cold", theirs),
		)
	}
	// What runs beside another begins before or after it.
	for i := range log[:len(log)-1] {
		if strings.Contains(log[i+1], "consume") && strings.Contains(log[i], "e2e") && strings.Contains(log[i+1], "h:1") {
			log[i], log[i+1] = log[i+1], log[i]
		}
		if strings.HasPrefix(log[i], "reader") && strings.Contains(log[i+1], "e2e") && strings.Contains(log[i+1], "h:2") {
			log[i], log[i+1] = log[i+1], log[i]
		}
	}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Error(diff)
	}
	var runs []string
	for _, m := range o.Runs {
		runs = append(runs, fmt.Sprintf("%d%s %s", m.Round, m.System, m.Run))
		if string(m.Result) != `{"produce":{"bytes_per_second":1e6}}` {
			t.Errorf("kept %s", m.Result)
		}
	}
	wantRuns := []string{"1ours quiet", "1ours loaded", "1ours readers", "1theirs quiet", "1theirs loaded", "1theirs readers",
		"2ours quiet", "2ours loaded", "2ours readers", "2theirs quiet", "2theirs loaded", "2theirs readers"}
	if diff := cmp.Diff(wantRuns, runs); diff != "" {
		t.Error(diff)
	}
	if len(o.Checks) != 8 || !o.Checks[0].OK || o.Checks[0].Run != Setup || o.Checks[0].Records != 3 {
		t.Errorf("checks %+v", o.Checks)
	}
	if diff := cmp.Diff([]Side{{Name: "ours", Durability: "synced"}, {Name: "theirs"}}, o.Systems); diff != "" {
		t.Error(diff)
	}
}

func TestCompareFailures(t *testing.T) {
	broken := errors.New("broken")
	on := func(word string, result string, fault string, err error) Exec {
		return func(ctx context.Context, program []string) (json.RawMessage, string, error) {
			if slices.Contains(program, word) {
				return json.RawMessage(result), fault, err
			}
			return good(ctx, program)
		}
	}
	for name, tt := range map[string]struct {
		exec Exec
		want string
	}{
		"setup":          {on("produce", "", "", broken), "set up ours: broken"},
		"setup faults":   {on("produce", "{}", "records failed", nil), "set up ours: records failed"},
		"run":            {on("tail-1", "", "", broken), "round 1 of ours: run quiet: broken"},
		"beside":         {on("reader", "", "", broken), "round 0 of theirs: run readers: broken"},
		"no JSON object": {on("tail-1", "[]", "", nil), "run quiet: json"},
	} {
		var log []string
		if _, err := Compare(t.Context(), options(t, &log, tt.exec)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
	}

	// Records that failed and faults of integrity are findings, not the end.
	var log []string
	o, err := Compare(t.Context(), options(t, &log, on("tail-0", `{"integrity":{"acked":3,"lost":1}}`, "1 record failed", nil)))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, c := range o.Checks {
		if !c.OK {
			found = append(found, c.String())
		}
	}
	if want := "FAULT of quiet on ours: round 0: 1 record failed"; len(found) != 8 || found[0] != want {
		t.Errorf("found %q", found)
	}

	// Who interrupts gets no outcome of runs that were cut off.
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Compare(ctx, options(t, &log, func(ctx context.Context, program []string) (json.RawMessage, string, error) {
		if slices.Contains(program, "tail-1") {
			cancel()
		}
		return good(ctx, program)
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// A run that others disturbed is run again, twice at most, unless something is meant to run beside it; what counts is
// the last, and the disturbance is told.
func TestDisturbedRunsAreRepeated(t *testing.T) {
	var log []string
	disturbed := 1 // runs of quiet that are disturbed, by what came before
	o := options(t, &log, func(_ context.Context, program []string) (json.RawMessage, string, error) {
		cores := 0.1
		if slices.Contains(program, "tail-2") || slices.Contains(program, "tail-1") && disturbed > 0 {
			cores = 0.9
			disturbed--
		}
		return fmt.Appendf(nil, `{"other_cores":%v}`, cores), "", nil
	})
	o.Systems, o.MaxOthers = o.Systems[:1], 0.5
	out, err := Compare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, line := range log {
		for _, round := range []string{"tail-0", "tail-1", "tail-2"} {
			if strings.Contains(line, round) {
				count[round]++
			}
		}
	}
	// Round 1: quiet twice. Round 2: quiet three times. Loaded, with readers beside it, once each.
	if diff := cmp.Diff(map[string]int{"tail-0": 2, "tail-1": 3, "tail-2": 4}, count); diff != "" {
		t.Error(diff)
	}
	if len(out.Runs) != 6 || len(out.Checks) != 1 || out.Checks[0].Fault != "round 2: others used 0.90 cores" {
		t.Errorf("%d runs, checks %v", len(out.Runs), out.Checks)
	}
}

func TestCheckRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(o *Options)
		want string
	}{
		"nobody":           {func(o *Options) { o.Systems = nil }, "there is none"},
		"twice":            {func(o *Options) { o.Systems[1].Name = "ours" }, "two are called ours"},
		"nothing to evict": {func(o *Options) { o.Systems[0].Dir = "" }, "directory is unknown"},
		"unknown figure":   {func(o *Options) { o.Scenario.Shows[0].Of.Figure = "x" }, `no figure is called "x"`},
		"unknown divisor":  {func(o *Options) { o.Scenario.Shows[1].Per.Figure = "y" }, `no figure is called "y"`},
	} {
		var log []string
		o := options(t, &log, good)
		tt.edit(o)
		if _, err := Compare(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) || len(log) > 0 {
			t.Errorf("%s: %v, want %q; ran %q", name, err, tt.want, log)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}}, {[]float64{3}, Spread{1, 3, 3, 3}}, {[]float64{3, 1}, Spread{2, 1, 2, 3}}, {[]float64{9, 1, 2}, Spread{3, 1, 2, 9}},
	} {
		if got := spreadOf(tt.values); got != tt.want {
			t.Errorf("%v: %+v", tt.values, got)
		}
	}
	got := ratios(byRound{1: 6, 2: 8, 3: 1, 4: 5, 5: 0}, byRound{1: 2, 2: 2, 4: 0, 5: 3})
	if diff := cmp.Diff(byRound{1: 3, 2: 4}, got); diff != "" {
		t.Error(diff)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1", 0.01234: "0.0123", 1.5: "1.5", 99.66: "99.7", 1234.5: "1234", 123456: "123456", 0.00001234: "0.000012", -2500: "-2500"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
}

// Every figure is found in what kbench writes.
func TestFiguresOfAResult(t *testing.T) {
	raw := json.RawMessage(`{"produce":{"latency":{"p99_ns":2500000},"records_per_second":null},"broker":{"max_rss_bytes":3145728},"consume":3}`)
	for name, want := range map[string]float64{"produce.p99": 2.5, "broker.rss": 3} {
		f, err := FigureOf(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := f.in(raw); !ok || got != want {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
	for _, name := range []string{"produce.records", "produce.p50", "consume.mb", "e2e.p99"} {
		f, err := FigureOf(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := f.in(raw); ok {
			t.Errorf("%s: %v", name, got)
		}
	}
	full, err := json.Marshal(map[string]any{
		"produce": report.Flow{}, "consume": report.Flow{}, "end_to_end": map[string]int{"p50_ns": 1, "p99_ns": 1, "p999_ns": 1}, "client": report.Cost{},
		"broker":    report.Cost{CPUPerGB: 1, CPUPerMillion: 1, MaxRSSBytes: 1},
		"first_ack": map[string]int{"median_ms": 1}, "after_kill": map[string]int{"median_ms": 1}, "idle_rss": 1, "other_cores": 1, "stolen_percent": 1, "idle_cpu_percent": 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range figures {
		if _, ok := f.in(full); !ok {
			t.Errorf("%s is nowhere at %s", f.Name, f.path)
		}
	}
}

func TestSystems(t *testing.T) {
	s, err := ParseSystem("a=127.0.0.1:9092,12,/data,x")
	if diff := cmp.Diff(System{Name: "a", Address: "127.0.0.1:9092", PID: 12, Dir: "/data,x"}, s); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{"", "a", "=h:1", "a b=h:1", "a=h", "a=h:1,x", "a=h:1,-1"} {
		if _, err := ParseSystem(bad); !errors.Is(err, ErrSystem) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	file := filepath.Join(t.TempDir(), "systems.json")
	for body, want := range map[string]string{
		`[{"name":"a","address":"h:1"},{"name":"b","programs":{"produce":["x"]}}]`: "",
		`[{"name":"a"}]`: "neither address nor program",
		`{}`:             "cannot unmarshal",
	} {
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := ReadSystems(file)
		if want == "" && (err != nil || len(list) != 2) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %v", body, list, err)
		}
	}
}

// outcome is one with figures for everything the scenario shows.
func outcome(t *testing.T) *Outcome {
	o := &Outcome{
		Scenario: "tail", Text: text, Started: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Version: "v1", Rounds: 3, Duration: 4 * time.Second, WarmUp: time.Second,
		Machine: report.Machine{Kernel: "Linux 6", CPU: "Fast", CPUs: 2, MemoryBytes: 8 << 30, Congestion: "cubic"}, Disk: "ext4",
		Limits: &limits.Limits{SyncAppends: 1000, SyncOverwrites: 2000, SyncedBytes: 3e8, SendfileBytes: 4e9, CopyBytes: 5e9, RoundTrip: 6 * time.Microsecond,
			SendfileAnswers: []limits.Answers{{Connections: 1, Bytes: 1 << 20, BytesPerSecond: 6e9, CPUPerGB: 0.14}}},
		Systems: []Side{{Name: "ours", Durability: "synced", Version: "1", Settings: []string{"defaults"}}, {Name: "theirs", Durability: "not synced"}},
		Checks:  []Check{{System: "ours", Run: "quiet", OK: true, Records: 12}, {System: "theirs", Run: "loaded", Fault: "1 lost"}},
	}
	add := func(round int, system, run string, result any) {
		b, err := json.Marshal(result)
		if err != nil {
			t.Fatal(err)
		}
		o.Runs = append(o.Runs, Measured{System: system, Round: round, Run: run, Result: b})
	}
	for round := 1; round <= 3; round++ {
		for i, system := range []string{"ours", "theirs"} {
			for j, run := range []string{"quiet", "loaded"} {
				ms := time.Duration(round*(1+i*2)*(1+j)) * time.Millisecond
				rate := float64(100*(3+round-2*i)) * 1e6
				flow := report.Flow{BytesPerSecond: rate, Series: &report.Series{
					Interval: 200 * time.Millisecond, Bytes: []int64{int64(rate / 5), int64(rate / 4), 0, 1, 2, 3}, Worst: []time.Duration{ms, ms * 2, 0, ms, ms, ms},
				}}
				flow.Latency.Count, flow.Latency.P50, flow.Latency.P90, flow.Latency.P99, flow.Latency.P999, flow.Latency.P9999, flow.Latency.Max =
					1, ms/4, ms/2, ms, ms*2, ms*3, ms*4
				add(round, system, run, map[string]any{"produce": flow, "broker": report.Cost{CPUPerGB: float64(round + 5*i)}})
			}
			add(round, system, "readers", map[string]any{"consume": report.Flow{BytesPerSecond: 1e9}})
		}
	}
	return o
}

func TestLines(t *testing.T) {
	lines, err := outcome(t).Lines()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range lines {
		l := &lines[i]
		got = append(got, fmt.Sprint(l.name(), " | ", l.cell(0), " | ", l.cell(1), " | ", l.Verdicts))
	}
	want := []string{
		"produced (quiet), MB/s | 500 (400-600) | 300 (200-400)  x1.67 | [ours/theirs >= 2: MISSED, 1.67 ours >= 100: met]",
		"produce p99 (loaded) / produce p99 (quiet) | 2 (2-2) | 2 (2-2) | [ours <= 1.5: MISSED, 2]",
		"broker CPU (loaded), s/GB | 2 (1-3) | 7 (6-8)  x0.286 | []",
		"consumed (readers), MB/s | 1000 (1000-1000) | 1000 (1000-1000)  x1 | [theirs > 5000: MISSED, 1000]",
		"idle CPU (quiet), % of a core | - | - | [ours < 1: not measured]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	o := outcome(t)
	o.Text = strings.Replace(text, "broker.cpu_gb", "broker.heat", 1)
	if _, err := o.Lines(); err == nil || !strings.Contains(err.Error(), "broker.heat") {
		t.Errorf("a figure that no longer exists: %v", err)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s, -rewrite writes it anew:\n%s", file, diff)
	}
}

func TestReportsAreAsTheyWere(t *testing.T) {
	start := outcome(t)
	start.Scenario = "start"
	start.Text = "title Start\nsystems ours theirs\nrun start start\nshow start.first_ack\ntarget ours < 10\n"
	start.Runs = []Measured{{System: "ours", Round: 1, Run: "start", Result: json.RawMessage(`{"first_ack":{"median_ms":7.5}}`)}}
	start.Checks, start.Rounds = nil, 1
	r := &Results{Outcomes: []*Outcome{outcome(t), start}}
	start.Systems = append(start.Systems, Side{Name: "third"})
	start.Text = strings.Replace(start.Text, "target", "headline from exec, ms\ntarget", 1)
	var terminal, page, table, summary bytes.Buffer
	if err := errors.Join(r.Outcomes[0].WriteTable(&terminal), r.WritePage(&page), r.WriteMarkdown(&table), r.WriteSummary(&summary)); err != nil {
		t.Fatal(err)
	}
	golden(t, "terminal.txt", terminal.Bytes())
	golden(t, "table.md", table.Bytes())
	golden(t, "summary.md", summary.Bytes())
	golden(t, "report.html", page.Bytes())
	for _, outside := range []string{"http:", "https:", "src=", "<script", "<link", "@import", "url("} {
		if strings.Contains(page.String(), outside) {
			t.Errorf("the page needs something else: it has %q", outside)
		}
	}
	if strings.Contains(page.String(), "<apart>") {
		t.Error("text of the scenario is not escaped")
	}
}

func TestResultsGather(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, ResultsFile)
	for _, name := range []string{"b", "a", "b", "a"} {
		r, err := ReadResults(file)
		if err != nil {
			t.Fatal(err)
		}
		o := outcome(t)
		o.Scenario, o.Rounds = name, len(r.Outcomes)+1
		r.Put(o)
		if err := errors.Join(r.Write(file), r.WriteReports(dir)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := ReadResults(file)
	if err != nil || len(r.Outcomes) != 2 || r.Outcomes[0].Scenario != "a" || r.Outcomes[0].Rounds != 3 || r.Outcomes[1].Scenario != "b" {
		t.Errorf("%+v, %v", r, err)
	}
	want := outcome(t)
	want.Scenario, want.Rounds = "a", 3
	if diff := cmp.Diff(want, r.Outcomes[0], cmp.Transformer("compact", func(raw json.RawMessage) string {
		var b bytes.Buffer
		if json.Compact(&b, raw) != nil {
			return string(raw)
		}
		return b.String()
	})); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{pageFile, tableFile, summaryFile} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadResults(file); err == nil {
		t.Error("half a file was read")
	}
}

// The helper process plays a program that takes part.
func TestMain(m *testing.M) {
	if mode := os.Getenv("COMPARISON_HELPER"); mode != "" {
		os.Exit(helper(mode, os.Args[len(os.Args)-1]))
	}
	flag.Parse()
	os.Exit(m.Run())
}

func helper(mode, file string) int {
	body := `{"ok":true}`
	switch mode {
	case "silent":
		return 0
	case "garbage":
		body = "{"
	}
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		return 9
	}
	if mode == "fault" {
		fmt.Println("some table\n3 records failed")
		return 1
	}
	return 0
}

func TestExecute(t *testing.T) {
	for mode, tt := range map[string]struct{ fault, err string }{
		"good": {}, "fault": {fault: "3 records failed"}, "silent": {err: "it wrote no result"}, "garbage": {err: "no JSON"},
	} {
		t.Setenv("COMPARISON_HELPER", mode)
		result, fault, err := Execute(t.Context(), []string{os.Args[0]})
		if fault != tt.fault || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: fault %q, %v", mode, fault, err)
		}
		if err == nil && string(result) != `{"ok":true}` {
			t.Errorf("%s: %s", mode, result)
		}
	}
	if _, _, err := Execute(t.Context(), []string{"/no/such/program"}); err == nil {
		t.Error("no such program, and no error")
	}
}

func TestEvictAndSettle(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "b", "log"), make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &System{Dir: dir}
	if err := errors.Join(Settle(s), Evict(dir)); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "a", "b", "log")); err != nil || len(b) != 1<<16 {
		t.Errorf("%d bytes are left, %v", len(b), err)
	}
	if FileSystem(dir) == "" {
		t.Error("a file system of no kind")
	}
	s.Dir = filepath.Join(dir, "missing")
	if Settle(s) == nil {
		t.Error("settled what does not exist")
	}
}
