package controller

import "sync/atomic"

// Metrics counts what the controller did since Open.
type Metrics struct {
	Commits         atomic.Int64 // waits for the log; each may hold many changes
	Records         atomic.Int64 // applied, those of the replay included
	PublishFailures atomic.Int64
	QueueFull       atomic.Int64 // EnsureTopic calls given up
}

// Metrics returns the counters, which go on counting.
func (c *Controller) Metrics() *Metrics { return &c.metrics }
