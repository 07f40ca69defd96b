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
	allFrom, allTo       process.MachineTime
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

func (c *costs) sample() (broker process.Usage, client time.Duration, all process.MachineTime) {
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

// stop ends the sampling and puts the costs into the result: the broker's only with a process id, and so those of the
// rest of the machine, for without one the broker is among the rest.
func (c *costs) stop(r *report.Result) error {
	close(c.quit)
	<-c.done
	elapsed := seconds(c.to - c.from)
	if elapsed <= 0 || c.err != nil {
		return c.err
	}
	cpu := (c.clientTo - c.clientFrom).Seconds()
	r.Client = report.Cost{CPUSeconds: cpu, Cores: cpu / elapsed}
	stolen := c.allTo.Stolen - c.allFrom.Stolen
	r.StolenPercent = process.StolenPercent(stolen, time.Duration(c.to-c.from))
	if c.pid == 0 {
		return nil
	}
	a, b := c.brokerFrom, c.brokerTo
	used := c.allTo.Used - c.allFrom.Used + stolen
	rest := max(0, (used-(b.CPU()-a.CPU())).Seconds()-cpu) / elapsed
	r.OtherCores = &rest
	r.Broker = &report.Cost{
		PID:        c.pid,
		CPUSeconds: (b.CPU() - a.CPU()).Seconds(), UserSeconds: (b.User - a.User).Seconds(), SystemSeconds: (b.System - a.System).Seconds(),
		Cores:    (b.CPU() - a.CPU()).Seconds() / elapsed,
		RSSBytes: c.rssSum / c.samples, MaxRSSBytes: c.rssMax, PeakRSSBytes: b.PeakRSSBytes, Threads: b.Threads,
		WrittenBytes: b.WrittenBytes - a.WrittenBytes, ReadBytes: b.ReadBytes - a.ReadBytes,
	}
	return nil
}
