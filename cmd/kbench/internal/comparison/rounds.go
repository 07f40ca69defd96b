package comparison

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/scenario"
)

// besideGrace is how long a run beside another may go on when the other has ended.
const besideGrace = time.Second

// maxAgain is how often a disturbed run is run again.
const maxAgain = 2

// Setup is the name of a check of what was set up.
const Setup = "setup"

// Exec runs a program with its arguments and returns the JSON it wrote. fault is why it says that its own result is not
// good (records failed, the integrity check found a fault); err is that there is no result. When ctx ends, the program
// is interrupted and what it wrote until then counts.
type Exec func(ctx context.Context, program []string) (result json.RawMessage, fault string, err error)

// Options say how Compare goes about it.
type Options struct {
	Scenario *scenario.Scenario
	Systems  []System // in the order of each round
	Rounds   int      // that count
	Duration time.Duration
	WarmUp   time.Duration // load before measuring, in every run
	Prime    time.Duration // duration of the runs of the round before the first, which does not count
	KBench   string        // the program to run commands with
	Exec     Exec
	// Settle is called before every run: it waits until what the runs before have written is on disk, so that nobody
	// pays for another's writes.
	Settle func(s *System) error
	// Evict drops the files of a directory from the page cache.
	Evict func(dir string) error
	// MaxOthers is how many cores others may use beside a run. One that was disturbed is run again, at most maxAgain
	// times; the last counts in any case, and its disturbance is told. 0 lets everything pass. It does not apply to runs
	// with another beside them, for they disturb each other on purpose.
	MaxOthers float64
	Progress  io.Writer // a line per run
}

// comparison is a Compare under way.
type comparison struct {
	*Options
	runs   []Measured
	checks []Check
}

// Compare runs the scenario. A round that does not count comes first: it warms up the systems, and in it every record
// that kbench produces is read back and checked. Runs and Checks of the outcome are filled in, and what the scenario
// and the options say; the rest is the caller's.
func Compare(ctx context.Context, o *Options) (*Outcome, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	c := &comparison{Options: o}
	for i := range o.Systems {
		if err := c.setUp(ctx, &o.Systems[i]); err != nil {
			return nil, fmt.Errorf("set up %s: %w", o.Systems[i].Name, err)
		}
	}
	for round := range o.Rounds + 1 {
		for i := range o.Systems {
			for j := range o.Scenario.Runs {
				s, r := &o.Systems[i], &o.Scenario.Runs[j]
				if err := c.undisturbed(ctx, round, s, r); err != nil {
					return nil, fmt.Errorf("round %d of %s: %w", round, s.Name, err)
				}
			}
		}
	}
	out := &Outcome{
		Scenario: o.Scenario.Name, Text: o.Scenario.Text, Rounds: o.Rounds, Duration: o.Duration, WarmUp: o.WarmUp,
		Runs: c.runs, Checks: c.checks,
	}
	for _, s := range o.Systems {
		out.Systems = append(out.Systems, Side{Name: s.Name, Durability: s.Durability, Version: s.Version, Settings: s.Settings})
	}
	return out, nil
}

// Check refuses what cannot be run: systems without what the scenario needs, figures that nobody knows.
func (o *Options) Check() error {
	if len(o.Systems) == 0 {
		return fmt.Errorf("%w: there is none", ErrSystem)
	}
	if err := checkNames(o.Systems); err != nil {
		return err
	}
	for _, show := range o.Scenario.Shows {
		for _, ref := range []*scenario.Ref{&show.Of, show.Per} {
			if ref == nil {
				continue
			}
			if _, err := FigureOf(ref.Figure); err != nil {
				return fmt.Errorf("scenario %s: %w", o.Scenario.Name, err)
			}
		}
	}
	for _, r := range o.Scenario.Runs {
		for i := range o.Systems {
			if s := &o.Systems[i]; r.Evict && s.Dir == "" {
				return fmt.Errorf("%w %s: scenario %s evicts its files, and its directory is unknown", ErrSystem, s.Name, o.Scenario.Name)
			}
		}
	}
	return nil
}

func (c *comparison) setUp(ctx context.Context, s *System) error {
	for _, command := range c.Scenario.Setup {
		c.say("setup    %-12s %s", s.Name, command)
		result, fault, err := c.Exec(ctx, c.program(s, command, 0, c.Prime, false))
		if err == nil && fault != "" {
			err = errors.New(fault)
		}
		if err != nil {
			return err
		}
		if err := c.judge(s, Setup, result); err != nil {
			return err
		}
	}
	return nil
}

