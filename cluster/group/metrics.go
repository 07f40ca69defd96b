package group

import "sync/atomic"

// Metrics counts what the group coordinator did, and what it holds. The fields
// may be read at any time.
type Metrics struct {
	Offsets             atomic.Int64 // committed offsets held now
	OffsetCommits       atomic.Int64 // partitions committed
	OffsetsExpired      atomic.Int64
	RebalancesStarted   atomic.Int64
	RebalancesCompleted atomic.Int64
	SessionsExpired     atomic.Int64 // members removed for silence
	GroupsDeleted       atomic.Int64
	SkippedRecords      atomic.Int64 // replayed records of unknown types
}
