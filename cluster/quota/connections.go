package quota

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// NoLimit is a limit of connections that bounds nothing.
const NoLimit = math.MaxInt32

// ConnectionLimits bound the connections of the whole broker, of its listeners
// and of single addresses (KIP-402, KIP-612). NoLimit stands for none.
type ConnectionLimits struct {
	ListenerLimits // max.connections, max.connection.creation.rate
	// Listeners are those with limits of their own, listener.name.<name>.…, by name.
	Listeners map[string]ListenerLimits
	// Protected is the listener that gets a connection even at the broker's Max,
	// and that its Rate does not bind; "" is none.
	Protected string
	MaxPerIP  int                // max.connections.per.ip
	PerIP     map[netip.Addr]int // max.connections.per.ip.overrides
}

// ListenerLimits are the connections open at once, and those new in a second.
type ListenerLimits struct{ Max, Rate int }

// AddressRates bound the new connections of single addresses in a second
// (connection_creation_rate).
type AddressRates struct {
	Default   float64 // +Inf without one
	ByAddress map[netip.Addr]float64
}

// Entrance is what becomes of a connection that arrived.
type Entrance uint8

// The entrances.
const (
	// Entered connections count until Leave.
	Entered Entrance = iota
	// EnteredOver is Entered above the broker's Max: the connection of another
	// listener that is silent longest has to make room.
	EnteredOver
	// Full means that there is no place yet: ask again after a Leave.
	Full
	// TooMany connections of the address are open: close this one.
	TooMany
	// TooFast do connections of the address come: close this one after a while, so
	// that the client does not come again at once.
	TooFast
)

// Connections counts connections and says which may come in. It may be used from
// any goroutine.
type Connections struct {
	mu        sync.Mutex
	limits    ConnectionLimits // replaced, never changed
	addresses AddressRates     // replaced, never changed
	total     int
	perIP     map[netip.Addr]int
	listeners map[string]*arrivals
	broker    bucket
	rates     sensors[netip.Addr]
	shared    bucket // of the addresses without one of their own

	// Metrics may be read at any time.
	Metrics ConnectionMetrics
}

// ConnectionMetrics count decisions.
type ConnectionMetrics struct {
	Delayed, Waited, TooMany, TooFast, Overflow atomic.Int64
}

// arrivals are the connections of one listener.
type arrivals struct {
	open int
	rate bucket
}

// NewConnections makes a Connections without limits.
func NewConnections() *Connections {
	none := ListenerLimits{Max: NoLimit, Rate: NoLimit}
	return &Connections{
		limits: ConnectionLimits{ListenerLimits: none, MaxPerIP: NoLimit}, addresses: AddressRates{Default: math.Inf(1)},
		perIP: make(map[netip.Addr]int), listeners: make(map[string]*arrivals),
	}
}

// SetLimits replaces the limits. Connections that are open stay.
func (c *Connections) SetLimits(l ConnectionLimits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits = l
}

// SetAddressRates replaces the rates of addresses.
func (c *Connections) SetAddressRates(r AddressRates) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addresses = r
}

// Arrive records that a connection arrived at a listener, and returns how long the
// listener has to rest before it comes in.
func (c *Connections) Arrive(listener string, now time.Time) (rest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if listener != c.limits.Protected {
		rest = restFor(&c.broker, c.limits.Rate, now)
	}
	if l, ok := c.limits.Listeners[listener]; ok {
		rest = max(rest, restFor(&c.listener(listener).rate, l.Rate, now))
	}
	if rest > 0 {
		c.Metrics.Delayed.Add(1)
	}
	return rest
}

// restFor records a connection and returns the rest its rate asks for.
func restFor(b *bucket, bound int, now time.Time) time.Duration {
	if bound >= NoLimit {
		return 0
	}
	rest, _ := b.take(now, arrivalTerms(float64(bound)), 1, never)
	return rest
}

func arrivalTerms(bound float64) terms { return terms{bound, rateBurst, MaxShortPause} }

// Enter lets a connection that arrived come in, or says why not. wait is the delay
// of TooFast.
func (c *Connections) Enter(listener string, from netip.Addr, now time.Time) (e Entrance, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.listener(listener)
	over := c.total >= c.limits.Max
	l, limited := c.limits.Listeners[listener]
	if limited && own.open >= l.Max || over && listener != c.limits.Protected {
		c.Metrics.Waited.Add(1)
		return Full, 0
	}
	if wait := c.tooFast(from, now); wait > 0 {
		c.Metrics.TooFast.Add(1)
		return TooFast, wait
	}
	most, ok := c.limits.PerIP[from]
	if !ok {
		most = c.limits.MaxPerIP
	}
	if c.perIP[from] >= most {
		c.Metrics.TooMany.Add(1)
		return TooMany, 0
	}
	c.total++
	own.open++
	c.perIP[from]++
	if over {
		return EnteredOver, 0
	}
	return Entered, 0
}

// Leave ends a connection that had come in.
func (c *Connections) Leave(listener string, from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	c.listener(listener).open--
	if c.perIP[from]--; c.perIP[from] == 0 {
		delete(c.perIP, from)
	}
}

// tooFast measures the connections of an address. One above the rate does not
// count.
func (c *Connections) tooFast(from netip.Addr, now time.Time) time.Duration {
	bound, ok := c.addresses.ByAddress[from]
	if !ok {
		bound = c.addresses.Default
	}
	if math.IsInf(bound, 1) {
		return 0
	}
	b, ok := c.rates.get(from, now)
	if !ok {
		c.Metrics.Overflow.Add(1)
		b = &c.shared
	}
	if wait, given := b.take(now, arrivalTerms(bound), 1, whenTooMuch); !given {
		return wait
	}
	return 0
}

// listener finds the arrivals at a listener, of which there are few. Called with mu.
func (c *Connections) listener(name string) *arrivals {
	if c.listeners[name] == nil {
		c.listeners[name] = &arrivals{}
	}
	return c.listeners[name]
}
