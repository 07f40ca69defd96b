package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// Versions of JoinGroup at which its behaviour changes.
const (
	joinMemberIDRequired = 4 // KIP-394
	joinNullableProtocol = 7 // KIP-559
	joinSkipAssignment   = 9 // KIP-814
)

// joinRequest is a JoinGroup request with what its connection adds.
type joinRequest struct {
	*kmsg.JoinGroupRequest
	client Client
	reply  joinReply
}

// rebalanceTimeoutMs is the member's rebalance timeout; v0 has none.
func (r *joinRequest) rebalanceTimeoutMs() int32 {
	if r.Version == 0 {
		return r.SessionTimeoutMillis
	}
	return r.RebalanceTimeoutMillis
}

// reason is the client's (KIP-800), for the log.
func (r *joinRequest) reason() string {
	if r.Reason == nil || *r.Reason == "" {
		return "not provided"
	}
	return cloneString(*r.Reason)
}

// joinGroup handles JoinGroup (Kafka's classicGroupJoinToClassicGroup).
func (s *shard) joinGroup(ev *coordinator.Event, r joinRequest) {
	unknown := r.MemberID == ""
	g := s.group(r.Group)
	if g == nil {
		if !unknown {
			answerJoin(ev, r.reply, joinError(r.MemberID, protocol.UnknownMemberID))
			return
		}
		g = s.groupOrNew(ev, r.Group)
	}
	defer s.dropIfVacant(g)
	if !g.accepts(r.MemberID, s.cfg.MaxSize) {
		s.evict(ev, g, r.MemberID)
		answerJoin(ev, r.reply, joinError("", protocol.GroupMaxSizeReached))
		return
	}
	if !g.supports(r.ProtocolType, r.Protocols) {
		answerJoin(ev, r.reply, joinError(r.MemberID, protocol.InconsistentGroupProtocol))
		return
	}
	if unknown {
		s.joinNew(ev, g, r)
	} else {
		s.joinKnown(ev, g, r)
	}
}

// joinNew handles a join without member id.
func (s *shard) joinNew(ev *coordinator.Event, g *classicGroup, r joinRequest) {
	switch {
	case r.InstanceID != nil:
		id := s.newMemberID(*r.InstanceID)
		if old, ok := g.static[*r.InstanceID]; ok {
			s.replaceStaticMember(ev, g, g.members[old], id, r)
			return
		}
		s.addMember(ev, g, id, r)
	case r.Version >= joinMemberIDRequired:
		id := s.newMemberID(r.client.ID)
		s.expect(ev, g, id, time.Duration(r.SessionTimeoutMillis)*time.Millisecond)
		answerJoin(ev, r.reply, joinError(id, protocol.MemberIDRequired))
	default:
		s.addMember(ev, g, s.newMemberID(r.client.ID), r)
	}
}

// joinKnown handles a join with a member id.
func (s *shard) joinKnown(ev *coordinator.Event, g *classicGroup, r joinRequest) {
	if _, ok := g.pending[r.MemberID]; ok && r.InstanceID == nil {
		s.addMember(ev, g, cloneString(r.MemberID), r)
		return
	}
	if code := g.checkMember(r.MemberID, r.InstanceID); code != protocol.None {
		answerJoin(ev, r.reply, joinError(r.MemberID, code))
		return
	}
	m := g.members[r.MemberID]
	switch g.state {
	case statePreparingRebalance:
		s.rejoin(ev, g, m, r, "a member joins while the group prepares")
	case stateCompletingRebalance:
		if m.offers(r.Protocols) { // the first answer was lost
			answerJoin(ev, r.reply, joinAnswer(g, m))
			return
		}
		s.rejoin(ev, g, m, r, "a member changed before the generation was complete")
	case stateStable:
		switch {
		case g.leader == m.id: // how a leader asks for a new assignment
			s.rejoin(ev, g, m, r, "the leader joins again")
		case !m.offers(r.Protocols):
			s.rejoin(ev, g, m, r, "a member changed")
		default:
			answerJoin(ev, r.reply, joinAnswer(g, m))
		}
	default:
		answerJoin(ev, r.reply, joinError(r.MemberID, protocol.UnknownMemberID))
	}
}

// addMember takes a new member in, parks its request and sees to a rebalance.
func (s *shard) addMember(ev *coordinator.Event, g *classicGroup, id string, r joinRequest) {
	m := &member{
		id:                 id,
		instanceID:         cloneStringPtr(r.InstanceID),
		clientID:           cloneString(r.client.ID),
		clientHost:         r.client.Host,
		rebalanceTimeoutMs: r.rebalanceTimeoutMs(),
		sessionTimeoutMs:   r.SessionTimeoutMillis,
		protocolType:       cloneString(r.ProtocolType),
		protocols:          copyProtocols(r.Protocols),
		isNew:              true,
		join:               r.reply,
	}
	if g.state == statePreparingRebalance && g.previous == stateEmpty {
		g.newMemberAdded = true
	}
	g.add(m)
	// A new member knows no id to heartbeat with, and a client that goes away
	// while its request is parked is not noticed: a retrying one would leave a
	// trail of dead members. So the request itself times out.
	s.extendSessionBy(ev, g, m, newMemberJoinTimeout)
	s.log.Info("member joins", "group", g.id, "member", m.id, "state", g.state, "reason", r.reason())
	s.rebalanceOrComplete(ev, g, "a member was added")
}

