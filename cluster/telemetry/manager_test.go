package telemetry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

var epoch = time.Unix(1_700_000_000, 0)

// bench is a manager with a clock that stands still.
type bench struct {
	*Manager
	t   *testing.T
	now time.Time
}

func newBench(t *testing.T, subscriptions ...Subscription) *bench {
	b := &bench{t: t, now: epoch}
	b.Manager = NewManager(1<<20, func() time.Time { return b.now })
	b.Update(subscriptions)
	return b
}

var java = Client{ClientID: "app", SoftwareName: "apache-kafka-java", SoftwareVersion: "4.3.1", Address: "127.0.0.1", Port: "4711"}

// get asks for the subscription of an instance; the error has to be code.
func (b *bench) get(id ID, code protocol.ErrorCode) Answer {
	b.t.Helper()
	a, got := b.Get(&java, "connection", id)
	if got != code {
		b.t.Errorf("get: %v, want %v", got, code)
	}
	return a
}

// push pushes for what get answered, changed by with.
func (b *bench) push(a Answer, code protocol.ErrorCode, with func(*Push)) {
	b.t.Helper()
	p := Push{InstanceID: a.InstanceID, SubscriptionID: a.SubscriptionID, Payload: payload(gaugeMetric("org.apache.kafka.g", 1))}
	if with != nil {
		with(&p)
	}
	if got := b.Push(&java, "connection", &p); got != code {
		b.t.Errorf("push: %v, want %v", got, code)
	}
}

func all(interval time.Duration) Subscription {
	return Subscription{Metrics: []string{"*"}, Interval: interval}
}

// Without a subscription a client is told to ask again in five minutes; ids are made up, or kept.
func TestGet(t *testing.T) {
	b := newBench(t)
	a := b.get(ID{}, protocol.None)
	if a.InstanceID.reserved() || len(a.Metrics) != 0 || a.Interval != 5*time.Minute || a.MaxBytes != 1<<20 {
		t.Errorf("%+v", a)
	}
	if other := b.get(ID{}, protocol.None); other.InstanceID == a.InstanceID {
		t.Error("the same id twice")
	}
	if same := b.get(ID{7}, protocol.None); same.InstanceID != (ID{7}) {
		t.Errorf("id %v", same.InstanceID)
	}
	if n := b.Instances(); n != 3 {
		t.Errorf("%d instances", n)
	}
}

// The ids are Kafka's checksums: CRC-32C of "[*]1000" and "[]300000", with the hash of the instance id.
func TestSubscriptionID(t *testing.T) {
	id := ID{0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 8}
	if id.hash() != 15 {
		t.Errorf("hash %d", id.hash())
	}
	one := subscriptionID([]string{"*"}, time.Second, id)
	if subscriptionID([]string{"*"}, time.Second, ID{}) != one^15 || one == subscriptionID(nil, time.Second, id) || one == subscriptionID([]string{"*"}, 2*time.Second, id) {
		t.Error("ids do not differ as they should")
	}
}

func TestMatch(t *testing.T) {
	expression := func(s string) *regexp.Regexp { return regexp.MustCompile(`\A(?:` + s + `)\z`) }
	subscriptions := []Subscription{
		{Metrics: []string{"b", "a"}, Interval: 2 * time.Second, Match: map[string]*regexp.Regexp{"client_id": expression("ap.*"), "client_software_name": expression(".*java")}},
		{Metrics: []string{"c", "a"}, Interval: time.Second, Match: map[string]*regexp.Regexp{"client_source_port": expression("47..")}},
		{Metrics: []string{"*"}, Interval: 500 * time.Millisecond, Match: map[string]*regexp.Regexp{"client_instance_id": expression(ID{9}.String())}},
		{Metrics: []string{"*"}, Interval: time.Millisecond, Match: map[string]*regexp.Regexp{"client_software_version": expression("3.*")}},
		{Metrics: []string{"*"}, Interval: time.Millisecond, Match: map[string]*regexp.Regexp{"client_source_address": expression("10.*")}},
	}
	for _, c := range []struct {
		client   Client
		id       ID
		metrics  string
		interval time.Duration
	}{
		{java, ID{1}, "a,b,c", time.Second},
		{java, ID{9}, "*", 500 * time.Millisecond},
		{Client{ClientID: "app", Port: "4711"}, ID{1}, "a,c", time.Second}, // says nothing of its software
		{Client{ClientID: "other", SoftwareVersion: "3.7"}, ID{1}, "*", time.Millisecond},
		{Client{ClientID: "other"}, ID{1}, "", 5 * time.Minute},
	} {
		w := match(subscriptions, &c.client, c.id)
		if strings.Join(w.metrics, ",") != c.metrics || w.interval != c.interval {
			t.Errorf("%+v: %q every %v, want %q every %v", c.client, w.metrics, w.interval, c.metrics, c.interval)
		}
	}
}

