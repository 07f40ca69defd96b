package group

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// syncNamesProtocol is the SyncGroup version that must name type and protocol
// (KIP-559).
const syncNamesProtocol = 5

// syncGroup handles SyncGroup (Kafka's classicGroupSyncToClassicGroup).
func (s *shard) syncGroup(ev *coordinator.Event, req *kmsg.SyncGroupRequest, reply syncReply) {
	g := s.group(req.Group)
	if g == nil || g.state == stateEmpty {
		answerSync(ev, reply, syncError(protocol.UnknownMemberID))
		return
	}
	if code := checkSync(g, req); code != protocol.None {
		answerSync(ev, reply, syncError(code))
		return
	}
	m := g.members[req.MemberID]
	switch g.state {
	case statePreparingRebalance:
		answerSync(ev, reply, syncError(protocol.RebalanceInProgress))
	case stateCompletingRebalance:
		s.failSync(ev, m, protocol.RebalanceInProgress) // superseded
		m.sync = reply
		g.synced(m.id)
		if g.leader == m.id {
			s.assign(ev, g, req.GroupAssignment)
		}
	default:
		g.synced(m.id)
		answerSync(ev, reply, syncAnswer(g, m))
	}
}

// checkSync gives the error for a SyncGroup that does not fit the group.
func checkSync(g *classicGroup, req *kmsg.SyncGroupRequest) protocol.ErrorCode {
	if code := g.checkMember(req.MemberID, req.InstanceID); code != protocol.None {
		return code
	}
	differs := func(said *string, is string) bool { return said != nil && is != "" && *said != is }
	switch {
	case req.Generation != g.generation:
		return protocol.IllegalGeneration
	case differs(req.ProtocolType, g.protocolType), differs(req.Protocol, g.protocol):
		return protocol.InconsistentGroupProtocol
	}
	return protocol.None
}

// assign stores the leader's assignment and gives it to the members: the group
// is Stable. Members that it leaves out get an empty one.
func (s *shard) assign(ev *coordinator.Event, g *classicGroup, list []kmsg.SyncGroupRequestGroupAssignment) {
	byMember := make(map[string][]byte, len(list))
	for i := range list {
		byMember[list[i].MemberID] = list[i].MemberAssignment
	}
	assignment := func(m *member) []byte { return byMember[m.id] }
	if err := s.writeGroup(ev, g, assignment); err != nil {
		code := coordinator.AppendError(err)
		s.log.Warn("group assignment not stored", "group", g.id, "generation", g.generation, "err", err)
		s.propagate(ev, g, code, func(*member) []byte { return nil })
		s.prepareRebalance(ev, g, "the assignment could not be stored")
		return
	}
	s.propagate(ev, g, protocol.None, func(m *member) []byte { return bytes.Clone(assignment(m)) })
	g.transition(stateStable, ev.NowMs())
	s.metrics.RebalancesCompleted.Add(1)
}

// propagate sets every member's assignment and answers the parked SyncGroups.
// Sessions of members that waited start anew: they did not run meanwhile.
func (s *shard) propagate(ev *coordinator.Event, g *classicGroup, code protocol.ErrorCode, assign func(*member) []byte) {
	for _, m := range g.order {
		m.assignment = assign(m)
		reply := m.sync
		if reply == nil {
			continue
		}
		m.sync = nil
		resp := syncError(code)
		if code == protocol.None {
			resp = syncAnswer(g, m)
		}
		answerSync(ev, reply, resp)
		s.extendSession(ev, g, m)
	}
}

// heartbeat handles Heartbeat and gives its error code.
func (s *shard) heartbeat(ev *coordinator.Event, req *kmsg.HeartbeatRequest) protocol.ErrorCode {
	g := s.group(req.Group)
	if g == nil {
		return protocol.UnknownMemberID
	}
	if code := g.checkMember(req.MemberID, req.InstanceID); code != protocol.None {
		return code
	}
	if req.Generation != g.generation {
		return protocol.IllegalGeneration
	}
	s.extendSession(ev, g, g.members[req.MemberID])
	if g.state == statePreparingRebalance {
		return protocol.RebalanceInProgress
	}
	return protocol.None
}

func syncAnswer(g *classicGroup, m *member) *kmsg.SyncGroupResponse {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ProtocolType = nilIfEmpty(g.protocolType)
	resp.Protocol = nilIfEmpty(g.protocol)
	resp.MemberAssignment = m.assignment
	return resp
}

func syncError(code protocol.ErrorCode) *kmsg.SyncGroupResponse {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ErrorCode = int16(code)
	return resp
}

// answerSync sends resp once what it rests on is durable.
func answerSync(ev *coordinator.Event, reply syncReply, resp *kmsg.SyncGroupResponse) {
	ev.Answer(func(code protocol.ErrorCode) {
		if code != protocol.None {
			resp = syncError(code)
		}
		reply(resp)
	})
}

// failSync answers m's parked SyncGroup, if any, with code.
func (s *shard) failSync(ev *coordinator.Event, m *member, code protocol.ErrorCode) {
	if reply := m.sync; reply != nil {
		m.sync = nil
		answerSync(ev, reply, syncError(code))
	}
}
