package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kserver/bench/internal/launch"
	"kserver/cmd/kbench/wire"
)

// loop is one run.
type loop struct {
	o       *options
	spec    launch.Spec
	rng     *rand.Rand
	process *launch.Process
	disk    *disk // nil without --power-loss
	res     result

	connect, serving, firstAck launch.Durations
}

// run does everything on a fresh directory and judges it.
func run(ctx context.Context, o *options, out io.Writer) error {
	return o.InPlace("killloop", func(p *launch.Place) error {
		l := &loop{o: o, spec: p.Spec, rng: rand.New(rand.NewPCG(o.seed, 0)), res: result{Command: p.Command, Seed: o.seed, PowerLoss: o.powerLoss}}
		if err := l.onDisk(func() error { return l.whole(ctx) }); err != nil {
			return err
		}
		l.res.Connect, l.res.Serving, l.res.FirstAck = l.connect.Summary(), l.serving.Summary(), l.firstAck.Summary()
		verdict := l.res.verdict(o.maxRestart)
		return errors.Join(verdict, l.res.write(out, verdict), l.res.writeJSON(o.jsonFile))
	})
}

// whole starts the broker, kills it the given number of times under load, and reads everything back.
func (l *loop) whole(ctx context.Context) (err error) {
	if err := l.start(ctx, l.createTopic); err != nil {
		return fmt.Errorf("first start: %w", err)
	}
	defer func() { err = errors.Join(err, l.process.Kill()) }()
	load, err := startProducers(ctx, l.o, l.spec.Addr())
	if err != nil {
		return err
	}
	defer load.close()
	for i := range l.o.cycles {
		if err := l.cycle(ctx, load); err != nil {
			return fmt.Errorf("cycle %d: %w", i+1, err)
		}
	}
	if err := load.drain(ctx, drainTimeout); err != nil {
		return err
	}
	manifest, err := load.ledger.Manifest(topic, load.run)
	if err != nil {
		return err
	}
	load.counts(&l.res)
	return l.readBack(ctx, manifest)
}

// cycle lets the broker serve for a random time, kills it and starts it again, at times in two attempts.
func (l *loop) cycle(ctx context.Context, load *load) error {
	up := l.o.minUp + time.Duration(l.rng.Int64N(int64(l.o.maxUp-l.o.minUp)+1))
	if err := l.serveFor(ctx, up); err != nil {
		return err
	}
	if d, ok := load.firstAckSince(l.process.Started); ok && l.res.Kills > 0 {
		l.firstAck = append(l.firstAck, d)
	}
	if err := l.end(load); err != nil {
		return err
	}
	l.res.Kills++
	if l.rng.Float64() < l.o.early {
		if err := l.killEarly(load); err != nil {
			return err
		}
	}
	return l.start(ctx, func(*wire.Conn) error { return nil })
}

// serveFor waits; a broker that ends by itself meanwhile is an error.
func (l *loop) serveFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-l.process.Exited():
		return errors.New("the broker ended by itself")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// killEarly starts the broker and kills it within the time that a start has taken so far.
func (l *loop) killEarly(load *load) error {
	usual := 20 * time.Millisecond
	if n := len(l.serving); n > 0 {
		usual = l.serving[n-1]
	}
	p, err := l.spec.Start()
	if err != nil {
		return err
	}
	time.Sleep(time.Duration(l.rng.Int64N(int64(usual) + 1)))
	l.res.EarlyKills++
	l.process = p
	return l.end(load)
}

// start starts the broker, calls prepare with a connection, and waits until every partition tells its end offset.
// Only restarts are counted.
func (l *loop) start(ctx context.Context, prepare func(*wire.Conn) error) (err error) {
	if l.process, err = l.spec.Start(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.process.Kill())
		}
	}()
	conn, err := l.process.Connect(ctx, l.spec.Addr(), l.o.startTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	connected := time.Since(l.process.Started)
	if err := prepare(conn); err != nil {
		return err
	}
	err = l.process.Until(ctx, l.o.startTimeout, func() error {
		_, err := conn.Offsets(topic, l.partitions(), wire.LatestOffset)
		return err
	})
	if err != nil {
		return err
	}
	if l.res.Kills > 0 {
		l.connect = append(l.connect, connected)
		l.serving = append(l.serving, time.Since(l.process.Started))
	}
	return nil
}

func (l *loop) partitions() []int32 {
	ps := make([]int32, l.o.partitions)
	for i := range ps {
		ps[i] = int32(i)
	}
	return ps
}

func (l *loop) createTopic(conn *wire.Conn) error {
	return l.process.Until(context.Background(), l.o.startTimeout, func() error {
		err := conn.CreateTopic(topic, l.o.partitions)
		if errors.Is(err, kerr.TopicAlreadyExists) {
			return nil // an attempt that timed out has succeeded
		}
		return err
	})
}
