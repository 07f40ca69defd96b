// Package broker starts, stops and kills one broker process for the tests: kserver from its binary,
// or Apache Kafka from the jars that package tools resolves.
//
// A Broker owns a directory and a port; both stay the same over restarts, so clients reconnect. It
// ends only the process it started, by its process handle. A Broker is for one goroutine at a time.
package broker
