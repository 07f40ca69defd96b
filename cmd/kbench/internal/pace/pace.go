// Package pace decides when the next request of an open loop is due and waits for that moment.
//
// The schedule is fixed before the run: event i of a worker is due at start + offset + i * interval, whatever
// happened to the events before it. A worker that falls behind sends at once until it has caught up, and its latency
// counts from the moment the event was due. So a stall of the broker shows in every event that was due meanwhile
// (no coordinated omission).
//
// Concurrency: a Pacer belongs to one goroutine.
package pace

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// base is the zero of the clock.
var base = time.Now()

// Now returns monotonic time in nanoseconds since the process started. All times of a run are in it.
func Now() int64 { return int64(time.Since(base)) }

// Schedule is when events are due, in nanoseconds of Now's clock.
type Schedule struct {
	Start    int64
	Interval float64 // nanoseconds between events; 0 means every event is due at once
}

// Split returns the schedule of worker i of n that together make perSecond events from start on: the workers
// take turns at equal distances.
func Split(start int64, perSecond float64, i, n int) Schedule {
	if perSecond <= 0 {
		return Schedule{Start: start}
	}
	gap := 1e9 / perSecond
	return Schedule{Start: start + int64(gap*float64(i)), Interval: gap * float64(n)}
}

// Due returns when event i (from 0) is due.
func (s Schedule) Due(i int64) int64 { return s.Start + int64(float64(i)*s.Interval) }

// Clock is the time a Pacer lives in.
type Clock interface {
	Now() int64
	// SleepUntil returns at about time t or earlier; callers look at Now again.
	SleepUntil(t int64)
}

// Pacer walks a schedule.
type Pacer struct {
	schedule Schedule
	clock    Clock
	next     int64
}

// New returns a pacer on clock.
func New(s Schedule, clock Clock) *Pacer { return &Pacer{schedule: s, clock: clock} }

// maxSleep bounds one sleep, so that a cancelled run ends soon.
const maxSleep = 20 * time.Millisecond

// Wait waits until the next event is due and returns when that was: the moment its latency counts from. With an
// interval of 0 that is now. It returns false when ctx ended or the next event is due at end or later.
func (p *Pacer) Wait(ctx context.Context, end int64) (due int64, ok bool) {
	if p.schedule.Interval == 0 {
		now := p.clock.Now()
		return now, now < end && ctx.Err() == nil
	}
	due = p.schedule.Due(p.next)
	if due >= end {
		return due, false
	}
	for {
		if ctx.Err() != nil {
			return due, false
		}
		now := p.clock.Now()
		if now >= due {
			p.next++
			return due, true
		}
		p.clock.SleepUntil(min(due, now+int64(maxSleep)))
	}
}

// ThreadClock is the real clock with sleeps of the kernel's precision. Go's own timers round up to about a
// millisecond when the process is idle, which would show in every latency. Take it with LockThread.
type ThreadClock struct{}

// maxProcs is the most that LockThread raises GOMAXPROCS to.
const maxProcs = 256

var procsMu sync.Mutex

// LockThread ties the calling goroutine to its thread until it ends and asks the kernel for the finest timers on it.
// The thread ends with the goroutine. It also lets one more thread run Go: a thread that sleeps in the kernel keeps its
// place until Go's scheduler looks again, which in a process that does little else is every 10 ms. As many producers as
// processors would leave the consumers beside them one turn in 10 ms.
func LockThread() ThreadClock {
	runtime.LockOSThread()
	procsMu.Lock()
	if n := runtime.GOMAXPROCS(0); n < maxProcs {
		runtime.GOMAXPROCS(n + 1)
	}
	procsMu.Unlock()
	const nanosecond = 1
	// Refusal costs some 50 us of precision and nothing else, so it is not an error.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, nanosecond, 0, 0, 0)
	return ThreadClock{}
}

// Now implements Clock.
func (ThreadClock) Now() int64 { return Now() }

// SleepUntil implements Clock with one clock_nanosleep(2); a signal ends it early.
func (ThreadClock) SleepUntil(t int64) {
	d := t - Now()
	if d <= 0 {
		return
	}
	ts := unix.NsecToTimespec(d)
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, &ts) == unix.EINTR {
		if Now() >= t {
			return
		}
	}
}
