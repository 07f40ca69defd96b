package telemetry

import (
	"container/list"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

const (
	// MaxInstances bounds the client instances known at a time, as in Kafka.
	MaxInstances = 16384
	// leastExpiry is how long an instance is remembered at least after its last request; it is three push intervals
	// if that is longer.
	leastExpiry = time.Minute
	// sweepInterval is the time between two searches for instances that are to be forgotten.
	sweepInterval = 10 * time.Second
)

// CompressionTypes are the codecs clients may push in, the preferred one first. None is always accepted too.
var CompressionTypes = []int8{int8(recordbatch.CodecZstd), int8(recordbatch.CodecLZ4), int8(recordbatch.CodecGzip), int8(recordbatch.CodecSnappy)}

// Manager knows the subscriptions and the client instances.
type Manager struct {
	maxBytes int
	now      func() time.Time
	metrics  Metrics
	store    *store

	mu            sync.Mutex
	subscriptions []Subscription
	version       int // of subscriptions
	instances     map[ID]*list.Element
	recent        list.List // of *instance, the last heard of first
	connections   map[any]ID
	swept         time.Time

	endedMu sync.Mutex // a leaf, held for a moment only
	ended   []any      // connections whose instances are to be forgotten
}

// Metrics counts what clients asked for and pushed. The fields may be read at any time.
type Metrics struct {
	Throttled            atomic.Int64 // requests before their time
	UnknownSubscriptions atomic.Int64 // pushes for a subscription that is not the client's
	Pushes               atomic.Int64 // taken, and
	PushedBytes          atomic.Int64 // their size as they came
	InvalidPushes        atomic.Int64 // that cannot be decompressed or decoded
	DroppedSeries        atomic.Int64 // series of pushes beyond the bounds, or of a kind that is not kept
	Evicted              atomic.Int64 // instances forgotten to make room for others
}

// instance is one run of a client. It is guarded by the manager's lock.
type instance struct {
	id     ID
	client Client
	wanted wanted
	// version is that of the subscriptions wanted was made from.
	version int
	// lastGet and lastPush are when the last ones were accepted, zero for never.
	lastGet, lastPush time.Time
	terminating       bool // as the last push said
	lastError         protocol.ErrorCode
	expires           time.Time
	connection        any // the one it was made or renewed on
}

// NewManager makes a manager without subscriptions. maxBytes (telemetry.max.bytes) bounds a push, before and after
// decompression.
func NewManager(maxBytes int, now func() time.Time) *Manager {
	m := &Manager{maxBytes: maxBytes, now: now, instances: make(map[ID]*list.Element), connections: make(map[any]ID)}
	m.store = newStore(&m.metrics)
	return m
}

// Metrics returns the counters, which go on counting.
func (m *Manager) Metrics() *Metrics { return &m.metrics }

// Update replaces the subscriptions. Clients learn of it at their next push, whose subscription is then unknown.
func (m *Manager) Update(subscriptions []Subscription) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subscriptions = subscriptions
	m.version++
}

// Answer is what a client is told that asks what is wanted of it.
type Answer struct {
	InstanceID     ID
	SubscriptionID int32
	Metrics        []string // shared: not to be changed
	Interval       time.Duration
	MaxBytes       int
}

// Get tells a client what is wanted of it. The zero id asks for a new one. connection is a comparable value.
func (m *Manager) Get(c *Client, connection any, id ID) (Answer, protocol.ErrorCode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for id == (ID{}) {
		rand.Read(id[:])
		// Kafka's tools take an id that begins with - for an option.
		if _, taken := m.instances[id]; taken || id.reserved() || id.String()[0] == '-' {
			id = ID{}
		}
	}
	in := m.instance(c, connection, id, now)
	if !in.mayGet(now) && in.lastError != protocol.UnknownSubscriptionID && in.lastError != protocol.UnsupportedCompressionType {
		m.metrics.Throttled.Add(1)
		return Answer{}, protocol.ThrottlingQuotaExceeded
	}
	in.lastError = protocol.None
	return Answer{in.id, in.wanted.subscriptionID, in.wanted.metrics, in.wanted.interval, m.maxBytes}, protocol.None
}

// Push is what a client pushes.
type Push struct {
	InstanceID     ID
	SubscriptionID int32
	Terminating    bool // the last one of this instance
	Compression    int8
	Payload        []byte // OTLP MetricsData v1; the manager keeps nothing of it
}

// Push takes a client's metrics.
func (m *Manager) Push(c *Client, connection any, p *Push) protocol.ErrorCode {
	if p.InstanceID.reserved() {
		return protocol.InvalidRequest
	}
	interval, code := m.admit(c, connection, p)
	if code != protocol.None {
		return code
	}
	if len(p.Payload) > 0 {
		if err := m.take(c, p, interval); err != nil {
			m.metrics.InvalidPushes.Add(1)
			m.note(p.InstanceID, protocol.InvalidRecord)
			return protocol.InvalidRecord
		}
	}
	if p.Terminating {
		m.store.forget(p.InstanceID)
	}
	m.note(p.InstanceID, protocol.None)
	return protocol.None
}

