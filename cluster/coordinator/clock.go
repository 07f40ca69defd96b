package coordinator

import "time"

// Clock tells the time; tests inject their own.
type Clock interface {
	Now() time.Time
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now returns time.Now.
func (SystemClock) Now() time.Time { return time.Now() }

// Timer runs functions later. The Wheel is the real one.
type Timer interface {
	// After arranges for f to be called once, on a goroutine of the Timer's,
	// when d has passed; never on the caller's. It does not block.
	After(d time.Duration, f func()) Handle
}

// Handle is one pending After.
type Handle interface {
	// Stop prevents the call and reports whether it did: false when f has
	// been called, is about to be, or was stopped before.
	Stop() bool
}
