package group

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// consumerProtocol is the protocol type of consumers: the coordinator reads
// their subscriptions, and of no other type.
const consumerProtocol = "consumer"

// noTimestamp is Kafka's "no time".
const noTimestamp = -1

// classicGroup is a group of the classic rebalance protocol (Kafka's
// ClassicGroup). It is guarded by its shard. What survives a restart is what
// groupRecord stores; the rest is rebuilt by the members' next requests.
type classicGroup struct {
	id           string
	state        state
	previous     state
	stateSinceMs int64 // when state was entered; -1 in records of old brokers
	// protocolType is "" in a simple group: one that only stores offsets.
	protocolType string
	protocol     string // chosen for this generation, "" if none
	generation   int32
	leader       string // member id, "" if none

	members map[string]*member
	order   []*member         // members by time of joining
	static  map[string]string // instance id -> member id
	// pending holds the member ids that were handed out with
	// MEMBER_ID_REQUIRED and not used yet, with their expiry.
	pending map[string]coordinator.Handle
	// unsynced are the members that joined this generation and did not sync.
	unsynced     map[string]struct{}
	awaitingJoin int            // members with a parked JoinGroup
	supported    map[string]int // protocol name -> members that list it
	// subscribed are the topics of a consumer group's members, valid if
	// subscribedKnown: unreadable subscriptions leave it unknown.
	subscribed      map[string]struct{}
	subscribedKnown bool
	// newMemberAdded says that the first rebalance may wait once more.
	newMemberAdded bool
	joinTimer      coordinator.Handle // rebalance timeout or initial delay
	syncTimer      coordinator.Handle
	// stored says that a group record may be in the log; unstored that the
	// log's is older than the group's last change that should be there.
	stored, unstored bool
}

func newClassicGroup(id string, nowMs int64) *classicGroup {
	return &classicGroup{
		id:           id,
		state:        stateEmpty,
		previous:     stateDead,
		stateSinceMs: nowMs,
		members:      make(map[string]*member),
		static:       make(map[string]string),
		pending:      make(map[string]coordinator.Handle),
		unsynced:     make(map[string]struct{}),
		supported:    make(map[string]int),
	}
}

// transition enters to; a step that the diagram does not have is a bug.
func (g *classicGroup) transition(to state, nowMs int64) {
	if !to.mayFollow(g.state) {
		panic(fmt.Sprintf("group %q: transition from %v to %v", g.id, g.state, to))
	}
	g.previous, g.state, g.stateSinceMs = g.state, to, nowMs
}

// add makes m a member. Its protocols must be supported by the group.
func (g *classicGroup) add(m *member) {
	if m.instanceID != nil {
		g.static[*m.instanceID] = m.id
	}
	if len(g.members) == 0 {
		g.protocolType = m.protocolType
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.members[m.id] = m
	g.order = append(g.order, m)
	g.countProtocols(m, +1)
	if m.join != nil {
		g.awaitingJoin++
	}
	g.dropPending(m.id)
}

// remove forgets a member or pending member. The caller has answered its
// parked requests. If it led, the member that joined first leads.
func (g *classicGroup) remove(id string) {
	if m := g.members[id]; m != nil {
		delete(g.members, id)
		g.order = slices.DeleteFunc(g.order, func(o *member) bool { return o == m })
		g.countProtocols(m, -1)
		if m.join != nil {
			g.awaitingJoin--
		}
		if m.instanceID != nil {
			delete(g.static, *m.instanceID)
		}
		m.session.stop()
	}
	if g.leader == id {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0].id
		}
	}
	g.dropPending(id)
	delete(g.unsynced, id)
}

// dropPending forgets a pending member id.
func (g *classicGroup) dropPending(id string) {
	if h, ok := g.pending[id]; ok {
		h.Stop()
		delete(g.pending, id)
	}
}

// replaceStatic gives a static member a new id and keeps everything else of
// it, its place included. The caller has answered the old id's parked requests.
func (g *classicGroup) replaceStatic(old *member, newID string) *member {
	m := &member{
		id:                 newID,
		instanceID:         old.instanceID,
		clientID:           old.clientID,
		clientHost:         old.clientHost,
		rebalanceTimeoutMs: old.rebalanceTimeoutMs,
		sessionTimeoutMs:   old.sessionTimeoutMs,
		protocolType:       old.protocolType,
		protocols:          old.protocols,
		assignment:         old.assignment,
	}
	old.session.stop()
	delete(g.members, old.id)
	delete(g.unsynced, old.id)
	g.members[newID] = m
	g.order[slices.Index(g.order, old)] = m
	if g.leader == old.id {
		g.leader = newID
	}
	g.static[*m.instanceID] = newID
	return m
}

// update takes over what a rejoining member says of itself.
func (g *classicGroup) update(m *member, protocols []memberProtocol, rebalanceMs, sessionMs int32) {
	g.countProtocols(m, -1)
	m.protocols = protocols
	g.countProtocols(m, +1)
	m.rebalanceTimeoutMs, m.sessionTimeoutMs = rebalanceMs, sessionMs
}

