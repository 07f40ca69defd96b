package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"kserver/internal/histogram"
)

// namespace begins the names of all the broker's own metrics.
const namespace = "kserver_"

// kind is the type of a family.
type kind string

const (
	counter kind = "counter"
	gauge   kind = "gauge"
	timing  kind = "histogram" // of seconds
)

// family is the metrics of one name.
type family struct {
	name, help string
	kind       kind
	labels     []string
	desc       *prometheus.Desc
}

// catalogue lists the families and knows where to read them. It implements prometheus.Collector.
type catalogue struct {
	families []*family
	sections []func(*sink)
}

func (c *catalogue) add(k kind, name, help string, labels []string) *family {
	f := &family{name: namespace + name, help: help, kind: k, labels: labels}
	f.desc = prometheus.NewDesc(f.name, help, labels, nil)
	c.families = append(c.families, f)
	return f
}

func (c *catalogue) counter(name, help string, labels ...string) *family {
	return c.add(counter, name, help, labels)
}

func (c *catalogue) gauge(name, help string, labels ...string) *family {
	return c.add(gauge, name, help, labels)
}

func (c *catalogue) timing(name, help string, labels ...string) *family {
	return c.add(timing, name, help, labels)
}

// section adds what reads some families at a scrape.
func (c *catalogue) section(read func(*sink)) { c.sections = append(c.sections, read) }

// Describe implements prometheus.Collector.
func (c *catalogue) Describe(out chan<- *prometheus.Desc) {
	for _, f := range c.families {
		out <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *catalogue) Collect(out chan<- prometheus.Metric) {
	s := &sink{out}
	for _, read := range c.sections {
		read(s)
	}
}

// sink takes the values of one scrape.
type sink struct{ out chan<- prometheus.Metric }

// put shows a value of a counter or gauge, with one label value for each label.
func (s *sink) put(f *family, v float64, labels ...string) {
	t := prometheus.GaugeValue
	if f.kind == counter {
		t = prometheus.CounterValue
	}
	s.out <- prometheus.MustNewConstMetric(f.desc, t, v, labels...)
}

// count is put of an integer.
func (s *sink) count(f *family, n int64, labels ...string) { s.put(f, float64(n), labels...) }

// timing shows a histogram.
func (s *sink) timing(f *family, h *histogram.Snapshot, labels ...string) {
	buckets := make(map[float64]uint64)
	for bound, n := range h.Buckets() {
		buckets[bound.Seconds()] = uint64(n)
	}
	s.out <- prometheus.MustNewConstHistogram(f.desc, uint64(h.Count()), h.Sum().Seconds(), buckets, labels...)
}