// admit decides whether a push may be taken and returns the interval of the instance.
func (m *Manager) admit(c *Client, connection any, p *Push) (time.Duration, protocol.ErrorCode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	in := m.instance(c, connection, p.InstanceID, now)
	code := m.check(in, p, now)
	in.terminating = p.Terminating
	if code != protocol.None {
		in.lastError = code
	}
	return in.wanted.interval, code
}

// check is Kafka's, in Kafka's order. Called with mu.
func (m *Manager) check(in *instance, p *Push, now time.Time) protocol.ErrorCode {
	switch {
	case in.terminating:
		return protocol.InvalidRequest
	case !in.mayPush(now) && !p.Terminating:
		m.metrics.Throttled.Add(1)
		return protocol.ThrottlingQuotaExceeded
	case p.SubscriptionID != in.wanted.subscriptionID:
		m.metrics.UnknownSubscriptions.Add(1)
		return protocol.UnknownSubscriptionID
	case p.Compression < 0 || p.Compression > int8(recordbatch.CodecZstd):
		return protocol.UnsupportedCompressionType
	case len(p.Payload) > m.maxBytes:
		return protocol.TelemetryTooLarge
	}
	return protocol.None
}

// take decompresses, decodes and keeps a payload.
func (m *Manager) take(c *Client, p *Push, interval time.Duration) error {
	data, err := recordbatch.Decompress(recordbatch.Codec(p.Compression), p.Payload, int64(m.maxBytes))
	if err != nil {
		return errors.Join(errPayload, err)
	}
	points, dropped, err := decode(data)
	if err != nil {
		return err
	}
	m.metrics.Pushes.Add(1)
	m.metrics.PushedBytes.Add(int64(len(p.Payload)))
	m.metrics.DroppedSeries.Add(int64(dropped))
	now := m.now()
	m.store.put(p.InstanceID, c, points, now, now.Add(expiry(interval)))
	return nil
}

// note remembers how the last request of an instance ended, if it still is known.
func (m *Manager) note(id ID, code protocol.ErrorCode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.instances[id]; ok {
		e.Value.(*instance).lastError = code
	}
}

// instance finds or makes an instance and puts off its end. One made for other subscriptions is made anew: it may get
// and push at once. Called with mu.
func (m *Manager) instance(c *Client, connection any, id ID, now time.Time) *instance {
	m.settle(now)
	e, ok := m.instances[id]
	if ok {
		if in := e.Value.(*instance); now.After(in.expires) {
			m.remove(e)
			ok = false
		} else if in.version < m.version {
			c = &in.client
			m.remove(e)
			ok = false
		}
	}
	if !ok {
		if len(m.instances) >= MaxInstances {
			m.metrics.Evicted.Add(1)
			m.remove(m.recent.Back())
		}
		in := &instance{id: id, client: *c, wanted: match(m.subscriptions, c, id), version: m.version, connection: connection}
		e = m.recent.PushFront(in)
		m.instances[id], m.connections[connection] = e, id
	}
	m.recent.MoveToFront(e)
	in := e.Value.(*instance)
	in.expires = now.Add(expiry(in.wanted.interval))
	return in
}

// expiry is how long after its last request an instance, and what it pushed, is kept.
func expiry(interval time.Duration) time.Duration { return max(leastExpiry, 3*interval) }

// remove forgets an instance. Called with mu.
func (m *Manager) remove(e *list.Element) {
	in := m.recent.Remove(e).(*instance)
	delete(m.instances, in.id)
	if m.connections[in.connection] == in.id {
		delete(m.connections, in.connection)
	}
}

// settle forgets the instances of connections that have ended and, from time to time, those whose time is over. Called
// with mu.
func (m *Manager) settle(now time.Time) {
	m.endedMu.Lock()
	ended := m.ended
	m.ended = nil
	m.endedMu.Unlock()
	for _, connection := range ended {
		id, ok := m.connections[connection]
		if !ok {
			continue
		}
		delete(m.connections, connection)
		if e, ok := m.instances[id]; ok {
			m.remove(e)
		}
	}
	if now.Sub(m.swept) < sweepInterval {
		return
	}
	m.swept = now
	for _, e := range m.instances {
		if now.After(e.Value.(*instance).expires) {
			m.remove(e)
		}
	}
}

// Disconnected says that a connection has ended which was given to Get or Push. Its instance is forgotten, as in
// Kafka; what that pushed is kept until it expires, as the client may go on with another connection. Event loops may
// call it.
func (m *Manager) Disconnected(connection any) {
	m.endedMu.Lock()
	m.ended = append(m.ended, connection)
	m.endedMu.Unlock()
}

// Instances is the number of instances known.
func (m *Manager) Instances() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle(m.now())
	return len(m.instances)
}

// mayGet reports whether a Get comes late enough after the last request, and counts it as the last if so.
func (in *instance) mayGet(now time.Time) bool {
	last := in.lastGet
	if in.lastPush.After(last) {
		last = in.lastPush
	}
	if now.Sub(last) < in.wanted.interval {
		return false
	}
	in.lastGet = now
	return true
}

// mayPush is the same for a push. One may follow a Get at once: clients spread their first pushes over an interval.
func (in *instance) mayPush(now time.Time) bool {
	if !in.lastGet.After(in.lastPush) && now.Sub(in.lastPush) < in.wanted.interval {
		return false
	}
	in.lastPush = now
	return true
}
