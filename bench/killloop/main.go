package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/program"
	"kserver/cmd/kbench/integrity"
)

const (
	topic = "killloop"
	// drainTimeout is how long the producers may take, after the last restart, until all their records are answered.
	drainTimeout = 60 * time.Second
)

type options struct {
	launch.Options
	cycles       int
	partitions   int
	producers    int
	recordSize   int
	rate         float64
	minUp, maxUp time.Duration
	early        float64
	maxRestart   time.Duration
	startTimeout time.Duration
	seed         uint64
	jsonFile     string
	powerLoss    string
	diskBytes    int64
}

func main() { program.Main(newCommand()) }

func newCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use: "killloop", Short: "Kill a broker under load and prove that nothing acknowledged is lost or repeated",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			err := run(cmd.Context(), o, cmd.OutOrStdout())
			if errors.Is(err, errNoPower) {
				_, err = fmt.Fprintln(cmd.ErrOrStderr(), "killloop: skipped:", err)
			}
			return err
		},
	}
	o.AddFlags(cmd, launch.DefaultCommand)
	f := cmd.Flags()
	f.IntVarP(&o.cycles, "cycles", "n", 50, "how often the broker is killed")
	f.IntVar(&o.partitions, "partitions", 6, "partitions of the topic")
	f.IntVar(&o.producers, "producers", 4, "number of producers")
	f.IntVar(&o.recordSize, "record-size", 200, "size of a record value in bytes")
	f.Float64Var(&o.rate, "rate", 20_000, "records per second of all producers together")
	f.DurationVar(&o.minUp, "min-up", 100*time.Millisecond, "shortest time from serving to the kill")
	f.DurationVar(&o.maxUp, "max-up", 1200*time.Millisecond, "longest time from serving to the kill")
	f.Float64Var(&o.early, "early", 0.2, "share of the cycles with an additional kill while the broker is starting")
	f.DurationVar(&o.maxRestart, "max-restart", time.Second, "longest time from exec to serving; 0 is no limit")
	f.DurationVar(&o.startTimeout, "start-timeout", 60*time.Second, "give up when a start takes longer")
	f.Uint64Var(&o.seed, "seed", 0, "seed of the random moments, 0 for a new one")
	f.StringVar(&o.powerLoss, "power-loss", "", "ext4 or xfs: put the data on such a file system of its own and take its power away before each kill (needs root)")
	f.Int64Var(&o.diskBytes, "disk-bytes", 2<<30, "size of that file system")
	f.StringVar(&o.jsonFile, "json", "", "write the result to this file, too")
	return cmd
}

func (o *options) validate() error {
	switch {
	case o.cycles < 1 || o.partitions < 1 || o.producers < 1 || o.producers > 256:
		return errors.New("--cycles and --partitions must be at least 1, --producers 1 to 256")
	case o.recordSize < integrity.StampSize:
		return fmt.Errorf("--record-size must be at least %d", integrity.StampSize)
	case o.minUp < 0 || o.maxUp < o.minUp || o.rate <= 0 || o.early < 0 || o.early > 1:
		return errors.New("--min-up and --max-up must be a range, --rate positive, --early 0 to 1")
	}
	if o.powerLoss != "" && o.powerLoss != "ext4" && o.powerLoss != "xfs" {
		return fmt.Errorf("--power-loss %s: ext4 or xfs", o.powerLoss)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	return nil
}

// result is what a run found.
type result struct {
	Command    string           `json:"command"`
	Seed       uint64           `json:"seed,string"`
	PowerLoss  string           `json:"power_loss,omitempty"` // the file system that lost its power each time
	Kills      int              `json:"kills"`                // of a serving broker
	EarlyKills int              `json:"early_kills"`          // of a broker that was starting
	Connect    launch.Summary   `json:"connect"`              // exec to the answer to ApiVersions, restarts only
	Serving    launch.Summary   `json:"serving"`              // exec to the end offset of every partition
	FirstAck   launch.Summary   `json:"first_ack"`            // exec to the first record a producer got acknowledged
	Attempted  int64            `json:"attempted"`
	Failed     int64            `json:"failed"`    // records the client gave up; they may be there or not
	Uncertain  int64            `json:"uncertain"` // records acknowledged while the power went; they may be there or not
	Errors     map[string]int64 `json:"errors,omitempty"`
	EndOffsets int64            `json:"end_offsets"` // sum over the partitions
	LogBytes   int64            `json:"log_bytes"`   // read back
	Integrity  integrity.Report `json:"integrity"`
}

// verdict returns what did not hold, nil when all did.
func (r *result) verdict(maxRestart time.Duration) error {
	var errs []error
	i := &r.Integrity
	if !i.OK() {
		errs = append(errs, fmt.Errorf("%d lost, %d repeated, %d out of order, %d corrupt", i.Lost, i.Duplicate, i.Disorder, i.Corrupt))
	}
	if i.OffsetGaps > 0 || i.Foreign > 0 {
		errs = append(errs, fmt.Errorf("%d gaps between offsets, %d records that no producer wrote", i.OffsetGaps, i.Foreign))
	}
	if i.Records == 0 {
		errs = append(errs, errors.New("no record was read back"))
	}
	// A broker whose disk dies ends by itself, and the client gives up on connections closed that early.
	if r.Failed > 0 && r.PowerLoss == "" {
		errs = append(errs, fmt.Errorf("%d records were given up by the client", r.Failed))
	}
	if limit := float64(maxRestart.Milliseconds()); limit > 0 && r.Serving.MaxMs > limit {
		errs = append(errs, fmt.Errorf("a restart took %.0f ms until serving, more than %.0f", r.Serving.MaxMs, limit))
	}
	return errors.Join(errs...)
}

func (r *result) write(out io.Writer, verdict error) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) // keeps everything until Flush, which reports what fails
	i := &r.Integrity
	fmt.Fprintf(w, "kills\t%d under load, %d while starting; seed %d\n", r.Kills, r.EarlyKills, r.Seed)
	fmt.Fprintf(w, "records\t%d attempted, %d acknowledged, %d read back (%d without acknowledgement), %d given up\n",
		r.Attempted, i.Acked, i.Records, i.Unacked, r.Failed)
	if r.PowerLoss != "" {
		fmt.Fprintf(w, "\t%d acknowledged while the power went, and not held against the broker\n", r.Uncertain)
	}
	fmt.Fprintf(w, "found\t%d lost, %d repeated, %d out of order, %d corrupt, %d offset gaps\n", i.Lost, i.Duplicate, i.Disorder, i.Corrupt, i.OffsetGaps)
	for text, n := range r.Errors {
		fmt.Fprintf(w, "\t%d x %s\n", n, text)
	}
	for _, x := range i.Examples {
		fmt.Fprintf(w, "\t%s\n", x)
	}
	fmt.Fprintln(w, "restart, ms from exec\tmin\tmedian\tmax\truns")
	fmt.Fprintf(w, "  answers ApiVersions\t%s\n", r.Connect.Row())
	fmt.Fprintf(w, "  serves every partition\t%s\n", r.Serving.Row())
	fmt.Fprintf(w, "  first acknowledged record\t%s\n", r.FirstAck.Row())
	if verdict == nil {
		fmt.Fprintln(w, "verdict\tOK")
	} else {
		fmt.Fprintln(w, "verdict\tFAILED")
	}
	return w.Flush()
}

func (r *result) writeJSON(name string) error {
	if name == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}
