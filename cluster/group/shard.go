package group

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// shard holds the groups and offsets of one partition of __consumer_offsets.
// The runtime calls it with the partition locked; it implements
// coordinator.State.
type shard struct {
	partition int32
	cfg       *Config
	metrics   *Metrics
	log       *slog.Logger

	groups  map[string]*classicGroup
	offsets map[string]topicOffsets // by group
	// pending are offsets of open transactions, by producer id and group.
	pending map[int64]map[string]topicOffsets

	offsetCount int64 // committed offsets held
	loaded      bool  // between Loaded and Unloaded
}

func newShard(partition int32, cfg *Config, metrics *Metrics) *shard {
	return &shard{
		partition: partition,
		cfg:       cfg,
		metrics:   metrics,
		log:       cfg.Logger.With("partition", partition),
		groups:    make(map[string]*classicGroup),
		offsets:   make(map[string]topicOffsets),
		pending:   make(map[int64]map[string]topicOffsets),
	}
}

// Replay implements coordinator.State. Types that are not known here (groups
// of the newer protocols) are skipped.
func (s *shard) Replay(r coordinator.ReplayedRecord) error {
	kind, err := keyType(r.Key)
	if err != nil {
		return err
	}
	switch kind {
	case keyOffsetCommitV0, keyOffsetCommit:
		return s.replayOffset(r)
	case keyGroupMetadata:
		return s.replayGroup(r)
	default:
		s.metrics.SkippedRecords.Add(1)
		return nil
	}
}

// replayGroup applies a group record: the group becomes what it says, Stable
// or, without members, Empty. Others than this program may have written it: of
// two members with one id the first counts, and a leader that is no member
// leaves its place to the first.
func (s *shard) replayGroup(r coordinator.ReplayedRecord) error {
	var key kmsg.GroupMetadataKey
	if err := key.ReadFrom(r.Key); err != nil {
		return fmt.Errorf("group key: %w", err)
	}
	if r.Value == nil {
		delete(s.groups, key.Group)
		return nil
	}
	var value kmsg.GroupMetadataValue
	if err := readValue(groupMetadataSchema, &value, r.Value); err != nil {
		return fmt.Errorf("group %q: value: %w", key.Group, err)
	}
	g := newClassicGroup(key.Group, value.CurrentStateTimestamp)
	g.stored = true
	g.generation = value.Generation
	g.protocol = deref(value.Protocol)
	g.leader = deref(value.Leader)
	for i := range value.Members {
		if m := loadMember(&value, &value.Members[i]); !g.has(m) {
			g.add(m)
		}
	}
	if g.members[g.leader] == nil && len(g.order) > 0 {
		g.leader = g.order[0].id
	}
	g.protocolType = value.ProtocolType
	if len(g.members) > 0 {
		g.state = stateStable
	}
	g.readSubscriptions()
	s.groups[key.Group] = g
	return nil
}

// has reports whether a member of m's id, or of its instance, is in the group.
func (g *classicGroup) has(m *member) bool {
	if m.instanceID != nil {
		if _, ok := g.static[*m.instanceID]; ok {
			return true
		}
	}
	return g.members[m.id] != nil
}

// loadMember makes the member that a group record describes. Only the chosen
// protocol is stored, so it is the only one the member offers. Nothing of it
// refers to the record, whose bytes are lent for the replay.
func loadMember(value *kmsg.GroupMetadataValue, v *kmsg.GroupMetadataValueMember) *member {
	m := &member{
		id:                 v.MemberID,
		instanceID:         v.InstanceID,
		clientID:           v.ClientID,
		clientHost:         v.ClientHost,
		rebalanceTimeoutMs: v.RebalanceTimeoutMillis,
		sessionTimeoutMs:   v.SessionTimeoutMillis,
		protocolType:       value.ProtocolType,
		protocols:          []memberProtocol{{name: deref(value.Protocol), metadata: bytes.Clone(v.Subscription)}},
		assignment:         bytes.Clone(v.Assignment),
	}
	if m.rebalanceTimeoutMs == -1 {
		m.rebalanceTimeoutMs = m.sessionTimeoutMs
	}
	return m
}

// Loaded implements coordinator.State: every member has a whole session
// timeout to be heard of.
func (s *shard) Loaded(ev *coordinator.Event) {
	s.loaded = true
	s.metrics.Offsets.Add(s.offsetCount)
	for _, g := range s.groups {
		for _, m := range g.order {
			s.extendSession(ev, g, m)
		}
		if len(g.members) > s.cfg.MaxSize {
			s.prepareRebalance(ev, g, "the loaded group is larger than group.max.size")
		}
	}
	s.scheduleExpiry(ev)
	if len(s.groups) > 0 {
		s.log.Info("groups loaded", "groups", len(s.groups))
	}
}

// Unloaded implements coordinator.State: parked members look for the new
// coordinator.
func (s *shard) Unloaded(ev *coordinator.Event, code protocol.ErrorCode) {
	s.loaded = false
	s.metrics.Offsets.Add(-s.offsetCount)
	for _, g := range s.groups {
		for _, m := range g.order {
			s.failJoin(ev, g, m, m.id, code)
			s.failSync(ev, m, code)
			m.session.stop()
		}
		for id := range g.pending {
			g.dropPending(id)
		}
		stopTimer(&g.joinTimer)
		stopTimer(&g.syncTimer)
		g.state = stateDead
	}
}

// group finds a group, nil if there is none.
func (s *shard) group(id string) *classicGroup { return s.groups[id] }

// groupOrNew finds a group or makes an Empty one, which the log does not know
// yet.
func (s *shard) groupOrNew(ev *coordinator.Event, id string) *classicGroup {
	g := s.groups[id]
	if g == nil {
		g = newClassicGroup(cloneString(id), ev.NowMs())
		s.groups[g.id] = g
	}
	return g
}

// dropIfVacant forgets a group that nobody is in and the log does not know.
func (s *shard) dropIfVacant(g *classicGroup) {
	if g.state == stateEmpty && !g.stored && len(g.pending) == 0 &&
		!s.hasOffsets(g.id) && s.groups[g.id] == g {
		g.state = stateDead
		delete(s.groups, g.id)
	}
}

// isCurrent reports whether g is still the shard's group of its id: a timer
// may outlive it.
func (s *shard) isCurrent(g *classicGroup) bool { return s.groups[g.id] == g }

func stopTimer(h *coordinator.Handle) {
	if *h != nil {
		(*h).Stop()
		*h = nil
	}
}

// cloneString detaches a string from the request body it may alias.
func cloneString(s string) string { return strings.Clone(s) }

func cloneStringPtr(s *string) *string {
	if s == nil {
		return nil
	}
	c := strings.Clone(*s)
	return &c
}
