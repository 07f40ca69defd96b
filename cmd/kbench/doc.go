// Kbench measures any Kafka endpoint: throughput, latency, cost and whether every record survives.
//
//	kbench produce   load of producers
//	kbench consume   load of consumers over what is in a topic
//	kbench e2e       producers and consumers at once, latency from due time to arrival
//	kbench limits    what the machine itself can do
//	kbench floor     the least a broker can be, to set brokers against
//	kbench compare   scenarios on two or more systems in turn, side by side
//	kbench report    the page and the table of a comparison, anew
//
// Two drivers: "real" is franz-go with everything a client does, "raw" sends pre-encoded requests and drops what it
// reads. With --rate the load follows a schedule fixed beforehand and latencies count from the due time; without, it
// is as fast as possible; with --in-flight it is a closed loop.
//
// The packages: wire (raw client), integrity (what was written is what is read), process (cost of a process),
// internal/pace (schedules), internal/load (workers), internal/latency (histograms), internal/limits (the machine),
// internal/report (results), scenario (files), internal/comparison (systems side by side). No server package is imported, so that any broker can be driven.
//
// Exit codes: 0 the run is good; 1 it failed or records failed; 2 wrong usage; 3 the integrity check found a fault;
// 130 interrupted, with the partial result printed.
package main
