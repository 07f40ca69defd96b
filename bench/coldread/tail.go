package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kserver/cmd/kbench/wire"
)

const (
	// lengthBytes is the most by which the lengths in a record grow with its value.
	lengthBytes = 8
	// maxUnanswered bounds the requests of a producer on their way.
	maxUnanswered = 1000
	tailFetchWait = 500 * time.Millisecond
)

// epoch is what times in records count from.
var epoch = time.Now()

// tail is producers on a schedule and a consumer that follows them.
type tail struct {
	o         *options
	measuring atomic.Bool
	produced  latencies // due to acknowledged
	consumed  latencies // due to arrived
}

// latencies are collected by many goroutines.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	l.all = append(l.all, d)
	l.mu.Unlock()
}

// sorted returns what was collected. Nobody may be adding any more.
func (l *latencies) sorted() durations {
	slices.Sort(l.all)
	return l.all
}

func newTail(o *options) *tail { return &tail{o: o} }

// measure says whether requests that come due are measured.
func (t *tail) measure(on bool) { t.measuring.Store(on) }

// run drives the clients until ctx ends.
func (t *tail) run(ctx context.Context, addr string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, t.o.producers+1)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range errs {
		wg.Go(func() {
			if i < t.o.producers {
				errs[i] = t.produce(ctx, addr, i, begin)
			} else {
				errs[i] = t.consume(ctx, addr)
			}
			if ctx.Err() != nil {
				errs[i] = nil // asked to end
			}
			stop() // nobody goes on alone
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// request is a produce request on its way.
type request struct {
	due      time.Duration // since epoch
	measured bool
}

// produce sends this producer's share of the schedule.
func (t *tail) produce(ctx context.Context, addr string, index int, begin time.Time) (err error) {
	conn, err := wire.Dial(ctx, addr, "coldread-produce", answerTimeout)
	if err != nil {
		return err
	}
	batch, err := wire.EncodeBatch(1, t.o.batchBytes-wire.BatchBytes(1, 0)-lengthBytes, wire.CodecNone, time.Now().UnixMilli(), func(int, []byte) {})
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	frame, err := conn.NewProduceFrame(tailTopic, int32(index), -1, int32(answerTimeout.Milliseconds()), batch)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	answers, err := conn.NewProduceReader()
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	sent := make(chan request, maxUnanswered)
	done := make(chan error, 1)
	go func() { done <- t.acknowledged(answers, sent) }()
	defer func() {
		close(sent)
		err = errors.Join(err, <-done, conn.Close())
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // the thread must not end: it may be the broker's parent, who would end with it
	finerTimers()
	interval := float64(time.Second) * float64(t.o.producers) / t.o.rate
	offset := begin.Add(time.Duration(interval * float64(index) / float64(t.o.producers)))
	for i := 0; ctx.Err() == nil; i++ {
		due := offset.Add(time.Duration(float64(i) * interval))
		sleepUntil(due)
		r := request{due: due.Sub(epoch), measured: t.measuring.Load()}
		if r.measured {
			binary.BigEndian.PutUint64(batch.Value(0), uint64(r.due))
		} else {
			clear(batch.Value(0)[:8])
		}
		batch.Seal()
		select {
		case sent <- r:
		default:
			return fmt.Errorf("%d requests are not answered", maxUnanswered)
		}
		if err := errors.Join(conn.SetDeadline(time.Now().Add(answerTimeout)), conn.WriteFrame(frame.Bytes(), int32(i))); err != nil {
			return err
		}
	}
	return nil
}

// acknowledged takes the answers to what was sent.
func (t *tail) acknowledged(answers *wire.ProduceReader, sent <-chan request) error {
	for r := range sent {
		res, err := answers.Next()
		if err = errors.Join(err, res.Err); err != nil {
			return err
		}
		if r.measured {
			t.produced.add(time.Since(epoch) - r.due)
		}
	}
	return nil
}

// consume follows the tail's partitions from their ends.
func (t *tail) consume(ctx context.Context, addr string) (err error) {
	conn, err := wire.Dial(ctx, addr, "coldread-tail", answerTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	partitions := make([]int32, t.o.producers)
	for i := range partitions {
		partitions[i] = int32(i)
	}
	ends, err := conn.Offsets(tailTopic, partitions, wire.LatestOffset)
	if err != nil {
		return err
	}
	positions := make([]wire.FetchPosition, len(partitions))
	for i, p := range partitions {
		positions[i] = wire.FetchPosition{Partition: p, Offset: ends[p]}
	}
	w, err := conn.NewFetchWriter(tailTopic, wire.FetchOptions{
		MinBytes: 1, MaxBytes: 50 << 20, PartitionMaxBytes: 1 << 20, MaxWaitMs: int32(tailFetchWait.Milliseconds()),
	})
	if err != nil {
		return err
	}
	r := conn.NewFetchReader()
	r.OnBatch = func(_ int32, b []byte) error {
		now := time.Since(epoch)
		return wire.VisitRecords(b, func(_ int64, value []byte) error {
			if due := binary.BigEndian.Uint64(value); due != 0 {
				t.consumed.add(now - time.Duration(due))
			}
			return nil
		})
	}
	for i := int32(0); ctx.Err() == nil; i++ {
		if err := errors.Join(conn.SetDeadline(time.Now().Add(answerTimeout)), w.Send(i, positions)); err != nil {
			return err
		}
		_, parts, err := r.Next()
		if err != nil {
			return err
		}
		for _, p := range parts {
			if p.Err != nil {
				return p.Err
			}
			if p.Batches > 0 {
				positions[p.Partition].Offset = p.NextOffset
			}
		}
	}
	return nil
}

// finerTimers has the kernel end the calling thread's sleeps on time. Refusal costs some 50 us of precision.
func finerTimers() {
	const nanosecond = 1
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, nanosecond, 0, 0, 0)
}

// sleepUntil sleeps with the kernel's precision; Go's timers round up to a millisecond in an idle process.
func sleepUntil(t time.Time) {
	for d := time.Until(t); d > 0; d = time.Until(t) {
		ts := unix.NsecToTimespec(int64(d))
		if err := unix.Nanosleep(&ts, nil); err != nil && err != unix.EINTR {
			panic(fmt.Sprintf("nanosleep of %v: %v", d, err)) // its arguments are always good
		}
	}
}
