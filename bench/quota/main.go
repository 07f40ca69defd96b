package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/program"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

type options struct {
	launch.Options
	endpoint  string
	warmup    time.Duration
	window    time.Duration
	byteRate  float64
	percent   float64
	tolerance float64
	timeShare float64
	schedule  time.Duration
}

func main() { program.Main(newCommand()) }

func newCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use: "quota", Short: "Show that quotas hold and that the client beside does not notice", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.warmup <= 0 || o.window <= 0 || o.byteRate < 1 || o.percent <= 0 || o.tolerance <= 0 || o.timeShare <= 0 || o.schedule <= 0 {
				return errors.New("durations, rates, percentage and tolerance are above 0")
			}
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	o.AddFlags(cmd, launch.DefaultCommand)
	f := cmd.Flags()
	f.StringVar(&o.endpoint, "endpoint", "", "use the broker at this host:port instead of starting one")
	f.DurationVar(&o.warmup, "warm-up", 15*time.Second, "time before a phase is measured; a quota's first burst lasts 11 s")
	f.DurationVar(&o.window, "window", 30*time.Second, "time a phase is measured for")
	f.Float64Var(&o.byteRate, "byte-rate", 2<<20, "bytes per second of producer_byte_rate and consumer_byte_rate")
	f.Float64Var(&o.percent, "percent", 5, "the lower request_percentage")
	f.Float64Var(&o.tolerance, "tolerance", 0.10, "how far a rate may be from its quota, as a part of it")
	f.Float64Var(&o.timeShare, "time-tolerance", 0.25, "the same for the requests that twice the request_percentage gives; a busy machine makes requests longer")
	f.DurationVar(&o.schedule, "schedule", 5*time.Millisecond, "time between two records of the neighbour")
	return cmd
}

// run starts a broker if need be and measures it.
func (o *options) run(ctx context.Context, out io.Writer) error {
	if o.endpoint != "" {
		return o.measure(ctx, o.endpoint, out)
	}
	return o.InPlace("quota", func(place *launch.Place) error { return o.runIn(ctx, place, out) })
}

func (o *options) runIn(ctx context.Context, place *launch.Place, out io.Writer) (err error) {
	p, err := place.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Terminate(stopTimeout)) }()
	conn, err := p.Connect(ctx, place.Addr(), startTimeout)
	if err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return err
	}
	return o.measure(ctx, place.Addr(), out)
}
