package group

import (
	"cmp"
	"maps"
	"slices"

	"kserver/cluster/coordinator"
)

// scheduleExpiry arms the next check for expired offsets and empty groups.
func (s *shard) scheduleExpiry(ev *coordinator.Event) {
	ev.After(s.cfg.OffsetsRetentionCheckInterval, func(ev *coordinator.Event) {
		s.expire(ev, slices.Sorted(maps.Keys(s.groups)))
	})
}

// expire checks the groups, a bounded number per event so that others get at
// the shard between.
func (s *shard) expire(ev *coordinator.Event, ids []string) {
	n := min(len(ids), maxGroupsPerExpiryStep)
	for _, id := range ids[:n] {
		if g := s.groups[id]; g != nil {
			if err := s.expireGroup(ev, g); err != nil {
				s.log.Warn("expired offsets not removed", "group", id, "err", err)
			}
		}
	}
	if rest := ids[n:]; len(rest) > 0 {
		ev.After(delayBetweenExpirySteps, func(ev *coordinator.Event) { s.expire(ev, rest) })
		return
	}
	s.scheduleExpiry(ev)
}

// offsetKey names one committed offset of a group.
type offsetKey struct {
	topic     string
	partition int32
}

// expireGroup removes the group's expired offsets, then the group itself if it
// is Empty and has none left (Kafka's cleanupGroupMetadata).
func (s *shard) expireGroup(ev *coordinator.Event, g *classicGroup) error {
	gone := s.expiredOffsets(g, ev.NowMs())
	if err := s.deleteOffsets(ev, g.id, gone); err != nil {
		return err
	}
	s.metrics.OffsetsExpired.Add(int64(len(gone)))
	switch {
	case g.state != stateEmpty:
		return nil
	case len(g.pending) == 0 && !s.hasOffsets(g.id):
		return s.deleteGroup(ev, g)
	case g.unstored:
		return s.writeGroup(ev, g, (*member).currentAssignment)
	}
	return nil
}

// deleteGroup removes an Empty group without offsets.
func (s *shard) deleteGroup(ev *coordinator.Event, g *classicGroup) error {
	if _, err := ev.Write(groupTombstone(g.id)); err != nil {
		return err
	}
	g.state = stateDead
	delete(s.groups, g.id)
	s.metrics.GroupsDeleted.Add(1)
	s.log.Info("group removed", "group", g.id)
	return nil
}

// expiredOffsets lists what may go, sorted. Retention counts from when an Empty
// group lost its last member, else from the commit; offsets in use by members
// stay, and groups that the coordinator cannot judge keep all (KIP-211).
func (s *shard) expiredOffsets(g *classicGroup, nowMs int64) []offsetKey {
	sinceEmpty := g.protocolType != "" && g.state == stateEmpty && g.stateSinceMs != noTimestamp
	judged := g.protocolType == "" || g.state == stateEmpty ||
		g.state == stateStable && g.protocolType == consumerProtocol && g.subscribedKnown
	if !judged {
		return nil
	}
	var gone []offsetKey
	for topic, partitions := range s.offsets[g.id] {
		if g.subscribes(topic) {
			continue
		}
		for p, o := range partitions {
			base := o.commitMs
			if sinceEmpty {
				base = g.stateSinceMs
			}
			if o.expired(nowMs, base, s.cfg.OffsetsRetention) && !s.isPending(g.id, topic, p) {
				gone = append(gone, offsetKey{topic, p})
			}
		}
	}
	slices.SortFunc(gone, compareOffsetKeys)
	return gone
}

// deleteOffsets writes tombstones and removes the offsets, in bounded batches.
func (s *shard) deleteOffsets(ev *coordinator.Event, group string, keys []offsetKey) error {
	for chunk := range slices.Chunk(keys, maxExpiryRecordsPerWrite) {
		records := make([]coordinator.Record, len(chunk))
		for i, k := range chunk {
			records[i] = offsetRecord(group, k.topic, k.partition, nil)
		}
		if _, err := ev.Write(records...); err != nil {
			return err
		}
		for _, k := range chunk {
			s.removeOffset(group, k.topic, k.partition)
		}
	}
	return nil
}

// topicsDeleted removes the offsets of deleted topics, pending ones included.
// Offsets of a newer topic of the same name stay.
func (s *shard) topicsDeleted(ev *coordinator.Event, deleted []TopicInfo) {
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		var gone []offsetKey
		for _, t := range deleted {
			gone = appendOffsetsOf(gone, s.offsets[id], t)
			for _, byGroup := range s.pending {
				gone = appendOffsetsOf(gone, byGroup[id], t)
			}
		}
		slices.SortFunc(gone, compareOffsetKeys)
		if err := s.deleteOffsets(ev, id, slices.Compact(gone)); err != nil {
			s.log.Error("offsets of deleted topics not removed", "group", id, "err", err)
		}
	}
}

// appendOffsetsOf appends the keys of the offsets that belong to topic t.
func appendOffsetsOf(dst []offsetKey, offsets topicOffsets, t TopicInfo) []offsetKey {
	for p, o := range offsets[t.Name] {
		if !o.isOfOther(t.ID) {
			dst = append(dst, offsetKey{t.Name, p})
		}
	}
	return dst
}

func compareOffsetKeys(a, b offsetKey) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
}
