package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/cmd/kbench/integrity"
)

const (
	// bufferedRecords is what one producer holds while the broker is away; then it waits.
	bufferedRecords = 2000
	// sendInterval is the time between two bursts of one producer.
	sendInterval = 5 * time.Millisecond
	// retryBackoff is short, so that a restarted broker is found at once.
	retryBackoff = 20 * time.Millisecond
	// maxErrorKinds bounds the failures that are kept by text.
	maxErrorKinds = 16
)

// load is the producers. drain ends them and waits for the answers.
type load struct {
	run     uint64
	ledger  *integrity.Ledger
	clients []*kgo.Client
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	attempted, failed atomic.Int64
	// losing: the power is going. What is acknowledged from here until the broker is dead is not held against it: a file
	// system that is being shut down can report a sync as done of which nothing reaches the disk (an inode that the
	// shutdown has unpinned looks clean to fsync), as no loss of power does. uncertain counts those records.
	losing    atomic.Bool
	uncertain atomic.Int64

	mu     sync.Mutex
	first  time.Time // the first acknowledgement since the last call of firstAckSince; zero when none came
	errors map[string]int64
}

func startProducers(ctx context.Context, o *options, addr string) (*load, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{run: rand.Uint64() | 1, ledger: integrity.NewLedger(), cancel: cancel, errors: make(map[string]int64)}
	for range o.producers {
		client, err := kgo.NewClient(
			kgo.SeedBrokers(addr),
			kgo.ClientID("killloop"),
			kgo.DefaultProduceTopic(topic),
			kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.RequiredAcks(kgo.AllISRAcks()),
			kgo.ProducerBatchCompression(kgo.NoCompression()), // the check reads batches itself
			kgo.ProducerLinger(0),
			kgo.MaxBufferedRecords(bufferedRecords),
			kgo.RecordRetries(math.MaxInt),
			kgo.UnknownTopicRetries(-1),
			kgo.RequestRetries(math.MaxInt32),
			// A broker that dies cuts connections before their first answer, which the client takes for a mistake in its
			// configuration: it gives up what it has buffered, and may use the sequence numbers again of a batch that was
			// refused by a dying disk and is in the log after all. That is then taken for a duplicate, as by Kafka.
			kgo.AlwaysRetryEOF(),
			kgo.RetryBackoffFn(func(int) time.Duration { return retryBackoff }),
			kgo.RetryTimeout(0),
			kgo.DialTimeout(time.Second),
			kgo.ProduceRequestTimeout(5*time.Second),
			kgo.RequestTimeoutOverhead(5*time.Second),
			kgo.MetadataMinAge(50*time.Millisecond),
			kgo.DisableClientMetrics(),
		)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("producer: %w", err)
		}
		l.clients = append(l.clients, client)
	}
	perBurst := max(1, int(o.rate*sendInterval.Seconds())/o.producers)
	for i, client := range l.clients {
		l.wg.Go(func() { l.produce(ctx, client, uint32(i), o, perBurst) })
	}
	return l, nil
}

// produce sends bursts until ctx ends. Records whose answer is outstanding stay with the client.
func (l *load) produce(ctx context.Context, client *kgo.Client, producer uint32, o *options, perBurst int) {
	tick := time.NewTicker(sendInterval)
	defer tick.Stop()
	partition := int32(producer) % int32(o.partitions)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		partition = (partition + 1) % int32(o.partitions)
		stream := integrity.Stream{Producer: producer, Partition: partition}
		for range perBurst {
			if ctx.Err() != nil {
				return
			}
			seq := l.ledger.Next(stream, 1)
			value := make([]byte, o.recordSize)
			integrity.Stamp{Run: l.run, Producer: producer, Partition: partition, Sequence: seq}.Put(value)
			l.attempted.Add(1)
			// Not ctx: a record that was attempted is seen through, so that its fate is known.
			client.Produce(context.WithoutCancel(ctx), &kgo.Record{Partition: partition, Value: value}, func(_ *kgo.Record, err error) {
				l.answered(stream, seq, err)
			})
		}
	}
}

func (l *load) answered(stream integrity.Stream, seq int64, err error) {
	if err == nil && l.losing.Load() {
		l.uncertain.Add(1)
		return
	}
	if err == nil {
		l.ledger.Ack(stream, seq, 1)
		now := time.Now()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.first.IsZero() {
			l.first = now
		}
		return
	}
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	text := err.Error()
	if _, known := l.errors[text]; !known && len(l.errors) >= maxErrorKinds {
		text = "other errors"
	}
	l.errors[text]++
}

// firstAckSince returns how long after t the first record was acknowledged, and looks for a new first one from now on.
func (l *load) firstAckSince(t time.Time) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.first
	l.first = time.Time{}
	return first.Sub(t), first.After(t)
}

// drain ends the load and waits until every record is answered.
func (l *load) drain(ctx context.Context, timeout time.Duration) error {
	l.cancel()
	l.wg.Wait()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for i, client := range l.clients {
		if err := client.Flush(ctx); err != nil {
			return fmt.Errorf("producer %d: %d records unanswered %v after the last restart: %w", i, client.BufferedProduceRecords(), timeout, err)
		}
	}
	return nil
}

func (l *load) counts(r *result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Attempted, r.Failed, r.Uncertain, r.Errors = l.attempted.Load(), l.failed.Load(), l.uncertain.Load(), l.errors
}

// close ends the clients; what is unanswered fails.
func (l *load) close() {
	l.cancel()
	for _, client := range l.clients {
		client.Close()
	}
	l.wg.Wait()
}
