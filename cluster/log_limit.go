package cluster

import (
	"sync"
	"time"
)

// logLimit lets one line of a kind through per second and counts the others.
type logLimit struct {
	mu      sync.Mutex
	next    time.Time
	dropped int64
}

// Allow reports whether a line may be logged now and how many were not since
// the last.
func (l *logLimit) Allow(now time.Time) (dropped int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.next) {
		l.dropped++
		return 0, false
	}
	dropped, l.dropped, l.next = l.dropped, 0, now.Add(time.Second)
	return dropped, true
}
