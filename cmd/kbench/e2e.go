package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/internal/latency"
	"kserver/cmd/kbench/internal/load"
)

// arrivalPoll is the time between two looks whether everything has arrived, after the producers are done.
const arrivalPoll = 2 * time.Millisecond

func newE2ECommand() *cobra.Command {
	common, produce, consume := new(commonOptions), new(produceOptions), new(consumeOptions)
	cmd := &cobra.Command{
		Use:   "e2e",
		Short: "Produce and consume at once and time every record from due to arrival",
		Long: `Produce and consume at once and time every record from the moment it was due to its arrival at a consumer.

Use it with --rate; without one it shows how long the queues are. Records carry their due time, so producers and
consumers run in this one process. With the raw driver a request carries one record unless --batch-size says more.`,
		Example: `  kbench e2e -t tail -p 1 -r 1000 -d 10s --driver raw
  kbench e2e -t tail -p 6 -r 20000 --producers 2 --consumers 2 --verify`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !common.raw() && !cmd.Flags().Changed("batch-size") {
				produce.batchSize = produceBatch
			}
			return runE2E(cmd, common, produce, consume)
		},
	}
	common.register(cmd.Flags())
	produce.register(cmd.Flags(), 0, 0)
	consume.register(cmd.Flags())
	return cmd
}

func runE2E(cmd *cobra.Command, common *commonOptions, produce *produceOptions, consume *consumeOptions) error {
	var c check
	common.validate(&c)
	run := newRun()
	po := produce.build(&c, common, true, run)
	co := consume.build(&c, common)
	if err := c.err(); err != nil {
		return err
	}
	s, err := begin(cmd, common)
	if err != nil {
		return err
	}
	defer s.target.close()
	po.Leaders, co.Leaders = s.target.leaders, s.target.leaders
	if co.Consumers > len(co.Leaders) {
		return fmt.Errorf("%w: %d consumers, the topic has %d partitions", errUsage, co.Consumers, len(co.Leaders))
	}
	if _, co.From, err = s.target.offsets(cmd.Context()); err != nil {
		return err
	}
	co.To, co.AtEnd = co.From, load.AtEndWait

	var checker *integrity.Checker
	if common.verify || common.manifest != "" {
		po.Ledger, checker = integrity.NewLedger(), integrity.NewChecker(run)
	}
	producers, doProduce, err := prepareProducers(cmd.Context(), common, po)
	if err != nil {
		return err
	}
	consumers, doConsume := co.Consumers, load.ConsumeReal
	if common.raw() {
		consumers, doConsume = load.RawConsumeLanes(co), load.ConsumeRaw
	}
	w := load.NewWindow(common.warmUp, common.duration)
	produced, arrived := load.NewMeter(w, producers), load.NewMeter(w, consumers)
	arrivals := load.NewArrivals(run, arrived, checker)
	co.Visit, co.VisitorCounts = arrivals.Visit, true

	err = s.measure(w, liveState("end to end", arrived), func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		consumed := make(chan error, 1)
		go func() {
			// The consumers run until they are told to stop; their own meter counts nothing.
			err := doConsume(ctx, co, load.NewMeter(load.NewWindow(0, unlimited), consumers))
			cancel() // without consumers there is nothing to measure
			consumed <- err
		}()
		err := doProduce(ctx, produced)
		if err == nil {
			err = waitForArrivals(ctx, arrivals, produced, po.Drain)
		}
		cancel()
		return errors.Join(err, <-consumed)
	})
	s.result.Produce, s.result.Consume = s.flow(produced, po.Rate), s.flow(arrived, po.Rate)
	e2e := s.result.Consume.Latency
	s.result.EndToEnd = &e2e
	s.result.Consume.Latency, s.result.Consume.Service = latency.Summary{}, nil // they are those of records, not of fetches
	if checker != nil {
		manifest, manifestErr := po.Ledger.Manifest(po.Topic, run)
		err = errors.Join(err, manifestErr, s.writeManifest(manifest))
		if manifestErr == nil && !s.result.Interrupted {
			r := arrivals.Report(manifest)
			s.result.Integrity = &r
		}
	}
	return s.finish(err)
}

// waitForArrivals waits until as many records arrived as were acknowledged, at most for drain.
func waitForArrivals(ctx context.Context, arrivals *load.Arrivals, produced *load.Meter, drain time.Duration) error {
	tick := time.NewTicker(arrivalPoll)
	defer tick.Stop()
	timeout := time.NewTimer(drain)
	defer timeout.Stop()
	for {
		want := produced.Counts().AllRecords
		have := arrivals.Count()
		if have >= want {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return fmt.Errorf("%d of %d acknowledged records had not arrived %v after the end", want-have, want, drain)
		case <-tick.C:
		}
	}
}
