// Coldread shows what consumers that catch up over a log that is not in memory do to those at its tail: producers
// on a schedule and a consumer that follows them, alone and beside readers of a cold log.
//
// One broker holds two topics. The cold one is filled first, a partition for each reader. Then rounds alternate:
//
//	quiet    producers and the tail's consumer alone
//	loaded   the same beside the readers, each going once through its partition, after the broker's files
//	         were evicted from the page cache; it ends when the first reader is through
//
// A latency counts from the moment a request was due by a schedule fixed beforehand: to its acknowledgement for
// producers, to its arrival for the tail's consumer. The readers' rate stands beside what the same files give to
// plain reads as cold, through the page cache, by as many threads.
//
// It fails when the median of the rounds' loaded p99 exceeds --max-ratio times that of their quiet p99, or the readers get less than --min-rate; both
// figures mean something only on a machine that does nothing else.
//
// What the hypervisor takes from the machine, with all that runs on it standing still, is shown as "stolen".
//
// With --floor every round ends with the same by bare system calls, see floor.go: what is left of a ratio then is the
// kernel's and the machine's.
//
// Files: main.go options; run.go the course; tail.go producers and their consumer; reader.go the readers;
// evict.go the page cache and the disk; floor.go bare system calls; result.go table and verdict.
package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/program"
)

type options struct {
	launch.Options
	rounds     int
	quiet      time.Duration
	readers    int
	cold       string
	data       string // directory to use and keep; empty for one that is removed
	coldBytes  int64  // of all readers' partitions together
	fetchBytes int
	producers  int
	rate       float64 // requests per second of all producers
	batchBytes int
	maxRatio   float64
	minRate    string
	minBytes   int64 // per second, of all readers
	floor      bool
}

func main() { program.Main(newCommand()) }

func newCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use: "coldread", Short: "Read a cold log beside producers and consumers of the tail",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return run(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	o.AddFlags(cmd, launch.DefaultCommand)
	f := cmd.Flags()
	f.IntVar(&o.rounds, "rounds", 3, "rounds of a quiet and a loaded phase")
	f.DurationVar(&o.quiet, "quiet", 5*time.Second, "time of a quiet phase")
	f.IntVar(&o.readers, "readers", 2, "readers of the cold log, each of a partition of its own")
	f.StringVar(&o.cold, "cold", "6GB", "size of the cold log")
	f.StringVar(&o.data, "data", "", "use, and keep, this data directory; a cold log that is there must be of the same --readers and --cold")
	f.BoolVar(&o.floor, "floor", false, "measure the same by bare system calls, too, at the rate of the broker's readers")
	f.IntVar(&o.fetchBytes, "fetch-bytes", 1<<20, "most a reader asks for at a time")
	f.IntVar(&o.producers, "producers", 4, "producers, each with a connection and a partition")
	f.Float64Var(&o.rate, "rate", 500, "requests per second of all producers, one batch each")
	f.IntVar(&o.batchBytes, "batch-bytes", 10_000, "size of these batches")
	f.Float64Var(&o.maxRatio, "max-ratio", 0, "loaded p99 over quiet p99 beyond which it fails; 0 for no limit")
	f.StringVar(&o.minRate, "min-rate", "0", "bytes per second that the readers must get together")
	return cmd
}

func (o *options) validate() error {
	for _, size := range []struct {
		name, text string
		to         *int64
	}{{"--cold", o.cold, &o.coldBytes}, {"--min-rate", o.minRate, &o.minBytes}} {
		n, err := humanize.ParseBytes(size.text)
		if err != nil {
			return fmt.Errorf("%s: %w", size.name, err)
		}
		*size.to = int64(n)
	}
	if o.rounds < 1 || o.quiet <= 0 || o.readers < 1 || o.coldBytes < int64(o.readers)*fillBatchBytes || o.fetchBytes < 1 ||
		o.producers < 1 || o.rate <= 0 || o.batchBytes < 1000 || o.batchBytes > fillBatchBytes || o.maxRatio < 0 {
		return errors.New("numbers must be positive, --batch-bytes 1000 to 500000, --cold at least that for each reader")
	}
	return nil
}
