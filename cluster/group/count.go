package group

import (
	"sync"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// CountGroups counts the groups by state, and their members, for metrics. Partitions that are not loaded are left out.
// reply is called once, from any goroutine.
func (c *Coordinator) CountGroups(reply func(states map[string]int, members int)) {
	var mu sync.Mutex
	counts := [stateDead]int{}
	members := 0
	partitions := c.runtime.Partitions()
	all := newGather(len(partitions), func() {
		states := make(map[string]int, len(counts))
		for s, n := range counts {
			states[state(s).String()] = n
		}
		reply(states, members)
	})
	for _, p := range partitions {
		c.do(p, func(ev *coordinator.Event, s *shard) {
			mu.Lock()
			for _, g := range s.groups {
				if g.state != stateDead {
					counts[g.state]++
					members += len(g.members)
				}
			}
			mu.Unlock()
			ev.Answer(func(protocol.ErrorCode) { all.done() })
		}, func(protocol.ErrorCode) { all.done() })
	}
}
