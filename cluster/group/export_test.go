package group

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// Dump describes all that the log should hold of a partition: groups with their
// members, and offsets. inMemory adds what a restart forgets.
func (c *Coordinator) Dump(partition int32, inMemory bool) string {
	var b strings.Builder
	c.do(partition, func(_ *coordinator.Event, s *shard) {
		for _, id := range slices.Sorted(maps.Keys(s.groups)) {
			dumpGroup(&b, s, s.groups[id], inMemory)
		}
		for _, producer := range slices.Sorted(maps.Keys(s.pending)) {
			for _, id := range slices.Sorted(maps.Keys(s.pending[producer])) {
				fmt.Fprintf(&b, "pending of %d in %s\n", producer, id)
				dumpOffsets(&b, s, s.pending[producer][id])
			}
		}
	}, func(code protocol.ErrorCode) { fmt.Fprintf(&b, "%v\n", code) })
	return b.String()
}

func dumpGroup(b *strings.Builder, s *shard, g *classicGroup, inMemory bool) {
	fmt.Fprintf(b, "group %s %v gen=%d type=%q protocol=%q leader=%s\n",
		g.id, g.state, g.generation, g.protocolType, g.protocol, g.leader)
	if g.subscribedKnown && len(g.subscribed) > 0 {
		fmt.Fprintf(b, "  subscribed %v\n", slices.Sorted(maps.Keys(g.subscribed)))
	}
	for _, m := range g.order {
		fmt.Fprintf(b, "  member %s", m.id)
		if m.instanceID != nil {
			fmt.Fprintf(b, " instance=%s", *m.instanceID)
		}
		fmt.Fprintf(b, " %s%s session=%d rebalance=%d meta=%q assignment=%q", m.clientID, m.clientHost,
			m.sessionTimeoutMs, m.rebalanceTimeoutMs, m.metadata(g.protocol), m.assignment)
		if inMemory && m.join != nil {
			b.WriteString(" joining")
		}
		if inMemory && m.sync != nil {
			b.WriteString(" syncing")
		}
		b.WriteByte('\n')
	}
	if inMemory {
		for _, id := range slices.Sorted(maps.Keys(g.pending)) {
			fmt.Fprintf(b, "  pending %s\n", id)
		}
	}
	dumpOffsets(b, s, s.offsets[g.id])
}

func dumpOffsets(b *strings.Builder, s *shard, offsets topicOffsets) {
	for _, t := range s.allTopics(offsets) {
		for _, p := range t.partitions {
			o := offsets.get(t.name, p)
			fmt.Fprintf(b, "  offset %s-%d = %d epoch=%d %q", t.name, p, o.offset, o.leaderEpoch, o.metadata)
			if o.expireMs != noTimestamp {
				b.WriteString(" expires")
			}
			b.WriteByte('\n')
		}
	}
}

// CheckInvariants panics if a group's derived data disagrees with its members.
func (c *Coordinator) CheckInvariants(partition int32) error {
	var err error
	c.do(partition, func(_ *coordinator.Event, s *shard) {
		var offsets int64
		for _, t := range s.offsets {
			for _, p := range t {
				offsets += int64(len(p))
			}
		}
		if offsets != s.offsetCount {
			err = fmt.Errorf("%d offsets, counted %d", offsets, s.offsetCount)
		}
		for id, g := range s.groups {
			if e := g.check(); e != nil {
				err = fmt.Errorf("group %s: %w", id, e)
			}
		}
	}, func(protocol.ErrorCode) {})
	return err
}

func (g *classicGroup) check() error {
	joining, static := 0, 0
	supported := make(map[string]int)
	for _, m := range g.order {
		if g.members[m.id] != m {
			return fmt.Errorf("member %s is not the one indexed", m.id)
		}
		if m.join != nil {
			joining++
		}
		if m.instanceID != nil {
			static++
			if g.static[*m.instanceID] != m.id {
				return fmt.Errorf("instance %s maps to %s", *m.instanceID, g.static[*m.instanceID])
			}
		}
		for _, p := range m.protocols {
			supported[p.name]++
		}
		if m.join != nil && g.state != statePreparingRebalance {
			return fmt.Errorf("member %s joins in %v", m.id, g.state)
		}
		if m.sync != nil && g.state != stateCompletingRebalance {
			return fmt.Errorf("member %s syncs in %v", m.id, g.state)
		}
		if m.session.timer == nil && m.join == nil && m.sync == nil {
			return fmt.Errorf("member %s has no session timer", m.id)
		}
	}
	switch {
	case len(g.members) != len(g.order), static != len(g.static), joining != g.awaitingJoin:
		return fmt.Errorf("counts: %d members, %d in order, %d static of %d, %d joining of %d",
			len(g.members), len(g.order), static, len(g.static), joining, g.awaitingJoin)
	case !maps.Equal(supported, g.supported):
		return fmt.Errorf("protocols %v, counted %v", supported, g.supported)
	case len(g.members) > 0 && g.members[g.leader] == nil:
		return fmt.Errorf("leader %q is no member", g.leader)
	case g.state == stateEmpty && len(g.members) > 0:
		return fmt.Errorf("empty with %d members", len(g.members))
	case g.state == statePreparingRebalance && g.joinTimer == nil:
		return fmt.Errorf("preparing without a timer")
	case g.state == stateCompletingRebalance && len(g.unsynced) > 0 && g.syncTimer == nil:
		return fmt.Errorf("completing without a timer")
	}
	for id := range g.unsynced {
		if g.members[id] == nil {
			return fmt.Errorf("unsynced %s is no member", id)
		}
	}
	return nil
}

// SubscribedTopics are the topics of a consumer's subscription, in order of name.
func SubscribedTopics(metadata []byte) ([]string, error) {
	topics := make(map[string]struct{})
	if err := addSubscribedTopics(topics, metadata); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(topics)), nil
}
