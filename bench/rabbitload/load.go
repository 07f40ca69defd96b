package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"kserver/cmd/kbench/process"
)

const (
	// drainTimeout is how long to wait for confirms after the end.
	drainTimeout = 20 * time.Second
	// courseInterval is the length of the intervals in which the course is kept.
	courseInterval = 200 * time.Millisecond
	// memoryInterval is the time between two samples of the broker's memory.
	memoryInterval = 250 * time.Millisecond
	longestLatency = 10 * time.Minute
)

// publisher is a connection that publishes to one queue.
type publisher interface {
	// publish hands one message over; it may block.
	publish(ctx context.Context, body []byte) error
	// confirms delivers, in the order of publishing, how many of the oldest unconfirmed messages are confirmed, or
	// refused by the broker. It is closed when the connection is.
	confirms() <-chan confirm
	close() error
}

// confirm is about the n oldest unconfirmed messages.
type confirm struct {
	n       int
	refused bool
}

// connect opens a publisher for a queue and declares the queue.
type connect func(ctx context.Context, o *options, queue string) (publisher, error)

// window is the measured time.
type window struct{ from, end time.Time }

func (w window) contains(t time.Time) bool { return !t.Before(w.from) && t.Before(w.end) }

// producer is one publisher's share of a run.
type producer struct {
	o         *options
	publisher publisher
	window    window
	course    []atomic.Int64 // bytes by interval, shared by all
	room      chan struct{}  // a token per unconfirmed message; its capacity is how many there may be
	// sent holds when the unconfirmed messages were handed over, the oldest first. Only who has a token puts in, and the
	// token goes back after the time was taken out, so it never overflows.
	sent chan time.Time

	// Of the goroutine that takes confirms, until it has ended.
	records, failed int64
	latency         *hdrhistogram.Histogram
}

var errUnconfirmed = errors.New("messages were not confirmed in time")

// run publishes with all producers and returns what came of it.
func run(ctx context.Context, o *options, connect connect) (*result, error) {
	id := time.Now().UnixNano()
	producers := make([]*producer, o.producers)
	defer func() {
		for _, p := range producers {
			if p != nil {
				_ = p.publisher.close() // all that counts is confirmed
			}
		}
	}()
	course := make([]atomic.Int64, (o.duration+courseInterval-1)/courseInterval)
	for i := range producers {
		pub, err := connect(ctx, o, o.queue(i, id))
		if err != nil {
			return nil, fmt.Errorf("producer %d: %w", i, err)
		}
		producers[i] = newProducer(o, pub, course)
	}
	from := time.Now().Add(o.warmUp)
	w := window{from, from.Add(o.duration)}
	usage := watch(ctx, o.brokerPID, w)
	var wg sync.WaitGroup
	errs := make([]error, len(producers))
	for i, p := range producers {
		p.window = w
		wg.Go(func() { errs[i] = p.run(ctx) })
	}
	wg.Wait()
	cost, err := usage()
	if err := errors.Join(append(errs, err, ctx.Err())...); err != nil {
		return nil, err
	}
	return newResult(o, producers, cost), nil
}

func newProducer(o *options, pub publisher, course []atomic.Int64) *producer {
	return &producer{
		o: o, publisher: pub, course: course, room: make(chan struct{}, o.inFlight()), sent: make(chan time.Time, o.inFlight()),
		latency: hdrhistogram.New(int64(time.Microsecond), int64(longestLatency), 2),
	}
}

// run publishes until the window ends, then waits for the confirms.
func (p *producer) run(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, p.window.end.Add(drainTimeout))
	defer cancel()
	taken := make(chan error, 1)
	go func() {
		err := p.take(ctx)
		cancel()
		taken <- err
	}()
	err := p.send(ctx)
	if err != nil {
		cancel() // nothing is left to wait for
	}
	close(p.sent)
	return errors.Join(err, <-taken)
}

func (p *producer) send(ctx context.Context) error {
	body := make([]byte, p.o.recordSize)
	for i := range body {
		body[i] = byte(i * 7)
	}
	for {
		select {
		case p.room <- struct{}{}:
		case <-ctx.Done():
			return nil // take says why
		}
		now := time.Now()
		if !now.Before(p.window.end) {
			return nil
		}
		p.sent <- now
		if err := p.publisher.publish(ctx, body); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
}

// take takes confirms until everything sent is confirmed and nothing more will be.
func (p *producer) take(ctx context.Context) error {
	confirms := p.publisher.confirms()
	var due confirm
	for sent := range p.sent {
		for due.n == 0 {
			var open bool
			select {
			case due, open = <-confirms:
				if !open {
					return errors.New("the connection ended")
				}
			case <-ctx.Done():
				return errors.Join(errUnconfirmed, ctx.Err())
			}
		}
		due.n--
		<-p.room
		if due.refused {
			p.failed++
			continue
		}
		p.confirmed(sent, time.Now())
	}
	return nil
}

func (p *producer) confirmed(sent, now time.Time) {
	if p.window.contains(now) {
		p.records++
		p.course[now.Sub(p.window.from)/courseInterval].Add(int64(p.o.recordSize))
	}
	if p.window.contains(sent) {
		// What is out of range is as long as can be told apart.
		_ = p.latency.RecordValue(int64(min(now.Sub(sent), longestLatency)))
	}
}

// usage is what broker and client used inside the window.
type usage struct {
	broker, client time.Duration
	maxRSS         int64
}

// watch samples in a goroutine and returns how to get what it found, once the window is over.
func watch(ctx context.Context, pid int, w window) func() (usage, error) {
	var u usage
	done := make(chan error, 1)
	go func() { done <- u.sample(ctx, pid, w) }()
	return func() (usage, error) { err := <-done; return u, err }
}

func (u *usage) sample(ctx context.Context, pid int, w window) error {
	read := func() (broker process.Usage, client time.Duration, err error) {
		if pid > 0 {
			if broker, err = process.Read(pid); err != nil {
				return broker, 0, err
			}
			u.maxRSS = max(u.maxRSS, broker.RSSBytes)
		}
		client, err = process.Self()
		return broker, client, err
	}
	wait := func(t time.Time) {
		select {
		case <-time.After(time.Until(t)):
		case <-ctx.Done():
		}
	}
	wait(w.from)
	broker, client, err := read()
	if err != nil {
		return err
	}
	for next := w.from; next.Before(w.end) && ctx.Err() == nil; {
		if next = next.Add(memoryInterval); next.After(w.end) {
			next = w.end
		}
		wait(next)
		b, c, err := read()
		if err != nil {
			return err
		}
		u.broker, u.client = b.CPU()-broker.CPU(), c-client
	}
	return nil
}
