package cluster

import (
	"runtime/debug"

	"kserver/cluster/metrics"
)

// openMetrics binds the addresses where metrics are read.
func (b *Broker) openMetrics() (err error) {
	var addresses []string
	for _, l := range b.cfg.Broker.Metrics.Listeners {
		addresses = append(addresses, l.Addr())
	}
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	h := b.front.broker
	b.endpoint, err = metrics.Open(addresses, &metrics.Sources{
		NodeID: h.NodeID, ClusterID: h.ClusterID, Version: version, Backend: b.Backend,
		InputBudget: b.cfg.Broker.Network.RequestMemoryBytes,
		Saturated:   b.front.watch.saturated,
		Network:     b.server.Stats, Busy: b.server.Busy, LongestTurns: b.server.LongestTurns, Closed: b.ClosedConnections, Requests: &h.Metrics, Replicas: b.replicas, Sessions: h.Sessions, Logs: b.logs, Warmer: b.warm,
		Groups: b.groups, Controller: b.controller, Quotas: b.quotas, Telemetry: b.telemetry,
	}, b.logger)
	return err
}

// Metrics are the URLs at which metrics are read.
func (b *Broker) Metrics() []string { return b.endpoint.URLs() }