// undisturbed measures r, again when others have disturbed it, and keeps what it says.
func (c *comparison) undisturbed(ctx context.Context, round int, s *System, r *scenario.Run) error {
	for again := 0; ; again++ {
		ended, err := c.measure(ctx, round, s, r)
		if err != nil {
			return err
		}
		others, known := otherCores.in(ended[0].result)
		disturbed := known && c.MaxOthers > 0 && others > c.MaxOthers && len(r.Beside) == 0 && round > 0 && ended[0].err == nil
		if disturbed && again < maxAgain {
			c.say("         disturbed: others used %.2f cores", others)
			continue
		}
		for i := range ended {
			if err := c.keep(round, s, &ended[i]); err != nil {
				return fmt.Errorf("run %s: %w", ended[i].run, err)
			}
		}
		if disturbed {
			c.checks = append(c.checks, Check{System: s.Name, Run: r.Name, Fault: fmt.Sprintf("round %d: others used %.2f cores", round, others)})
		}
		return nil
	}
}

// measure runs r with all that goes on beside it; what it returns begins with r itself.
func (c *comparison) measure(ctx context.Context, round int, s *System, r *scenario.Run) ([]finished, error) {
	if err := c.Settle(s); err != nil {
		return nil, err
	}
	if r.Evict {
		if err := c.Evict(s.Dir); err != nil {
			return nil, fmt.Errorf("evict: %w", err)
		}
	}
	duration, verify := c.Duration, false
	if round == 0 {
		duration, verify = max(c.Prime, s.Prime), !s.NoVerify
		c.say("warm-up  %-12s %s", s.Name, r.Name)
	} else {
		c.say("round %d  %-12s %s", round, s.Name, r.Name)
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make([]finished, 1+len(r.Beside)) // the run itself is the first
	var wg sync.WaitGroup
	for i, b := range r.Beside {
		wg.Go(func() {
			f := &ended[1+i]
			f.run = b.Name
			f.result, f.fault, f.err = c.Exec(running, c.program(s, b.Command, round, duration, false))
			if f.err != nil {
				cancel() // the run has nothing beside it any more
			}
		})
	}
	f := &ended[0]
	f.run = r.Name
	f.result, f.fault, f.err = c.Exec(running, c.program(s, r.Command, round, duration, verify))
	grace := time.AfterFunc(besideGrace, cancel)
	wg.Wait()
	grace.Stop()
	if ctx.Err() != nil {
		return nil, ctx.Err() // what was written is cut off
	}
	return ended, nil
}

// finished is a run that has ended.
type finished struct {
	run    string
	result json.RawMessage
	fault  string
	err    error
}

// keep keeps the result of a round that counts, and what a run says about itself in any.
func (c *comparison) keep(round int, s *System, f *finished) error {
	if f.err != nil {
		return f.err
	}
	if f.fault != "" {
		c.say("         %s", f.fault)
		c.checks = append(c.checks, Check{System: s.Name, Run: f.run, Fault: fmt.Sprintf("round %d: %s", round, f.fault)})
	}
	if round == 0 {
		return c.judge(s, f.run, f.result)
	}
	result, err := slim(f.result)
	if err != nil {
		return err
	}
	c.runs = append(c.runs, Measured{System: s.Name, Round: round, Run: f.run, Result: result})
	return nil
}

// judge keeps what a result says of its integrity, if it does.
func (c *comparison) judge(s *System, run string, result json.RawMessage) error {
	raw, ok := lookUp(result, "integrity")
	if !ok {
		return nil
	}
	var r integrity.Report
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("integrity of run %s: %w", run, err)
	}
	check := Check{System: s.Name, Run: run, OK: r.OK(), Records: r.Acked}
	if !check.OK {
		check.Fault = fmt.Sprintf("%d lost, %d duplicate, %d out of order, %d corrupt", r.Lost, r.Duplicate, r.Disorder, r.Corrupt)
	}
	c.checks = append(c.checks, check)
	return nil
}

// program returns what to run for a command. What the scenario says goes before what the options say.
func (c *comparison) program(s *System, command scenario.Command, round int, duration time.Duration, verify bool) []string {
	command = command.ForRound(round)
	if p, ok := s.Programs[command.Name()]; ok {
		r := strings.NewReplacer("{warm-up}", c.WarmUp.String(), "{duration}", duration.String())
		var words []string
		for _, word := range p {
			words = append(words, r.Replace(word))
		}
		return append(words, command[1:]...)
	}
	words := []string{c.KBench, command.Name(), "--driver", "raw", "--bootstrap-server", s.Address, "--topic", c.topic(s),
		"--warm-up", c.WarmUp.String(), "--duration", duration.String()}
	if s.PID > 0 {
		words = append(words, "--broker-pid", strconv.Itoa(s.PID))
	}
	// On many connections batches may overtake each other, which the check would call disorder.
	if verify && (command.Name() == "produce" || command.Name() == "e2e") && !slices.Contains(command, "--connections") {
		words = append(words, "--verify")
	}
	return append(append(words, command[1:]...), s.Args...)
}

// topic names the topic of a system, for commands that name none. Systems on one broker differ in their topics'
// configuration, so they must not share a topic.
func (c *comparison) topic(s *System) string { return c.Scenario.Name + "-" + s.Name }

func (c *comparison) say(format string, args ...any) {
	if c.Progress != nil {
		fmt.Fprintf(c.Progress, format+"\n", args...)
	}
}
