package cluster

import (
	"slices"

	"kserver/cluster/configs"
	"kserver/cluster/controller"
	"kserver/cluster/telemetry"
)

// clientMetricsChanged reports whether a change is about client metrics subscriptions.
func clientMetricsChanged(d *controller.Delta) bool {
	return slices.ContainsFunc(d.Configs(), func(r controller.ConfigResource) bool { return r.Type == controller.ResourceClientMetrics })
}

// subscriptions lists the client metrics subscriptions. One without any setting has been deleted.
func (p *publisher) subscriptions(image *controller.MetadataImage) (out []telemetry.Subscription) {
	for _, name := range image.ConfigResources(controller.ResourceClientMetrics) {
		settings := image.Configs(controller.ConfigResource{Type: controller.ResourceClientMetrics, Name: name})
		if len(settings) == 0 {
			continue
		}
		m, err := configs.ParseClientMetrics(name, settings)
		if err != nil { // stored by a broker that takes other expressions
			p.logger.Warn("client metrics subscription has no effect", "subscription", name, "err", err)
			continue
		}
		out = append(out, telemetry.Subscription{Metrics: m.Metrics, Interval: m.Interval, Match: m.Match})
	}
	return out
}
