package cluster

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// watched is a watch with a clock of its own and a log.
type watched struct {
	t   *testing.T
	w   *watch
	now time.Time
	is  load
	log bytes.Buffer
}

func newWatched(t *testing.T) *watched {
	x := &watched{t: t, now: time.Unix(1000, 0)}
	x.w = newWatch(slog.New(slog.NewTextHandler(&x.log, nil)))
	x.is = load{memoryLimit: 1000, loops: make([]time.Duration, 2), disks: make([]diskLoad, 2)}
	x.second(func(*load) {})
	return x
}

// second samples what edit makes of the last sample, a second later, and reports whether the watch goes on.
func (x *watched) second(edit func(*load)) bool {
	next := x.is
	next.loops, next.disks = append([]time.Duration(nil), x.is.loops...), append([]diskLoad(nil), x.is.disks...)
	edit(&next)
	x.is, x.now = next, x.now.Add(time.Second)
	sample := next
	return x.w.sample(x.now, &sample)
}

// lines is how many lines were logged since the last call.
func (x *watched) lines() int {
	n := strings.Count(x.log.String(), "\n")
	x.log.Reset()
	return n
}

// on is what is saturated.
func (x *watched) on() string {
	var names []string
	for i := range resources {
		if x.w.saturated()[resources[i].name] {
			names = append(names, resources[i].name)
		}
	}
	return strings.Join(names, " ")
}

func TestSaturation(t *testing.T) {
	const s = time.Second
	for _, tc := range []struct {
		resource string
		little   func(*load) // as much as leaves room
		much     func(*load)
		said     string
	}{
		{
			"disk",
			func(l *load) { l.disks[1].rounds += 1000; l.disks[1].took += s }, // many short rounds
			func(l *load) { l.disks[1].rounds += 2; l.disks[1].took += s },
			"take 500ms",
		},
		{
			"disk",
			func(l *load) { l.disks[0].rounds++; l.disks[0].took += s / 2 }, // a pause after each
			func(l *load) { l.disks[0].running += s },
			"follow each other",
		},
		{"request_memory", func(l *load) { l.memory = 749 }, func(l *load) { l.memory = 750 }, "750 of 1000 bytes"},
		{"request_memory", func(l *load) {}, func(l *load) { l.memoryPauses += 3 }, "3 connections"},
		{"workers", func(l *load) { l.queued += s / 2 }, func(l *load) { l.queued += s }, "100 %"},
		{"event_loops", func(l *load) { l.loops[0] += s / 2; l.loops[1] += s / 2 }, func(l *load) { l.loops[1] += s * 95 / 100 }, "loop 1 was busy in 95 %"},
	} {
		x := newWatched(t)
		for range 30 {
			x.second(tc.little)
		}
		if x.on() != "" || x.lines() != 0 {
			t.Errorf("%s: saturated by little: %s", tc.resource, x.log.String())
		}
		began := x.now
		if x.second(tc.much); x.on() != "" {
			t.Errorf("%s: saturated by one sample", tc.resource)
		}
		x.second(tc.much)
		line := x.log.String()
		if x.on() != tc.resource || x.lines() != 1 {
			t.Errorf("%s: %q is saturated, log %q", tc.resource, x.on(), line)
		}
		for _, part := range []string{"resource=" + tc.resource, "since=" + began.UTC().Format(time.RFC3339), "for=2s", tc.said, "advice="} {
			if !strings.Contains(line, part) {
				t.Errorf("%s: %q misses %q", tc.resource, line, part)
			}
		}
	}
}

// While it lasts there is a line every ten seconds and the metric stays, also over a good second; a calm time ends it.
func TestSaturationLasts(t *testing.T) {
	x := newWatched(t)
	much, none := func(l *load) { l.queued += time.Second }, func(*load) {}
	for range 60 {
		x.second(much)
	}
	if n := x.lines(); n != 6 {
		t.Errorf("%d lines in a minute, want 6", n)
	}
	if !x.second(none) || x.on() != "workers" {
		t.Error("a good second ended it")
	}
	x.second(much)
	for range calmAfter - 1 {
		if !x.second(none) {
			t.Error("the watch ended while something is saturated")
		}
	}
	if x.second(none) || x.on() != "" {
		t.Errorf("%q is saturated after a calm time, or the watch goes on though nobody sends", x.on())
	}
	if !x.second(func(l *load) { l.received++ }) {
		t.Error("the watch ended while clients send")
	}
}

// The watch sleeps until a client comes, and again when it is silent.
func TestWatchSleeps(t *testing.T) {
	w := newWatch(slog.New(slog.DiscardHandler))
	w.read = func() *load { return &load{memoryLimit: 1000} }
	w.wake()
	w.timer.Stop()
	for range 2 { // the second sample is as the first
		w.tick()
	}
	if w.timer.Stop(); w.awake.Load() {
		t.Error("awake though nothing is sent")
	}
	w.wake()
	if !w.awake.Load() || !w.timer.Stop() {
		t.Error("not woken again")
	}
	w.close()
	w.tick()
	if w.awake.Store(false); w.timer.Stop() {
		t.Error("a closed watch goes on")
	}
	w.wake()
	if w.timer.Stop() {
		t.Error("a closed watch was woken")
	}
}

// The samples are those of a broker at work.
func TestLoad(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		openPipe(t, b)
		waitFor(t, "the watch to be woken", b.front.watch.awake.Load)
		release := make(chan struct{})
		for range b.cfg.Broker.Network.Workers + 1 {
			b.workers.Do(0, func() { <-release })
		}
		waitFor(t, "a sample with a task that waits and loops that ran", func() bool {
			l := b.load()
			busy := time.Duration(0)
			for _, d := range l.loops {
				busy += d
			}
			return l.queued > 0 && busy > 0 && l.memoryLimit > 0 && len(l.disks) == 1 && l.disks[0].rounds > 0
		})
		close(release)
		waitFor(t, "no task to wait", func() bool { a := b.workers.waited(); return a == b.workers.waited() })
	})
}