// Requests before their time are refused, as Kafka refuses them.
func TestThrottling(t *testing.T) {
	b := newBench(t, all(time.Second))
	a := b.get(ID{}, protocol.None)
	b.get(a.InstanceID, protocol.ThrottlingQuotaExceeded)
	b.now = b.now.Add(time.Millisecond)
	b.push(a, protocol.None, nil) // at once, after a get
	b.push(a, protocol.ThrottlingQuotaExceeded, nil)
	b.get(a.InstanceID, protocol.ThrottlingQuotaExceeded) // counts from the push
	b.now = b.now.Add(999 * time.Millisecond)
	b.push(a, protocol.ThrottlingQuotaExceeded, nil)
	b.now = b.now.Add(time.Millisecond)
	b.push(a, protocol.None, nil)
	b.push(a, protocol.None, func(p *Push) { p.Terminating = true }) // the last one may come early
	if n := b.Metrics().Throttled.Load(); n != 4 {
		t.Errorf("throttled %d", n)
	}
	// Who has just been told that its subscription is gone may ask for another at once.
	b = newBench(t, all(time.Second))
	a = b.get(ID{}, protocol.None)
	b.now = b.now.Add(time.Millisecond)
	b.push(a, protocol.UnknownSubscriptionID, func(p *Push) { p.SubscriptionID++ })
	b.get(a.InstanceID, protocol.None)
	b.get(a.InstanceID, protocol.ThrottlingQuotaExceeded)
}

// New subscriptions make the old ones unknown, and what is asked and pushed next is not early.
func TestUpdate(t *testing.T) {
	b := newBench(t, all(time.Second))
	a := b.get(ID{}, protocol.None)
	b.now = b.now.Add(time.Millisecond)
	b.push(a, protocol.None, nil)
	b.Update([]Subscription{{Metrics: []string{"x"}, Interval: time.Second}})
	b.push(a, protocol.UnknownSubscriptionID, nil)
	other := b.get(a.InstanceID, protocol.None)
	if other.SubscriptionID == a.SubscriptionID || !slices.Equal(other.Metrics, []string{"x"}) {
		t.Errorf("%+v", other)
	}
}

func TestPushErrors(t *testing.T) {
	b := newBench(t, all(time.Second))
	for _, id := range []ID{{}, {15: 1}} {
		b.push(Answer{InstanceID: id}, protocol.InvalidRequest, nil)
	}
	a := b.get(ID{}, protocol.None)
	for _, c := range []struct {
		code protocol.ErrorCode
		with func(*Push)
	}{
		{protocol.UnsupportedCompressionType, func(p *Push) { p.Compression = 5 }},
		{protocol.UnsupportedCompressionType, func(p *Push) { p.Compression = -1 }},
		{protocol.TelemetryTooLarge, func(p *Push) { p.Payload = make([]byte, 1<<20+1) }},
		{protocol.InvalidRecord, func(p *Push) { p.Payload = []byte("nonsense") }},
		{protocol.InvalidRecord, func(p *Push) { p.Compression = int8(recordbatch.CodecGzip) }},
		{protocol.None, func(p *Push) { p.Payload = nil }},
		{protocol.None, nil},
	} {
		b.now = b.now.Add(time.Second)
		b.push(a, c.code, c.with)
	}
	if m := b.Metrics(); m.InvalidPushes.Load() != 2 || m.Pushes.Load() != 1 {
		t.Errorf("%d invalid, %d taken", m.InvalidPushes.Load(), m.Pushes.Load())
	}
}

// After the push that says so an instance is at its end; what it pushed is gone.
func TestTerminating(t *testing.T) {
	b := newBench(t, all(time.Second))
	a := b.get(ID{}, protocol.None)
	b.push(a, protocol.None, nil)
	if n := len(b.Clients()); n != 1 {
		t.Fatalf("%d clients", n)
	}
	b.push(a, protocol.None, func(p *Push) { p.Terminating = true })
	if n := len(b.Clients()); n != 0 {
		t.Errorf("%d clients after the end", n)
	}
	b.now = b.now.Add(time.Second)
	b.push(a, protocol.InvalidRequest, nil)
}

