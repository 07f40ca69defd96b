package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kserver/cmd/kbench/internal/pace"
	"kserver/cmd/kbench/wire"
)

// rawConsumer is one connection. Its partitions are dealt to groups; each group has one fetch in flight.
type rawConsumer struct {
	o         *ConsumeOptions
	m         *Meter
	index     int
	addr      string
	conn      *wire.Conn
	writer    *wire.FetchWriter
	reader    *wire.FetchReader
	positions map[int32]*position
	groups    [][]int32
	sent      []int64
	request   []wire.FetchPosition
}

func millis(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }

func newRawConsumer(ctx context.Context, o *ConsumeOptions, m *Meter, index int, l lane) (*rawConsumer, error) {
	conn, err := wire.Dial(ctx, l.addr, o.ClientID, dialTimeout)
	if err != nil {
		return nil, err
	}
	writer, err := conn.NewFetchWriter(o.Topic, wire.FetchOptions{
		MinBytes: o.MinBytes, MaxBytes: o.MaxBytes, PartitionMaxBytes: o.PartitionMaxBytes, MaxWaitMs: o.MaxWaitMs,
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c := &rawConsumer{
		o: o, m: m, index: index, addr: l.addr, conn: conn, writer: writer, reader: conn.NewFetchReader(),
		positions: o.positions(l.partitions),
	}
	if o.Visit != nil {
		c.reader.OnBatch = c.visit
	}
	n := min(max(o.Pipeline, 1), len(l.partitions))
	c.groups = make([][]int32, n)
	c.sent = make([]int64, n)
	for i, p := range l.partitions {
		c.groups[i%n] = append(c.groups[i%n], p)
	}
	return c, nil
}

// visit shows the records of one batch, those below the partition's next offset left out: a fetch begins at a batch.
func (c *rawConsumer) visit(partition int32, batch []byte) error {
	p := c.positions[partition]
	now := pace.Now()
	return wire.VisitRecords(batch, func(offset int64, value []byte) error {
		if offset < p.next || c.o.AtEnd != AtEndWait && offset >= p.to {
			return nil
		}
		return c.o.Visit(c.index, partition, offset, value, now)
	})
}

func (c *rawConsumer) run(ctx context.Context) error {
	ctx, cancel := windowContext(ctx, c.m.Window)
	defer cancel()
	// The end of the run ends a read under way. Close reports what this could not set.
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Now()) })
	defer stop()
	err := c.loop(ctx)
	if ctx.Err() != nil {
		err = nil // cut off on purpose
	}
	return errors.Join(err, c.conn.Close())
}

func (c *rawConsumer) loop(ctx context.Context) error {
	if err := c.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	inFlight := 0
	for g := range c.groups {
		sent, err := c.send(g)
		if err != nil {
			return err
		}
		if sent {
			inFlight++
		}
	}
	for inFlight > 0 && ctx.Err() == nil {
		corr, parts, err := c.reader.Next()
		if err != nil {
			return fmt.Errorf("fetch from %s: %w", c.addr, err)
		}
		now := pace.Now()
		g := int(corr)
		if g < 0 || g >= len(c.groups) {
			return fmt.Errorf("fetch from %s: answer to request %d that was not sent", c.addr, g)
		}
		if err := c.advance(parts, g, now); err != nil {
			return err
		}
		sent, err := c.send(g)
		if err != nil {
			return err
		}
		if !sent {
			inFlight--
		}
	}
	return nil
}

// advance counts one answer and moves the positions of its partitions.
func (c *rawConsumer) advance(parts []wire.FetchedPartition, g int, now int64) error {
	var records, bytes int64
	for i := range parts {
		f := &parts[i]
		p := c.positions[f.Partition]
		if p == nil {
			return fmt.Errorf("fetch from %s: answer for partition %d that was not asked for", c.addr, f.Partition)
		}
		if f.Err != nil {
			return fmt.Errorf("fetch %s-%d at %d: %w", c.o.Topic, f.Partition, p.next, f.Err)
		}
		if f.Batches == 0 {
			continue
		}
		if f.NextOffset <= p.next {
			return fmt.Errorf("fetch %s-%d at %d: the answer ends at %d", c.o.Topic, f.Partition, p.next, f.NextOffset)
		}
		records += f.Records
		bytes += f.Bytes
		p.next = f.NextOffset
	}
	if !c.o.VisitorCounts && records > 0 {
		c.m.Took(c.index, c.sent[g], now)
		c.m.Count(now, records, bytes)
	}
	return nil
}

// send sends the next fetch of a group; false when the group has nothing left to read.
func (c *rawConsumer) send(g int) (bool, error) {
	left := c.groups[g][:0]
	c.request = c.request[:0]
	for _, id := range c.groups[g] {
		p := c.positions[id]
		done, rewind := p.atEnd(c.o.AtEnd)
		if done {
			continue
		}
		if rewind {
			p.next = p.from
		}
		left = append(left, id)
		c.request = append(c.request, wire.FetchPosition{Partition: id, Offset: p.next})
	}
	c.groups[g] = left
	if len(left) == 0 {
		return false, nil
	}
	c.sent[g] = pace.Now()
	if err := c.writer.Send(int32(g), c.request); err != nil {
		return false, fmt.Errorf("fetch from %s: %w", c.addr, err)
	}
	return true, nil
}
