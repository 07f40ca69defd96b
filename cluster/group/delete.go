package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// DeleteGroups handles DeleteGroups v0-3: each group by itself, one answer for
// a group named more than once. The empty group id is a group like any other
// here, as it is for commits.
func (c *Coordinator) DeleteGroups(req *kmsg.DeleteGroupsRequest, reply func(*kmsg.DeleteGroupsResponse)) {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	for _, id := range req.Groups {
		if !slices.ContainsFunc(resp.Groups, func(g kmsg.DeleteGroupsResponseGroup) bool { return g.Group == id }) {
			resp.Groups = append(resp.Groups, kmsg.DeleteGroupsResponseGroup{Group: id})
		}
	}
	all := newGather(len(resp.Groups), func() { reply(resp) })
	for i := range resp.Groups {
		result := &resp.Groups[i]
		fail := func(code protocol.ErrorCode) {
			result.ErrorCode = int16(code)
			all.done()
		}
		c.do(c.PartitionFor(result.Group), func(ev *coordinator.Event, s *shard) {
			deleted := s.deleteByRequest(ev, result.Group)
			ev.Answer(func(code protocol.ErrorCode) {
				if code == protocol.None {
					code = deleted
				}
				fail(code)
			})
		}, fail)
	}
}

// deleteByRequest deletes a group that nobody is in, with its offsets.
func (s *shard) deleteByRequest(ev *coordinator.Event, id string) protocol.ErrorCode {
	g := s.groups[id]
	switch {
	case g == nil:
		return protocol.GroupIDNotFound
	case g.state != stateEmpty:
		return protocol.NonEmptyGroup
	}
	if err := s.deleteOffsets(ev, id, s.offsetKeys(id)); err != nil {
		return coordinator.AppendError(err)
	}
	if err := s.deleteGroup(ev, g); err != nil {
		return coordinator.AppendError(err)
	}
	for member := range g.pending {
		g.dropPending(member)
	}
	return protocol.None
}

// offsetKeys lists all offsets of a group, those of open transactions too,
// sorted.
func (s *shard) offsetKeys(group string) []offsetKey {
	var keys []offsetKey
	add := func(offsets topicOffsets) {
		for topic, partitions := range offsets {
			for p := range partitions {
				keys = append(keys, offsetKey{topic, p})
			}
		}
	}
	add(s.offsets[group])
	for _, byGroup := range s.pending {
		add(byGroup[group])
	}
	slices.SortFunc(keys, compareOffsetKeys)
	return slices.Compact(keys)
}

// OffsetDelete handles OffsetDelete v0. Partitions that do not exist get their
// error without the group being asked, unless the group's own error takes the
// place of all. What has no offset is deleted successfully.
func (c *Coordinator) OffsetDelete(req *kmsg.OffsetDeleteRequest, reply func(*kmsg.OffsetDeleteResponse)) {
	fail := func(code protocol.ErrorCode) {
		resp := kmsg.NewPtrOffsetDeleteResponse()
		resp.ErrorCode = int16(code)
		reply(resp)
	}
	if req.Group == "" {
		fail(protocol.InvalidGroupID)
		return
	}
	resp := c.offsetDeleteResponse(req)
	c.do(c.PartitionFor(req.Group), func(ev *coordinator.Event, s *shard) {
		deleted := s.deleteOffsetsByRequest(ev, req.Group, resp.Topics)
		ev.Answer(func(code protocol.ErrorCode) {
			if code == protocol.None {
				code = deleted
			}
			if code != protocol.None {
				fail(code)
				return
			}
			reply(resp)
		})
	}, fail)
}

// offsetDeleteResponse lays out the response to req, in the request's order,
// with the errors of partitions that do not exist.
func (c *Coordinator) offsetDeleteResponse(req *kmsg.OffsetDeleteRequest) *kmsg.OffsetDeleteResponse {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	for i := range req.Topics {
		out := kmsg.OffsetDeleteResponseTopic{Topic: req.Topics[i].Topic}
		info, known := c.cfg.Topics.TopicByName(out.Topic)
		for _, p := range req.Topics[i].Partitions {
			result := kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition}
			if !known || p.Partition < 0 || p.Partition >= info.Partitions {
				result.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			}
			out.Partitions = append(out.Partitions, result)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// deleteOffsetsByRequest deletes the offsets of the partitions that have no
// error yet, and gives those an error that members subscribe to. The code is
// the answer for the whole request.
func (s *shard) deleteOffsetsByRequest(ev *coordinator.Event, group string, topics []kmsg.OffsetDeleteResponseTopic) protocol.ErrorCode {
	g := s.groups[group]
	switch {
	case g == nil:
		return protocol.GroupIDNotFound
	case g.state != stateEmpty && g.protocolType != consumerProtocol:
		return protocol.NonEmptyGroup
	}
	var keys []offsetKey
	for i := range topics {
		t := &topics[i]
		subscribed := g.subscribes(t.Topic)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			switch {
			case p.ErrorCode != 0:
			case subscribed:
				p.ErrorCode = int16(protocol.GroupSubscribedToTopic)
			case s.offsets[group].get(t.Topic, p.Partition) != nil || s.isPending(group, t.Topic, p.Partition):
				keys = append(keys, offsetKey{cloneString(t.Topic), p.Partition})
			}
		}
	}
	slices.SortFunc(keys, compareOffsetKeys)
	if err := s.deleteOffsets(ev, group, slices.Compact(keys)); err != nil {
		return coordinator.AppendError(err)
	}
	return protocol.None
}
