package metrics

import (
	"runtime"
	"time"

	"kserver/cluster/controller"
	"kserver/cluster/group"
	"kserver/cluster/handlers"
	"kserver/cluster/quota"
	"kserver/cluster/replica"
	"kserver/cluster/telemetry"
	"kserver/engine"
	"kserver/netio"
	"kserver/pagecache"
)

// Sources are the rooms whose counters are shown.
type Sources struct {
	NodeID             int32
	ClusterID, Version string
	// Backend is how sockets are driven, and why.
	Backend func() (name, reason string)
	// InputBudget is the most memory that requests may take while they arrive, in bytes.
	InputBudget int64
	// Saturated says of each resource whether it is.
	Saturated func() map[string]bool

	Network func() netio.Stats
	Busy    func() []time.Duration // event loops
	// LongestTurns of event loops.
	LongestTurns func() []time.Duration
	Closed       func() map[string]int64 // connections, by reason
	Requests     *handlers.Metrics
	Replicas     *replica.Manager
	Sessions     *replica.SessionCache
	Logs         *engine.LogManager
	Warmer       *pagecache.Warmer // nil when ranges are not warmed
	Groups       *group.Coordinator
	Controller   *controller.Controller
	Quotas       *quota.Manager
	Telemetry    *telemetry.Manager
}

// newCatalogue lists what is shown of the sources. They are not looked at before the first scrape.
func newCatalogue(src *Sources) *catalogue {
	c := &catalogue{}
	c.broker(src)
	c.network(src)
	c.requests(src)
	c.topics(src)
	c.storage(src)
	c.groups(src)
	c.cluster(src)
	c.telemetry(src)
	return c
}

// broker shows who this is.
func (c *catalogue) broker(src *Sources) {
	info := c.gauge("broker_info", "Always 1; the labels say what runs.", "node_id", "cluster_id", "version", "go_version", "io_backend")
	scrape := c.gauge("broker_time_seconds", "The broker's clock, in seconds since 1970.")
	saturated := c.gauge("broker_saturated", "1 while clients wait for a resource that is used up, said in the log too: disk (commit rounds without a pause that take long), request_memory (queued.max.request.bytes), workers (num.io.threads), event_loops (num.network.threads).", "resource")
	c.section(func(s *sink) {
		for resource, yes := range src.Saturated() {
			v := 0.0
			if yes {
				v = 1
			}
			s.put(saturated, v, resource)
		}
		backend, _ := src.Backend()
		s.put(info, 1, itoa(src.NodeID), src.ClusterID, src.Version, runtime.Version(), backend)
		s.put(scrape, float64(time.Now().UnixMilli())/1000)
	})
}
