package engine

import (
	"sync"
	"time"
)

// throttle holds the sum of what several goroutines read and write below a rate. It counts over windows of at
// least throttleWindow and lets the one that finds a window exceeded wait until the rate is met; the others
// wait behind it.
type throttle struct {
	clock Clock

	mu    sync.Mutex
	began time.Time // of the window
	bytes float64   // in it
}

// throttleWindow is how long bytes are counted before anybody waits: Kafka's Throttler's 300 ms.
const throttleWindow = 300 * time.Millisecond

// use counts n bytes and waits as rate (bytes per second) asks, or until stop is closed.
func (t *throttle) use(n int, rate float64, stop <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	if t.began.IsZero() {
		t.began = now
	}
	t.bytes += float64(n)
	passed := now.Sub(t.began)
	if passed < throttleWindow && t.bytes < rate*throttleWindow.Seconds() {
		return
	}
	if wait := t.bytes/rate - passed.Seconds(); wait > 0 {
		t.wait(time.Duration(min(wait, maxThrottleWait.Seconds())*float64(time.Second)), stop)
	}
	t.began, t.bytes = t.clock.Now(), 0
}

// maxThrottleWait bounds one wait, so that a rate set very low by mistake can be raised again.
const maxThrottleWait = 10 * time.Second

func (t *throttle) wait(d time.Duration, stop <-chan struct{}) {
	over := make(chan struct{})
	cancel := t.clock.AfterFunc(d, func() { close(over) })
	defer cancel()
	select {
	case <-over:
	case <-stop:
	}
}