func (g *classicGroup) countProtocols(m *member, by int) {
	for i := range m.protocols {
		name := m.protocols[i].name
		if g.supported[name] += by; g.supported[name] == 0 {
			delete(g.supported, name)
		}
	}
}

// park leaves m waiting for its JoinGroup answer; a request it had parked
// before is superseded and will not be answered by the group.
func (g *classicGroup) park(m *member, reply joinReply) {
	if m.join == nil {
		g.awaitingJoin++
	}
	m.join = reply
}

// unpark takes m's parked JoinGroup, nil if there is none.
func (g *classicGroup) unpark(m *member) joinReply {
	reply := m.join
	if reply != nil {
		m.join = nil
		g.awaitingJoin--
	}
	return reply
}

// supports reports whether a member with these protocols can be in the group.
func (g *classicGroup) supports(protocolType string, protocols []kmsg.JoinGroupRequestProtocol) bool {
	if g.state == stateEmpty {
		return protocolType != "" && len(protocols) > 0
	}
	return protocolType == g.protocolType &&
		slices.ContainsFunc(protocols, func(p kmsg.JoinGroupRequestProtocol) bool {
			return g.supported[p.Name] == len(g.members)
		})
}

// selectProtocol counts one vote per member, for the first of its protocols
// that all members support. Of equal ones the one voted for first wins (Kafka
// leaves that to its hash map).
func (g *classicGroup) selectProtocol() string {
	votes := make(map[string]int, 2)
	best := ""
	for _, m := range g.order {
		for i := range m.protocols {
			if name := m.protocols[i].name; g.supported[name] == len(g.members) {
				votes[name]++
				break
			}
		}
	}
	for _, m := range g.order {
		for i := range m.protocols {
			if name := m.protocols[i].name; votes[name] > votes[best] {
				best = name
			}
		}
	}
	return best
}

// nextGeneration ends the join phase: Empty without members, else
// CompletingRebalance with a protocol chosen.
func (g *classicGroup) nextGeneration(nowMs int64) {
	g.generation++
	clear(g.unsynced)
	if len(g.members) == 0 {
		g.protocol = ""
		g.readSubscriptions()
		g.transition(stateEmpty, nowMs)
		return
	}
	g.protocol = g.selectProtocol()
	g.readSubscriptions()
	g.transition(stateCompletingRebalance, nowMs)
}

// electJoinedLeader makes sure that the leader is among those who rejoined.
// It reports false if nobody did.
func (g *classicGroup) electJoinedLeader() bool {
	leader := g.members[g.leader]
	if leader == nil {
		return false
	}
	if leader.join != nil {
		return true
	}
	for _, m := range g.order {
		if m.join != nil {
			g.leader = m.id
			return true
		}
	}
	return false
}

// allJoined reports whether the join phase need not wait for anybody.
func (g *classicGroup) allJoined() bool {
	return len(g.members) == g.awaitingJoin && len(g.pending) == 0
}

// rebalanceTimeout is the longest any member asks for.
func (g *classicGroup) rebalanceTimeout() time.Duration {
	var ms int32
	for _, m := range g.order {
		ms = max(ms, m.rebalanceTimeoutMs)
	}
	return time.Duration(ms) * time.Millisecond
}

// checkMember gives the error for a request of a member: FENCED_INSTANCE_ID
// if its instance id belongs to another, UNKNOWN_MEMBER_ID, or NONE.
func (g *classicGroup) checkMember(memberID string, instanceID *string) protocol.ErrorCode {
	if instanceID != nil {
		owner, ok := g.static[*instanceID]
		if !ok {
			return protocol.UnknownMemberID
		}
		if owner != memberID {
			return protocol.FencedInstanceID
		}
	}
	if g.members[memberID] == nil {
		return protocol.UnknownMemberID
	}
	return protocol.None
}

// accepts reports whether a joining member finds room (group.max.size).
// While preparing only those who rejoined count, so that the last to come stay
// out when the limit was lowered.
func (g *classicGroup) accepts(memberID string, limit int) bool {
	switch m := g.members[memberID]; g.state {
	case statePreparingRebalance:
		return m != nil && m.join != nil || g.awaitingJoin < limit
	case stateCompletingRebalance, stateStable:
		return m != nil || len(g.members) < limit
	default:
		return true
	}
}

// memberMetadata lists the members for the leader's JoinGroup answer.
func (g *classicGroup) memberMetadata() []kmsg.JoinGroupResponseMember {
	out := make([]kmsg.JoinGroupResponseMember, 0, len(g.order))
	for _, m := range g.order {
		out = append(out, kmsg.JoinGroupResponseMember{
			MemberID:         m.id,
			InstanceID:       m.instanceID,
			ProtocolMetadata: m.metadata(g.protocol),
		})
	}
	return out
}
