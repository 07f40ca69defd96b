package quota

import (
	"math"
	"time"
)

// What a bucket holds is counted in Kafka's windows: the defaults of
// quota.window.num and quota.window.size.seconds.
const (
	Windows    = 11
	WindowSize = time.Second
)

// terms say how much may be used.
type terms struct {
	bound float64       // in a second
	burst time.Duration // worth of the bound that a full bucket holds
	most  time.Duration // longest pause
}

// The bursts: Kafka judges a rate over all windows but the current one at the
// least, and changes of the metadata over all (KIP-599).
const (
	rateBurst     = (Windows - 1) * WindowSize
	mutationBurst = Windows * WindowSize
)

// refusal says when a use is refused rather than told as a pause.
type refusal uint8

const (
	never       refusal = iota
	whenOwing           // earlier uses have yet to be paused for
	whenTooMuch         // the use would lead to a pause, and the bucket was not full
)

// bucket measures what is used against a bound. Full, it holds what the terms
// allow at once; it refills at the bound. What is used beyond that is owed: the
// pause is the time until nothing is owed. The zero value is full.
type bucket struct {
	tokens float64 // below 0: owed
	at     time.Time
	terms  terms
}

// take uses n and returns the pause that it, or what was used before, leads to.
// given is false for a use that is refused, which does not count.
func (b *bucket) take(now time.Time, t terms, n float64, refuse refusal) (pause time.Duration, given bool) {
	full := b.refill(now, t)
	if refuse == whenOwing {
		if b.tokens < 0 {
			return t.pause(b.tokens), false
		}
		b.spend(n)
		return 0, true
	}
	if pause = t.pause(b.tokens - n); pause > 0 && refuse == whenTooMuch && !full {
		return pause, false
	}
	b.spend(n)
	return pause, true
}

// refill brings the tokens up to now and reports whether that is all it holds.
func (b *bucket) refill(now time.Time, t terms) (full bool) {
	size := t.bound * t.burst.Seconds()
	if b.at.IsZero() {
		b.tokens = size
	} else {
		b.tokens = min(size, b.tokens+t.bound*max(0, now.Sub(b.at).Seconds()))
	}
	b.at, b.terms = now, t
	return b.tokens == size
}

// spend takes n out. What is owed beyond the longest pause, or as much as a full
// bucket holds, is forgiven.
func (b *bucket) spend(n float64) {
	b.tokens = max(b.tokens-n, -b.terms.bound*max(b.terms.most, b.terms.burst).Seconds())
}

// pause is the time, in whole milliseconds, until there are no tokens owed.
func (t terms) pause(tokens float64) time.Duration {
	seconds := -tokens / t.bound
	switch {
	case !(seconds > 0): // none of none neither
		return 0
	case seconds >= t.most.Seconds():
		return t.most
	}
	return time.Duration(math.Round(seconds*1000)) * time.Millisecond
}

// idle reports whether the bucket is full, as a new one is.
func (b *bucket) idle(now time.Time) bool {
	return b.at.IsZero() || b.tokens+b.terms.bound*now.Sub(b.at).Seconds() >= b.terms.bound*b.terms.burst.Seconds()
}
