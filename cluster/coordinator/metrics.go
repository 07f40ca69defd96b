package coordinator

import "sync/atomic"

// Metrics counts what a Runtime did. The fields may be read at any time.
type Metrics struct {
	Events       atomic.Int64 // events run
	Refused      atomic.Int64 // events refused: loading, not here, closed, full
	Loads        atomic.Int64 // shards replayed
	LoadFailures atomic.Int64 // replays that failed
	Failures     atomic.Int64 // shards rebuilt because a write was lost
}
