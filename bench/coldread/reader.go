package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kserver/cmd/kbench/wire"
)

// transfer is what one reader got until the first was through.
type transfer struct {
	bytes int64
	took  time.Duration
}

func (t transfer) rate() float64 { return float64(t.bytes) / t.took.Seconds() }

// read lets every reader go through its partition, until the first has.
func (o *options) read(ctx context.Context, addr string) ([]transfer, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	read := make([]transfer, o.readers)
	errs := make([]error, o.readers)
	var wg sync.WaitGroup
	for i := range read {
		wg.Go(func() {
			errs[i] = o.readPartition(ctx, addr, int32(i), &read[i])
			stop()
		})
	}
	wg.Wait()
	return read, errors.Join(errs...)
}

// readPartition reads a partition once, from its beginning, and counts until ctx ends.
func (o *options) readPartition(ctx context.Context, addr string, partition int32, got *transfer) (err error) {
	conn, err := wire.Dial(ctx, addr, "coldread-read", answerTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ends, err := conn.Offsets(coldTopic, []int32{partition}, wire.LatestOffset)
	if err != nil {
		return err
	}
	w, err := conn.NewFetchWriter(coldTopic, wire.FetchOptions{
		MinBytes: 1, MaxBytes: int32(o.fetchBytes), PartitionMaxBytes: int32(o.fetchBytes), MaxWaitMs: 500,
	})
	if err != nil {
		return err
	}
	r := conn.NewFetchReader()
	began := time.Now()
	position := []wire.FetchPosition{{Partition: partition}}
	for i := int32(0); position[0].Offset < ends[partition] && ctx.Err() == nil; i++ {
		if err := errors.Join(conn.SetDeadline(time.Now().Add(answerTimeout)), w.Send(i, position)); err != nil {
			return err
		}
		_, parts, err := r.Next()
		if err != nil {
			return err
		}
		if len(parts) != 1 || parts[0].Err != nil || parts[0].Batches == 0 {
			return fmt.Errorf("fetch at offset %d of %d: %+v", position[0].Offset, ends[partition], parts)
		}
		position[0].Offset = parts[0].NextOffset
		got.bytes += parts[0].Bytes
		got.took = time.Since(began)
	}
	return nil
}
