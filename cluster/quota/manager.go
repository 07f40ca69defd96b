package quota

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxSensors bounds the clients, or addresses, that are measured apart: of
	// each there are so many.
	MaxSensors = 10_000
	// MaxNameBytes bounds the user and client id of a sensor of its own, together.
	MaxNameBytes = 512
	// MaxPause bounds a pause for too many bytes. One request of a hundred
	// megabytes could earn a client of a small quota days; what it owes beyond
	// this is forgiven. It is half of the default connections.max.idle.ms.
	MaxPause = 5 * time.Minute
	// MaxShortPause bounds a pause for too much time of threads, and the delay of a
	// connection: one window, as in Kafka.
	MaxShortPause = WindowSize
)

// Manager keeps the quotas and the rates they bound.
type Manager struct {
	limits atomic.Pointer[limits]

	mu      sync.Mutex
	sensors sensors[sensorKey]

	// Metrics may be read at any time.
	Metrics Metrics
}

// Metrics count what the manager did.
type Metrics struct {
	Pauses   [kinds]atomic.Int64 // answers that told a client to pause, by Kind
	Overflow atomic.Int64        // uses of a sensor shared for want of room
}

// sensorKey is whose rate is measured. An empty user or client id stands for all.
type sensorKey struct {
	kind           Kind
	user, clientID string
	// overflow is the bound that clients without a sensor of their own share one
	// for, 0 for a sensor of its own.
	overflow float64
}

// NewManager makes a manager without quotas.
func NewManager() *Manager {
	return &Manager{}
}

// Update replaces all quotas. Rates go on from where they are.
func (m *Manager) Update(quotas []Quota) {
	l := newLimits(quotas)
	m.limits.Store(l)
	if l == nil {
		m.mu.Lock()
		clear(m.sensors.byKey)
		m.mu.Unlock()
	}
}

// Client is who a request is from, nil when there is no quota at all.
func (m *Manager) Client(user, clientID string) *Client {
	if l := m.limits.Load(); l != nil {
		return &Client{m: m, limits: l, user: user, clientID: clientID}
	}
	return nil
}

// Client is one request's access to the quotas of whoever sent it. A nil Client
// has none. It may be used from any goroutine.
type Client struct {
	m              *Manager
	limits         *limits
	user, clientID string
}

// Take records a use of n bytes, or percents of a second, and returns how long
// the client has to pause for it, 0 for not at all. The use stands either way.
func (c *Client) Take(k Kind, now time.Time, n float64) time.Duration {
	pause, _ := c.take(k, now, n, never)
	return pause
}

// TakeFetch is Take of ConsumerBytes for an answer that can still be given empty:
// with give false it has to be, and its use does not count. The answer that alone
// is more than the bound allows is given when nothing else was lately, as the
// client could never have it otherwise.
func (c *Client) TakeFetch(now time.Time, n float64) (pause time.Duration, give bool) {
	return c.take(ConsumerBytes, now, n, whenTooMuch)
}

// MostBytes is what a full bucket holds, the most that one answer should (KIP-13);
// math.MaxInt64 without a bound.
func (c *Client) MostBytes(k Kind) int64 {
	if c == nil {
		return math.MaxInt64
	}
	bound, _ := c.limits.bound(k, c.user, c.clientID)
	if most := bound * rateBurst.Seconds(); most < math.MaxInt64 {
		return int64(most)
	}
	return math.MaxInt64
}

// TakeMutations records a change of n partitions (KIP-599). With strict, given is
// false, and nothing is recorded, when the client has yet to pause for earlier
// changes; without, it is told how long to pause.
func (c *Client) TakeMutations(now time.Time, n float64, strict bool) (pause time.Duration, given bool) {
	if strict {
		return c.take(Mutations, now, n, whenOwing)
	}
	return c.take(Mutations, now, n, never)
}

// take records n, unless it is refused. given says whether it was recorded.
func (c *Client) take(k Kind, now time.Time, n float64, refuse refusal) (pause time.Duration, given bool) {
	if c == nil {
		return 0, true
	}
	bound, key := c.limits.bound(k, c.user, c.clientID)
	if math.IsInf(bound, 1) {
		return 0, true
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	pause, given = c.m.sensor(key, bound, now).take(now, k.terms(bound), n, refuse)
	if pause > 0 {
		c.m.Metrics.Pauses[k].Add(1)
	}
	return pause, given
}

// terms are those of a kind under a bound.
func (k Kind) terms(bound float64) terms {
	switch k {
	case RequestTime:
		return terms{bound, rateBurst, MaxShortPause}
	case Mutations:
		return terms{bound, mutationBurst, MaxPause}
	}
	return terms{bound, rateBurst, MaxPause}
}

// sensor is the bucket of key, or, for want of room, the one shared by all without
// one of their own under the same bound: one more for each kind and bound there
// is, which administrators bound. Called with mu.
func (m *Manager) sensor(key sensorKey, bound float64, now time.Time) *bucket {
	if len(key.user)+len(key.clientID) <= MaxNameBytes {
		if found, ok := m.sensors.get(key, now); ok {
			return found
		}
	}
	m.Metrics.Overflow.Add(1)
	shared := sensorKey{kind: key.kind, overflow: bound}
	if found := m.sensors.byKey[shared]; found != nil {
		return found
	}
	return m.sensors.add(shared)
}
