// Package load makes the load of a benchmark: producers and consumers, each by two drivers. The real driver is
// franz-go, with everything a client does; the raw driver sends pre-encoded requests and drops what it reads, so
// that the broker saturates before the client.
//
//	Window   when load starts, when measuring starts, when it ends
//	Meter    what the workers report to: counts, latencies, failures
//	Produce  runs producers until the window ends; those of the raw driver are prepared before it begins
//	                                                    (produce_kgo.go, produce_raw.go)
//	Consume  runs consumers until they are told to stop (consume_kgo.go, consume_raw.go)
//
// A latency counts from the moment the request was due (see package pace). A record counts into the latencies when it
// was due inside the measured window, and into the rates when its answer came inside it.
//
// Concurrency: Produce and Consume block and may run side by side; they start one goroutine or two per worker and
// wait for all of them. A Meter is safe for concurrent use. Memory is bounded by the buffers in the options times the
// number of workers.
package load
