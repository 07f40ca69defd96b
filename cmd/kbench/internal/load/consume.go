package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/internal/pace"
)

// AtEnd says what a consumer does with a partition when it has read what was there at the start.
type AtEnd string

// The ends.
const (
	AtEndStop   AtEnd = "stop"   // leave the partition alone; the run ends when all are read
	AtEndWait   AtEnd = "wait"   // wait for more
	AtEndRewind AtEnd = "rewind" // start over
)

// ConsumeOptions say what is consumed and how.
type ConsumeOptions struct {
	Brokers   []string
	ClientID  string
	Topic     string
	Leaders   map[int32]string
	Consumers int
	FanOut    bool            // every consumer reads all partitions instead of its share
	From      map[int32]int64 // first offset per partition
	To        map[int32]int64 // offset per partition at which AtEnd counts, exclusive
	AtEnd     AtEnd

	MinBytes, MaxBytes, PartitionMaxBytes int32
	MaxWaitMs                             int32
	Pipeline                              int // raw driver: fetches in flight per connection, over separate partitions

	// Visit, when set, is called with every record, in order within a partition, from many goroutines. now is when
	// the records arrived.
	Visit func(worker int, partition int32, offset int64, value []byte, now int64) error
	// VisitorCounts leaves records and latencies to the visitor: the meter then gets nothing from the consumers.
	VisitorCounts bool
}

// reads returns the partitions that consumer i reads.
func (o *ConsumeOptions) reads(i int) []int32 {
	all := slices.Sorted(maps.Keys(o.Leaders))
	if o.FanOut {
		return all
	}
	if o.Consumers > len(all) {
		return []int32{all[i%len(all)]}
	}
	var mine []int32
	for _, p := range all {
		if int(p)%o.Consumers == i {
			mine = append(mine, p)
		}
	}
	return mine
}

// consumeLanes splits every consumer's partitions by leader.
func consumeLanes(o *ConsumeOptions) []lane {
	var lanes []lane
	for i := range o.Consumers {
		byAddr := make(map[string]int)
		for _, p := range o.reads(i) {
			at, ok := byAddr[o.Leaders[p]]
			if !ok {
				at = len(lanes)
				byAddr[o.Leaders[p]] = at
				lanes = append(lanes, lane{worker: i, addr: o.Leaders[p]})
			}
			lanes[at].partitions = append(lanes[at].partitions, p)
		}
	}
	return lanes
}

// ConsumeReal runs o.Consumers consumers of the real driver until ctx ends, the window ends, or everything is read
// (AtEndStop). Latencies are those of Fetch requests. The meter needs o.Consumers workers.
func ConsumeReal(ctx context.Context, o *ConsumeOptions, m *Meter) error {
	return runAll(ctx, o.Consumers, func(ctx context.Context, i int) error {
		return consumeKgo(ctx, o, m, i)
	})
}

// RawConsumeLanes is the number of connections that ConsumeRaw opens, hence of workers its meter needs.
func RawConsumeLanes(o *ConsumeOptions) int { return len(consumeLanes(o)) }

// ConsumeRaw is ConsumeReal with the raw driver.
func ConsumeRaw(ctx context.Context, o *ConsumeOptions, m *Meter) error {
	lanes := consumeLanes(o)
	return runAll(ctx, len(lanes), func(ctx context.Context, i int) error {
		c, err := newRawConsumer(ctx, o, m, i, lanes[i])
		if err != nil {
			return err
		}
		return c.run(ctx)
	})
}

// position follows one partition through a consumer's life.
type position struct {
	partition      int32
	from, next, to int64
}

func (o *ConsumeOptions) positions(partitions []int32) map[int32]*position {
	ps := make(map[int32]*position, len(partitions))
	for _, p := range partitions {
		ps[p] = &position{partition: p, from: o.From[p], next: o.From[p], to: o.To[p]}
	}
	return ps
}

// atEnd says what to do with p now.
func (p *position) atEnd(rule AtEnd) (done, rewind bool) {
	if p.next < p.to {
		return false, false
	}
	return rule == AtEndStop || rule == AtEndRewind && p.from >= p.to, rule == AtEndRewind && p.from < p.to
}

// Arrivals judges stamped records as consumers see them: the time each took since it was due, and, with a checker,
// its place in its stream. It is safe for concurrent use.
type Arrivals struct {
	run   uint64
	meter *Meter // latencies and counts end to end
	count atomic.Int64

	mu      sync.Mutex
	checker *integrity.Checker
}

// NewArrivals returns a judge of the records of run. meter or checker may be nil.
func NewArrivals(run uint64, meter *Meter, checker *integrity.Checker) *Arrivals {
	return &Arrivals{run: run, meter: meter, checker: checker}
}

// Visit is a ConsumeOptions.Visit.
func (a *Arrivals) Visit(worker int, partition int32, offset int64, value []byte, now int64) error {
	if a.meter != nil {
		s, err := integrity.Parse(value)
		switch {
		case errors.Is(err, integrity.ErrForeign):
		case err != nil:
			return err
		case s.Run == a.run:
			a.meter.Done(worker, s.Time, s.Time, now, 1, int64(len(value)))
			a.count.Add(1)
		}
	}
	if a.checker == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.checker.Observe(partition, offset, value); err != nil {
		return fmt.Errorf("integrity check: %w", err)
	}
	return nil
}

// Count returns how many records of the run arrived; only with a meter.
func (a *Arrivals) Count() int64 { return a.count.Load() }

// Report closes the checker. Nothing may be visiting any more.
func (a *Arrivals) Report(m *integrity.Manifest) integrity.Report { return a.checker.Report(m) }

// windowContext ends with ctx or with the window.
func windowContext(ctx context.Context, w Window) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, deadline(max(w.End, pace.Now())))
}
