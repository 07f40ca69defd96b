package purgatory

import "sync/atomic"

// Delayed is the state of one delayed operation: pending, then completed, once.
// Signals, the deadline and the closing connection race for Complete; only the
// winner answers. The zero value is pending.
type Delayed struct{ completed atomic.Bool }

// Complete moves to completed and reports whether this call did it.
func (d *Delayed) Complete() bool { return d.completed.CompareAndSwap(false, true) }

// Completed reports whether Complete has succeeded.
func (d *Delayed) Completed() bool { return d.completed.Load() }
