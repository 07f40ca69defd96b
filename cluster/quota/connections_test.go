package quota

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

var (
	local = netip.MustParseAddr("127.0.0.1")
	far   = netip.MustParseAddr("2001:db8::1")
)

// noLimits are limits that bound nothing, to be changed.
func noLimits() ConnectionLimits {
	return ConnectionLimits{ListenerLimits: ListenerLimits{Max: NoLimit, Rate: NoLimit}, MaxPerIP: NoLimit}
}

func enter(t *testing.T, c *Connections, listener string, from netip.Addr, want Entrance) {
	t.Helper()
	if got, _ := c.Enter(listener, from, epoch); got != want {
		t.Errorf("from %s at %s: %d, want %d", from, listener, got, want)
	}
}

// A full broker has listeners wait, but for the protected one, and a full listener
// has only itself wait.
func TestConnectionsFull(t *testing.T) {
	c := NewConnections()
	l := noLimits()
	l.Max, l.Protected = 3, "ADMIN"
	l.Listeners = map[string]ListenerLimits{"B": {Max: 1, Rate: NoLimit}}
	c.SetLimits(l)
	enter(t, c, "B", local, Entered)
	enter(t, c, "B", local, Full)
	enter(t, c, "A", local, Entered)
	enter(t, c, "A", local, Entered)
	enter(t, c, "A", local, Full)
	enter(t, c, "ADMIN", local, EnteredOver)
	c.Leave("A", local)
	enter(t, c, "A", local, Full) // three are still open
	c.Leave("ADMIN", local)
	enter(t, c, "A", local, Entered)
	l.Max = 4
	c.SetLimits(l)
	enter(t, c, "A", local, Entered)
}

// Addresses have limits of their own, and leave nothing behind.
func TestConnectionsPerAddress(t *testing.T) {
	c := NewConnections()
	l := noLimits()
	l.MaxPerIP, l.PerIP = 1, map[netip.Addr]int{far: 2}
	c.SetLimits(l)
	enter(t, c, "A", local, Entered)
	enter(t, c, "B", local, TooMany)
	enter(t, c, "A", far, Entered)
	enter(t, c, "A", far, Entered)
	enter(t, c, "A", far, TooMany)
	c.Leave("A", local)
	enter(t, c, "B", local, Entered)
	c.Leave("B", local)
	c.Leave("A", far)
	c.Leave("A", far)
	if len(c.perIP) != 0 || c.total != 0 {
		t.Errorf("left behind: %v, %d", c.perIP, c.total)
	}
}

// The broker's rate binds all listeners but the protected one, a listener's its
// own; whoever obeys the rests keeps to it.
func TestArrivals(t *testing.T) {
	c := NewConnections()
	l := noLimits()
	l.Rate, l.Protected = 10, "ADMIN"
	l.Listeners = map[string]ListenerLimits{"SLOW": {Max: NoLimit, Rate: 5}}
	c.SetLimits(l)
	count := func(listener string) (n int) {
		from := epoch.Add(Windows * WindowSize)
		for now := epoch; now.Before(from.Add(10 * Windows * WindowSize)); {
			if !now.Before(from) {
				n++
			}
			now = now.Add(c.Arrive(listener, now) + time.Millisecond)
		}
		c.broker = bucket{}
		return n
	}
	if n := count("A"); n < 1000 || n > 1200 { // 110 s
		t.Errorf("A: %d", n)
	}
	if n := count("SLOW"); n < 500 || n > 600 {
		t.Errorf("SLOW: %d", n)
	}
	if n := count("ADMIN"); n != 110_000 {
		t.Errorf("ADMIN: %d", n)
	}
	if c.Metrics.Delayed.Load() == 0 {
		t.Error("no rest was counted")
	}
}

// A connection above its address's rate is refused and does not count; others are
// not concerned.
func TestAddressRates(t *testing.T) {
	c := NewConnections()
	c.SetAddressRates(AddressRates{Default: math.Inf(1), ByAddress: map[netip.Addr]float64{local: 2}})
	at := func(now time.Time, from netip.Addr) (Entrance, time.Duration) { return c.Enter("A", from, now) }
	for range 20 { // ten windows' worth
		if e, _ := at(epoch, local); e != Entered {
			t.Fatalf("refused early: %d", e)
		}
	}
	for range 100 {
		if e, wait := at(epoch, local); e != TooFast || wait != 500*time.Millisecond {
			t.Fatalf("%d after %v", e, wait)
		}
		if e, _ := at(epoch, far); e != Entered {
			t.Fatal("another address is refused")
		}
	}
	// The refused ones did not make it longer.
	if e, _ := at(epoch.Add(Windows*WindowSize), local); e != Entered {
		t.Errorf("refused when all is long ago: %d", e)
	}
	if n := c.Metrics.TooFast.Load(); n != 100 {
		t.Errorf("%d counted", n)
	}
}

// A bucket gives what its windows allow at once, then refuses until what was taken
// too much has come in again (KIP-599).
func TestMutations(t *testing.T) {
	m := NewManager()
	m.Update([]Quota{{Mutations, Name{Scope: Default}, Name{}, 2}})
	c := m.Client("u", "c")
	take := func(after time.Duration, n float64, strict bool) (time.Duration, bool) {
		return c.TakeMutations(epoch.Add(after), n, strict)
	}
	for _, s := range []struct {
		after  time.Duration
		n      float64
		strict bool
		pause  time.Duration
		given  bool
	}{
		{0, 20, true, 0, true},
		{0, 12, true, 0, true}, // 2 are left: what asks last may take too much
		{0, 1, true, 5 * time.Second, false},
		{0, 1, false, 5500 * time.Millisecond, true}, // old clients are told, not refused
		{5 * time.Second, 1, true, 500 * time.Millisecond, false},
		{5500 * time.Millisecond, 1, true, 0, true},
		{time.Hour, 1e9, true, 0, true},
		{time.Hour, 1, true, MaxPause, false},
	} {
		if pause, given := take(s.after, s.n, s.strict); pause != s.pause || given != s.given {
			t.Errorf("%v of %v, strict %v: pause %v, given %v", s.after, s.n, s.strict, pause, given)
		}
	}
	if pause, given := m.Client("other", "c").TakeMutations(epoch, 1, true); pause != 0 || !given {
		t.Errorf("another user: pause %v, given %v", pause, given)
	}
	if n := m.Metrics.Pauses[Mutations].Load(); n != 4 {
		t.Errorf("%d pauses counted", n)
	}
	// A full bucket is as good as a new one.
	for after, want := range map[time.Duration]int{time.Hour + MaxPause: 1, time.Hour + MaxPause + mutationBurst: 0} {
		if m.sensors.sweep(epoch.Add(after)); len(m.sensors.byKey) != want {
			t.Errorf("%d buckets %v later, want %d", len(m.sensors.byKey), after, want)
		}
	}
}
