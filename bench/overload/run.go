package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/observe"
	"kserver/cmd/kbench/wire"
)

const (
	startTimeout  = 30 * time.Second
	stopTimeout   = 60 * time.Second
	settleTimeout = 90 * time.Second // more than an answer nobody reads is kept
	rssSteps      = 10               // samples of memory shown for each scenario

	settleInterval = 100 * time.Millisecond
)

// saturated matches what the broker says when it cannot keep up.
var saturated = regexp.MustCompile(`msg=saturated`)

func run(ctx context.Context, o *options, out io.Writer) error {
	return o.InPlace("overload", func(p *launch.Place) (err error) {
		process, err := p.Start()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, process.Kill()) }()
		r, err := o.measure(ctx, p, process)
		if err != nil {
			return err
		}
		if err := process.Terminate(stopTimeout); err != nil {
			r.errs = append(r.errs, fmt.Errorf("stop: %w", err))
		}
		if r.alarms, r.alarmCount, err = observe.SearchLog(p.Log); err != nil {
			return err
		}
		if r.saturated, _, err = observe.Find(p.Log, saturated); err != nil {
			return err
		}
		verdict := r.verdict(o.maxRSSSize)
		return errors.Join(verdict, r.write(out, verdict))
	})
}

// measure runs the scenarios. Its error is a run that says nothing.
func (o *options) measure(ctx context.Context, p *launch.Place, process *launch.Process) (*result, error) {
	err := process.Until(ctx, startTimeout, func() (err error) {
		conn, err := wire.Dial(ctx, p.Addr(), "overload", dialTimeout)
		if err != nil {
			return err
		}
		return errors.Join(conn.CreateTopic(topic, o.producers), conn.Close())
	})
	if err != nil {
		return nil, err
	}
	r := &result{}
	mem := observe.WatchMemory(ctx, process.PID())
	if r.before, err = observe.ReadDescriptors(process.PID()); err != nil {
		return nil, err
	}
	peak := o.scenario(ctx, r, p, process, mem, "peak", o.producers, unlimited, nil)
	// What the batches weigh besides their values is little.
	share := 3 * peak / float64(3*o.producers)
	o.scenario(ctx, r, p, process, mem, "triple", 3*o.producers, max(share, 1), nil)
	o.scenario(ctx, r, p, process, mem, "unread", o.producers, unlimited, o.unreadBeside)
	o.scenario(ctx, r, p, process, mem, "reconnect", o.producers, unlimited, o.reconnectBeside)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.ends, err = o.ends(ctx, p.Addr()); err != nil {
		return nil, err
	}
	// Segments were added, so only sockets have to come back.
	for deadline := time.Now().Add(settleTimeout); ; time.Sleep(settleInterval) {
		if r.after, err = observe.ReadDescriptors(process.PID()); err != nil {
			return nil, err
		}
		if r.after.Sockets <= r.before.Sockets || time.Now().After(deadline) {
			break
		}
	}
	r.largestRSS = mem.Largest()
	return r, nil
}

// scenario runs producers, and what else there is to run beside them, and returns the bytes a second they got.
func (o *options) scenario(ctx context.Context, r *result, p *launch.Place, process *launch.Process, mem *observe.Memory,
	name string, producers int, rate float64, beside func(ctx context.Context, addr string) func() string) float64 {
	mem.Next()
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	s := scenario{name: name, took: o.duration}
	var end func() string
	if beside != nil {
		end = beside(ctx, p.Addr())
	}
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		for range rssSteps {
			time.Sleep(o.duration / rssSteps)
			s.rss = append(s.rss, mem.Next())
		}
	}()
	used := observe.CPU(process.PID())
	s.clients = o.produce(ctx, p.Addr(), producers, rate)
	s.cpu = observe.CPU(process.PID()) - used
	cancel()
	if end != nil {
		s.remark = end()
	}
	<-sampled
	r.scenarios = append(r.scenarios, s)
	return s.bytesPerSecond()
}

// ends is how many records the topic holds.
func (o *options) ends(ctx context.Context, addr string) (sum int64, err error) {
	conn, err := wire.Dial(ctx, addr, "overload", dialTimeout)
	if err != nil {
		return 0, fmt.Errorf("after the load: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	partitions := make([]int32, o.producers)
	for i := range partitions {
		partitions[i] = int32(i)
	}
	ends, err := conn.Offsets(topic, partitions, wire.LatestOffset)
	if err != nil {
		return 0, fmt.Errorf("after the load: %w", err)
	}
	for _, end := range ends {
		sum += end
	}
	return sum, nil
}
