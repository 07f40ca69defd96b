package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/observe"
	"kserver/cmd/kbench/wire"
)

const (
	coldTopic = "coldread-cold"
	tailTopic = "coldread-tail"

	startTimeout  = 30 * time.Second
	stopTimeout   = 60 * time.Second
	answerTimeout = 30 * time.Second

	// fillBatchBytes is the size of the cold log's batches.
	fillBatchBytes = 500_000
	fillPipeline   = 4
	// settle is the time between two phases, in which what the one left behind is done with.
	settle = 500 * time.Millisecond
	// warmUp of the tail's clients is not measured.
	warmUp = time.Second
)

func run(ctx context.Context, o *options, out io.Writer) error {
	// Producers and readers sleep in the kernel; none is to wait for a place among the threads that run Go.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), runtime.NumCPU()+o.producers+o.readers))
	return o.InPlace("coldread", func(p *launch.Place) (err error) {
		if o.data != "" {
			p.Dir = o.data
			if err := os.MkdirAll(p.Dir, 0o755); err != nil {
				return err
			}
		}
		process, err := p.Start()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, process.Terminate(stopTimeout)) }()
		r, err := o.measure(ctx, p, process)
		if err != nil {
			return err
		}
		verdict := o.verdict(r)
		return errors.Join(verdict, r.write(out))
	})
}

// measure runs the rounds.
func (o *options) measure(ctx context.Context, p *launch.Place, process *launch.Process) (*result, error) {
	conn, err := process.Connect(ctx, p.Addr(), startTimeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := o.topics(ctx, conn, p.Addr()); err != nil {
		return nil, err
	}
	r := &result{}
	if err := evict(p.Dir); err != nil {
		return nil, err
	}
	if r.disk, err = diskRate(ctx, p.Dir, o.readers); err != nil {
		return nil, err
	}
	for range o.rounds {
		quiet, err := o.phase(ctx, p, process, func(ctx context.Context) error { return sleep(ctx, o.quiet) })
		if err != nil {
			return nil, err
		}
		r.quiet = append(r.quiet, quiet)
		if err := evict(p.Dir); err != nil {
			return nil, err
		}
		var read []transfer
		loaded, err := o.phase(ctx, p, process, func(ctx context.Context) (err error) {
			read, err = o.read(ctx, p.Addr())
			return err
		})
		if err != nil {
			return nil, err
		}
		loaded.read = read
		r.loaded = append(r.loaded, loaded)
		if o.floor {
			if err := o.floorRound(ctx, p, r); err != nil {
				return nil, fmt.Errorf("floor: %w", err)
			}
		}
	}
	return r, nil
}

// floorRound measures the floor alone, and beside readers as fast as those of the round before.
func (o *options) floorRound(ctx context.Context, p *launch.Place, r *result) error {
	quiet, err := o.measureFloor(ctx, p.Dir, 0)
	if err != nil {
		return err
	}
	if err := evict(p.Dir); err != nil {
		return err
	}
	loaded, err := o.measureFloor(ctx, p.Dir, r.loaded[len(r.loaded)-1].readRate())
	r.floorQuiet, r.floorLoaded = append(r.floorQuiet, quiet), append(r.floorLoaded, loaded)
	return err
}

// phase runs the tail's clients while beside runs, and measures only then.
func (o *options) phase(ctx context.Context, p *launch.Place, process *launch.Process, beside func(context.Context) error) (ph phase, err error) {
	if err := sleep(ctx, settle); err != nil {
		return ph, err
	}
	t := newTail(o)
	clients, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- t.run(clients, p.Addr()) }()
	if err := sleep(ctx, warmUp); err != nil {
		return ph, err
	}
	cpu, stolen, began := observe.CPU(process.PID()), observe.Stolen(), time.Now()
	t.measure(true)
	err = beside(ctx)
	t.measure(false)
	ph.took, ph.cpu, ph.stolen = time.Since(began), observe.CPU(process.PID())-cpu, observe.Stolen()-stolen
	stop()
	if err := errors.Join(err, <-done); err != nil {
		return ph, err
	}
	ph.produce, ph.tail = t.produced.sorted(), t.consumed.sorted()
	return ph, nil
}

// topics makes both topics and fills the cold one, as far as they are not there.
func (o *options) topics(ctx context.Context, conn *wire.Conn, addr string) error {
	if err := conn.CreateTopic(tailTopic, o.producers); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return err
	}
	switch err := conn.CreateTopic(coldTopic, o.readers); {
	case err == nil:
		if err := o.fill(ctx, addr); err != nil {
			return fmt.Errorf("fill the cold log: %w", err)
		}
		return nil
	case errors.Is(err, kerr.TopicAlreadyExists):
		return nil
	default:
		return err
	}
}

// fill writes the cold log, a connection for each partition.
func (o *options) fill(ctx context.Context, addr string) error {
	errs := make([]error, o.readers)
	var wg sync.WaitGroup
	for i := range o.readers {
		wg.Go(func() { errs[i] = fillPartition(ctx, addr, int32(i), o.coldBytes/int64(o.readers)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func fillPartition(ctx context.Context, addr string, partition int32, bytes int64) (err error) {
	conn, err := wire.Dial(ctx, addr, "coldread-fill", answerTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	random := rand.NewChaCha8([32]byte{byte(partition)})
	batch, err := wire.EncodeBatch(1, fillBatchBytes-wire.BatchBytes(1, 0)-lengthBytes, wire.CodecNone, time.Now().UnixMilli(),
		func(_ int, v []byte) { _, _ = random.Read(v) }) // never fails
	if err != nil {
		return err
	}
	frame, err := conn.NewProduceFrame(coldTopic, partition, -1, int32(answerTimeout.Milliseconds()), batch)
	if err != nil {
		return err
	}
	answers, err := conn.NewProduceReader()
	if err != nil {
		return err
	}
	batches := max(bytes/int64(len(batch.Bytes())), 1)
	for i := range batches + fillPipeline {
		if err := errors.Join(ctx.Err(), conn.SetDeadline(time.Now().Add(answerTimeout))); err != nil {
			return err
		}
		if i < batches {
			if err := conn.WriteFrame(frame.Bytes(), int32(i)); err != nil {
				return err
			}
		}
		if i >= fillPipeline {
			res, err := answers.Next()
			if err = errors.Join(err, res.Err); err != nil {
				return err
			}
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
