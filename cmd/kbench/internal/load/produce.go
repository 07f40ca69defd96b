package load

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/wire"
)

// ProduceOptions say what is produced, where and how fast.
type ProduceOptions struct {
	Brokers   []string // bootstrap addresses
	ClientID  string
	Topic     string
	Leaders   map[int32]string // address of each partition's leader; partitions are 0 to len-1
	Producers int
	// Connections is how many connections each producer of the raw driver has to a broker, used in turn; 0 means one.
	// With more than one, batches of a producer may overtake each other.
	Connections int
	RecordSize  int
	BatchBytes  int // at most so many bytes per batch, at least one record
	// BatchRecords is the number of records of every batch of the raw driver; 0 means as many as BatchBytes holds.
	BatchRecords int
	Acks         int16 // -1, 0 or 1
	Codec        wire.Codec
	Idempotent   bool
	Linger       time.Duration // real driver only
	Buffered     int           // records a real producer may hold before it blocks
	Pipeline     int           // requests in flight per connection
	Rate         float64       // records per second of all producers together; 0 is as fast as possible
	InFlight     int           // closed loop: records (real) or batches (raw) one producer may have unanswered; 0 is open
	Drain        time.Duration // how long to wait for answers after the window
	RoundRobin   bool          // real driver: change the partition with every record instead of every batch
	Payload      *Payload
	Ledger       *integrity.Ledger // nil when nobody will check
}

// errUnanswered is the failure of a record whose answer did not come before the run gave up waiting.
var errUnanswered = errors.New("unanswered when the run ended")

// recordsPerBatch is BatchRecords, or how many records fit into BatchBytes, at least one.
func (o *ProduceOptions) recordsPerBatch() int {
	if o.BatchRecords > 0 {
		return o.BatchRecords
	}
	most := o.BatchBytes/(o.RecordSize+1) + 1 // a record takes more than its value
	tooMany := sort.Search(most, func(n int) bool { return wire.BatchBytes(n+1, o.RecordSize) > o.BatchBytes })
	return max(1, tooMany)
}

// LedgerStream names the stream of a producer and a partition.
func ledgerStream(producer int, partition int32) integrity.Stream {
	return integrity.Stream{Producer: uint32(producer), Partition: partition}
}

// ProduceReal runs o.Producers producers of the real driver until the window ends or ctx does, and waits for their
// answers. The meter needs o.Producers workers.
func ProduceReal(ctx context.Context, o *ProduceOptions, m *Meter) error {
	return runAll(ctx, o.Producers, func(ctx context.Context, i int) error {
		p, err := newKgoProducer(o, m, i)
		if err != nil {
			return err
		}
		defer p.client.Close()
		return p.run(ctx)
	})
}

// runAll runs f for 0 to n-1 in goroutines and joins their errors. The first failure ends the others.
func runAll(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := f(ctx, i); err != nil {
				errs[i] = fmt.Errorf("worker %d: %w", i, err)
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// lane is one connection's share of the work: the partitions that one broker leads, for one worker.
type lane struct {
	worker     int
	addr       string
	partitions []int32
	share      float64 // of the whole rate
}

// rawLanes splits every producer's partitions by leader. Producers begin at different partitions.
func rawLanes(producers int, leaders map[int32]string) []lane {
	var lanes []lane
	for i := range producers {
		byAddr := make(map[string]int)
		for k := range len(leaders) {
			p := int32((k + i) % len(leaders))
			at, ok := byAddr[leaders[p]]
			if !ok {
				at = len(lanes)
				byAddr[leaders[p]] = at
				lanes = append(lanes, lane{worker: i, addr: leaders[p]})
			}
			lanes[at].partitions = append(lanes[at].partitions, p)
			lanes[at].share += 1 / float64(len(leaders)*producers)
		}
	}
	return lanes
}
