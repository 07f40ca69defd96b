// Suite compares kserver with the peers on this machine: it builds what is needed, starts the brokers that a scenario
// of bench/scenarios names, has kbench compare run it on them in turn, stops them, and goes on to the next. The
// results of all scenarios gather in one directory: results.json, report.html, table.md, summary.md.
//
//	go run ./bench/suite                    everything, some minutes per scenario
//	go run ./bench/suite --quick            everything, one short round each
//	go run ./bench/suite ping-pong start    these scenarios; results of others stay
//
// Every scenario begins with brokers on empty directories. Files: main.go options and course; systems.go who is
// compared; brokers.go their processes; memory.go what is done to the machine's memory before.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kserver/bench/internal/program"
	"kserver/cmd/kbench/scenario"
)

type options struct {
	root     string // of the repository
	out      string
	work     string
	kserver  string
	systems  []string
	quick    bool
	rounds   int
	duration time.Duration
	warmUp   time.Duration
	prime    time.Duration
	touchGiB int64
	stderr   io.Writer
	stdout   io.Writer
}

func main() { program.Main(newCommand()) }

func newCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use: "suite [SCENARIO...]", Short: "Compare kserver with its peers on this machine",
		RunE: func(cmd *cobra.Command, names []string) error {
			o.stdout, o.stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if o.quick {
				o.rounds, o.duration, o.prime = 1, time.Second, time.Second
			}
			return o.run(cmd.Context(), names)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.root, "root", ".", "the repository")
	f.StringVar(&o.out, "out", "", "directory for the results (default: bench/results/ and today's date)")
	f.StringVar(&o.work, "work", "", "directory for programs and the brokers' data (default: bench/results/tmp)")
	f.StringVar(&o.kserver, "kserver", "", "executable to measure (default: built)")
	f.StringSliceVar(&o.systems, "systems", nil, "only these systems of each scenario")
	f.BoolVar(&o.quick, "quick", false, "one short round: shows that everything works, and little else")
	f.IntVar(&o.rounds, "rounds", 3, "rounds that count")
	f.DurationVar(&o.duration, "duration", 4*time.Second, "measured time of a run")
	f.DurationVar(&o.warmUp, "warm-up", time.Second, "load before measuring, in every run")
	f.DurationVar(&o.prime, "prime", 2*time.Second, "duration of the runs of the round that does not count")
	f.Int64Var(&o.touchGiB, "touch", 16, "GiB of free memory to write to before each scenario, so that none pays for memory that a virtual machine gets on first use; 0 for none")
	return cmd
}

func (o *options) run(ctx context.Context, names []string) error {
	if err := o.locate(); err != nil {
		return err
	}
	scenarios, err := readScenarios(filepath.Join(o.root, "bench", "scenarios"), names)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.work, 0o755); err != nil {
		return err
	}
	programs, err := o.build(ctx, scenarios)
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range scenarios {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := o.compare(ctx, s, programs); err != nil {
			// The others may be fine, and a long run must not be lost to one of them.
			fmt.Fprintf(o.stderr, "suite: scenario %s: %v\n", s.Name, err)
			failed = append(failed, fmt.Errorf("scenario %s failed", s.Name))
		}
	}
	return errors.Join(failed...)
}

// locate makes the directories absolute and fills in the defaults.
func (o *options) locate() (err error) {
	if o.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(o.root, "bench", "scenarios")); err != nil {
		return fmt.Errorf("--root: %w", err)
	}
	results := filepath.Join(o.root, "bench", "results")
	if o.out == "" {
		o.out = filepath.Join(results, time.Now().UTC().Format("2006-01-02"))
	}
	if o.work == "" {
		o.work = filepath.Join(results, "tmp")
	}
	if o.out, err = filepath.Abs(o.out); err != nil {
		return err
	}
	o.work, err = filepath.Abs(o.work)
	return err
}

// readScenarios reads the scenarios of those names, or all, by name.
func readScenarios(dir string, names []string) ([]*scenario.Scenario, error) {
	if len(names) == 0 {
		files, err := filepath.Glob(filepath.Join(dir, "*"+scenario.Extension))
		if err != nil {
			return nil, err
		}
		for _, f := range files { // Glob sorts
			names = append(names, strings.TrimSuffix(filepath.Base(f), scenario.Extension))
		}
	}
	var list []*scenario.Scenario
	for _, name := range names {
		s, err := scenario.Read(filepath.Join(dir, name+scenario.Extension))
		if err != nil {
			return nil, err
		}
		for _, system := range s.Systems {
			if _, err := systemOf(system); err != nil {
				return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
			}
		}
		list = append(list, s)
	}
	return list, nil
}

// programs are the executables that take part.
type programs struct {
	kserver, kbench, firstack, rabbitload string
	peers                                 string // directory of the peers' scripts
}

// build builds what the scenarios need.
func (o *options) build(ctx context.Context, scenarios []*scenario.Scenario) (*programs, error) {
	p := &programs{
		kserver: o.kserver, kbench: filepath.Join(o.work, "kbench"), firstack: filepath.Join(o.work, "firstack"),
		rabbitload: filepath.Join(o.work, "rabbitload"), peers: filepath.Join(o.root, "bench", "peers"),
	}
	builds := [][3]string{{p.kbench, ".", "./cmd/kbench"}, {p.firstack, ".", "./bench/firstack"}}
	if p.kserver == "" {
		p.kserver = filepath.Join(o.work, "kserver")
		builds = append(builds, [3]string{p.kserver, ".", "./cmd/kserver"})
	}
	var setUp []string
	for _, s := range scenarios {
		for _, name := range s.Systems {
			sys, err := systemOf(name)
			if err != nil {
				return nil, err
			}
			if script := brokers[sys.broker].script; script != "" && !slices.Contains(setUp, script) && o.takesPart(name) {
				setUp = append(setUp, script)
			}
		}
	}
	if slices.Contains(setUp, rabbitScript) {
		builds = append(builds, [3]string{p.rabbitload, "bench/rabbitload", "."})
	}
	for _, b := range builds {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", b[0], b[2])
		cmd.Dir = filepath.Join(o.root, b[1])
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", b[2], err, out)
		}
	}
	for _, script := range setUp {
		if out, err := exec.CommandContext(ctx, filepath.Join(p.peers, script), "setup").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s setup: %w\n%s", script, err, out)
		}
	}
	return p, nil
}

// takesPart reports whether --systems lets a system in.
func (o *options) takesPart(name string) bool {
	return len(o.systems) == 0 || slices.Contains(o.systems, name)
}

// compare starts the brokers of a scenario, compares the systems on them, and stops them.
func (o *options) compare(ctx context.Context, s *scenario.Scenario, p *programs) (err error) {
	dir, err := os.MkdirTemp(o.work, s.Name+"-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.touchGiB > 0 {
		if err := touchMemory(o.touchGiB << 30); err != nil {
			return fmt.Errorf("touch memory: %w", err)
		}
	}
	running := &runningBrokers{dir: dir, programs: p}
	defer func() { err = errors.Join(err, running.stop()) }()
	file := filepath.Join(dir, "systems.json")
	if err := o.writeSystems(ctx, s, running, file); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, p.kbench, "compare", "--systems", file, "--out", o.out,
		"--rounds", fmt.Sprint(o.rounds), "--duration", o.duration.String(), "--warm-up", o.warmUp.String(), "--prime", o.prime.String(),
		filepath.Join(o.root, "bench", "scenarios", s.Name+scenario.Extension))
	cmd.Stdout, cmd.Stderr = o.stdout, o.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("kbench compare: %w", err), running.lastWords())
	}
	return nil
}
