package netio

import (
	"log/slog"
	"sync"
	"time"
)

// warnInterval is how often a repeated warning is logged.
const warnInterval = 10 * time.Second

// throttle logs warnings, one per interval, each saying how many were left out
// before it. Any goroutine may use it.
type throttle struct {
	mu      sync.Mutex
	last    time.Time
	dropped int
}

func (t *throttle) log(to *slog.Logger, now time.Time, msg string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.last.IsZero() && now.Sub(t.last) < warnInterval {
		t.dropped++
		return
	}
	to.Warn(msg, append(args, "suppressed", t.dropped)...)
	t.last, t.dropped = now, 0
}
