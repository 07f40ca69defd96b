package load

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cmd/kbench/internal/pace"
)

// pollRecords bounds the records taken from the client at once.
const pollRecords = 10_000

// fetchHook turns the client's Fetch round trips into latencies.
type fetchHook struct {
	m      *Meter
	worker int
}

var _ kgo.HookBrokerE2E = fetchHook{}

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (h fetchHook) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key != int16(kmsg.Fetch) || e2e.Err() != nil {
		return
	}
	now := pace.Now()
	h.m.Took(h.worker, now-int64(e2e.DurationE2E()), now)
}

func consumeKgo(ctx context.Context, o *ConsumeOptions, m *Meter, index int) error {
	positions := o.positions(o.reads(index))
	start := make(map[int32]kgo.Offset, len(positions))
	for _, p := range positions {
		if done, _ := p.atEnd(o.AtEnd); done {
			delete(positions, p.partition)
			continue
		}
		start[p.partition] = kgo.NewOffset().At(p.next)
	}
	if len(positions) == 0 {
		return nil
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID(o.ClientID),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.Topic: start}),
		kgo.FetchMinBytes(o.MinBytes),
		kgo.FetchMaxBytes(o.MaxBytes),
		kgo.FetchMaxPartitionBytes(o.PartitionMaxBytes),
		kgo.FetchMaxWait(millis(o.MaxWaitMs)),
		kgo.BrokerMaxReadBytes(max(2*o.MaxBytes, 100<<20)),
		kgo.DisableClientMetrics(),
	}
	if !o.VisitorCounts {
		opts = append(opts, kgo.WithHooks(fetchHook{m, index}))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	defer client.Close()
	ctx, cancel := windowContext(ctx, m.Window)
	defer cancel()
	for len(positions) > 0 {
		fetches := client.PollRecords(ctx, pollRecords)
		now := pace.Now()
		for _, fe := range fetches.Errors() {
			if ctx.Err() != nil && (errors.Is(fe.Err, context.Canceled) || errors.Is(fe.Err, context.DeadlineExceeded)) {
				return nil
			}
			return fmt.Errorf("%s-%d: %w", fe.Topic, fe.Partition, fe.Err)
		}
		if err := consumePolled(o, m, index, fetches, positions, now); err != nil {
			return err
		}
		turn(client, o, positions)
	}
	return nil
}

// consumePolled counts and visits what one poll brought.
func consumePolled(o *ConsumeOptions, m *Meter, index int, fetches kgo.Fetches, positions map[int32]*position, now int64) error {
	var records, bytes int64
	var failed error
	fetches.EachPartition(func(fp kgo.FetchTopicPartition) {
		p := positions[fp.Partition]
		if p == nil || len(fp.Records) == 0 || failed != nil {
			return
		}
		for _, r := range fp.Records {
			if o.AtEnd != AtEndWait && r.Offset >= p.to {
				break // written after the start
			}
			records++
			bytes += int64(len(r.Value))
			if o.Visit != nil {
				if failed = o.Visit(index, fp.Partition, r.Offset, r.Value, now); failed != nil {
					return
				}
			}
		}
		p.next = fp.Records[len(fp.Records)-1].Offset + 1
	})
	if !o.VisitorCounts {
		m.Count(now, records, bytes)
	}
	return failed
}

// turn removes or rewinds the partitions that are read to their end.
func turn(client *kgo.Client, o *ConsumeOptions, positions map[int32]*position) {
	for id, p := range positions {
		done, rewind := p.atEnd(o.AtEnd)
		if !done && !rewind {
			continue
		}
		client.RemoveConsumePartitions(map[string][]int32{o.Topic: {id}})
		if done {
			delete(positions, id)
			continue
		}
		p.next = p.from
		client.AddConsumePartitions(map[string]map[int32]kgo.Offset{o.Topic: {id: kgo.NewOffset().At(p.from)}})
	}
}
