package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"kserver/cluster/telemetry"
)

// telemetry shows what becomes of clients' pushes; what they pushed is shown by clients.
func (c *catalogue) telemetry(src *Sources) {
	instances := c.gauge("telemetry_instances", "Client instances that asked for a subscription and are not silent for too long. Kafka: ClientMetricsInstanceCount.")
	info := c.gauge("telemetry_client_info", "Always 1; the labels say who pushes metrics.",
		labelClientID, labelInstanceID, "client_software_name", "client_software_version", "client_address")
	pushes := c.counter("telemetry_pushes_total", "Pushes, by result: taken, invalid (neither decompressed nor decoded), throttled (too early, requests for a subscription included), unknown_subscription.", "result")
	bytes := c.counter("telemetry_pushed_bytes_total", "Bytes of the pushes taken, as they came.")
	dropped := c.counter("telemetry_dropped_series_total", "Pushed series that are not kept: too many, or of a kind that is not shown.")
	evicted := c.counter("telemetry_evicted_instances_total", "Client instances forgotten to make room for others.")
	c.section(func(s *sink) {
		m := src.Telemetry.Metrics()
		s.count(instances, int64(src.Telemetry.Instances()))
		s.count(pushes, m.Pushes.Load(), "taken")
		s.count(pushes, m.InvalidPushes.Load(), "invalid")
		s.count(pushes, m.Throttled.Load(), "throttled")
		s.count(pushes, m.UnknownSubscriptions.Load(), "unknown_subscription")
		s.count(bytes, m.PushedBytes.Load())
		s.count(dropped, m.DroppedSeries.Load())
		s.count(evicted, m.Evicted.Load())
		for _, p := range src.Telemetry.Clients() {
			s.put(info, 1, valid(p.Client.ClientID), p.ID.String(), valid(p.Client.SoftwareName), valid(p.Client.SoftwareVersion), p.Client.Address)
		}
	})
}

// The labels that tell the series of clients apart.
const (
	labelClientID   = "client_id"
	labelInstanceID = "client_instance_id"
)

// clients shows what clients have pushed. Its metrics are those the clients have, so it describes none. It implements
// prometheus.Collector.
type clients struct{ telemetry *telemetry.Manager }

// Describe implements prometheus.Collector.
func (clients) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c clients) Collect(out chan<- prometheus.Metric) {
	for _, p := range c.telemetry.Clients() {
		for _, series := range p.Series {
			if m, err := pushedMetric(&p, series); err == nil {
				out <- m
			}
		}
	}
}

// helpOfPushed is what all pushed metrics say of themselves: the text of one name has to be the same for all clients.
const helpOfPushed = "Pushed by clients (KIP-714)."

// pushedMetric makes one series a metric of its client.
func pushedMetric(p *telemetry.Pushed, series *telemetry.Series) (prometheus.Metric, error) {
	names := make([]string, 0, len(series.Labels)+2)
	values := make([]string, 0, len(series.Labels)+2)
	names, values = append(names, labelClientID, labelInstanceID), append(values, valid(p.Client.ClientID), p.ID.String())
	for _, l := range series.Labels {
		names, values = append(names, l.Name), append(values, l.Value)
	}
	desc := prometheus.NewDesc(series.Name, helpOfPushed, names, nil)
	switch series.Kind {
	case telemetry.Counter:
		return prometheus.NewConstMetric(desc, prometheus.CounterValue, series.Value, values...)
	case telemetry.Histogram:
		buckets := make(map[float64]uint64, len(series.Bounds))
		var n uint64
		for i, count := range series.Counts {
			if n += uint64(count); i < len(series.Bounds) {
				buckets[series.Bounds[i]] = n
			}
		}
		return prometheus.NewConstHistogram(desc, n, series.Value, buckets, values...)
	}
	return prometheus.NewConstMetric(desc, prometheus.GaugeValue, series.Value, values...)
}

// valid makes text that a client sent a label: not UTF-8, it would spoil the scrape.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