// A silent client's metrics are kept for three intervals, a minute at least.
func TestExpiry(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, time.Minute} {
		b := newBench(t, all(interval))
		a := b.get(ID{}, protocol.None)
		b.push(a, protocol.None, nil)
		b.now = b.now.Add(max(time.Minute, 3*interval))
		if b.Instances() != 1 || len(b.Clients()) != 1 {
			t.Errorf("%v: gone too early", interval)
		}
		b.now = b.now.Add(sweepInterval)
		if b.Instances() != 0 || len(b.Clients()) != 0 {
			t.Errorf("%v: kept too long", interval)
		}
	}
}

// A connection that ends takes its instance with it, but not what was pushed.
func TestDisconnected(t *testing.T) {
	b := newBench(t, all(time.Second))
	a := b.get(ID{}, protocol.None)
	b.push(a, protocol.None, nil)
	b.Disconnected("another")
	b.Disconnected("connection")
	if b.Instances() != 0 || len(b.Clients()) != 1 || len(b.connections) != 0 {
		t.Errorf("%d instances, %d clients", b.Instances(), len(b.Clients()))
	}
	b.push(a, protocol.None, nil) // on a new connection, with the same subscription
}

// Beyond the bound the instance that was silent longest is forgotten.
func TestInstancesAreBounded(t *testing.T) {
	b := newBench(t, all(time.Second))
	for i := range MaxInstances + 1 {
		if _, code := b.Get(&java, i, ID{byte(i), byte(i >> 8), byte(i >> 16), 1}); code != protocol.None {
			t.Fatal(code)
		}
	}
	if n := b.Instances(); n != MaxInstances || b.Metrics().Evicted.Load() != 1 || len(b.connections) != MaxInstances {
		t.Errorf("%d instances, %d connections", n, len(b.connections))
	}
	if _, ok := b.instances[ID{0, 0, 0, 1}]; ok {
		t.Error("the oldest is still there")
	}
}

// shown is what is kept of all clients, a line for each series.
func (b *bench) shown() string {
	var lines []string
	for _, c := range b.Clients() {
		for _, s := range c.Series {
			lines = append(lines, fmt.Sprint(s.Name, s.Labels, " ", s.Kind, " ", s.Value, s.Counts))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestValues(t *testing.T) {
	b := newBench(t, all(time.Second))
	a := b.get(ID{}, protocol.None)
	for range 2 {
		b.now = b.now.Add(time.Second)
		b.push(a, protocol.None, func(p *Push) {
			p.Payload = payload(
				gaugeMetric("org.apache.kafka.a.b-c", 2, attr(7, "node.id", "1"), attr(7, "node_id", "2"), attr(7, "client_id", "x"), attr(7, "0", "y")),
				sumMetric("delta", 1, true, 3), sumMetric("cumulative.total", 2, true, 4), sumMetric("delta", 1, true, 1, attr(7, "k", "v")),
				histogramMetric("h", 1, 1, []float64{1}, 1, 2), histogramMetric("c", 2, 1, []float64{1}, 1, 2),
				gaugeMetric("h", 1), // of another kind than before
			)
		})
	}
	want := `kafka_client_a_b_c[{client_rack r1} {node_id 1} {x0 y}] 0 2 []
kafka_client_c[{client_rack r1}] 2 1 [1 2]
kafka_client_cumulative_total[{client_rack r1}] 1 4 []
kafka_client_delta_total[{client_rack r1} {k v}] 1 2 []
kafka_client_delta_total[{client_rack r1}] 1 6 []
kafka_client_h[{client_rack r1}] 2 2 [2 4]`
	if got := b.shown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if n := b.Metrics().DroppedSeries.Load(); n != 2 {
		t.Errorf("%d dropped", n)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	b := newBench(t, all(time.Second))
	pushMany := func(id ID) {
		a := b.get(id, protocol.None)
		b.now = b.now.Add(time.Second)
		b.push(a, protocol.None, func(p *Push) {
			p.Payload = nil
			for i := range MaxInstanceSeries + 10 {
				p.Payload = append(p.Payload, payload(gaugeMetric(fmt.Sprint("g", i), 1))...)
			}
		})
	}
	pushMany(ID{1})
	if n := len(b.Clients()[0].Series); n != MaxInstanceSeries || b.Metrics().DroppedSeries.Load() != 10 {
		t.Errorf("%d series, %d dropped", n, b.Metrics().DroppedSeries.Load())
	}
	for i := range MaxSeries / MaxInstanceSeries {
		pushMany(ID{2, byte(i)})
	}
	if b.store.weight != MaxSeries {
		t.Errorf("%d series in all", b.store.weight)
	}
}
