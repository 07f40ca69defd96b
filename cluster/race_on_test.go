//go:build race

package cluster

// raceDetector: sync.Pool forgets things on purpose.
const raceDetector = true
