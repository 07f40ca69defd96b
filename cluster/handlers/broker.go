package handlers

import (
	"slices"
	"strings"
	"sync/atomic"

	"kserver/cluster/configs"
	"kserver/cluster/controller"
	"kserver/cluster/coordinator"
	"kserver/cluster/group"
	"kserver/cluster/quota"
	"kserver/cluster/replica"
	"kserver/cluster/telemetry"
	"kserver/protocol"
)

// Broker is what handlers reach: the rooms below, composed by package cluster.
// Except for Stopping and Metrics it is read-only once serving has begun.
type Broker struct {
	NodeID    int32
	ClusterID string
	// Endpoints are the advertised host and port of this broker, by listener.
	Endpoints map[string]Endpoint
	Rack      *string

	// Configs is what the broker was started with; Live is that and what was set since.
	Configs  *configs.Broker
	Live     *configs.Live
	Replicas *replica.Manager
	Sessions *replica.SessionCache
	Groups   *group.Coordinator
	// Coordinators finds the broker in charge of a group.
	Coordinators *coordinator.Finder
	Controller   *controller.Controller
	// Quotas are what clients may use.
	Quotas *quota.Manager
	// Telemetry is what clients are asked to push, and what they pushed.
	Telemetry *telemetry.Manager
	// Metrics counts requests.
	Metrics Metrics

	// Advertised are the APIs as ApiVersions shows them; see Advertised.
	Advertised []protocol.VersionRange
	// Workers runs a function that may block on a bounded pool, soon. bytes is the
	// memory it is expected to take.
	Workers func(bytes int64, f func())
	// Stopping says that nothing new may wait.
	Stopping atomic.Bool
	// FetchMaxBytes bounds a fetch answer (fetch.max.bytes).
	FetchMaxBytes int
}

// Endpoint is where clients reach a broker.
type Endpoint struct {
	Host string
	Port int32
}

// topic finds a topic by id or by name, as the request's version has it.
func (b *Broker) topic(byID bool, name string, id [16]byte) (*replica.Topic, *protocol.Error) {
	if byID {
		return b.Replicas.TopicByID(id)
	}
	return b.Replicas.Topic(name)
}

// leaderHint is the current leader of a partition this broker does not lead
// (KIP-951), and leaders with that node added. Both are unchanged when there is
// nothing to hint.
func leaderHint(p *replica.Partition, leaders []int32) (*protocol.LeaderIDAndEpoch, []int32) {
	if p == nil {
		return nil, leaders
	}
	l := p.Leadership()
	if l.Leader >= 0 {
		leaders = append(leaders, l.Leader)
	}
	return &protocol.LeaderIDAndEpoch{LeaderID: l.Leader, LeaderEpoch: l.LeaderEpoch}, leaders
}

// endpoints lists the nodes that hints name, each once, as seen by listener.
func endpoints(b *Broker, listener string, nodes []int32) []protocol.NodeEndpoint {
	var out []protocol.NodeEndpoint
	for _, id := range nodes {
		e, ok := b.Endpoints[listener]
		if id != b.NodeID || !ok || len(out) > 0 {
			continue
		}
		out = append(out, protocol.NodeEndpoint{NodeID: id, Host: e.Host, Port: e.Port, Rack: b.Rack})
	}
	return out
}

// features is what ApiVersions says about features: what this release can work
// with, and what is finalized in the metadata.
func (b *Broker) features() protocol.Features {
	image := b.Controller.Image()
	f := protocol.Features{FinalizedEpoch: image.Version}
	for _, s := range controller.SupportedFeatures() {
		f.Supported = append(f.Supported, protocol.SupportedFeature{Name: s.Name, Min: s.Min, Max: s.Max})
	}
	for name, level := range image.Features() {
		f.Finalized = append(f.Finalized, protocol.FinalizedFeature{Name: name, Level: level})
	}
	slices.SortFunc(f.Finalized, func(a, b protocol.FinalizedFeature) int { return strings.Compare(a.Name, b.Name) })
	return f
}
