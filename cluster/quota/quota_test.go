package quota

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

var epoch = time.Unix(1_700_000_000, 0)

func named(s string) Name { return Name{Named, s} }

// The most specific quota counts, for each kind by itself.
func TestPrecedence(t *testing.T) {
	all, def := Name{}, Name{Scope: Default}
	levels := []Quota{
		{ProducerBytes, named("u"), named("c"), 1}, {ProducerBytes, named("u"), def, 2}, {ProducerBytes, named("u"), all, 3},
		{ProducerBytes, def, named("c"), 4}, {ProducerBytes, def, def, 5}, {ProducerBytes, def, all, 6},
		{ProducerBytes, all, named("c"), 7}, {ProducerBytes, all, def, 8},
	}
	shared := []string{"u/c", "u/c", "u/", "u/c", "u/c", "u/", "/c", "/c"}
	for i := range levels {
		l := newLimits(append([]Quota{{ConsumerBytes, named("u"), named("c"), 99}}, levels[i:]...))
		bound, key := l.bound(ProducerBytes, "u", "c")
		if got := key.user + "/" + key.clientID; bound != float64(i+1) || got != shared[i] {
			t.Errorf("without the first %d: bound %v of %s, want %d of %s", i, bound, got, i+1, shared[i])
		}
	}
	l := newLimits(levels)
	for _, c := range []struct {
		user, client string
		want         float64
	}{{"u", "d", 2}, {"v", "c", 4}, {"v", "d", 5}, {"u", "", 2}, {"", "", 5}} {
		if got, _ := l.bound(ProducerBytes, c.user, c.client); got != c.want {
			t.Errorf("%s/%s: bound %v, want %v", c.user, c.client, got, c.want)
		}
	}
	if got, _ := l.bound(ConsumerBytes, "u", "c"); !math.IsInf(got, 1) {
		t.Errorf("a kind without quotas has bound %v", got)
	}
}

// A client that obeys its pauses gets what its quota says once its first burst is
// over, in every ten seconds, and another what it likes.
func TestRateConverges(t *testing.T) {
	const bound = 1 << 20
	for _, size := range []float64{1000, 100_000, bound} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			m := NewManager()
			m.Update([]Quota{{ProducerBytes, Name{}, named("slow"), bound}})
			var sent float64
			const measured = 10 * time.Second
			from := epoch
			for now := epoch; now.Before(epoch.Add(2 * time.Minute)); {
				if now.Sub(from) >= measured {
					got, first := sent/now.Sub(from).Seconds()/bound, from.Equal(epoch)
					if !first && (got < 0.9 || got > 1.1) || first && (got < 1.9 || got > 2.2) { // ten seconds' worth at once
						t.Errorf("%v after the begin: %.2f of the bound", from.Sub(epoch), got)
					}
					from, sent = now, 0
				}
				sent += size
				pause := m.Client("u", "slow").Take(ProducerBytes, now, size)
				if other := m.Client("u", "fast").Take(ProducerBytes, now, 10*size); other != 0 {
					t.Fatalf("the client without quota pauses %v", other)
				}
				now = now.Add(pause + time.Duration(size*10)) // at 100 MB/s
			}
		})
	}
}

// The pause is the time until nothing is owed, as Kafka's formula gives it for a
// first burst.
func TestPause(t *testing.T) {
	m := NewManager()
	m.Update([]Quota{{ProducerBytes, Name{Scope: Default}, Name{}, 1000}, {RequestTime, Name{Scope: Default}, Name{}, 10}})
	take := func(k Kind, at time.Duration, n float64) time.Duration {
		return m.Client("u", "c").Take(k, epoch.Add(at), n)
	}
	for _, c := range []struct {
		kind Kind
		at   time.Duration
		n    float64
		want time.Duration
	}{
		{ProducerBytes, 0, 10_000, 0},
		{ProducerBytes, 0, 500, 500 * time.Millisecond},
		{ProducerBytes, 500 * time.Millisecond, 1000, time.Second},
		{ProducerBytes, 20 * time.Second, 10_000, 0}, // all that is forgotten
		{ProducerBytes, 20 * time.Second, 1e9, MaxPause},
		{RequestTime, 0, 100, 0},
		{RequestTime, 0, 5, 500 * time.Millisecond},
		{RequestTime, 0, 1000, MaxShortPause},
	} {
		if got := take(c.kind, c.at, c.n); got != c.want {
			t.Errorf("%v: %v at %v: pause %v, want %v", c.kind, c.n, c.at, got, c.want)
		}
	}
	if got := m.Metrics.Pauses[ProducerBytes].Load(); got != 3 {
		t.Errorf("%d pauses counted, want 3", got)
	}
}

