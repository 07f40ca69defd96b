package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/program"
	"kserver/cmd/kbench/integrity"
)

// command is the broker's. What is deleted goes soon, so that the disk shows what is kept.
const command = launch.DefaultCommand + " --metrics.listeners http://127.0.0.1:{metrics}" +
	" --override log.retention.check.interval.ms=2000 --override log.segment.delete.delay.ms=5000"

type options struct {
	launch.Options
	duration, warmUp, report time.Duration
	partitions, recordSize   int
	rate                     string
	rateBytes                int64 // per second, of the values of the tail's records
	catchUp                  string
	catchUpBytes             int64 // per second, of record batches
	segment                  string
	segmentBytes             int64
	retention                string
	retentionBytes           int64 // of a partition
	churn                    time.Duration
	seed                     uint64
	bounds                   bounds
}

func main() { program.Main(newCommand()) }

func newCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use: "soak", Short: "Run a broker under mixed load for long and show whether it stays as it was",
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
	f.DurationVar(&o.duration, "duration", time.Hour, "time of the load, after the warm-up")
	f.DurationVar(&o.warmUp, "warm-up", time.Minute, "time of the load before the first row, in which retention comes to delete as much as is written")
	f.DurationVar(&o.report, "report", time.Minute, "time of a row; there must be at least six")
	f.IntVar(&o.partitions, "partitions", 16, "partitions of the tail's topic")
	f.StringVar(&o.rate, "rate", "2MB", "bytes a second the tail's producer writes")
	f.IntVar(&o.recordSize, "record-size", 1000, "size of its record values in bytes")
	f.StringVar(&o.catchUp, "catch-up-rate", "6MB", "bytes a second the reader of the whole log takes at most")
	f.StringVar(&o.segment, "segment-bytes", "1MiB", "segment.bytes of the tail's topic; Kafka takes no less")
	f.StringVar(&o.retention, "retention-bytes", "4MiB", "retention.bytes of the tail's topic")
	f.DurationVar(&o.churn, "churn", time.Second, "time between two topics that are created and deleted again")
	f.Uint64Var(&o.seed, "seed", 0, "seed of the topics, 0 for a new one")
	o.bounds.addFlags(f)
	return cmd
}

func (o *options) validate() error {
	for _, s := range []struct {
		flag, text string
		bytes      *int64
	}{
		{"rate", o.rate, &o.rateBytes}, {"catch-up-rate", o.catchUp, &o.catchUpBytes},
		{"segment-bytes", o.segment, &o.segmentBytes}, {"retention-bytes", o.retention, &o.retentionBytes},
	} {
		n, err := humanize.ParseBytes(s.text)
		if err != nil {
			return fmt.Errorf("--%s: %w", s.flag, err)
		}
		if n < 1 || n > 1<<40 {
			return fmt.Errorf("--%s %s: from 1 B to 1 TiB", s.flag, s.text)
		}
		*s.bytes = int64(n)
	}
	switch {
	case o.report <= 0 || o.warmUp < 0 || o.churn <= 0:
		return errors.New("--report and --churn must be positive, --warm-up not negative")
	case o.duration < 6*o.report || o.duration > maxRows*o.report:
		return fmt.Errorf("--duration must be 6 to %d times --report", maxRows)
	case o.partitions < 1 || o.partitions > 1000:
		return errors.New("--partitions must be 1 to 1000")
	case o.recordSize < integrity.StampSize || o.recordSize > 900_000:
		return fmt.Errorf("--record-size must be %d to 900000", integrity.StampSize)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	return nil
}
