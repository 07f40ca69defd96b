package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/cmd/kbench/integrity"
)

const (
	goodTopic      = "well-behaved"
	goodPartitions = 3
	// goodInterval is the time between two bursts of records.
	goodInterval = 5 * time.Millisecond
	// drainTimeout is how long records may take to be answered and read after the attack.
	drainTimeout = 30 * time.Second
	// longestLatencyUs is the largest latency told apart from larger ones.
	longestLatencyUs = 60_000_000
)

// good is a client that behaves well: a producer at a fixed rate and a consumer that reads everything.
type good struct {
	client *kgo.Client
	run    uint64
	ledger *integrity.Ledger
	cancel context.CancelFunc // ends the producer

	producer, consumer sync.WaitGroup

	mu      sync.Mutex
	latency *hdrhistogram.Histogram // of the phase under way, in us from the moment a record was due
	acked   int64
	read    int64
	failed  int64
	err     error // the first
	checker *integrity.Checker
}

func startGood(ctx context.Context, o *options, addr string) (*good, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(addr),
		kgo.ClientID("well-behaved"),
		kgo.DefaultProduceTopic(goodTopic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.ConsumeTopics(goodTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.DisableClientMetrics(),
	)
	if err != nil {
		return nil, fmt.Errorf("well-behaved client: %w", err)
	}
	producing, cancel := context.WithCancel(ctx)
	g := &good{client: client, run: rand.Uint64() | 1, ledger: integrity.NewLedger(), cancel: cancel, latency: newLatency()}
	g.checker = integrity.NewChecker(g.run)
	g.producer.Go(func() { g.produce(producing, o) })
	g.consumer.Go(func() { g.consume(ctx) })
	return g, nil
}

func newLatency() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestLatencyUs, 3) }

// phase begins a new measurement and returns the latencies of the one before.
func (g *good) phase() *hdrhistogram.Histogram {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.latency
	g.latency = newLatency()
	return h
}

func (g *good) produce(ctx context.Context, o *options) {
	tick := time.NewTicker(goodInterval)
	defer tick.Stop()
	begin, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(begin).Seconds() * o.rate); sent < due && ctx.Err() == nil; sent++ {
			partition := int32(sent % goodPartitions)
			stream := integrity.Stream{Partition: partition}
			seq := g.ledger.Next(stream, 1)
			value := make([]byte, o.recordSize)
			integrity.Stamp{Run: g.run, Partition: partition, Sequence: seq}.Put(value)
			at := begin.Add(time.Duration(float64(sent) / o.rate * float64(time.Second)))
			// Not ctx: a record that was attempted is seen through, so that its fate is known.
			g.client.Produce(context.WithoutCancel(ctx), &kgo.Record{Partition: partition, Value: value}, func(_ *kgo.Record, err error) {
				if err == nil {
					g.ledger.Ack(stream, seq, 1)
				}
				g.answered(time.Since(at), err)
			})
		}
	}
}

func (g *good) answered(d time.Duration, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.failed++
		g.err = cmp.Or(g.err, fmt.Errorf("produce: %w", err))
		return
	}
	g.acked++
	_ = g.latency.RecordValue(min(d.Microseconds(), longestLatencyUs)) // always in range
}

func (g *good) consume(ctx context.Context) {
	for {
		fetches := g.client.PollFetches(ctx)
		if fetches.IsClientClosed() || ctx.Err() != nil {
			return
		}
		g.mu.Lock()
		fetches.EachError(func(_ string, p int32, err error) {
			g.err = cmp.Or(g.err, fmt.Errorf("consume partition %d: %w", p, err))
		})
		fetches.EachRecord(func(r *kgo.Record) {
			g.read++
			if err := g.checker.Observe(r.Partition, r.Offset, r.Value); err != nil {
				g.err = cmp.Or(g.err, err)
			}
		})
		g.mu.Unlock()
	}
}

// finish ends the load, waits until everything acknowledged is read, and judges it.
func (g *good) finish(ctx context.Context) (integrity.Report, error) {
	g.cancel()
	g.producer.Wait()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if err := g.client.Flush(ctx); err != nil {
		return integrity.Report{}, fmt.Errorf("%d records of the well-behaved client unanswered after %v: %w", g.client.BufferedProduceRecords(), drainTimeout, err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		g.mu.Lock()
		done := g.read >= g.acked
		g.mu.Unlock()
		if done {
			break
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
			continue
		}
		break // the report says what is missing
	}
	manifest, err := g.ledger.Manifest(goodTopic, g.run)
	if err != nil {
		return integrity.Report{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed > 0 {
		err = fmt.Errorf("%d records of the well-behaved client failed", g.failed)
	}
	return g.checker.Report(manifest), errors.Join(err, g.err)
}

func (g *good) close() {
	g.cancel()
	g.client.Close()
	g.producer.Wait()
	g.consumer.Wait()
}
