package group

import (
	"math"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// Versions of OffsetCommit at which its behaviour changes.
const (
	commitRetentionLast = 4  // the last that names a retention time
	commitGroupNotFound = 9  // KIP-848
	commitTopicIDs      = 10 // KIP-848
)

// commitItem is one partition of a commit that may be written, and where its
// result goes.
type commitItem struct {
	topic   string
	topicID [16]byte
	from    *kmsg.OffsetCommitRequestTopicPartition
	code    *int16
}

// commitResponse lays out the response to req, in the request's order, and
// lists the partitions that exist; the others have their error already.
func (c *Coordinator) commitResponse(req *kmsg.OffsetCommitRequest) (*kmsg.OffsetCommitResponse, []commitItem) {
	resp := kmsg.NewPtrOffsetCommitResponse()
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	var items []commitItem
	for i := range req.Topics {
		t, out := &req.Topics[i], &resp.Topics[i]
		out.Topic, out.TopicID = t.Topic, t.TopicID
		out.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(t.Partitions))
		info, unknown := c.resolve(req.Version >= commitTopicIDs, t.Topic, t.TopicID)
		for j := range t.Partitions {
			p, result := &t.Partitions[j], &out.Partitions[j]
			result.Partition = p.Partition
			switch {
			case unknown != protocol.None:
				result.ErrorCode = int16(unknown)
			case p.Partition < 0 || p.Partition >= info.Partitions:
				result.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			case c.metadataTooLarge(deref(p.Metadata)):
				result.ErrorCode = int16(protocol.OffsetMetadataTooLarge)
				// It is still a partition the group is asked about: a fenced
				// member is told so rather than this.
				fallthrough
			default:
				items = append(items, commitItem{topic: info.Name, topicID: info.ID, from: p, code: &result.ErrorCode})
			}
		}
	}
	return resp, items
}

// resolve finds a topic as the request names it.
func (c *Coordinator) resolve(byID bool, name string, id [16]byte) (TopicInfo, protocol.ErrorCode) {
	if byID {
		if info, ok := c.cfg.Topics.TopicByID(id); ok {
			return info, protocol.None
		}
		return TopicInfo{}, protocol.UnknownTopicID
	}
	if info, ok := c.cfg.Topics.TopicByName(name); ok {
		return info, protocol.None
	}
	return TopicInfo{}, protocol.UnknownTopicOrPartition
}

// metadataTooLarge compares as Kafka does, in UTF-16 code units; a longer
// string than the record's format takes is too large whatever the limit.
func (c *Coordinator) metadataTooLarge(metadata string) bool {
	limit := c.cfg.OffsetMetadataMaxBytes
	if len(metadata) > math.MaxInt16 {
		return true
	}
	return len(metadata) > limit && len(utf16.Encode([]rune(metadata))) > limit
}

// commitOffsets writes the items' offsets and sets their codes.
func (s *shard) commitOffsets(ev *coordinator.Event, req *kmsg.OffsetCommitRequest, items []commitItem) {
	if code := s.checkCommit(ev, req); code != protocol.None {
		setCodes(items, code)
		return
	}
	nowMs := ev.NowMs()
	expireMs := int64(noTimestamp)
	if req.Version <= commitRetentionLast && req.RetentionTimeMillis != noTimestamp {
		expireMs = nowMs + req.RetentionTimeMillis
	}
	group := cloneString(req.Group)
	records := make([]coordinator.Record, 0, len(items))
	offsets := make([]*committedOffset, 0, len(items))
	for _, it := range items {
		if *it.code != 0 {
			offsets = append(offsets, nil)
			continue
		}
		o := &committedOffset{
			offset:      it.from.Offset,
			leaderEpoch: it.from.LeaderEpoch,
			metadata:    cloneString(deref(it.from.Metadata)),
			commitMs:    nowMs,
			expireMs:    expireMs,
			topicID:     it.topicID,
		}
		offsets = append(offsets, o)
		records = append(records, offsetRecord(group, it.topic, it.from.Partition, o))
	}
	if len(records) == 0 {
		return
	}
	first, err := ev.Write(records...)
	if err != nil {
		setCodes(items, coordinator.AppendError(err))
		return
	}
	s.groupOrNew(ev, group)
	next := first
	for i, it := range items {
		o := offsets[i]
		if o == nil {
			continue
		}
		o.logOffset = next
		next++
		s.setOffset(group, it.topic, it.from.Partition, o)
	}
	s.metrics.OffsetCommits.Add(int64(len(records)))
}

// checkCommit gives the error for a commit that the group does not accept
// (Kafka's ClassicGroup.validateOffsetCommit), and keeps its member's session
// alive. A group that is not known is no error for a commit without
// generation: it becomes a simple group.
func (s *shard) checkCommit(ev *coordinator.Event, req *kmsg.OffsetCommitRequest) protocol.ErrorCode {
	g := s.group(req.Group)
	switch {
	case g == nil && req.Generation < 0:
		return protocol.None
	case g == nil && req.Version >= commitGroupNotFound:
		return protocol.GroupIDNotFound
	case g == nil:
		return protocol.IllegalGeneration
	case g.state == stateEmpty && req.Generation < 0:
		return protocol.None
	case req.Generation < 0 && req.MemberID == "" && req.InstanceID == nil:
		return protocol.UnknownMemberID // members are at work; nobody else commits
	}
	if code := g.checkMember(req.MemberID, req.InstanceID); code != protocol.None {
		return code
	}
	if req.Generation != g.generation {
		return protocol.IllegalGeneration
	}
	if g.state == stateCompletingRebalance {
		return protocol.RebalanceInProgress
	}
	s.extendSession(ev, g, g.members[req.MemberID])
	return protocol.None
}

func setCodes(items []commitItem, code protocol.ErrorCode) {
	for _, it := range items {
		*it.code = int16(code)
	}
}
