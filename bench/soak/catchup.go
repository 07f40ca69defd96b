package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/wire"
)

const (
	catchUpFetchBytes     = 1 << 20
	catchUpPartitionBytes = 256 << 10
	catchUpMaxWaitMs      = 100
)

// catchUp reads the tail's topic from its beginning to where it ended when a pass began, again and again. The topic has
// one producer, of which each record is written once: so the record at an offset is that of the same sequence number.
type catchUp struct {
	o    *options
	addr string

	bytes     atomic.Int64 // since the last call of next
	passes    atomic.Int64
	records   atomic.Int64
	overtaken atomic.Int64 // how often retention deleted what was about to be read
}

// next returns the bytes read since the last call.
func (c *catchUp) next() int64 { return c.bytes.Swap(0) }

// run reads until ctx ends. Its error is the first record that is not what was written, or a request that failed.
func (c *catchUp) run(ctx context.Context, run uint64) (err error) {
	conn, err := wire.Dial(ctx, c.addr, "soak-catch-up", requestTimeout)
	if err != nil {
		return fmt.Errorf("catch-up: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	p := pace{rate: float64(c.o.catchUpBytes), began: time.Now()}
	for {
		if err := c.pass(ctx, conn, run, &p); err != nil {
			return fmt.Errorf("catch-up, pass %d: %w", c.passes.Load()+1, err)
		}
		c.passes.Add(1)
	}
}

// pass reads every partition once.
func (c *catchUp) pass(ctx context.Context, conn *wire.Conn, run uint64, p *pace) error {
	from, err := conn.Offsets(tailTopic, c.partitions(), wire.EarliestOffset)
	if err != nil {
		return err
	}
	to, err := conn.Offsets(tailTopic, c.partitions(), wire.LatestOffset)
	if err != nil {
		return err
	}
	writer, err := conn.NewFetchWriter(tailTopic, wire.FetchOptions{
		MinBytes: 1, MaxBytes: catchUpFetchBytes, PartitionMaxBytes: catchUpPartitionBytes, MaxWaitMs: catchUpMaxWaitMs,
	})
	if err != nil {
		return err
	}
	reader := conn.NewFetchReader()
	var left []wire.FetchPosition
	for _, partition := range c.partitions() {
		if from[partition] < to[partition] {
			left = append(left, wire.FetchPosition{Partition: partition, Offset: from[partition]})
		}
	}
	v := visitor{run: run, next: from}
	reader.OnBatch = v.batch
	for corr := int32(0); ; corr++ {
		if len(left) == 0 { // also of an empty log, which is asked again and again, but not at once
			return p.wait(ctx, catchUpPartitionBytes/16)
		}
		if err := conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
			return err
		}
		if err := writer.Send(corr, left); err != nil {
			return err
		}
		_, parts, err := reader.Next()
		if err != nil {
			return err
		}
		var bytes int64
		for i := range parts {
			bytes += parts[i].Bytes
			if err := c.answer(conn, &parts[i], v.next); err != nil {
				return err
			}
		}
		c.records.Add(v.records)
		v.records = 0
		c.bytes.Add(bytes)
		left = positions(left, v.next, to)
		if err := p.wait(ctx, bytes); err != nil {
			return err
		}
	}
}

// answer looks at that of one partition. Behind a deletion the reader goes on where the log begins now.
func (c *catchUp) answer(conn *wire.Conn, part *wire.FetchedPartition, next map[int32]int64) error {
	if part.Err == nil {
		return nil
	}
	p := part.Partition
	failed := fmt.Errorf("partition %d at offset %d: %w", p, next[p], part.Err)
	if !errors.Is(part.Err, kerr.OffsetOutOfRange) {
		return failed
	}
	from, err := conn.Offsets(tailTopic, []int32{p}, wire.EarliestOffset)
	if err != nil {
		return errors.Join(failed, err)
	}
	if from[p] <= next[p] {
		return fmt.Errorf("%w, and the log begins at %d", failed, from[p])
	}
	c.overtaken.Add(1)
	next[p] = from[p]
	return nil
}

// positions are where to read next, without the partitions that are read. Those that were first go last, so that none
// waits until the others are through.
func positions(read []wire.FetchPosition, next, to map[int32]int64) []wire.FetchPosition {
	left := make([]wire.FetchPosition, 0, len(read))
	for i := range read {
		p := read[(i+1)%len(read)].Partition
		if next[p] < to[p] {
			left = append(left, wire.FetchPosition{Partition: p, Offset: next[p]})
		}
	}
	return left
}

// starts adds up the first offsets of the partitions: the records that retention has deleted.
func (c *catchUp) starts(ctx context.Context) (sum int64, err error) {
	conn, err := wire.Dial(ctx, c.addr, "soak-catch-up", requestTimeout)
	if err != nil {
		return 0, fmt.Errorf("after the load: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	from, err := conn.Offsets(tailTopic, c.partitions(), wire.EarliestOffset)
	for _, at := range from {
		sum += at
	}
	return sum, err
}

func (c *catchUp) partitions() []int32 {
	list := make([]int32, c.o.partitions)
	for i := range list {
		list[i] = int32(i)
	}
	return list
}

// visitor checks records against what was written.
type visitor struct {
	run     uint64
	next    map[int32]int64 // offset of the next record, by partition
	records int64           // checked
}

// batch checks those of one batch that are at or behind the next offset: a fetch may begin inside it.
func (v *visitor) batch(partition int32, batch []byte) error {
	return wire.VisitRecords(batch, func(offset int64, value []byte) error {
		if offset < v.next[partition] {
			return nil
		}
		if offset > v.next[partition] {
			return fmt.Errorf("partition %d: offset %d where %d was expected", partition, offset, v.next[partition])
		}
		s, err := integrity.ParseChecked(value)
		if err != nil {
			return fmt.Errorf("partition %d, offset %d: %w", partition, offset, err)
		}
		if want := (integrity.Stamp{Run: v.run, Partition: partition, Sequence: offset, Time: s.Time}); s != want {
			return fmt.Errorf("partition %d, offset %d: the record is stamped %+v, want %+v", partition, offset, s, want)
		}
		v.next[partition]++
		v.records++
		return nil
	})
}

// pace keeps a rate: what a stall has cost is not made good.
type pace struct {
	rate  float64 // bytes per second
	began time.Time
}

// wait returns when n more bytes are due.
func (p *pace) wait(ctx context.Context, n int64) error {
	p.began = p.began.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	now := time.Now()
	if p.began.Before(now) {
		p.began = now
	}
	select {
	case <-time.After(p.began.Sub(now)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
