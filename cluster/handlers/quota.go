package handlers

import (
	"sync/atomic"
	"time"

	"kserver/cluster/quota"
	"kserver/protocol"
)

// What a request uses of its client's quotas. The front says whose they are and
// when the handler began and returned; handlers charge bytes when they know
// them; Reply charges the time. What a request waits for is not charged.

// Anonymous is the user of all connections without authentication.
const Anonymous = "ANONYMOUS"

// use is the part of a Request that is about quotas. Without quotas client is nil
// and nothing else is used.
type use struct {
	client *quota.Client
	began  time.Time
	// spent is the time the handler ran, in nanoseconds, 0 until it returned. The
	// answer may be made elsewhere meanwhile.
	spent atomic.Int64
	// pause is the longest pause that a charge led to. It belongs to whoever
	// answers the request.
	pause time.Duration
}

// Meter has the request charged to c, from now on, which is when its handler
// begins. Front only.
func (r *Request) Meter(c *quota.Client, now time.Time) { r.use.client, r.use.began = c, now }

// Metered reports whether the request is charged to anybody.
func (r *Request) Metered() bool { return r.use.client != nil }

// Returned says that the handler has returned. Front only, of a metered request.
func (r *Request) Returned(now time.Time) { r.use.spent.Store(max(int64(now.Sub(r.use.began)), 1)) }

// Pause is how long the connection's next request has to wait, counted from the
// answer. Call it when the request has been answered.
func (r *Request) Pause() time.Duration { return r.use.pause }

// charge records a use and the pause it leads to.
func (r *Request) charge(k quota.Kind, n float64) {
	if c := r.use.client; c != nil {
		r.use.pause = max(r.use.pause, c.Take(k, time.Now(), n))
	}
}

// chargeTime records the time the request has taken so far.
func (r *Request) chargeTime() {
	c := r.use.client
	if c == nil {
		return
	}
	now := time.Now()
	spent := time.Duration(r.use.spent.Load())
	if spent == 0 {
		spent = now.Sub(r.use.began)
	}
	r.use.pause = max(r.use.pause, c.Take(quota.RequestTime, now, 100*spent.Seconds()))
}

// chargeFetch records the bytes of a fetch answer, unless the client has to pause
// anyway. false means that the answer is to be empty.
func (r *Request) chargeFetch(bytes int64) (give bool) {
	c := r.use.client
	if c == nil {
		return true
	}
	if r.use.pause > 0 {
		return false
	}
	r.use.pause, give = c.TakeFetch(time.Now(), float64(bytes))
	return give
}

// permit charges a request for the partitions it creates and deletes. ask may be
// called from another goroutine.
type permit struct {
	client *quota.Client
	strict bool
	pause  atomic.Int64 // in nanoseconds
}

// mutations is the permit of a request. From version strict on, what is above the
// quota is refused; before, the client is only told to pause.
func (r *Request) mutations(strict int16) *permit {
	return &permit{client: r.use.client, strict: r.Version >= strict}
}

// ask is a controller.Permit.
func (p *permit) ask(partitions int) *protocol.Error {
	pause, given := p.client.TakeMutations(time.Now(), float64(partitions), p.strict)
	if pause > 0 {
		p.pause.Store(int64(pause)) // they do not become shorter within a request
	}
	if !given {
		return &protocol.Error{Code: protocol.ThrottlingQuotaExceeded}
	}
	return nil
}

// pauseFor has the client pause for what it was permitted.
func (r *Request) pauseFor(p *permit) {
	r.use.pause = max(r.use.pause, time.Duration(p.pause.Load()))
}

// throttleMs is the pause as answers tell it.
func (r *Request) throttleMs() int32 { return int32(r.use.pause.Milliseconds()) }
