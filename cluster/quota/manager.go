package quota

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxSensors bounds the clients whose rates are measured apart.
	MaxSensors = 10_000
	// MaxNameBytes bounds the user and client id of a sensor of its own, together.
	MaxNameBytes = 512
	// MaxPause bounds a pause for too many bytes. One request of a hundred
	// megabytes could earn a client of a small quota days; what it owes beyond
	// this is forgiven. It is half of the default connections.max.idle.ms.
	MaxPause = 5 * time.Minute
	// MaxRequestPause bounds a pause for too much time of threads: one window, as
	// in Kafka.
	MaxRequestPause = WindowSize
)

// Manager keeps the quotas and the rates they bound.
type Manager struct {
	limits atomic.Pointer[limits]

	mu      sync.Mutex
	sensors map[sensorKey]*rate
	swept   time.Time // last search for idle sensors

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
	return &Manager{sensors: make(map[sensorKey]*rate)}
}

// Update replaces all quotas. Rates go on from where they are.
func (m *Manager) Update(quotas []Quota) {
	l := newLimits(quotas)
	m.limits.Store(l)
	if l == nil {
		m.mu.Lock()
		clear(m.sensors)
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
	pause, _ := c.take(k, now, n, false)
	return pause
}

// TakeFetch is Take of ConsumerBytes for an answer that can still be given empty:
// with give false it has to be, and its use does not count. The answer that alone
// is more than the bound allows is given when nothing else was lately, as the
// client could never have it otherwise.
func (c *Client) TakeFetch(now time.Time, n float64) (pause time.Duration, give bool) {
	return c.take(ConsumerBytes, now, n, true)
}

// MostBytes is what a rate in bytes allows in all windows but the current one, the
// most that one answer should hold (KIP-13); math.MaxInt64 without a bound.
func (c *Client) MostBytes(k Kind) int64 {
	if c == nil {
		return math.MaxInt64
	}
	bound, _ := c.limits.bound(k, c.user, c.clientID)
	if most := bound * (Windows - 1) * WindowSize.Seconds(); most < math.MaxInt64 {
		return int64(most)
	}
	return math.MaxInt64
}

// take records n, or, with refusable, nothing when that is over the bound. given
// says whether it was recorded.
func (c *Client) take(k Kind, now time.Time, n float64, refusable bool) (pause time.Duration, given bool) {
	if c == nil {
		return 0, true
	}
	bound, key := c.limits.bound(k, c.user, c.clientID)
	if math.IsInf(bound, 1) {
		return 0, true
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	s := c.m.sensor(key, bound, now)
	s.record(now, n)
	sum, window := s.measure(now)
	pause = pauseFor(k, sum, bound, window)
	if pause == 0 {
		return 0, true
	}
	c.m.Metrics.Pauses[k].Add(1)
	if refusable && sum > n {
		s.record(now, -n)
		return pause, false
	}
	return pause, true
}

// pauseFor is Kafka's (rate - bound) / bound * window, in whole milliseconds: the
// time in which the rate of what was recorded falls to the bound.
func pauseFor(k Kind, sum, bound float64, window time.Duration) time.Duration {
	most := MaxPause
	if k == RequestTime {
		most = MaxRequestPause
	}
	over := sum/bound - window.Seconds()
	switch {
	case over <= 0:
		return 0
	case over >= most.Seconds():
		return most
	}
	return time.Duration(math.Round(over*1000)) * time.Millisecond
}

// sensor finds or makes the sensor of key. Called with mu.
func (m *Manager) sensor(key sensorKey, bound float64, now time.Time) *rate {
	if s := m.sensors[key]; s != nil {
		return s
	}
	if now.Sub(m.swept) >= Windows*WindowSize || len(m.sensors) >= MaxSensors && now.Sub(m.swept) >= WindowSize {
		m.sweep(now)
	}
	if key.overflow == 0 && (len(m.sensors) >= MaxSensors || len(key.user)+len(key.clientID) > MaxNameBytes) {
		m.Metrics.Overflow.Add(1)
		// One more for each kind and bound there is, which administrators bound.
		return m.sensor(sensorKey{kind: key.kind, overflow: bound}, bound, now)
	}
	s := new(rate)
	m.sensors[key] = s
	return s
}

// sweep forgets the sensors that are as good as new. Called with mu.
func (m *Manager) sweep(now time.Time) {
	m.swept = now
	for key, s := range m.sensors {
		if s.idle(now) {
			delete(m.sensors, key)
		}
	}
}
