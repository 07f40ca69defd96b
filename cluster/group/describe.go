package group

import (
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// describeNotFound is the DescribeGroups version that says GROUP_ID_NOT_FOUND
// instead of describing a Dead group (KIP-1043).
const describeNotFound = 6

// typeClassic is the group type ListGroups shows (KIP-848).
const typeClassic = "classic"

// groupOperations are the operations that exist on a group, as the bit field of
// authorized_operations: read, delete, describe, describe and alter configs.
// Without an authorizer all are allowed.
const groupOperations = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11

// describe answers DescribeGroups for one group.
func (s *shard) describe(id string, version int16) kmsg.DescribeGroupsResponseGroup {
	out := kmsg.NewDescribeGroupsResponseGroup()
	out.Group = id
	g := s.groups[id]
	if g == nil {
		out.State = stateDead.String()
		if version >= describeNotFound {
			message := "Group " + id + " not found."
			out.ErrorCode = int16(protocol.GroupIDNotFound)
			out.ErrorMessage = &message
		}
		return out
	}
	out.State = g.state.String()
	out.ProtocolType = g.protocolType
	if g.state == stateStable {
		out.Protocol = g.protocol
	}
	out.Members = make([]kmsg.DescribeGroupsResponseGroupMember, 0, len(g.order))
	for _, m := range g.order {
		rm := kmsg.DescribeGroupsResponseGroupMember{
			MemberID:         m.id,
			InstanceID:       m.instanceID,
			ClientID:         m.clientID,
			ClientHost:       m.clientHost,
			MemberAssignment: m.assignment,
		}
		if g.state == stateStable {
			rm.ProtocolMetadata = m.metadata(g.protocol)
		}
		out.Members = append(out.Members, rm)
	}
	return out
}

// describeError is the description of a group that could not be looked up.
func describeError(id string, code protocol.ErrorCode) kmsg.DescribeGroupsResponseGroup {
	out := kmsg.NewDescribeGroupsResponseGroup()
	out.Group = id
	out.ErrorCode = int16(code)
	return out
}

// listFilter is what ListGroups asks for; names are compared without case.
type listFilter struct {
	states, types []string
}

func (f listFilter) matches(g *classicGroup) bool {
	has := func(list []string, name string) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(s string) bool {
			return strings.EqualFold(strings.TrimSpace(s), name)
		})
	}
	return has(f.states, g.state.String()) && has(f.types, typeClassic)
}

// list answers ListGroups for this shard, sorted by id.
func (s *shard) list(f listFilter) []kmsg.ListGroupsResponseGroup {
	var out []kmsg.ListGroupsResponseGroup
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		if g := s.groups[id]; f.matches(g) {
			out = append(out, kmsg.ListGroupsResponseGroup{
				Group:        id,
				ProtocolType: g.protocolType,
				GroupState:   g.state.String(),
				GroupType:    typeClassic,
			})
		}
	}
	return out
}
