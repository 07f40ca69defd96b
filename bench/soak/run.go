package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/observe"
	"kserver/bench/internal/steady"
	"kserver/cmd/kbench/integrity"
)

const (
	tailTopic = "soak-tail"

	startTimeout   = 30 * time.Second
	stopTimeout    = 60 * time.Second
	requestTimeout = 30 * time.Second
)

func run(ctx context.Context, o *options, out io.Writer) error {
	return o.InPlace("soak", func(p *launch.Place) (err error) {
		process, err := p.Start()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, process.Kill()) }()
		if err := createTail(ctx, o, p, process); err != nil {
			return err
		}
		r := &result{seed: o.seed, catchUp: &catchUp{o: o, addr: p.Addr()}, churn: newChurn(o, p.Addr())}
		if err := r.load(ctx, o, p, process, out); err != nil {
			return fmt.Errorf("%w (seed %d)", err, o.seed)
		}
		if err := process.Terminate(stopTimeout); err != nil {
			r.errs = append(r.errs, fmt.Errorf("stop: %w", err))
		} else if err := process.Err(); err != nil {
			r.errs = append(r.errs, fmt.Errorf("stop: %w", err))
		}
		if r.alarms, r.alarmCount, err = observe.SearchLog(p.Log); err != nil {
			return err
		}
		verdict := r.verdict(o.bounds)
		return errors.Join(verdict, r.write(out, o.bounds, verdict))
	})
}

// createTail waits for the broker and creates the topic that stays.
func createTail(ctx context.Context, o *options, p *launch.Place, process *launch.Process) error {
	conn, err := process.Connect(ctx, p.Addr(), startTimeout)
	if err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Addr()), kgo.ClientID("soak-admin"))
	if err != nil {
		return err
	}
	defer client.Close()
	bytes := func(n int64) *string { return kadm.StringPtr(strconv.FormatInt(n, 10)) }
	configs := map[string]*string{"segment.bytes": bytes(o.segmentBytes), "retention.bytes": bytes(o.retentionBytes)}
	if _, err := kadm.NewClient(client).CreateTopic(ctx, int32(o.partitions), -1, configs, tailTopic); err != nil {
		return fmt.Errorf("create topic %s: %w", tailTopic, err)
	}
	return nil
}

// result is what a run found.
type result struct {
	seed    uint64
	rows    []row
	catchUp *catchUp
	churn   *churn

	deletedTo  int64 // sum of the tail's first offsets at the end
	report     integrity.Report
	alarms     []string
	alarmCount int
	errs       []error // what failed on the way
}

// load runs the load and prints its rows. Its error is a run that says nothing.
func (r *result) load(ctx context.Context, o *options, p *launch.Place, process *launch.Process, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tail, err := steady.Start(ctx, steady.Config{
		Addr: p.Addr(), ClientID: "soak-tail", Topic: tailTopic,
		Partitions: o.partitions, Rate: float64(o.rateBytes) / float64(o.recordSize), RecordSize: o.recordSize,
	})
	if err != nil {
		return err
	}
	defer tail.Close()
	beside := newGroup(ctx)
	defer beside.stop()
	beside.start(func(ctx context.Context) error { return r.catchUp.run(ctx, tail.Run()) })
	beside.start(r.churn.run)
	if err := r.watch(ctx, o, p, process, tail, beside.failed, out); err != nil {
		return err
	}
	beside.stop()
	if r.report, err = tail.Finish(ctx); err != nil {
		r.errs = append(r.errs, err)
	}
	r.deletedTo, err = r.catchUp.starts(ctx)
	return err
}

// watch prints a row for each time of --report, until --duration has passed or something fails.
func (r *result) watch(ctx context.Context, o *options, p *launch.Place, process *launch.Process, tail *steady.Client, failed <-chan error, out io.Writer) error {
	s := newSampler(ctx, process.PID(), p)
	wait := func(until time.Time) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-process.Exited():
			return fmt.Errorf("the broker has ended: %v", process.Err())
		case err := <-failed:
			return err
		case <-time.After(time.Until(until)):
			return tail.Err()
		}
	}
	began := time.Now().Add(o.warmUp)
	if err := wait(began); err != nil {
		return err
	}
	tail.Phase()
	if _, err := s.sample(ctx); err != nil {
		return err
	}
	r.catchUp.next()
	r.churn.next()
	if err := writeHead(out); err != nil {
		return err
	}
	for at := o.report; at <= o.duration; at += o.report {
		if err := wait(began.Add(at)); err != nil {
			return err
		}
		w := row{at: at, latencies: tail.Phase(), catchUpBytes: r.catchUp.next(), topics: r.churn.next()}
		var err error
		if w.sample, err = s.sample(ctx); err != nil {
			return err
		}
		r.rows = append(r.rows, w)
		if err := w.write(out, o.report); err != nil {
			return err
		}
	}
	return nil
}

// group is goroutines that work until they are stopped, or one fails.
type group struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	failed chan error // the first failure
}

func newGroup(ctx context.Context) *group {
	g := &group{failed: make(chan error, 1)}
	g.ctx, g.cancel = context.WithCancel(ctx)
	return g
}

// start calls work on a goroutine of its own. What it returns once it is to stop is no failure.
func (g *group) start(work func(context.Context) error) {
	g.wg.Go(func() {
		err := work(g.ctx)
		if g.ctx.Err() != nil {
			return
		}
		select {
		case g.failed <- err:
		default:
		}
	})
}

// stop ends all.
func (g *group) stop() {
	g.cancel()
	g.wg.Wait()
}
