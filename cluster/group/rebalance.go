package group

import (
	"slices"
	"time"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// rebalanceOrComplete starts a rebalance, or sees whether the running one can
// go on.
func (s *shard) rebalanceOrComplete(ev *coordinator.Event, g *classicGroup, why string) {
	if g.state.canRebalance() {
		s.prepareRebalance(ev, g, why)
	} else {
		s.maybeCompleteJoin(ev, g)
	}
}

// prepareRebalance starts a rebalance: all members are to join again. The
// first one of a group waits for more members to come.
func (s *shard) prepareRebalance(ev *coordinator.Event, g *classicGroup, why string) {
	if g.state == stateCompletingRebalance {
		s.propagate(ev, g, protocol.RebalanceInProgress, func(*member) []byte { return nil })
	}
	clear(g.unsynced)
	stopTimer(&g.syncTimer)

	initial := g.state == stateEmpty
	g.transition(statePreparingRebalance, ev.NowMs())
	s.metrics.RebalancesStarted.Add(1)
	s.log.Info("preparing to rebalance", "group", g.id, "generation", g.generation, "reason", why)
	switch {
	case initial:
		delay := s.cfg.InitialRebalanceDelay
		s.awaitFirstMembers(ev, g, delay, max(g.rebalanceTimeout()-delay, 0))
	case g.allJoined():
		s.completeJoin(ev, g)
	default:
		s.awaitMembers(ev, g, 0)
	}
}

// awaitFirstMembers ends the join phase after delay, unless members came
// meanwhile and remaining time allows to wait on.
func (s *shard) awaitFirstMembers(ev *coordinator.Event, g *classicGroup, delay, remaining time.Duration) {
	if delay <= 0 {
		s.completeJoin(ev, g)
		return
	}
	s.setJoinTimer(ev, g, delay, func(ev *coordinator.Event) {
		if g.newMemberAdded && remaining > 0 {
			g.newMemberAdded = false
			s.awaitFirstMembers(ev, g, min(s.cfg.InitialRebalanceDelay, remaining), max(remaining-delay, 0))
			return
		}
		s.completeJoin(ev, g)
	})
}

// staticMembersWait is the least time between two looks whether one of a group's
// static members has come back.
const staticMembersWait = time.Second

// awaitMembers ends the join phase after the rebalance timeout, or after least if that is longer.
func (s *shard) awaitMembers(ev *coordinator.Event, g *classicGroup, least time.Duration) {
	s.setJoinTimer(ev, g, max(g.rebalanceTimeout(), least), func(ev *coordinator.Event) { s.completeJoin(ev, g) })
}

// setJoinTimer sets the one timer of the join phase.
func (s *shard) setJoinTimer(ev *coordinator.Event, g *classicGroup, d time.Duration, f func(*coordinator.Event)) {
	stopTimer(&g.joinTimer)
	var h coordinator.Handle
	h = ev.After(d, func(ev *coordinator.Event) {
		if g.joinTimer != h || !s.isCurrent(g) {
			return
		}
		g.joinTimer = nil
		f(ev)
	})
	g.joinTimer = h
}

// maybeCompleteJoin ends the join phase if everybody is there; the first
// rebalance of a group ends by its timer only.
func (s *shard) maybeCompleteJoin(ev *coordinator.Event, g *classicGroup) {
	if g.state == statePreparingRebalance && g.previous != stateEmpty && g.allJoined() {
		s.completeJoin(ev, g)
	}
}

// completeJoin ends the join phase. Dynamic members that did not rejoin are
// out; static ones stay until their session ends. With members left the
// generation begins and all parked JoinGroups are answered.
func (s *shard) completeJoin(ev *coordinator.Event, g *classicGroup) {
	stopTimer(&g.joinTimer)
	g.newMemberAdded = false
	for _, m := range slices.Clone(g.order) {
		if m.join == nil && m.instanceID == nil {
			s.log.Info("member did not rejoin in time", "group", g.id, "member", m.id)
			g.remove(m.id)
		}
	}
	if len(g.members) > 0 && !g.electJoinedLeader() {
		// Only static members are left and none has come back: wait on until
		// one does, or their sessions end. A member may ask for a rebalance
		// timeout of 0.
		s.awaitMembers(ev, g, staticMembersWait)
		return
	}
	g.nextGeneration(ev.NowMs())
	if g.state == stateEmpty {
		s.log.Info("group is empty", "group", g.id, "generation", g.generation)
		if err := s.writeGroup(ev, g, (*member).currentAssignment); err != nil {
			// After a restart the last stored generation would come back, with
			// members that then time out. The expiry check tries again.
			g.unstored = true
			s.log.Warn("empty group not stored", "group", g.id, "err", err)
		}
		return
	}
	s.log.Info("generation begins", "group", g.id, "generation", g.generation,
		"members", len(g.members), "leader", g.leader, "protocol", g.protocol)
	for _, m := range g.order {
		if reply := g.unpark(m); reply != nil {
			answerJoin(ev, reply, joinAnswer(g, m))
		}
		s.extendSession(ev, g, m)
		m.isNew = false
		g.unsynced[m.id] = struct{}{}
	}
	s.awaitSyncs(ev, g)
}

// awaitSyncs removes the members that have not sent SyncGroup when the
// rebalance timeout has passed.
func (s *shard) awaitSyncs(ev *coordinator.Event, g *classicGroup) {
	var h coordinator.Handle
	h = ev.After(g.rebalanceTimeout(), func(ev *coordinator.Event) {
		if g.syncTimer != h || !s.isCurrent(g) {
			return
		}
		g.syncTimer = nil
		if len(g.unsynced) == 0 {
			return
		}
		for _, m := range slices.Clone(g.order) {
			if _, ok := g.unsynced[m.id]; ok {
				s.log.Info("member did not sync in time", "group", g.id, "member", m.id)
				g.remove(m.id)
			}
		}
		s.prepareRebalance(ev, g, "members did not sync in time")
	})
	g.syncTimer = h
}

// synced notes that a member has sent SyncGroup.
func (g *classicGroup) synced(id string) {
	delete(g.unsynced, id)
	if len(g.unsynced) == 0 {
		stopTimer(&g.syncTimer)
	}
}

// extendSession gives m a whole session timeout from now.
func (s *shard) extendSession(ev *coordinator.Event, g *classicGroup, m *member) {
	s.extendSessionBy(ev, g, m, time.Duration(m.sessionTimeoutMs)*time.Millisecond)
}

func (s *shard) extendSessionBy(ev *coordinator.Event, g *classicGroup, m *member, timeout time.Duration) {
	m.session.extend(ev, timeout, func(ev *coordinator.Event) {
		if s.isCurrent(g) && g.members[m.id] == m && !m.awaitsCoordinator() {
			s.sessionExpired(ev, g, m)
		}
	})
}

// sessionExpired removes a member that was not heard of.
func (s *shard) sessionExpired(ev *coordinator.Event, g *classicGroup, m *member) {
	s.log.Info("member's session expired", "group", g.id, "member", m.id, "state", g.state)
	s.metrics.SessionsExpired.Add(1)
	s.failJoin(ev, g, m, "", protocol.UnknownMemberID)
	s.failSync(ev, m, protocol.UnknownMemberID)
	g.remove(m.id)
	switch g.state {
	case stateStable, stateCompletingRebalance:
		s.prepareRebalance(ev, g, "a member's session expired")
	case statePreparingRebalance:
		if g.allJoined() {
			s.completeJoin(ev, g)
		}
	}
}

// writeGroup stores the group as it is.
func (s *shard) writeGroup(ev *coordinator.Event, g *classicGroup, assign func(*member) []byte) error {
	if _, err := ev.Write(groupRecord(g, assign)); err != nil {
		return err
	}
	g.stored, g.unstored = true, false
	return nil
}

// currentAssignment is the assignment the member has.
func (m *member) currentAssignment() []byte { return m.assignment }
