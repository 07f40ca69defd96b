package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/observe"
	"kserver/cmd/kbench/process"
	"kserver/cmd/kbench/wire"
)

// usage is what a broker holds.
type usage struct {
	rss   int64 // bytes
	files int   // descriptors that are no sockets
}

func readUsage(pid int) (u usage, err error) {
	p, err := process.Read(pid)
	if err != nil {
		return u, err
	}
	d, err := observe.ReadDescriptors(pid)
	return usage{p.RSSBytes, len(d.Files)}, err
}

// start is one start of the broker. Durations are since exec.
type start struct {
	process *launch.Process

	connected, metadata, ackHot, ackCold, fetchHot, fetchCold time.Duration
	first, rested                                             usage
	rest                                                      time.Duration
	latency                                                   latencies // of the load that began with the start
}

// idleMemory is what a broker without a topic takes, in a directory of its own.
func idleMemory(ctx context.Context, o *options, p *launch.Place) int64 {
	spec := p.Spec
	spec.Dir += "-idle"
	if os.Mkdir(spec.Dir, 0o755) != nil {
		return 0
	}
	defer os.RemoveAll(spec.Dir)
	proc, err := spec.Start()
	if err != nil {
		return 0
	}
	defer func() { _ = proc.Kill() }()
	conn, err := proc.Connect(ctx, spec.Addr(), timeout)
	if err != nil {
		return 0
	}
	defer conn.Close()
	u, _, err := atRest(ctx, o, proc)
	if err != nil {
		return 0
	}
	return u.rss
}

// atRest waits until the broker uses next to no processor time.
func atRest(ctx context.Context, o *options, p *launch.Process) (u usage, after time.Duration, err error) {
	const window = time.Second
	deadline := time.Now().Add(o.settle)
	for {
		before := observe.CPU(p.PID())
		after = time.Since(p.Started)
		select {
		case <-time.After(window):
		case <-ctx.Done():
			return u, 0, ctx.Err()
		}
		if observe.CPU(p.PID())-before <= window/50 || time.Now().After(deadline) {
			u, err = readUsage(p.PID())
			return u, after, err
		}
	}
}

// serve executes the broker and takes the times to its first answers, which are asked for side by side, and then its
// memory.
func serve(ctx context.Context, o *options, p *launch.Place) (s *start, err error) {
	s = new(start)
	if s.process, err = p.Start(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.process.Kill())
		}
	}()
	conn, err := s.process.Connect(ctx, p.Addr(), timeout)
	if err != nil {
		return nil, err
	}
	s.connected = time.Since(s.process.Started)
	defer conn.Close()
	err = s.process.Until(ctx, timeout, func() error {
		leaders, err := conn.Leaders(topic)
		if err == nil && len(leaders) != o.partitions {
			err = fmt.Errorf("%d partitions of %d", len(leaders), o.partitions)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.metadata = time.Since(s.process.Started)
	other := int32(o.hot) // never written to by the load
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i, job := range []struct {
		took *time.Duration
		do   func() error
	}{
		{&s.ackHot, func() error { return s.produce(ctx, p, 0) }}, {&s.ackCold, func() error { return s.produce(ctx, p, other) }},
		{&s.fetchHot, func() error { return s.fetch(ctx, p, 1%int32(o.hot)) }}, {&s.fetchCold, func() error { return s.fetch(ctx, p, other+1) }},
	} {
		wg.Go(func() {
			errs[i] = job.do()
			*job.took = time.Since(s.process.Started)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.first, err = readUsage(s.process.PID())
	return s, err
}

// produce gets one record of a partition acknowledged.
func (s *start) produce(ctx context.Context, p *launch.Place, partition int32) error {
	conn, err := s.process.Connect(ctx, p.Addr(), timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	w, err := newWriter(conn, 200, partition)
	if err != nil {
		return err
	}
	return s.process.Until(ctx, timeout, func() error { return w.write(partition) })
}

// fetch reads the first records of a partition.
func (s *start) fetch(ctx context.Context, p *launch.Place, partition int32) error {
	conn, err := s.process.Connect(ctx, p.Addr(), timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	w, err := conn.NewFetchWriter(topic, wire.FetchOptions{MinBytes: 1, MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20, MaxWaitMs: 500})
	if err != nil {
		return err
	}
	r := conn.NewFetchReader()
	return s.process.Until(ctx, timeout, func() error {
		if err := w.Send(1, []wire.FetchPosition{{Partition: partition}}); err != nil {
			return err
		}
		_, parts, err := r.Next()
		switch {
		case err != nil:
			return err
		case len(parts) != 1:
			return fmt.Errorf("answer about %d partitions", len(parts))
		case parts[0].Err != nil:
			return parts[0].Err
		case parts[0].Batches == 0:
			return kerr.OffsetNotAvailable
		}
		return nil
	})
}

// afterStop starts a cleanly stopped broker, waits for its rest, and loads it.
func (t *table) afterStop(ctx context.Context, o *options, p *launch.Place) (err error) {
	s, err := serve(ctx, o, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.process.Terminate(timeout)) }()
	if s.rested, s.rest, err = atRest(ctx, o, s.process); err != nil {
		return err
	}
	if s.latency, err = load(ctx, o, p, o.load); err != nil {
		return err
	}
	t.row(o, "clean stop", s)
	return nil
}

// afterKill kills a broker under load and starts it.
func (t *table) afterKill(ctx context.Context, o *options, p *launch.Place) error {
	proc, err := p.Start()
	if err != nil {
		return err
	}
	conn, err := proc.Connect(ctx, p.Addr(), timeout)
	if err != nil {
		return errors.Join(err, proc.Kill())
	}
	if err := conn.Close(); err != nil {
		return errors.Join(err, proc.Kill())
	}
	loading := make(chan error, 1)
	go func() {
		_, err := load(ctx, o, p, timeout) // the kill ends it
		loading <- err
	}()
	select {
	case <-time.After(o.load):
	case err := <-loading:
		return errors.Join(err, proc.Kill())
	}
	if err := proc.Kill(); err != nil {
		return err
	}
	<-loading
	if err := o.writeDirty(p); err != nil {
		return err
	}
	s, err := serve(ctx, o, p)
	if err != nil {
		return err
	}
	defer func() { _ = s.process.Kill() }() // no one needs its end
	if s.latency, err = load(ctx, o, p, o.load); err != nil {
		return err
	}
	if s.rested, s.rest, err = atRest(ctx, o, s.process); err != nil {
		return err
	}
	t.row(o, "kill -9", s)
	return nil
}

// writeDirty leaves bytes in the page cache, as another program may.
func (o *options) writeDirty(p *launch.Place) error {
	if o.dirty == 0 {
		return nil
	}
	f, err := os.Create(filepath.Join(filepath.Dir(p.Log), "dirty"))
	if err != nil {
		return err
	}
	chunk := make([]byte, 1<<20)
	for n := int64(0); n < o.dirty && err == nil; n += int64(len(chunk)) {
		chunk[0]++
		_, err = f.Write(chunk)
	}
	return errors.Join(err, f.Close())
}
