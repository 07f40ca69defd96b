// Overload asks more of a broker than it can give, in several ways, and shows what becomes of its clients: throughput,
// how evenly it is shared, latencies, and the broker's memory over time.
//
// The scenarios (scenarios.go) run one after the other on one broker, beside the producers they compare:
//
//   - peak: as many producers as it takes to find what the broker and its disk take,
//   - triple: three times as many, each trying its share of three times that,
//   - unread: the producers of peak beside consumers that ask for everything and read nothing,
//   - reconnect: the producers of peak beside clients of a process of lower priority that connect, ask and leave, again
//     and again.
//
// It fails when an acknowledged record is missing, a request fails, resident memory exceeds --max-rss, sockets do
// not come back, the log shows what no client may cause, or a producer gets nothing at all. Times and rates are
// figures, not verdicts: they mean something on a machine that does nothing else.
//
// Files: main.go options; run.go the course; scenarios.go the load; result.go table and verdict.
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

// command is the broker's. What was written goes soon, so that no run fills the disk.
const command = launch.DefaultCommand + " --override log.retention.bytes=1000000000 --override log.segment.bytes=268435456" +
	" --override log.retention.check.interval.ms=2000 --override log.segment.delete.delay.ms=1000"

type options struct {
	launch.Options
	duration      time.Duration
	producers     int
	batchBytes    int
	unread        int
	reconnects    int
	reconnectNice int
	maxRSS        string
	maxRSSSize    int64
}

func main() { program.Main(newCommand()) }

func newCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use: "overload", Short: "Ask more of a broker than it can give", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return run(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	o.AddFlags(cmd, command)
	f := cmd.Flags()
	f.DurationVar(&o.duration, "duration", 10*time.Second, "time of each scenario")
	f.IntVar(&o.producers, "producers", 8, "producers that find the peak; three times as many overload it")
	f.IntVar(&o.batchBytes, "batch-bytes", 64<<10, "size of the batches, one to a request")
	f.IntVar(&o.unread, "unread", 200, "consumers that read nothing")
	f.IntVar(&o.reconnects, "reconnects", 1000, "clients that connect again and again")
	f.IntVar(&o.reconnectNice, "reconnect-nice", 10, "niceness of their process, so that they leave the processors to the others")
	f.StringVar(&o.maxRSS, "max-rss", "512MiB", "resident memory the broker may reach")
	cmd.AddCommand(newReconnectCommand())
	return cmd
}

func (o *options) validate() error {
	size, err := humanize.ParseBytes(o.maxRSS)
	if err != nil {
		return fmt.Errorf("--max-rss: %w", err)
	}
	o.maxRSSSize = int64(size)
	if o.duration <= 0 || o.producers < 1 || o.producers > 100 || o.batchBytes < 1000 || o.batchBytes > 900_000 || o.unread < 0 || o.reconnects < 0 {
		return errors.New("--duration must be positive, --producers 1 to 100, --batch-bytes 1000 to 900000, the others not negative")
	}
	return nil
}
