package quota

import (
	"math"
	"time"
)

// bucket is a token bucket (Kafka's TokenBucket, KIP-599): full it holds what the
// bound allows in all windows, and it refills at the bound. A use may empty it
// below nothing; then nothing more is given until it has come up again. The zero
// value is full.
type bucket struct {
	tokens float64
	at     time.Time // of tokens; zero stands for full
	size   float64
}

// refill brings the tokens up to now.
func (b *bucket) refill(now time.Time, bound float64) {
	b.size = bound * Windows * WindowSize.Seconds()
	if b.at.IsZero() {
		b.tokens = b.size
	} else {
		b.tokens = min(b.size, b.tokens+bound*now.Sub(b.at).Seconds())
	}
	b.at = now
}

// use takes n tokens. With strict it takes none, and given is false, while the
// bucket is below nothing; without, they are taken all the same. The pause is the
// time until the bucket is not below nothing any more.
func (b *bucket) use(now time.Time, bound, n float64, strict bool) (pause time.Duration, given bool) {
	b.refill(now, bound)
	if strict && b.tokens < 0 {
		return b.pause(bound), false
	}
	b.tokens = min(b.size, b.tokens-n)
	if strict {
		return 0, true
	}
	return b.pause(bound), true
}

// pause is in whole milliseconds.
func (b *bucket) pause(bound float64) time.Duration {
	seconds := -b.tokens / bound
	switch {
	case seconds <= 0:
		return 0
	case seconds >= MaxPause.Seconds():
		return MaxPause
	}
	return time.Duration(math.Round(seconds*1000)) * time.Millisecond
}

// idle reports whether the bucket is full again, as a new one is.
func (b *bucket) idle(now time.Time) bool {
	bound := b.size / (Windows * WindowSize.Seconds())
	return b.at.IsZero() || b.tokens+bound*now.Sub(b.at).Seconds() >= b.size
}