// An answer over the bound is not given and does not count, unless it is the
// first in a long time.
func TestTakeFetch(t *testing.T) {
	m := NewManager()
	m.Update([]Quota{{ConsumerBytes, Name{}, Name{Scope: Default}, 100}})
	c := m.Client("u", "c")
	if most := c.MostBytes(ConsumerBytes); most != 1000 {
		t.Errorf("most bytes %d, want 1000", most)
	}
	for i, w := range []struct {
		at    time.Duration
		n     float64
		pause time.Duration
		give  bool
	}{
		{0, 1500, 5 * time.Second, true}, // alone over the bound
		{0, 10, 5100 * time.Millisecond, false},
		{0, 0, 5 * time.Second, false},
		{20 * time.Second, 0, 0, true},
		{time.Minute, 1000, 0, true},
		{time.Minute, 100, time.Second, false},
	} {
		pause, give := c.TakeFetch(epoch.Add(w.at), w.n)
		if pause != w.pause || give != w.give {
			t.Errorf("%d: pause %v, give %t, want %v, %t", i, pause, give, w.pause, w.give)
		}
	}
}

// Without quotas there is no client, and a nil client has none.
func TestNoQuota(t *testing.T) {
	m := NewManager()
	c := m.Client("u", "c")
	if c != nil {
		t.Fatal("a client without a quota in the cluster")
	}
	pause, give := c.TakeFetch(epoch, 1e12)
	if pause != 0 || !give || c.Take(RequestTime, epoch, 1e12) != 0 || c.MostBytes(ConsumerBytes) != math.MaxInt64 {
		t.Error("no quota bounds something")
	}
	m.Update([]Quota{{ProducerBytes, Name{}, Name{Scope: Default}, 1}})
	m.Client("u", "c").Take(ProducerBytes, epoch, 1)
	m.Update(nil)
	if m.Client("u", "c") != nil || len(m.sensors.byKey) != 0 {
		t.Error("quotas that were taken back leave something")
	}
	if allocs := testing.AllocsPerRun(100, func() { m.Client("u", "c") }); allocs != 0 {
		t.Errorf("%v allocations without quotas", allocs)
	}
}

// However many clients there are, a bounded number is remembered, for a bounded
// time, and the rest is bounded together.
func TestSensorsBounded(t *testing.T) {
	m := NewManager()
	m.Update([]Quota{{ProducerBytes, Name{}, Name{Scope: Default}, 10}})
	take := func(client string, at time.Duration, n float64) time.Duration {
		return m.Client("", client).Take(ProducerBytes, epoch.Add(at), n)
	}
	take(strings.Repeat("x", MaxNameBytes+1), 0, 100)
	if pause := take(strings.Repeat("y", MaxNameBytes+1), 0, 10); pause != time.Second || len(m.sensors.byKey) != 1 {
		t.Errorf("the second long name pauses %v, %d sensors", pause, len(m.sensors.byKey))
	}
	for i := range MaxSensors + 100 {
		take(fmt.Sprint(i), 0, 1)
	}
	if len(m.sensors.byKey) != MaxSensors {
		t.Errorf("%d sensors", len(m.sensors.byKey))
	}
	if got := m.Metrics.Overflow.Load(); got != 103 {
		t.Errorf("overflow %d", got)
	}
	take("later", time.Minute, 1)
	if len(m.sensors.byKey) != 1 {
		t.Errorf("%d sensors after all fell silent", len(m.sensors.byKey))
	}
}
