package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/cmd/kbench/integrity"
)

const (
	maxChurnPartitions = 4
	maxChurnRecords    = 200
	maxChurnRecordSize = 4000
)

// churn makes topics and takes them away again, one at a time, each by a client that connects for it.
type churn struct {
	o    *options
	addr string
	rand *rand.Rand
	done atomic.Int64 // since the last call of next
	all  atomic.Int64
}

func newChurn(o *options, addr string) *churn {
	return &churn{o: o, addr: addr, rand: rand.New(rand.NewPCG(o.seed, 1))}
}

// next returns how many topics have come and gone since the last call.
func (c *churn) next() int64 { return c.done.Swap(0) }

// run goes on until ctx ends. Its error is that of the first topic that was not what it should be.
func (c *churn) run(ctx context.Context) error {
	tick := time.NewTicker(c.o.churn)
	defer tick.Stop()
	for n := 0; ; n++ {
		if err := c.topic(ctx, fmt.Sprintf("soak-churn-%d", n)); err != nil {
			return fmt.Errorf("topic %d: %w", n, err)
		}
		c.done.Add(1)
		c.all.Add(1)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// topic is the life of one.
func (c *churn) topic(ctx context.Context, name string) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(c.addr), kgo.ClientID("soak-churn"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DefaultProduceTopic(name), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableClientMetrics(),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	partitions := 1 + c.rand.IntN(maxChurnPartitions)
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, int32(partitions), -1, nil, name); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	run := c.rand.Uint64() | 1
	ledger, err := c.produce(ctx, client, run, partitions)
	if err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	manifest, err := ledger.Manifest(name, run)
	if err != nil {
		return err
	}
	if err := readBack(ctx, client, manifest); err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	deleted, err := admin.DeleteTopic(ctx, name)
	if err := errors.Join(err, deleted.Err); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// produce writes some records, compressed as the client likes it, and waits for their answers.
func (c *churn) produce(ctx context.Context, client *kgo.Client, run uint64, partitions int) (*integrity.Ledger, error) {
	ledger := integrity.NewLedger()
	records := make([]*kgo.Record, 1+c.rand.IntN(maxChurnRecords))
	for i := range records {
		s := integrity.Stamp{Run: run, Partition: int32(c.rand.IntN(partitions))}
		s.Sequence = ledger.Next(integrity.Stream{Partition: s.Partition}, 1)
		value := make([]byte, integrity.StampSize+c.rand.IntN(maxChurnRecordSize))
		for j := range value {
			value[j] = byte(c.rand.Uint32())
		}
		s.Put(value)
		records[i] = &kgo.Record{Partition: s.Partition, Value: value}
		ledger.Ack(integrity.Stream{Partition: s.Partition}, s.Sequence, 1) // or the next line fails
	}
	return ledger, client.ProduceSync(ctx, records...).FirstErr()
}

// readBack reads everything that was written, and judges it.
func readBack(ctx context.Context, client *kgo.Client, m *integrity.Manifest) error {
	checker := integrity.NewChecker(m.Run)
	want := int64(0)
	for _, s := range m.Streams {
		want += s.Attempted
	}
	for read := int64(0); read < want; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("%d of %d records read: %w", read, want, err)
		}
		var err error
		fetches.EachError(func(_ string, p int32, e error) { err = errors.Join(err, fmt.Errorf("partition %d: %w", p, e)) })
		fetches.EachRecord(func(r *kgo.Record) {
			read++
			err = errors.Join(err, checker.Observe(r.Partition, r.Offset, r.Value))
		})
		if err != nil {
			return err
		}
	}
	if r := checker.Report(m); !r.OK() || r.Foreign > 0 || r.OffsetGaps > 0 {
		return fmt.Errorf("%d lost, %d repeated, %d out of order, %d corrupt, %d foreign, %d offset gaps: %q",
			r.Lost, r.Duplicate, r.Disorder, r.Corrupt, r.Foreign, r.OffsetGaps, r.Examples)
	}
	return nil
}
