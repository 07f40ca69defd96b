package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// service is what the neighbour got in a phase.
type service struct {
	records  int // of those due
	due      int
	p50, p99 time.Duration // from when a record was due to its acknowledgement
}

// phase is one row of the table.
type phase struct {
	name      string
	quota     float64 // 0 without
	rate      float64 // what the bounded client got in a second
	unit      string
	judged    bool // the rate is to be the quota
	neighbour service
}

// measure runs all phases and judges them.
func (o *options) measure(ctx context.Context, addr string, out io.Writer) error {
	c, err := connect(addr)
	if err != nil {
		return err
	}
	defer c.admin.Close()
	if err := c.createTopics(ctx); err != nil {
		return err
	}
	// The burst is worth ten windows of a second.
	if err := c.fill(ctx, int64(o.byteRate*(12+(o.warmup+o.window).Seconds())*1.2)); err != nil {
		return err
	}
	var phases []phase
	for _, s := range []struct {
		name, key, unit string
		quota           float64
		make            func() (*bounded, error)
	}{
		{"alone", "", "", 0, nil},
		{"produce", "producer_byte_rate", "bytes/s", o.byteRate, c.producer},
		{"consume", "consumer_byte_rate", "bytes/s", o.byteRate, c.consumer},
		{"request", "request_percentage", "requests/s", o.percent, c.asker},
		{"request", "request_percentage", "requests/s", 2 * o.percent, c.asker},
	} {
		p := phase{name: s.name, quota: s.quota, unit: s.unit, judged: s.unit == "bytes/s"}
		if p.name == "request" {
			p.name += fmt.Sprintf(" %g%%", s.quota)
		}
		if err := o.phase(ctx, c, &p, s.key, s.make); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		phases = append(phases, p)
	}
	faults := o.judge(phases)
	if err := write(out, phases, faults); err != nil {
		return err
	}
	if len(faults) > 0 {
		return errors.New("quotas do not hold as they should")
	}
	return nil
}

// phase runs the neighbour, and the bounded client of newClient if there is one.
func (o *options) phase(ctx context.Context, c *cluster, p *phase, key string, newClient func() (*bounded, error)) (err error) {
	count := func() int64 { return 0 }
	working, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	if newClient == nil {
		worked <- nil
	} else {
		if err := c.setQuota(ctx, key, p.quota); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.setQuota(ctx, key, 0)) }()
		b, err := newClient()
		if err != nil {
			return err
		}
		defer b.close()
		count = b.count
		go func() { worked <- b.work(working) }()
	}
	if err := sleep(ctx, o.warmup); err != nil {
		return err
	}
	before, began := count(), time.Now()
	if p.neighbour, err = o.neighbour(ctx, c); err != nil {
		return err
	}
	p.rate = float64(count()-before) / time.Since(began).Seconds()
	stop()
	return <-worked
}

// neighbour sends its records on schedule for a window.
func (o *options) neighbour(ctx context.Context, c *cluster) (s service, err error) {
	cl, err := c.client("quota-neighbour", kgo.DefaultProduceTopic(neighbourTopic), kgo.ProducerLinger(0))
	if err != nil {
		return s, err
	}
	defer cl.Close()
	value := randomBytes(recordBytes)
	if err := cl.ProduceSync(ctx, kgo.SliceRecord(value)).FirstErr(); err != nil { // connections are made
		return s, err
	}
	var mu sync.Mutex
	var took []time.Duration
	begin := time.Now()
	for due := begin; due.Sub(begin) < o.window; due = due.Add(o.schedule) {
		if err := sleep(ctx, time.Until(due)); err != nil {
			return s, err
		}
		s.due++
		cl.Produce(ctx, kgo.SliceRecord(value), func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				took = append(took, time.Since(due))
			}
		})
	}
	mu.Lock()
	inTime := len(took)
	mu.Unlock()
	if err := cl.Flush(ctx); err != nil {
		return s, err
	}
	slices.Sort(took)
	if s.records = inTime; len(took) > 0 {
		s.p50, s.p99 = took[len(took)/2], took[len(took)*99/100]
	}
	return s, nil
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

// Bounds of what the neighbour may notice.
const (
	leastServed = 0.98                 // of the records due in the window, acknowledged in it
	mostSlower  = 1.5                  // of the median alone
	slack       = 2 * time.Millisecond // besides, for what a machine does on its own
)

// judge says what is not as it should be. The first phase is the neighbour alone.
func (o *options) judge(phases []phase) (faults []string) {
	alone := phases[0].neighbour
	var requests []phase
	for _, p := range phases[1:] {
		if p.judged && math.Abs(p.rate/p.quota-1) > o.tolerance {
			faults = append(faults, fmt.Sprintf("%s: %.0f %s is %.2f of the quota", p.name, p.rate, p.unit, p.rate/p.quota))
		}
		if !p.judged {
			requests = append(requests, p)
		}
		n := p.neighbour
		if n.due == 0 || float64(n.records)/float64(n.due) < leastServed {
			faults = append(faults, fmt.Sprintf("%s: %d of %d records of the neighbour were acknowledged in time", p.name, n.records, n.due))
		}
		if most := time.Duration(mostSlower*float64(alone.p50)) + slack; n.p50 > most {
			faults = append(faults, fmt.Sprintf("%s: the neighbour's median is %v, alone %v", p.name, n.p50, alone.p50))
		}
	}
	if len(requests) == 2 {
		got, want := requests[1].rate/requests[0].rate, requests[1].quota/requests[0].quota
		if !(math.Abs(got/want-1) <= o.timeShare) { // not a number neither
			faults = append(faults, fmt.Sprintf("%.1f times the request_percentage gives %.2f times the requests", want, got))
		}
	}
	return faults
}

// write prints the table and the verdict.
func write(out io.Writer, phases []phase, faults []string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PHASE\tQUOTA\tGOT\t\tOF QUOTA\tNEIGHBOUR\tP50\tP99")
	for _, p := range phases {
		quota, rate, part := "-", "-", "-"
		if p.quota > 0 {
			quota, rate = fmt.Sprintf("%.0f", p.quota), fmt.Sprintf("%.0f", p.rate)
		}
		if p.judged {
			part = fmt.Sprintf("%.3f", p.rate/p.quota)
		}
		n := p.neighbour
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d/%d\t%v\t%v\n", p.name, quota, rate, p.unit, part, n.records, n.due,
			n.p50.Round(10*time.Microsecond), n.p99.Round(10*time.Microsecond))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range faults {
		fmt.Fprintln(out, "FAULT", f)
	}
	if len(faults) == 0 {
		fmt.Fprintln(out, "the quotas hold, and the neighbour does not notice")
	}
	return nil
}
