// Package steady is a client that behaves well and always the same, for the programs under bench that do something
// else to the broker meanwhile: a producer on a schedule and a consumer at the tail, which together know how late
// records are, and whether one was lost, repeated, changed or put out of order (integrity).
//
// The schedule is fixed beforehand: latencies count from the moment a record was due, so a stall shows in every record
// that was due meanwhile. Records are not compressed, and each is written and answered once; what is unanswered at a
// time is bounded by the client library (kgo.MaxBufferedRecords), and then the schedule waits.
//
// Concurrency: a Client has a goroutine for each side; its methods may be called by one other.
package steady

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
	// burstInterval is the time between two bursts of records.
	burstInterval = 5 * time.Millisecond
	// fetchMaxWait is how long a fetch of the consumer waits for a record.
	fetchMaxWait = 100 * time.Millisecond
	// drainTimeout is how long records may take to be answered and read once no more are sent.
	drainTimeout = 30 * time.Second
	// longestLatencyUs is the largest latency told apart from larger ones.
	longestLatencyUs = 60_000_000
)

// Config says what a Client does.
type Config struct {
	Addr       string // of the broker
	ClientID   string
	Topic      string  // must exist, and nobody else may write to it
	Partitions int     // of the topic; records go to them in turn
	Rate       float64 // records per second
	RecordSize int     // bytes of a value, at least integrity.StampSize
}

// Latencies are those of the records of a time, in us from the moment a record was due.
type Latencies struct {
	Produced *hdrhistogram.Histogram // to its acknowledgement
	Consumed *hdrhistogram.Histogram // to its arrival at the consumer
}

// NewHistogram returns an empty histogram of such latencies.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestLatencyUs, 3) }

func newLatencies() Latencies { return Latencies{NewHistogram(), NewHistogram()} }

// Client is a producer and a consumer at work.
type Client struct {
	cfg    Config
	client *kgo.Client
	run    uint64
	began  time.Time // what the times in stamps count from
	ledger *integrity.Ledger
	cancel context.CancelFunc // ends the producer

	producer, consumer sync.WaitGroup

	mu        sync.Mutex
	latencies Latencies // of the phase under way
	acked     int64
	read      int64
	failed    int64
	err       error // the first
	checker   *integrity.Checker
}

// Start begins both sides. They end with ctx, or with Finish and Close; Close must be called.
func Start(ctx context.Context, cfg Config) (*Client, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(cfg.Addr),
		kgo.ClientID(cfg.ClientID),
		kgo.DefaultProduceTopic(cfg.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.ConsumeTopics(cfg.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(fetchMaxWait),
		kgo.DisableClientMetrics(),
	)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.ClientID, err)
	}
	producing, cancel := context.WithCancel(ctx)
	c := &Client{cfg: cfg, client: client, run: rand.Uint64() | 1, began: time.Now(), ledger: integrity.NewLedger(), cancel: cancel, latencies: newLatencies()}
	c.checker = integrity.NewChecker(c.run)
	c.producer.Go(func() { c.produce(producing) })
	c.consumer.Go(func() { c.consume(ctx) })
	return c, nil
}

// Run is the run its records are stamped with.
func (c *Client) Run() uint64 { return c.run }

// Phase begins a new measurement and returns the latencies of the one before.
func (c *Client) Phase() Latencies {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.latencies
	c.latencies = newLatencies()
	return l
}

func (c *Client) produce(ctx context.Context) {
	tick := time.NewTicker(burstInterval)
	defer tick.Stop()
	begin, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(begin).Seconds() * c.cfg.Rate); sent < due && ctx.Err() == nil; sent++ {
			at := begin.Add(time.Duration(float64(sent) / c.cfg.Rate * float64(time.Second)))
			c.send(ctx, int32(sent%c.cfg.Partitions), at)
		}
	}
}

func (c *Client) send(ctx context.Context, partition int32, due time.Time) {
	stream := integrity.Stream{Partition: partition}
	seq := c.ledger.Next(stream, 1)
	value := make([]byte, c.cfg.RecordSize)
	integrity.Stamp{Run: c.run, Partition: partition, Sequence: seq, Time: int64(due.Sub(c.began))}.Put(value)
	// Not ctx: a record that was attempted is seen through, so that its fate is known.
	c.client.Produce(context.WithoutCancel(ctx), &kgo.Record{Partition: partition, Value: value}, func(_ *kgo.Record, err error) {
		if err == nil {
			c.ledger.Ack(stream, seq, 1)
		}
		c.answered(time.Since(due), err)
	})
}

func (c *Client) answered(d time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed++
		c.err = cmp.Or(c.err, fmt.Errorf("produce: %w", err))
		return
	}
	c.acked++
	record(c.latencies.Produced, d)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 0), longestLatencyUs)) // always in range
}

func (c *Client) consume(ctx context.Context) {
	for {
		fetches := c.client.PollFetches(ctx)
		if fetches.IsClientClosed() || ctx.Err() != nil {
			return
		}
		c.arrived(fetches, time.Since(c.began))
	}
}

// arrived judges what was fetched at a time since the beginning.
func (c *Client) arrived(fetches kgo.Fetches, now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fetches.EachError(func(_ string, p int32, err error) {
		c.err = cmp.Or(c.err, fmt.Errorf("consume partition %d: %w", p, err))
	})
	fetches.EachRecord(func(r *kgo.Record) {
		c.read++
		if err := c.checker.Observe(r.Partition, r.Offset, r.Value); err != nil {
			c.err = cmp.Or(c.err, err)
		}
		if s, err := integrity.Parse(r.Value); err == nil && s.Run == c.run {
			record(c.latencies.Consumed, now-time.Duration(s.Time))
		}
	})
}

// Err is the first failure of either side so far, nil without one.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Finish ends the producer, waits until everything acknowledged is read, and judges it. Records that failed are an
// error; what was lost, repeated, changed or out of order is in the report.
func (c *Client) Finish(ctx context.Context) (integrity.Report, error) {
	c.cancel()
	c.producer.Wait()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if err := c.client.Flush(ctx); err != nil {
		return integrity.Report{}, fmt.Errorf("%d records of %s unanswered after %v: %w", c.client.BufferedProduceRecords(), c.cfg.ClientID, drainTimeout, err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !c.caughtUp() {
		select {
		case <-ctx.Done():
		case <-tick.C:
			continue
		}
		break // the report says what is missing
	}
	manifest, err := c.ledger.Manifest(c.cfg.Topic, c.run)
	if err != nil {
		return integrity.Report{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed > 0 {
		err = fmt.Errorf("%d records of %s failed", c.failed, c.cfg.ClientID)
	}
	return c.checker.Report(manifest), errors.Join(err, c.err)
}

// caughtUp: everything acknowledged so far was read.
func (c *Client) caughtUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read >= c.acked
}

// Close ends both sides. It may be called more than once.
func (c *Client) Close() {
	c.cancel()
	c.client.Close()
	c.producer.Wait()
	c.consumer.Wait()
}
