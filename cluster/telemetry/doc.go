// Package telemetry collects the metrics that clients push (KIP-714): it tells each client what is wanted of it, checks
// what it pushes, and keeps the latest values until the client ends or falls silent.
//
//	controller image --Update--> subscriptions
//	                                  |  matched by what is known of the client
//	GetTelemetrySubscriptions --Get--> instance (id, subscription id, interval, last requests)
//	PushTelemetry ------------Push--> instance: may it? --> decompress, decode --> store --Clients--> metrics endpoint
//
// Kafka hands pushed metrics to a plug-in, and advertises the two APIs only with one. Here the broker's own metrics
// endpoint is what takes them, so the APIs are always there.
//
// Counters come as deltas, as the answer of Get asks for, and are added up here; gauges and histograms keep their last
// value. What is kept is bounded: instances, and series of one and of all of them; beyond the bounds the least recently
// heard of instance is forgotten, and series are dropped and counted. A payload is at most telemetry.max.bytes long,
// compressed and not, and what is decoded from it is bounded on top of that (decode.go).
//
// The package knows no connection and no clock: the caller brings both. A Manager may be used from any goroutine;
// Push decompresses and decodes on its caller, which is not to be an event loop.
package telemetry
