// Package metrics shows what the rooms of the broker count, in the formats of Prometheus, at an HTTP endpoint of its
// own (metrics.listeners), together with what clients have pushed (KIP-714).
//
//	rooms' counters (atomics) --Sources--> catalogue: one section per room, read at each scrape
//	telemetry.Manager.Clients -----------> clients' series
//	                                           |
//	                     prometheus.Registry --+--> Endpoint: net/http, GET /metrics
//
// Nothing is recorded here and nothing runs between scrapes: a scrape reads atomic counters, and takes a lock where a
// room has no counter, for as long as it takes to copy a list. It runs on a goroutine of net/http, never on an event
// loop. The library, net/http and the registry come to life when the endpoint is opened; without metrics.listeners
// they cost the process their code and nothing else.
//
// What is shown is written in docs/metrics.md, which a test keeps equal to the catalogue. Names are
// kserver_<room>_<thing>_<unit>, with seconds and bytes as units.
package metrics
