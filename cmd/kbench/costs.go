package main

import (
	"errors"
	"fmt"
	"time"

	"kserver/cmd/kbench/internal/load"
	"kserver/cmd/kbench/internal/pace"
	"kserver/cmd/kbench/internal/report"
	"kserver/cmd/kbench/process"
)

// memoryInterval is the time between two samples of the broker's memory.
const memoryInterval = 250 * time.Millisecond

// costs samples, in a goroutine of its own, what broker and client use inside the measured window.
type costs struct {
	pid  int // of the broker, 0 for none
	w    load.Window
	quit chan struct{}
	done chan struct{}

	// Owned by the goroutine until done is closed.
	from, to             int64
	brokerFrom, brokerTo process.Usage
	clientFrom, clientTo time.Duration
	allFrom, allTo       time.Duration // of the whole machine
	rssSum, rssMax       int64
	samples              int64
	err                  error
}

func startCosts(pid int, w load.Window) *costs {
	c := &costs{pid: pid, w: w, quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.run()
	}()
	return c
}

func (c *costs) run() {
	if !c.wait(c.w.From) {
		return // ended before anything was measured
	}
	c.from = pace.Now()
	c.brokerFrom, c.clientFrom, c.allFrom = c.sample()
	for next := c.from; ; {
		next += int64(memoryInterval)
		running := c.wait(min(next, c.w.End))
		c.to = pace.Now()
		c.brokerTo, c.clientTo, c.allTo = c.sample()
		if !running || c.to >= c.w.End {
			return
		}
	}
}

// wait waits until t; false when the run ended before.
func (c *costs) wait(t int64) bool {
	timer := time.NewTimer(time.Duration(t - pace.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.quit:
		return false
	}
}

func (c *costs) sample() (broker process.Usage, client, all time.Duration) {
	client, err := process.Self()
	all, allErr := process.Machine()
	err = errors.Join(err, allErr)
	if c.pid > 0 {
		var brokerErr error
		if broker, brokerErr = process.Read(c.pid); brokerErr != nil {
			err = errors.Join(err, fmt.Errorf("--broker-pid: %w", brokerErr))
		}
		c.rssSum += broker.RSSBytes
		c.rssMax = max(c.rssMax, broker.RSSBytes)
		c.samples++
	}
	if c.err == nil {
		c.err = err
	}
	return broker, client, all
}

// stop ends the sampling and returns the costs; broker is nil without a process id. others is what the rest of the
// machine used, in cores; nil without a process id, for then the broker is among the rest.
func (c *costs) stop() (broker *report.Cost, client report.Cost, others *float64, err error) {
	close(c.quit)
	<-c.done
	elapsed := seconds(c.to - c.from)
	if elapsed <= 0 || c.err != nil {
		return nil, report.Cost{}, nil, c.err
	}
	cpu := (c.clientTo - c.clientFrom).Seconds()
	client = report.Cost{CPUSeconds: cpu, Cores: cpu / elapsed}
	if c.pid == 0 {
		return nil, client, nil, nil
	}
	a, b := c.brokerFrom, c.brokerTo
	rest := max(0, (c.allTo-c.allFrom-(b.CPU()-a.CPU())).Seconds()-cpu) / elapsed
	return &report.Cost{
		PID:        c.pid,
		CPUSeconds: (b.CPU() - a.CPU()).Seconds(), UserSeconds: (b.User - a.User).Seconds(), SystemSeconds: (b.System - a.System).Seconds(),
		Cores:    (b.CPU() - a.CPU()).Seconds() / elapsed,
		RSSBytes: c.rssSum / c.samples, MaxRSSBytes: c.rssMax, PeakRSSBytes: b.PeakRSSBytes, Threads: b.Threads,
		WrittenBytes: b.WrittenBytes - a.WrittenBytes, ReadBytes: b.ReadBytes - a.ReadBytes,
	}, client, &rest, nil
}
