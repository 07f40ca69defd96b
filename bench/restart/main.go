// Restart measures what a broker with many partitions pays to start again: after a clean stop, and after kill -9 under
// load. It fills every partition with segments of real records, so that a start that reads the data shows.
//
// From exec it takes the time to the first answer about the topic's metadata, and to the first record acknowledged by,
// and fetched from, a partition that was written to when the broker was killed and one that was not. Then it takes
// memory and descriptors at once, and again when the broker has done what it does after a start. The load goes on
// meanwhile, and its latency is told.
//
// The exit code is 1 when a start exceeds --max-restart, or memory per partition --max-bytes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/program"
)

const (
	topic   = "restart"
	timeout = 5 * time.Minute
)

type options struct {
	launch.Options
	partitions, segments, segmentBatches, batchBytes int
	connections, hot                                 int
	load, settle, fill                               time.Duration
	dirty                                            int64
	data                                             string
	maxRestart                                       time.Duration
	maxBytes                                         int64
}

func main() { program.Main(newCommand()) }

func newCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use: "restart", Short: "Measure what a start with many partitions costs",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.partitions < 2 || o.segments < 1 || o.segmentBatches < 1 || o.batchBytes < 200 || o.hot < 1 || o.hot >= o.partitions {
				return errors.New("--partitions must be more than --hot, which is at least 1; sizes must be positive")
			}
			return o.InPlace("restart", func(p *launch.Place) error {
				if o.data != "" {
					p.Dir = o.data
				}
				return run(cmd.Context(), o, p, cmd.OutOrStdout())
			})
		},
	}
	o.AddFlags(cmd, launch.DefaultCommand)
	f := cmd.Flags()
	f.IntVar(&o.partitions, "partitions", 2000, "partitions of the topic")
	f.IntVar(&o.segments, "segments", 3, "segments of each")
	f.IntVar(&o.segmentBatches, "segment-batches", 9, "batches of a segment")
	f.IntVar(&o.batchBytes, "batch-bytes", 16<<10, "bytes of a batch")
	f.IntVar(&o.connections, "connections", 8, "connections that fill the partitions, and then write to some of them")
	f.IntVar(&o.hot, "hot", 64, "partitions that are written to when the broker is killed")
	f.DurationVar(&o.fill, "fill", 0, "stop filling the partitions after so long; the next run with the same --data goes on. 0 is no limit")
	f.DurationVar(&o.load, "load", 5*time.Second, "how long they are written to, before the kill and after the start")
	f.DurationVar(&o.settle, "settle", 30*time.Second, "longest wait for a broker that has started to come to rest")
	f.Int64Var(&o.dirty, "dirty", 0, "bytes written to the same file system, and not synced, before the start after the kill")
	f.StringVar(&o.data, "data", "", "use, and keep, this data directory; one that is there must be of the same options")
	f.DurationVar(&o.maxRestart, "max-restart", 0, "fail when a start serves later; 0 is no limit")
	f.Int64Var(&o.maxBytes, "max-bytes", 0, "fail when a partition costs more resident bytes; 0 is no limit")
	return cmd
}

// table is the result, line by line.
type table struct {
	w      *tabwriter.Writer
	idle   int64 // resident bytes without a partition
	failed error
}

func run(ctx context.Context, o *options, p *launch.Place, out io.Writer) error {
	t := &table{w: tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)} // Flush reports what fails
	fmt.Fprintln(t.w, "start\tms: connected\tmetadata\tack, written\tack, other\tfetch, written\tfetch, other\tRSS then\tfiles then\tat rest after s\tRSS at rest\teach\tfiles\tload ms: median\tp99\tmax\t")
	t.idle = idleMemory(ctx, o, p)
	if err := fill(ctx, o, p); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	if err := t.afterStop(ctx, o, p); err != nil {
		return fmt.Errorf("after a clean stop: %w", err)
	}
	if err := t.afterKill(ctx, o, p); err != nil {
		return fmt.Errorf("after kill -9: %w", err)
	}
	return errors.Join(t.w.Flush(), t.failed)
}

// row judges and prints one start.
func (t *table) row(o *options, name string, s *start) {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d.Microseconds())/1e3) }
	each := (s.rested.rss - t.idle) / int64(o.partitions)
	fmt.Fprintf(t.w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%.1f\t%s\t%d\t%d\t%s\t%s\t%s\t\n", name, ms(s.connected), ms(s.metadata),
		ms(s.ackHot), ms(s.ackCold), ms(s.fetchHot), ms(s.fetchCold), humanize.IBytes(uint64(s.first.rss)), s.first.files,
		s.rest.Seconds(), humanize.IBytes(uint64(s.rested.rss)), each, s.rested.files,
		ms(s.latency.at(0.5)), ms(s.latency.at(0.99)), ms(s.latency.at(1)))
	for _, d := range []time.Duration{s.metadata, s.ackHot, s.ackCold, s.fetchHot, s.fetchCold} {
		if o.maxRestart > 0 && d > o.maxRestart {
			t.failed = errors.Join(t.failed, fmt.Errorf("%s: serving after %v, more than %v", name, d, o.maxRestart))
		}
	}
	if o.maxBytes > 0 && each > o.maxBytes {
		t.failed = errors.Join(t.failed, fmt.Errorf("%s: %d bytes each, more than %d", name, each, o.maxBytes))
	}
}
