package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/observe"
	"kserver/bench/internal/steady"
	"kserver/cmd/kbench/process"
	"kserver/cmd/kbench/wire"
)

const (
	goodTopic      = "well-behaved"
	goodPartitions = 3

	startTimeout  = 30 * time.Second
	answerTimeout = 5 * time.Second // of an ordinary request, after the attack
	settleTimeout = 20 * time.Second
	stopTimeout   = 30 * time.Second
	deleteTimeout = 30 * time.Second
	// controlPause is what the broker has to come to rest before the stand-in is attacked.
	controlPause = 2 * time.Second
	// warmGroup is a group that exists before descriptors are counted: the first one creates a topic for all.
	warmGroup = "warm-up"
)

// broker is what is attacked.
type broker struct {
	addr    string
	pid     int
	log     string          // file name, "" when unknown
	process *launch.Process // nil when somebody else started it
}

func run(ctx context.Context, o *options, out io.Writer) error {
	if o.endpoint != "" {
		return judge(ctx, o, &broker{addr: o.endpoint, pid: o.pid, log: o.brokerLog}, out)
	}
	return o.InPlace("hostile", func(p *launch.Place) (err error) {
		b := &broker{log: p.Log, addr: p.Addr()}
		if b.process, err = p.Start(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.process.Kill()) }()
		b.pid = b.process.PID()
		return judge(ctx, o, b, out)
	})
}

// judge runs the attack and prints what came of it.
func judge(ctx context.Context, o *options, b *broker, out io.Writer) error {
	r, err := measure(ctx, o, b)
	if err != nil {
		return fmt.Errorf("%w (seed %d)", err, o.seed)
	}
	verdict := r.verdict(o)
	return errors.Join(verdict, r.write(out, verdict))
}

// measure runs the attack. Its error is a run that says nothing; what the broker did wrong is in the result.
func measure(ctx context.Context, o *options, b *broker) (r *result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r = &result{seed: o.seed}
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	g, err := steady.Start(ctx, steady.Config{
		Addr: b.addr, ClientID: "well-behaved", Topic: goodTopic, Partitions: goodPartitions, Rate: o.rate, RecordSize: o.recordSize,
	})
	if err != nil {
		return nil, err
	}
	defer g.Close()
	mem := observe.WatchMemory(ctx, b.pid)
	if err := sleep(ctx, o.quiet/5); err != nil {
		return nil, err
	}
	g.Phase()
	m := newMeter(b.pid)
	if err := sleep(ctx, o.quiet); err != nil {
		return nil, err
	}
	if r.before, err = observe.ReadDescriptors(b.pid); err != nil {
		return nil, err
	}
	r.threadsBefore = observe.Threads(b.pid)
	r.quiet, r.attack = g.Phase().Produced, steady.NewHistogram()
	r.phases = append(r.phases, phase{name: "(quiet)", rss: mem.Next(), latency: r.quiet})
	m.read(&r.phases[0], 0)

	r.attackerCPU, err = o.attack(ctx, b.addr, func(k *kind, c counts) bool {
		p := phase{name: k.name, counts: c, rss: mem.Next(), latency: g.Phase().Produced}
		m.read(&p, c.CPU)
		r.attack.Merge(p.latency)
		r.phases = append(r.phases, p)
		if b.gone() {
			r.errs = append(r.errs, fmt.Errorf("%s: the broker has ended", k.name))
		}
		return !b.gone()
	})
	if err == nil && o.control && !b.gone() {
		err = o.attackStandIn(ctx, r, g)
	}
	if err != nil {
		return nil, err
	}
	b.after(ctx, r, g, mem)
	return r, nil
}

// meter measures the time a phase takes, and the processor time in it of the broker and of those that take no part.
type meter struct {
	pid                             int
	began                           time.Time
	broker, attacker, self, machine time.Duration
}

func newMeter(pid int) *meter {
	m := &meter{pid: pid}
	m.read(new(phase), 0)
	return m
}

// read fills what p took since the last call. attacker is the processor time of the attacker so far.
func (m *meter) read(p *phase, attacker time.Duration) {
	was := *m
	m.began, m.broker, m.attacker, m.machine = time.Now(), observe.CPU(m.pid), attacker, observe.MachineCPU()
	m.self, _ = process.Self() // which there is
	p.took, p.cpu = m.began.Sub(was.began), m.broker-was.broker
	p.others = max(0, m.machine-was.machine-p.cpu-(m.attacker-was.attacker)-(m.self-was.self))
}

