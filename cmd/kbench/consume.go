package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/internal/load"
)

func newConsumeCommand() *cobra.Command {
	common, consume := new(commonOptions), new(consumeOptions)
	var atEnd string
	var fanOut bool
	var pipeline int
	cmd := &cobra.Command{
		Use:   "consume",
		Short: "Consume what is in a topic",
		Long: `Consume what is in a topic, from its beginning, and report rates, latencies of fetches and costs.

--at-end says what happens when everything that was there at the start is read: rewind starts over until the time is
up (so later rounds come from the page cache), stop ends the run, wait waits for more. With stop, --duration and
--warm-up default to no limit and none.
With --verify every record is read once and checked, against --manifest if given; without one, a missing tail cannot
be noticed.`,
		Example: `  kbench consume -t load -p 0 --driver raw --consumers 2 -d 10s --limits
  kbench consume -t check -p 0 --verify --manifest acked.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var c check
			common.validate(&c)
			o := consume.build(&c, common)
			o.AtEnd, o.FanOut, o.Pipeline = load.AtEnd(atEnd), fanOut, pipeline
			c.rule(o.AtEnd == load.AtEndStop || o.AtEnd == load.AtEndWait || o.AtEnd == load.AtEndRewind, "--at-end must be stop, wait or rewind")
			c.rule(pipeline >= 1 && pipeline <= maxPipeline, "--pipeline must be 1 to %d", maxPipeline)
			c.rule(!common.verify || !cmd.Flags().Changed("at-end") || o.AtEnd == load.AtEndStop, "--verify needs --at-end stop")
			c.rule(!common.verify || !fanOut, "--verify does not go with --fan-out")
			c.rule(!common.verify || common.partitions == 0 || consume.consumers <= common.partitions, "--verify needs at most one consumer per partition")
			c.rule(common.verify || common.manifest == "", "--manifest needs --verify")
			if err := c.err(); err != nil {
				return err
			}
			if common.verify {
				o.AtEnd = load.AtEndStop
			}
			return runConsume(cmd, common, o)
		},
	}
	common.register(cmd.Flags())
	consume.register(cmd.Flags())
	cmd.Flags().StringVar(&atEnd, "at-end", string(load.AtEndRewind), "when all is read: rewind, stop or wait")
	cmd.Flags().BoolVar(&fanOut, "fan-out", false, "every consumer reads all partitions")
	cmd.Flags().IntVar(&pipeline, "pipeline", 1, "raw driver: fetches in flight per connection, over separate partitions")
	return cmd
}

func runConsume(cmd *cobra.Command, common *commonOptions, o *load.ConsumeOptions) error {
	var manifest *integrity.Manifest
	if common.manifest != "" {
		var err error
		if manifest, err = readManifest(common); err != nil {
			return err
		}
	}
	s, err := begin(cmd, common)
	if err != nil {
		return err
	}
	defer s.target.close()
	o.Leaders = s.target.leaders
	if o.From, o.To, err = s.target.offsets(cmd.Context()); err != nil {
		return err
	}
	var arrivals *load.Arrivals
	if common.verify {
		if o.Consumers > len(o.Leaders) {
			return fmt.Errorf("%w: --verify with %d consumers needs as many partitions, the topic has %d", errUsage, o.Consumers, len(o.Leaders))
		}
		var run uint64
		if manifest != nil {
			run = manifest.Run
		}
		arrivals = load.NewArrivals(run, nil, integrity.NewChecker(run))
		o.Visit = arrivals.Visit
	}
	warmUp, duration := common.warmUp, common.duration
	if o.AtEnd == load.AtEndStop {
		if !cmd.Flags().Changed("duration") || common.verify {
			duration = unlimited
		}
		if !cmd.Flags().Changed("warm-up") {
			warmUp = 0
		}
	}
	workers, do := o.Consumers, load.ConsumeReal
	if common.raw() {
		workers, do = load.RawConsumeLanes(o), load.ConsumeRaw
	}
	w := load.NewWindow(warmUp, duration)
	m := load.NewMeter(w, workers)
	err = s.measure(w, liveState("consume", m), func(ctx context.Context) error { return do(ctx, o, m) })
	if last := m.Counts().Last; o.AtEnd == load.AtEndStop && last > 0 {
		s.end = min(s.end, last)
	}
	s.result.Consume = s.flow(m, 0)
	if arrivals != nil && !s.result.Interrupted {
		r := arrivals.Report(manifest)
		s.result.Integrity = &r
		if r.Records == 0 && r.Acked == 0 {
			err = errors.Join(err, errors.New("--verify found no record with a stamp"))
		}
	}
	return s.finish(err)
}

func readManifest(common *commonOptions) (m *integrity.Manifest, err error) {
	f, err := os.Open(common.manifest)
	if err != nil {
		return nil, fmt.Errorf("--manifest: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if m, err = integrity.ReadManifest(f); err != nil {
		return nil, fmt.Errorf("--manifest %s: %w", common.manifest, err)
	}
	if m.Topic != common.topic {
		return nil, fmt.Errorf("%w: --manifest is of topic %s, not %s", errUsage, m.Topic, common.topic)
	}
	return m, nil
}
