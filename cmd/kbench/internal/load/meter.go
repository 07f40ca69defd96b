package load

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"kserver/cmd/kbench/internal/latency"
	"kserver/cmd/kbench/internal/pace"
)

// Window is the time of a run, in nanoseconds of pace.Now: load from Start, measured in [From, End).
type Window struct {
	Start, From, End int64
}

// NewWindow returns a window that starts now, measures after warmUp and lasts for measured.
func NewWindow(warmUp, measured time.Duration) Window {
	now := pace.Now()
	return Window{Start: now, From: now + int64(warmUp), End: now + int64(warmUp+measured)}
}

func (w Window) contains(t int64) bool { return t >= w.From && t < w.End }

// maxErrorKinds bounds the different failures that are kept by text.
const maxErrorKinds = 32

// Meter collects what workers did. It is safe for concurrent use; each worker has recorders of its own.
type Meter struct {
	Window Window
	// Latency counts from the due moment, Service from the moment the client took the record, so their difference is
	// the time the client itself was behind its schedule.
	Latency, Service latency.Set

	records, bytes       atomic.Int64 // answered inside the window
	allRecords, allBytes atomic.Int64 // answered at any time
	failed, unsent       atomic.Int64
	lastAnswer           atomic.Int64
	course               []interval // of the measured window; nil when it is too long

	mu     sync.Mutex
	errors map[string]int64
}

// CourseInterval is the length of the intervals in which a Meter keeps the course of a window.
const CourseInterval = 200 * time.Millisecond

// maxIntervals bounds the course; longer windows have none.
const maxIntervals = 20_000

// interval is what happened in one of the intervals.
type interval struct{ bytes, worst atomic.Int64 }

// NewMeter returns a meter for n workers.
func NewMeter(w Window, n int) *Meter {
	m := &Meter{Window: w, Latency: latency.NewSet(n), Service: latency.NewSet(n), errors: make(map[string]int64)}
	if length := (w.End - w.From + int64(CourseInterval) - 1) / int64(CourseInterval); length <= maxIntervals {
		m.course = make([]interval, max(length, 0))
	}
	return m
}

// Course returns what was answered in each interval of the window so far: bytes and the highest latency. It is empty
// for windows that are too long.
func (m *Meter) Course() (bytes []int64, worst []time.Duration) {
	for i := range m.course {
		bytes = append(bytes, m.course[i].bytes.Load())
		worst = append(worst, time.Duration(m.course[i].worst.Load()))
	}
	return bytes, worst
}

// at returns the interval of t, or nil.
func (m *Meter) at(t int64) *interval {
	if i := (t - m.Window.From) / int64(CourseInterval); t >= m.Window.From && i < int64(len(m.course)) {
		return &m.course[i]
	}
	return nil
}

// late raises the highest latency of the interval of now.
func (m *Meter) late(now int64, took int64) {
	in := m.at(now)
	if in == nil {
		return
	}
	for {
		worst := in.worst.Load()
		if took <= worst || in.worst.CompareAndSwap(worst, took) {
			return
		}
	}
}

// Done counts n records of bytes together that were due at due, taken by the client at sent and answered at now.
func (m *Meter) Done(worker int, due, sent, now int64, n, bytes int64) {
	m.Count(now, n, bytes)
	m.late(now, now-due)
	if m.Window.contains(due) {
		m.Latency[worker].Record(time.Duration(now-due), n)
		m.Service[worker].Record(time.Duration(now-sent), n)
	}
}

// Took records the latency of one request sent at sent and answered at now, without counting records.
func (m *Meter) Took(worker int, sent, now int64) {
	m.late(now, now-sent)
	if m.Window.contains(sent) {
		m.Latency[worker].Record(time.Duration(now-sent), 1)
	}
}

// Count counts n records of bytes together that arrived at now, without a latency.
func (m *Meter) Count(now int64, n, bytes int64) {
	m.allRecords.Add(n)
	m.allBytes.Add(bytes)
	if m.Window.contains(now) {
		m.records.Add(n)
		m.bytes.Add(bytes)
		if in := m.at(now); in != nil {
			in.bytes.Add(bytes)
		}
	}
	if n > 0 {
		m.lastAnswer.Store(now)
	}
}

// Fail counts n records that failed with err.
func (m *Meter) Fail(n int64, err error) {
	m.failed.Add(n)
	m.mu.Lock()
	defer m.mu.Unlock()
	text := err.Error()
	if _, known := m.errors[text]; !known && len(m.errors) >= maxErrorKinds {
		text = "other errors"
	}
	m.errors[text] += n
}

// Unsent counts n records that were due inside the window and never handed to the client, because it was behind.
func (m *Meter) Unsent(n int64) { m.unsent.Add(n) }

// Counts is what a Meter counted.
type Counts struct {
	Records, Bytes       int64 // answered inside the window
	AllRecords, AllBytes int64 // answered at any time
	Failed, Unsent       int64
	Last                 int64 // when the last answer came, 0 when none did
	Errors               map[string]int64
}

// Counts returns the counts so far.
func (m *Meter) Counts() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Counts{
		Records: m.records.Load(), Bytes: m.bytes.Load(),
		AllRecords: m.allRecords.Load(), AllBytes: m.allBytes.Load(),
		Failed: m.failed.Load(), Unsent: m.unsent.Load(),
		Last:   m.lastAnswer.Load(),
		Errors: maps.Clone(m.errors),
	}
}