// rejoin takes over what m now says of itself, parks its request and sees to a
// rebalance.
func (s *shard) rejoin(ev *coordinator.Event, g *classicGroup, m *member, r joinRequest, why string) {
	g.update(m, copyProtocols(r.Protocols), r.rebalanceTimeoutMs(), r.SessionTimeoutMillis)
	s.supersede(ev, m)
	g.park(m, r.reply)
	s.log.Debug("member rejoins", "group", g.id, "member", m.id, "reason", r.reason())
	s.rebalanceOrComplete(ev, g, why)
}

// supersede answers what m has parked when it asks again, so that the older
// connection is not held for ever.
func (s *shard) supersede(ev *coordinator.Event, m *member) {
	if m.join != nil {
		answerJoin(ev, m.join, joinError(m.id, protocol.RebalanceInProgress))
	}
}

// expect hands out a member id and keeps it for one session timeout.
func (s *shard) expect(ev *coordinator.Event, g *classicGroup, id string, timeout time.Duration) {
	g.pending[id] = ev.After(timeout, func(ev *coordinator.Event) {
		if _, ok := g.pending[id]; !ok || !s.isCurrent(g) {
			return
		}
		delete(g.pending, id)
		s.log.Info("pending member did not join in time", "group", g.id, "member", id)
		if g.state == statePreparingRebalance && g.allJoined() {
			s.completeJoin(ev, g)
		}
		s.dropIfVacant(g)
	})
}

// evict removes a member that finds no room when it rejoins.
func (s *shard) evict(ev *coordinator.Event, g *classicGroup, id string) {
	if m := g.members[id]; m != nil {
		s.failJoin(ev, g, m, "", protocol.UnknownMemberID)
		s.failSync(ev, m, protocol.UnknownMemberID)
	}
	g.remove(id)
	s.maybeCompleteJoin(ev, g)
}

// replaceStaticMember gives the instance a new member id. In a Stable group
// whose protocol stays the same nothing else changes, and no rebalance starts
// (KIP-345); from v9 on the leader is told to leave the assignment alone.
func (s *shard) replaceStaticMember(ev *coordinator.Event, g *classicGroup, old *member, id string, r joinRequest) {
	oldLeader := g.leader
	s.failJoin(ev, g, old, old.id, protocol.FencedInstanceID)
	s.failSync(ev, old, protocol.FencedInstanceID)
	m := g.replaceStatic(old, id)
	s.log.Info("static member replaced", "group", g.id, "instance", *m.instanceID,
		"old", old.id, "new", id, "state", g.state)
	g.update(m, copyProtocols(r.Protocols), r.rebalanceTimeoutMs(), r.SessionTimeoutMillis)
	s.extendSession(ev, g, m)

	switch {
	case g.state == stateStable && g.selectProtocol() == g.protocol:
		s.storeReplacement(ev, g, old, m, oldLeader, r)
	case g.state == stateStable:
		g.park(m, r.reply)
		s.rebalanceOrComplete(ev, g, "a static member changes the group's protocol")
	case g.state == stateCompletingRebalance:
		// The leader may be assigning to the old id right now.
		g.park(m, r.reply)
		s.prepareRebalance(ev, g, "a static member was replaced before the assignment")
	default:
		g.park(m, r.reply)
		s.maybeCompleteJoin(ev, g)
	}
}

// storeReplacement persists a replaced static member and answers it, or takes
// the replacement back.
func (s *shard) storeReplacement(ev *coordinator.Event, g *classicGroup, old, m *member, oldLeader string, r joinRequest) {
	if err := s.writeGroup(ev, g, (*member).currentAssignment); err != nil {
		back := g.replaceStatic(m, old.id)
		g.update(back, old.protocols, old.rebalanceTimeoutMs, old.sessionTimeoutMs)
		s.extendSession(ev, g, back)
		resp := joinAnswer(g, back)
		resp.MemberID, resp.LeaderID, resp.Members = "", oldLeader, nil
		resp.ErrorCode = int16(coordinator.AppendError(err))
		answerJoin(ev, r.reply, resp)
		return
	}
	resp := joinAnswer(g, m)
	if r.Version >= joinSkipAssignment {
		resp.SkipAssignment = g.leader == m.id
	} else {
		// Naming the old leader keeps a replaced leader from assigning again.
		resp.LeaderID, resp.Members = oldLeader, nil
	}
	answerJoin(ev, r.reply, resp)
}

// newMemberID makes a member id from a client or instance id.
func (s *shard) newMemberID(prefix string) string {
	return prefix[:min(len(prefix), maxMemberIDPrefixBytes)] + "-" + s.cfg.NewID()
}

// joinAnswer is the answer to m in the present generation.
func joinAnswer(g *classicGroup, m *member) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.Generation = g.generation
	resp.ProtocolType = nilIfEmpty(g.protocolType)
	resp.Protocol = nilIfEmpty(g.protocol)
	resp.LeaderID = g.leader
	resp.MemberID = m.id
	if g.leader == m.id {
		resp.Members = g.memberMetadata()
	}
	return resp
}

// joinError is an answer that only says code, and to whom.
func joinError(memberID string, code protocol.ErrorCode) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.MemberID = memberID
	resp.ErrorCode = int16(code)
	return resp
}

// answerJoin sends resp once what it rests on is durable.
func answerJoin(ev *coordinator.Event, reply joinReply, resp *kmsg.JoinGroupResponse) {
	ev.Answer(func(code protocol.ErrorCode) {
		if code != protocol.None {
			resp = joinError("", code)
		}
		reply(resp)
	})
}

// failJoin answers m's parked JoinGroup, if any, with code.
func (s *shard) failJoin(ev *coordinator.Event, g *classicGroup, m *member, memberID string, code protocol.ErrorCode) {
	if reply := g.unpark(m); reply != nil {
		answerJoin(ev, reply, joinError(memberID, code))
	}
}
