package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/internal/load"
)

// produceLinger and produceBatch are the defaults of Kafka's own producer.
const (
	produceLinger = 5 * time.Millisecond
	produceBatch  = 16 << 10
)

// unlimited is the time of a run that ends when there is nothing left to read.
const unlimited = 24 * time.Hour

func newProduceCommand() *cobra.Command {
	common, produce := new(commonOptions), new(produceOptions)
	cmd := &cobra.Command{
		Use:   "produce",
		Short: "Produce at a rate or as fast as possible",
		Long: `Produce at a rate or as fast as possible, and report rates, latencies and costs.

With --rate, record i is due at a moment fixed beforehand and its latency counts from then (no coordinated omission).
Without, latencies include the time in the client's buffer; --in-flight bounds that (closed loop).
With --verify, everything is read back and checked; with --manifest, a later "kbench consume --verify" can do that.`,
		Example: `  kbench produce -b 127.0.0.1:9092 -t load -p 6 -s 1KiB -r 50000 -d 30s --broker-pid $(pgrep kserver)
  kbench produce -t load -p 6 --driver raw --batch-size 64KiB --producers 2 --limits --json result.json
  kbench produce -t check -p 3 --verify`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return runProduce(cmd, common, produce) },
	}
	common.register(cmd.Flags())
	produce.register(cmd.Flags(), produceLinger, produceBatch)
	return cmd
}

func runProduce(cmd *cobra.Command, common *commonOptions, produce *produceOptions) error {
	var c check
	common.validate(&c)
	run := newRun()
	stamp := common.verify || common.manifest != ""
	o := produce.build(&c, common, stamp, run)
	if err := c.err(); err != nil {
		return err
	}
	s, err := begin(cmd, common)
	if err != nil {
		return err
	}
	defer s.target.close()
	o.Leaders = s.target.leaders
	_, before, err := s.target.offsets(cmd.Context())
	if err != nil {
		return err
	}
	if stamp {
		o.Ledger = integrity.NewLedger()
	}
	workers, do, err := prepareProducers(cmd.Context(), common, o)
	if err != nil {
		return err
	}
	w := load.NewWindow(common.warmUp, common.duration)
	m := load.NewMeter(w, workers)
	err = s.measure(w, liveState("produce", m), func(ctx context.Context) error { return do(ctx, m) })
	s.result.Produce = s.flow(m, o.Rate)
	if stamp {
		err = errors.Join(err, s.checkProduced(o, run, before))
	}
	return s.finish(err)
}

// prepareProducers gets everything ready that must not count into the run, and returns how to run the producers and how
// many workers their meter needs.
func prepareProducers(ctx context.Context, common *commonOptions, o *load.ProduceOptions) (workers int, do func(context.Context, *load.Meter) error, err error) {
	if !common.raw() {
		return o.Producers, func(ctx context.Context, m *load.Meter) error { return load.ProduceReal(ctx, o, m) }, nil
	}
	ps, err := load.PrepareRaw(ctx, o)
	return len(ps), ps.Run, err
}

// checkProduced writes the manifest and, with --verify, reads everything produced since before and judges it. It
// does so after an interruption, too: what was acknowledged must be there.
func (s *session) checkProduced(o *load.ProduceOptions, run uint64, before map[int32]int64) error {
	manifest, err := o.Ledger.Manifest(o.Topic, run)
	if err != nil {
		return err
	}
	if err := s.writeManifest(manifest); err != nil || !s.o.verify {
		return err
	}
	// The first Ctrl-C ended the load, a second one ends the process.
	ctx := context.WithoutCancel(s.cmd.Context())
	_, end, err := s.target.offsets(ctx)
	if err != nil {
		return err
	}
	var c check
	co := new(consumeOptions)
	co.consumers, co.minBytes, co.maxBytes, co.partitionMax, co.maxWait = 1, 1, 50<<20, 1<<20, 500*time.Millisecond
	lo := co.build(&c, s.o)
	if err := c.err(); err != nil {
		return err
	}
	arrivals := load.NewArrivals(run, nil, integrity.NewChecker(run))
	lo.Leaders, lo.From, lo.To, lo.Visit = s.target.leaders, before, end, arrivals.Visit
	if err := load.ConsumeReal(ctx, lo, load.NewMeter(load.NewWindow(0, verifyTimeout), lo.Consumers)); err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	r := arrivals.Report(manifest)
	s.result.Integrity = &r
	return nil
}

// verifyTimeout bounds the reading back.
const verifyTimeout = 10 * time.Minute
