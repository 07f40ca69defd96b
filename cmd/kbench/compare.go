package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"kserver/cmd/kbench/internal/comparison"
	"kserver/cmd/kbench/internal/limits"
	"kserver/cmd/kbench/internal/report"
	"kserver/cmd/kbench/scenario"
)

// maxRounds bounds the rounds of a comparison.
const maxRounds = 1000

// compareOptions are those of kbench compare.
type compareOptions struct {
	systems     []string
	systemsFile string
	rounds      int
	duration    time.Duration
	warmUp      time.Duration
	prime       time.Duration
	out         string
	limits      bool
	limitsTime  time.Duration
	maxOthers   float64
}

func newCompareCommand() *cobra.Command {
	o := new(compareOptions)
	cmd := &cobra.Command{
		Use:   "compare SCENARIO.scenario...",
		Short: "Run scenarios on two or more systems in turn and set them side by side",
		Long: `Run scenarios on two or more systems in turn and set them side by side.

In every round each system has its turn, so a machine that slows down slows down all. What a system has written is
synced before the next has its turn. A round that does not count comes first: it warms the systems up, and every record
produced in it is read back and checked. The systems run already and stay as they are; topics are left behind.

--out names a directory for results.json (what every run said), report.html (one page with plots), table.md and summary.md (its headlines). What is
there of other scenarios stays.

A system is NAME=HOST:PORT, NAME=HOST:PORT,PID to know what it costs, NAME=HOST:PORT,PID,DIR for scenarios that evict
its log from the page cache. --systems names a JSON file with more to say about each. The first system is set against
every other.`,
		Example: `  kbench compare --system a=127.0.0.1:9092,4711 --system b=127.0.0.1:9192,4712 --out results bench/scenarios/ping-pong.scenario`,
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE:    func(cmd *cobra.Command, files []string) error { return o.run(cmd, files) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.systems, "system", nil, "a system: NAME=HOST:PORT[,PID[,DIR]]; may be repeated")
	f.StringVar(&o.systemsFile, "systems", "", "JSON file with systems")
	f.IntVar(&o.rounds, "rounds", 3, "rounds that count")
	f.DurationVarP(&o.duration, "duration", "d", 5*time.Second, "measured time of a run")
	f.DurationVar(&o.warmUp, "warm-up", time.Second, "load before measuring, in every run")
	f.DurationVar(&o.prime, "prime", 3*time.Second, "duration of the runs of the round that does not count")
	f.StringVar(&o.out, "out", "", "directory for the results")
	f.Float64Var(&o.maxOthers, "max-others", 0.35, "cores that processes besides broker and client may use; a run that was disturbed is run again, twice at most; 0 lets all pass")
	f.BoolVar(&o.limits, "limits", true, "measure the machine's limits first")
	f.DurationVar(&o.limitsTime, "limits-time", 300*time.Millisecond, "time for each of the limits")
	return cmd
}

func newReportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "report DIR",
		Short: "Write report.html, table.md and summary.md anew from the results.json of a comparison",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			results, err := comparison.ReadResults(filepath.Join(args[0], comparison.ResultsFile))
			if err != nil {
				return err
			}
			if len(results.Outcomes) == 0 {
				return fmt.Errorf("%s holds no results", args[0])
			}
			return results.WriteReports(args[0])
		},
	}
}

func (o *compareOptions) run(cmd *cobra.Command, files []string) error {
	var c check
	c.rule(o.rounds >= 1 && o.rounds <= maxRounds, "--rounds must be 1 to %d", maxRounds)
	c.rule(o.duration > 0 && o.prime > 0 && o.limitsTime > 0, "--duration, --prime and --limits-time must be positive")
	c.rule(o.warmUp >= 0 && o.maxOthers >= 0, "--warm-up and --max-others must not be negative")
	c.rule(len(o.systems) > 0 || o.systemsFile != "", "--system or --systems is missing")
	if err := c.err(); err != nil {
		return err
	}
	systems, err := o.readSystems()
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	var scenarios []*scenario.Scenario
	for _, file := range files {
		s, err := scenario.Read(file)
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		scenarios = append(scenarios, s)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find kbench itself: %w", err)
	}
	for _, s := range scenarios {
		outcome, err := o.compare(cmd, s, systems, self)
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.Name, err)
		}
		if err := outcome.WriteTable(cmd.OutOrStdout()); err != nil {
			return err
		}
		if err := o.keep(outcome); err != nil {
			return err
		}
	}
	return nil
}

func (o *compareOptions) readSystems() ([]comparison.System, error) {
	var systems []comparison.System
	if o.systemsFile != "" {
		var err error
		if systems, err = comparison.ReadSystems(o.systemsFile); err != nil {
			return nil, err
		}
	}
	for _, text := range o.systems {
		s, err := comparison.ParseSystem(text)
		if err != nil {
			return nil, err
		}
		systems = append(systems, s)
	}
	return systems, nil
}

func (o *compareOptions) compare(cmd *cobra.Command, s *scenario.Scenario, systems []comparison.System, self string) (*comparison.Outcome, error) {
	started := time.Now().UTC().Truncate(time.Second)
	dir := systems[0].Dir
	if dir == "" {
		dir = "."
	}
	options := &comparison.Options{
		Scenario: s, Systems: systems, Rounds: o.rounds, Duration: o.duration, WarmUp: o.warmUp, Prime: o.prime, KBench: self,
		Exec: comparison.Execute, Settle: comparison.Settle, Evict: comparison.Evict, MaxOthers: o.maxOthers, Progress: cmd.ErrOrStderr(),
	}
	if err := options.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	var machine *limits.Limits
	if o.limits {
		var err error
		if machine, err = measureLimits(cmd.Context(), dir, o.limitsTime); err != nil {
			return nil, err
		}
		machine.Dir = "" // where it was says nothing to the reader
	}
	outcome, err := comparison.Compare(cmd.Context(), options)
	if err != nil {
		return nil, err
	}
	outcome.Started, outcome.Version, outcome.Machine = started, report.Version(), report.ThisMachine()
	outcome.Machine.Host = ""
	outcome.Disk, outcome.Limits = comparison.FileSystem(dir), machine
	return outcome, nil
}

// keep adds the outcome to what --out holds.
func (o *compareOptions) keep(outcome *comparison.Outcome) error {
	if o.out == "" {
		return nil
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	file := filepath.Join(o.out, comparison.ResultsFile)
	results, err := comparison.ReadResults(file)
	if err != nil {
		return err
	}
	results.Put(outcome)
	return errors.Join(results.Write(file), results.WriteReports(o.out))
}
