package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/program"
	"kserver/cmd/kbench/integrity"
)

// command is the broker's. Files of deleted topics go soon, so that descriptors can be counted at the end.
const command = launch.DefaultCommand + " --override log.segment.delete.delay.ms=500"

type options struct {
	launch.Options
	endpoint   string
	pid        int
	brokerLog  string
	inputs     int
	kinds      []string
	seed       uint64
	maxRSS     string
	maxRSSSize int64
	rate       float64
	recordSize int
	quiet      time.Duration
	nice       int
	control    bool
	mostTimes  float64
}

func main() { program.Main(newCommand()) }

func newCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use: "hostile", Short: "Attack a broker with hostile input and prove that it stands and serves others",
		Long: "Attack a broker with hostile input and prove that it stands and serves others.\n\nKinds of attack:\n" + kindTable(),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return run(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	o.AddFlags(cmd, command)
	f := cmd.Flags()
	f.StringVar(&o.endpoint, "endpoint", "", "attack the broker at this host:port instead of starting one; needs --broker-pid")
	f.IntVar(&o.pid, "broker-pid", 0, "process id of the broker at --endpoint")
	f.StringVar(&o.brokerLog, "broker-log", "", "log file of the broker at --endpoint, searched for panics")
	f.IntVar(&o.inputs, "inputs", 20_000, "hostile inputs of all kinds together")
	f.StringSliceVar(&o.kinds, "kinds", nil, "only these kinds: "+strings.Join(kindNames(), ", "))
	f.Uint64Var(&o.seed, "seed", 0, "seed of all inputs, 0 for a new one")
	f.StringVar(&o.maxRSS, "max-rss", "200MiB", "resident memory the broker may reach; a build with the race detector needs more")
	f.Float64Var(&o.rate, "rate", 2000, "records per second of the well-behaved client")
	f.IntVar(&o.recordSize, "record-size", 200, "size of its record values in bytes")
	f.IntVar(&o.nice, "attacker-nice", 10, "niceness of the attacking process, so that it leaves the processors to the others")
	f.DurationVar(&o.quiet, "quiet", 10*time.Second, "time it is measured alone first, after a fifth of that to warm up")
	f.BoolVar(&o.control, "control", false, "attack a server that does nothing as well, beside the same client of the broker, to tell what the broker adds")
	f.Float64Var(&o.mostTimes, "max-times", 0, "how many times as long its 99th percentile may be beside the attack, 0 for any; needs a machine with nothing else to do")
	cmd.AddCommand(newAttackCommand(), newStandInCommand())
	return cmd
}

func kindTable() string {
	var b strings.Builder
	for _, k := range kinds {
		fmt.Fprintf(&b, "  %-10s %s\n", k.name, k.about)
	}
	return b.String()
}

func (o *options) validate() error {
	size, err := humanize.ParseBytes(o.maxRSS)
	if err != nil {
		return fmt.Errorf("--max-rss: %w", err)
	}
	o.maxRSSSize = int64(size)
	for _, name := range o.kinds {
		if !slices.Contains(kindNames(), name) {
			return fmt.Errorf("--kinds: %q is none of %q", name, kindNames())
		}
	}
	switch {
	case (o.endpoint == "") != (o.pid == 0):
		return errors.New("--endpoint and --broker-pid need each other")
	case o.endpoint == "" && o.brokerLog != "":
		return errors.New("--broker-log is for --endpoint")
	case o.inputs < 1 || o.rate <= 0 || o.quiet < 0 || o.mostTimes < 0:
		return errors.New("--inputs and --rate must be positive, --quiet and --max-times not negative")
	case o.recordSize < integrity.StampSize:
		return fmt.Errorf("--record-size must be at least %d", integrity.StampSize)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	return nil
}
