package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// leaveBatch is the LeaveGroup version that names several members and answers
// each (KIP-345).
const leaveBatch = 3

// leaveGroup handles LeaveGroup (Kafka's classicGroupLeaveToClassicGroup). It
// answers with one code per member of the request.
func (s *shard) leaveGroup(ev *coordinator.Event, group string, leaving []kmsg.LeaveGroupRequestMember) []kmsg.LeaveGroupResponseMember {
	out := make([]kmsg.LeaveGroupResponseMember, len(leaving))
	g := s.group(group)
	left := 0
	for i := range leaving {
		l := &leaving[i]
		code := protocol.UnknownMemberID
		if g != nil {
			code = s.leave(ev, g, l)
		}
		if code == protocol.None {
			left++
		}
		out[i] = kmsg.LeaveGroupResponseMember{MemberID: l.MemberID, InstanceID: l.InstanceID, ErrorCode: int16(code)}
	}
	if left == 0 {
		return out
	}
	switch g.state {
	case stateStable, stateCompletingRebalance:
		s.prepareRebalance(ev, g, "members left")
	case statePreparingRebalance:
		s.maybeCompleteJoin(ev, g)
	}
	s.dropIfVacant(g)
	return out
}

// leave removes one member. A static member may be named by its instance id
// alone: that is how an administrator removes it.
func (s *shard) leave(ev *coordinator.Event, g *classicGroup, l *kmsg.LeaveGroupRequestMember) protocol.ErrorCode {
	id := l.MemberID
	if id == "" {
		if l.InstanceID == nil {
			return protocol.UnknownMemberID
		}
		owner, ok := g.static[*l.InstanceID]
		if !ok {
			return protocol.UnknownMemberID
		}
		id = owner
	} else if _, ok := g.pending[id]; ok {
		g.dropPending(id)
		return protocol.None
	} else if code := g.checkMember(id, l.InstanceID); code != protocol.None {
		return code
	}
	m := g.members[id]
	s.log.Info("member leaves", "group", g.id, "member", m.id, "reason", leaveReason(l))
	s.failJoin(ev, g, m, "", protocol.UnknownMemberID)
	s.failSync(ev, m, protocol.UnknownMemberID)
	g.remove(m.id)
	return protocol.None
}

func leaveReason(l *kmsg.LeaveGroupRequestMember) string {
	if l.Reason == nil || *l.Reason == "" {
		return "not provided"
	}
	return cloneString(*l.Reason)
}
