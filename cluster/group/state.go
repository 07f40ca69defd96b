package group

// state is the state of a classic group (Kafka's ClassicGroupState):
//
//	         first join (prepareRebalance)
//	Empty ------------------------------> PreparingRebalance <-----------+
//	  ^                                    |         ^   ^               |
//	  |  all members left or failed        |         |   | a member joins, leaves,
//	  +------------------------------------+         |   | fails or changes, or does
//	  |          (completeJoin)            |         |   | not sync in time
//	  |                                    v         |   |
//	  |              completeJoin: CompletingRebalance   |
//	  |                                    |             |
//	  |                leader's SyncGroup  v             |
//	  |                                 Stable ----------+
//	  v
//	Dead: unloaded or deleted, from any state; nobody finds the group any more
type state int8

const (
	stateEmpty state = iota
	statePreparingRebalance
	stateCompletingRebalance
	stateStable
	stateDead
)

// String gives the name that ListGroups and DescribeGroups show.
func (s state) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}[s]
}

// canRebalance reports whether a rebalance may start in s.
func (s state) canRebalance() bool {
	return s == stateEmpty || s == stateCompletingRebalance || s == stateStable
}

// mayFollow reports whether s is a legal successor of previous.
func (s state) mayFollow(previous state) bool {
	switch s {
	case stateEmpty, stateCompletingRebalance:
		return previous == statePreparingRebalance
	case statePreparingRebalance:
		return previous.canRebalance()
	case stateStable:
		return previous == stateCompletingRebalance
	default:
		return true
	}
}
