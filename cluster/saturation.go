package cluster

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// What clients wait for when the broker cannot keep up is said in one metric and in
// the log: which resource is used up, since when, and what helps. Samples of counters
// that exist anyway are compared once a second, and only while clients send something:
// a broker nobody talks to does not wake up.

const (
	watchInterval = time.Second
	// saturatedAfter and calmAfter are how many samples in a row begin and end it.
	saturatedAfter = 2
	calmAfter      = 5
	// saturatedLines is the least time between two lines of the same resource.
	saturatedLines = 10 * time.Second

	// busyShare is the part of the time from which something has no time to spare.
	busyShare = 0.9
	// slowRound is how long commit rounds take on average when producers wait for
	// the disk; shorter ones that follow each other may take in more records.
	slowRound = 50 * time.Millisecond
)

// load is a sample of what the resources have done since the start.
type load struct {
	received     int64 // bytes from clients
	memory       int64 // charged to requests now, in bytes
	memoryLimit  int64
	memoryPauses int64           // connections that stopped being read for lack of it
	queued       time.Duration   // how long tasks have been waiting for workers
	loops        []time.Duration // how long each was busy
	disks        []diskLoad
}

// diskLoad is the load of one log directory.
type diskLoad struct {
	path    string
	rounds  int64         // commit rounds that ended
	took    time.Duration // by these
	running time.Duration // by the one under way
}

// load samples the resources.
func (b *Broker) load() *load {
	n := b.server.Stats()
	l := &load{
		received: n.BytesReceived, memory: n.InputBytes, memoryLimit: b.cfg.Broker.Network.RequestMemoryBytes, memoryPauses: n.BudgetPauses,
		queued: b.workers.waited(), loops: b.server.Busy(),
	}
	for _, d := range b.logs.Dirs() {
		l.disks = append(l.disks, diskLoad{d.Path, d.Commits.Took.Count(), d.Commits.Took.Sum(), d.Commits.Running})
	}
	return l
}

// resources are what can be used up.
var resources = [...]struct {
	name   string
	advice string
	// why says what was seen between two samples, "" when there was room.
	why func(was, is *load, d time.Duration) string
}{
	{"disk", "records arrive faster than they become durable: use faster disks or more directories in log.dirs, or bound producers with quotas", diskBusy},
	{"request_memory", "connections that hold unfinished requests or unread answers are not read: raise queued.max.request.bytes, or bound clients with quotas", memorySpent},
	{"workers", "requests wait for a thread, large ones for each other: raise num.io.threads if processors are idle, or bound clients with quotas", workersBehind},
	{"event_loops", "connections wait for their turn: raise num.network.threads if processors are idle, or bound clients with quotas", loopsBusy},
}

func diskBusy(was, is *load, d time.Duration) string {
	for i := range min(len(was.disks), len(is.disks)) {
		a, b := &was.disks[i], &is.disks[i]
		// The round under way at the first sample is in took by now, or in running still.
		busy := b.took + b.running - a.took - a.running
		rounds := b.rounds - a.rounds
		if b.running > 0 {
			rounds++
		}
		if each := max(b.running, (b.took+b.running-a.took)/time.Duration(max(1, rounds))); share(busy, d) >= busyShare && each >= slowRound {
			return fmt.Sprintf("commit rounds of %s follow each other and take %v", b.path, each.Round(time.Millisecond))
		}
	}
	return ""
}

func memorySpent(was, is *load, _ time.Duration) string {
	// Above three quarters, connections that hold much have to wait.
	if pauses := is.memoryPauses - was.memoryPauses; pauses > 0 || is.memory >= is.memoryLimit/4*3 {
		return fmt.Sprintf("%d of %d bytes are taken, %d connections had to wait", is.memory, is.memoryLimit, pauses)
	}
	return ""
}

func workersBehind(was, is *load, d time.Duration) string {
	if s := share(is.queued-was.queued, d); s >= busyShare {
		return fmt.Sprintf("requests waited in %.0f %% of the time", 100*s)
	}
	return ""
}

func loopsBusy(was, is *load, d time.Duration) string {
	for i := range min(len(was.loops), len(is.loops)) {
		if s := share(is.loops[i]-was.loops[i], d); s >= busyShare {
			return fmt.Sprintf("event loop %d was busy in %.0f %% of the time", i, 100*s)
		}
	}
	return ""
}

// share is the part of d that part is, at most 1.
func share(part, d time.Duration) float64 { return min(1, float64(part)/float64(max(1, d))) }

// saturation is what is known of one resource.
type saturation struct {
	since  time.Time // of the first sample in the row without room
	spent  int       // samples in a row without room
	calm   int       // samples in a row with room, since it was on
	on     bool
	logged time.Time
}

// watch compares samples while there is something to see. Any goroutine may call its
// methods.
type watch struct {
	logger *slog.Logger
	read   func() *load
	awake  atomic.Bool

	mu     sync.Mutex
	closed bool
	timer  *time.Timer
	was    *load
	at     time.Time // of was
	states [len(resources)]saturation
}

func newWatch(logger *slog.Logger) *watch { return &watch{logger: logger} }

// wake has samples taken until nothing is going on any more.
func (w *watch) wake() {
	if w.awake.Load() || !w.awake.CompareAndSwap(false, true) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.was = nil
	if w.timer == nil {
		w.timer = time.AfterFunc(watchInterval, w.tick)
		return
	}
	w.timer.Reset(watchInterval)
}

// tick takes a sample.
func (w *watch) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if w.sample(time.Now(), w.read()) {
		w.timer.Reset(watchInterval)
		return
	}
	w.awake.Store(false)
}

// sample compares a sample with the last one and reports whether to go on. mu is held.
func (w *watch) sample(now time.Time, is *load) bool {
	was, d := w.was, now.Sub(w.at)
	w.was, w.at = is, now
	if was == nil {
		return true
	}
	more := is.received != was.received
	for i := range resources {
		why := resources[i].why(was, is, d)
		s := &w.states[i]
		if s.note(now, d, why != ""); why != "" && s.on && now.Sub(s.logged) >= saturatedLines {
			s.logged = now
			w.logger.Warn("saturated", "resource", resources[i].name, "since", s.since.UTC().Format(time.RFC3339), "for", now.Sub(s.since).Round(time.Second), "seen", why, "advice", resources[i].advice)
		}
		more = more || s.on || s.spent > 0
	}
	return more
}

// note adds a sample of the time d before now.
func (s *saturation) note(now time.Time, d time.Duration, spent bool) {
	if spent {
		if s.spent++; s.spent == 1 && !s.on {
			s.since = now.Add(-d)
		}
		s.calm = 0
		s.on = s.on || s.spent >= saturatedAfter
		return
	}
	s.spent = 0
	if s.calm++; s.calm >= calmAfter {
		s.on = false
	}
}

// saturated says of each resource whether it is.
func (w *watch) saturated() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[string]bool, len(resources))
	for i := range resources {
		out[resources[i].name] = w.states[i].on
	}
	return out
}

// close ends the samples.
func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
}
