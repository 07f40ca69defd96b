package telemetry

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of what is kept.
const (
	// MaxSeries bounds the series of all instances together. A bucket of a histogram counts as one.
	MaxSeries = 50_000
	// MaxInstanceSeries bounds those of one instance.
	MaxInstanceSeries = 2_000
)

// Kind is the kind of a series.
type Kind uint8

// The kinds of series.
const (
	Gauge Kind = iota
	Counter
	Histogram
)

// Series is one series of a client, under the names that Prometheus takes. It must not be changed.
type Series struct {
	Name   string
	Kind   Kind
	Labels []Label // by name; without those of the instance
	Value  float64 // the sum, for a histogram
	// Bounds and Counts are a histogram's buckets; Counts has one more, of what is above the last bound.
	Bounds []float64
	Counts []int64
}

// weight is what a series counts for the bounds.
func (s *Series) weight() int { return 1 + len(s.Counts) }

// store keeps the latest values of each instance.
type store struct {
	metrics *Metrics

	mu        sync.Mutex
	instances map[ID]*pushed
	names     map[string]*family
	weight    int // of all series
	swept     time.Time
}

// pushed is what one instance has pushed.
type pushed struct {
	client  Client
	expires time.Time
	series  map[string]*Series // by name and labels
	weight  int
}

// family is the series of one name. They are of one kind: what comes as another is dropped.
type family struct {
	kind   Kind
	series int
}

func newStore(metrics *Metrics) *store {
	return &store{metrics: metrics, instances: make(map[ID]*pushed), names: make(map[string]*family)}
}

// put adds the points of a push, which are kept until expires.
func (s *store) put(id ID, c *Client, points []point, now, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.swept) >= sweepInterval {
		s.sweep(now)
	}
	in := s.instances[id]
	if in == nil {
		if len(s.instances) >= MaxInstances {
			s.metrics.DroppedSeries.Add(int64(len(points)))
			return
		}
		in = &pushed{series: make(map[string]*Series)}
		s.instances[id] = in
	}
	in.client, in.expires = *c, expires
	for i := range points {
		if !s.add(in, &points[i]) {
			s.metrics.DroppedSeries.Add(1)
		}
	}
}

// add adds one point and reports whether it was kept. Called with mu.
func (s *store) add(in *pushed, p *point) bool {
	name, kind := prometheusName(p)
	labels := prometheusLabels(p.labels)
	key := seriesKey(name, labels)
	next := &Series{Name: name, Kind: kind, Labels: labels, Value: p.value, Bounds: p.bounds, Counts: p.counts}
	old := in.series[key]
	if f := s.names[name]; f != nil && f.kind != kind {
		return false
	}
	grown := next.weight()
	if old != nil {
		grown -= old.weight()
		next.Name, next.Labels = old.Name, old.Labels
	}
	if grown > 0 && (in.weight+grown > MaxInstanceSeries || s.weight+grown > MaxSeries) {
		return false
	}
	switch {
	case old == nil:
		f := s.names[name]
		if f == nil {
			f = &family{kind: kind}
			s.names[name] = f
		}
		f.series++
	case p.kind == deltaSum:
		next.Value += old.Value
	case p.kind == deltaHistogram && slices.Equal(old.Bounds, next.Bounds):
		next.Value += old.Value
		for i := range next.Counts {
			next.Counts[i] += old.Counts[i]
		}
	}
	in.series[key] = next // not changed in place: a collection may be reading the old one
	in.weight += grown
	s.weight += grown
	return true
}

// forget drops what an instance has pushed.
func (s *store) forget(id ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(id)
}

// sweep drops what instances have pushed whose time is over. Called with mu.
func (s *store) sweep(now time.Time) {
	s.swept = now
	for id, in := range s.instances {
		if now.After(in.expires) {
			s.drop(id)
		}
	}
}

// drop is forget with mu held.
func (s *store) drop(id ID) {
	in := s.instances[id]
	if in == nil {
		return
	}
	delete(s.instances, id)
	s.weight -= in.weight
	for _, series := range in.series {
		f := s.names[series.Name]
		if f.series--; f.series == 0 {
			delete(s.names, series.Name)
		}
	}
}

// Pushed is what one client instance has pushed.
type Pushed struct {
	ID     ID
	Client Client
	Series []*Series // in no order
}

// Clients lists what is kept of all instances, in no order.
func (m *Manager) Clients() []Pushed { return m.store.clients(m.now()) }

func (s *store) clients(now time.Time) []Pushed {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	out := make([]Pushed, 0, len(s.instances))
	for id, in := range s.instances {
		p := Pushed{ID: id, Client: in.client, Series: make([]*Series, 0, len(in.series))}
		for _, series := range in.series {
			p.Series = append(p.Series, series)
		}
		out = append(out, p)
	}
	return out
}

// namePrefix begins the names of all pushed series, in the place of the one that KIP-714 gives them. So none of them
// is taken for one of the broker's.
const (
	namePrefix      = "kafka_client_"
	kip714Prefix    = "org.apache.kafka."
	counterSuffix   = "_total"
	labelClientID   = "client_id"
	labelInstanceID = "client_instance_id"
)

// prometheusName is the name and kind of a point's series.
func prometheusName(p *point) (string, Kind) {
	name := namePrefix + clean(strings.TrimPrefix(p.name, kip714Prefix))
	switch p.kind {
	case sum, deltaSum:
		if !strings.HasSuffix(name, counterSuffix) {
			name += counterSuffix
		}
		return name, Counter
	case histogram, deltaHistogram:
		return name, Histogram
	}
	return name, Gauge
}

// prometheusLabels are the labels of a point's series, by name, each once, without those that the endpoint adds.
func prometheusLabels(labels []Label) []Label {
	out := make([]Label, 0, len(labels))
	for _, l := range labels {
		l.Name = clean(l.Name)
		if c := l.Name[0]; c >= '0' && c <= '9' || strings.HasPrefix(l.Name, "__") {
			l.Name = "x" + l.Name
		}
		switch l.Name {
		case labelClientID, labelInstanceID, "le", "quantile":
		default:
			out = append(out, l)
		}
	}
	slices.SortStableFunc(out, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b Label) bool { return a.Name == b.Name })
}

// clean replaces what may not stand in a name by _.
func clean(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, name)
}

// seriesKey tells series apart. The separators are in no UTF-8 text.
func seriesKey(name string, labels []Label) string {
	var b strings.Builder
	b.WriteString(name)
	for _, l := range labels {
		b.WriteByte(0xff)
		b.WriteString(l.Name)
		b.WriteByte(0xfe)
		b.WriteString(l.Value)
	}
	return b.String()
}
