// Package sendfile moves a range of a file into a socket without the bytes
// entering this process, and says when a caller should copy instead.
//
// It knows nothing of connections, frames or Kafka. A Source is a pinned file
// range as the log hands it out; Send is one pass of sendfile(2); the two
// thresholds are where copying through memory becomes cheaper than a call per
// range, with the benchmarks that gave them in bench_test.go.
//
// Everything here is stateless and safe for concurrent use. Counting bytes per
// path is left to the caller.
package sendfile