// attack has a new attacker go through the kinds and calls seen after each, which says whether to go on. It returns
// the processor time of the attacker.
func (o *options) attack(ctx context.Context, addr string, seen func(*kind, counts) bool) (cpu time.Duration, err error) {
	a, err := startAttacker(addr, o.seed, o.nice)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	for i := range kinds {
		k := &kinds[i]
		if len(o.kinds) > 0 && !slices.Contains(o.kinds, k.name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		c, err := a.attack(k.name, k.count(o.inputs))
		if err != nil {
			return 0, err
		}
		if !seen(k, c) {
			break
		}
	}
	return a.release()
}

// attackStandIn repeats the attack on a server that does nothing.
func (o *options) attackStandIn(ctx context.Context, r *result, g *steady.Client) (err error) {
	s, err := startStandIn()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := sleep(ctx, controlPause); err != nil {
		return err
	}
	g.Phase()
	r.control, r.controls = steady.NewHistogram(), make(map[string]*hdrhistogram.Histogram)
	_, err = o.attack(ctx, s.addr, func(k *kind, _ counts) bool {
		r.controls[k.name] = g.Phase().Produced
		r.control.Merge(r.controls[k.name])
		return true
	})
	return err
}

// after checks what is left of the broker.
func (b *broker) after(ctx context.Context, r *result, g *steady.Client, mem *observe.Memory) {
	fail := func(err error) {
		if err != nil {
			r.errs = append(r.errs, err)
		}
	}
	if b.gone() {
		fail(b.search(r))
		return
	}
	fail(b.answers(ctx))
	var err error
	r.report, err = g.Finish(ctx)
	fail(err)
	fail(b.deleteTopics(ctx))
	r.after, err = observe.Settle(ctx, b.pid, r.before, settleTimeout)
	fail(err)
	r.threadsAfter = observe.Threads(b.pid)
	r.largestRSS, r.endRSS = mem.Largest(), mem.Now()
	if b.process != nil {
		g.Close()
		if err := b.process.Terminate(stopTimeout); err != nil {
			fail(fmt.Errorf("stop: %w", err))
		}
	}
	fail(b.search(r))
}

func (b *broker) gone() bool {
	_, err := observe.ReadDescriptors(b.pid)
	return err != nil
}

func (b *broker) search(r *result) (err error) {
	if b.log != "" {
		r.alarms, r.alarmCount, err = observe.SearchLog(b.log)
	}
	return err
}

// connect calls f with a new connection.
func (b *broker) connect(ctx context.Context, f func(*wire.Conn) error) error {
	conn, err := wire.Dial(ctx, b.addr, "hostile-check", answerTimeout) // asks for the API versions
	if err != nil {
		return err
	}
	return errors.Join(f(conn), conn.Close())
}

func (b *broker) answers(ctx context.Context) error {
	if err := b.connect(ctx, func(*wire.Conn) error { return nil }); err != nil {
		return fmt.Errorf("ApiVersions on a new connection after the attack: %w", err)
	}
	return nil
}

// prepare waits for the broker and creates what must be there before descriptors are counted.
func (b *broker) prepare(ctx context.Context) error {
	try := func() error { return b.connect(ctx, b.create) }
	if b.process == nil {
		return try()
	}
	return b.process.Until(ctx, startTimeout, try)
}

func (b *broker) create(conn *wire.Conn) error {
	if err := conn.CreateTopic(goodTopic, goodPartitions); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return err
	}
	if _, err := conn.Offsets(goodTopic, []int32{0, 1, 2}, wire.LatestOffset); err != nil {
		return err
	}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorKeys = warmGroup, []string{warmGroup}
	resp, err := conn.Do(find, answerTimeout)
	if err != nil {
		return err
	}
	f := resp.(*kmsg.FindCoordinatorResponse)
	code := f.ErrorCode
	for _, c := range f.Coordinators {
		code = c.ErrorCode
	}
	if err := kerr.ErrorForCode(code); err != nil {
		return fmt.Errorf("find a coordinator: %w", err)
	}
	return nil
}

// deleteTopics deletes everything the attack has created.
func (b *broker) deleteTopics(ctx context.Context) error {
	err := b.connect(ctx, func(conn *wire.Conn) error {
		all := kmsg.NewPtrMetadataRequest()
		all.Topics = nil
		resp, err := conn.Do(all, deleteTimeout)
		if err != nil {
			return err
		}
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = int32(deleteTimeout.Milliseconds())
		for _, t := range resp.(*kmsg.MetadataResponse).Topics {
			if t.Topic == nil || *t.Topic == goodTopic || strings.HasPrefix(*t.Topic, "__") {
				continue
			}
			d := kmsg.NewDeleteTopicsRequestTopic()
			d.Topic = t.Topic
			req.Topics = append(req.Topics, d)
			req.TopicNames = append(req.TopicNames, *t.Topic)
		}
		if len(req.Topics) == 0 {
			return nil
		}
		resp, err = conn.Do(req, deleteTimeout)
		if err != nil {
			return err
		}
		for _, t := range resp.(*kmsg.DeleteTopicsResponse).Topics {
			if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
				return fmt.Errorf("topic %q: %w", *t.Topic, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete the topics of the attack: %w", err)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
