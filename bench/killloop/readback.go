package main

import (
	"context"
	"fmt"
	"time"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/wire"
)

const (
	dialTimeout     = 10 * time.Second
	readTimeout     = 5 * time.Minute
	fetchBytes      = 16 << 20
	partitionBytes  = 1 << 20
	fetchMaxWaitMs  = 500
	maxEmptyAnswers = 20 // in a row, before the end offset is reached
)

// readBack reads every partition from offset 0 to its end and judges the records.
func (l *loop) readBack(ctx context.Context, m *integrity.Manifest) (err error) {
	conn, err := wire.Dial(ctx, l.spec.Addr(), "killloop", dialTimeout)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	defer func() {
		if closeErr := conn.Close(); err == nil {
			err = closeErr
		}
	}()
	from, err := conn.Offsets(topic, l.partitions(), wire.EarliestOffset)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	to, err := conn.Offsets(topic, l.partitions(), wire.LatestOffset)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if err := conn.SetDeadline(time.Now().Add(readTimeout)); err != nil {
		return err
	}
	checker := integrity.NewChecker(m.Run)
	for _, p := range l.partitions() {
		if from[p] != 0 {
			return fmt.Errorf("read back: partition %d begins at offset %d, not 0", p, from[p])
		}
		l.res.EndOffsets += to[p]
		if err := l.readPartition(ctx, conn, p, to[p], checker); err != nil {
			return fmt.Errorf("read back: partition %d: %w", p, err)
		}
	}
	l.res.Integrity = checker.Report(m)
	if i := &l.res.Integrity; i.Records+i.Foreign+i.Duplicate+i.Corrupt != l.res.EndOffsets {
		return fmt.Errorf("read back: end offsets add up to %d, but %d records were read", l.res.EndOffsets, i.Records+i.Foreign+i.Duplicate+i.Corrupt)
	}
	return nil
}

func (l *loop) readPartition(ctx context.Context, conn *wire.Conn, partition int32, end int64, checker *integrity.Checker) error {
	writer, err := conn.NewFetchWriter(topic, wire.FetchOptions{MinBytes: 1, MaxBytes: fetchBytes, PartitionMaxBytes: partitionBytes, MaxWaitMs: fetchMaxWaitMs})
	if err != nil {
		return err
	}
	reader := conn.NewFetchReader()
	reader.OnBatch = func(p int32, batch []byte) error {
		l.res.LogBytes += int64(len(batch))
		return wire.VisitRecords(batch, func(offset int64, value []byte) error { return checker.Observe(p, offset, value) })
	}
	empty := 0
	for next := int64(0); next < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := writer.Send(partition, []wire.FetchPosition{{Partition: partition, Offset: next}}); err != nil {
			return err
		}
		_, parts, err := reader.Next()
		if err != nil {
			return err
		}
		if len(parts) != 1 || parts[0].Err != nil {
			return fmt.Errorf("fetch at %d: %+v", next, parts)
		}
		if parts[0].Batches == 0 {
			if empty++; empty > maxEmptyAnswers {
				return fmt.Errorf("nothing at offset %d, although the end is %d", next, end)
			}
			continue
		}
		if parts[0].NextOffset <= next {
			return fmt.Errorf("fetch at %d ends at %d", next, parts[0].NextOffset)
		}
		next, empty = parts[0].NextOffset, 0
	}
	return nil
}
