package metrics

import (
	"time"

	"kserver/cluster/quota"
)

// groups shows the group coordinator.
func (c *catalogue) groups(src *Sources) {
	count := c.gauge("group_groups", "Groups of the loaded partitions of __consumer_offsets, by state. Kafka: NumGroups, NumGroupsStable and so on.", "state")
	members := c.gauge("group_members", "Members of these groups.")
	offsets := c.gauge("group_offsets", "Committed offsets. Kafka: NumOffsets.")
	commits := c.counter("group_offset_commits_total", "Offsets committed. Kafka: OffsetCommitRate.")
	expired := c.counter("group_offsets_expired_total", "Committed offsets forgotten after offsets.retention.minutes. Kafka: OffsetExpirationRate.")
	started := c.counter("group_rebalances_started_total", "Rebalances begun.")
	completed := c.counter("group_rebalances_completed_total", "Rebalances completed. Kafka: CompletedRebalanceRate.")
	sessions := c.counter("group_sessions_expired_total", "Members removed because they were not heard of in time.")
	deleted := c.counter("group_groups_deleted_total", "Groups deleted.")
	events := c.counter("coordinator_events_total", "Events of coordinators, by result: run, refused (loading, not here, or too many).", "result")
	loads := c.counter("coordinator_loads_total", "Partitions of coordinators replayed, by result: loaded, failed.", "result")
	rebuilds := c.counter("coordinator_rebuilds_total", "Partitions of coordinators rebuilt because a write was lost.")
	c.section(func(s *sink) {
		s.groupCounts(src, count, members)
		m, r := src.Groups.Metrics(), src.Groups.RuntimeMetrics()
		s.count(offsets, m.Offsets.Load())
		s.count(commits, m.OffsetCommits.Load())
		s.count(expired, m.OffsetsExpired.Load())
		s.count(started, m.RebalancesStarted.Load())
		s.count(completed, m.RebalancesCompleted.Load())
		s.count(sessions, m.SessionsExpired.Load())
		s.count(deleted, m.GroupsDeleted.Load())
		s.count(events, r.Events.Load(), "run")
		s.count(events, r.Refused.Load(), "refused")
		s.count(loads, r.Loads.Load(), "loaded")
		s.count(loads, r.LoadFailures.Load(), "failed")
		s.count(rebuilds, r.Failures.Load())
	})
}

// countTimeout is how long a scrape waits for the groups to be counted: if a partition is slow, they are left out.
const countTimeout = time.Second

func (s *sink) groupCounts(src *Sources, count, members *family) {
	type answer struct {
		states  map[string]int
		members int
	}
	answers := make(chan answer, 1)
	src.Groups.CountGroups(func(states map[string]int, members int) { answers <- answer{states, members} })
	select {
	case a := <-answers:
		for state, n := range a.states {
			s.count(count, int64(n), state)
		}
		s.count(members, int64(a.members))
	case <-time.After(countTimeout):
	}
}

// cluster shows the controller and the quotas.
func (c *catalogue) cluster(src *Sources) {
	topics := c.gauge("controller_topics", "Topics of the cluster. Kafka: GlobalTopicCount.")
	brokers := c.gauge("controller_brokers", "Registered brokers. Kafka: ActiveBrokerCount and FencedBrokerCount together.")
	version := c.gauge("controller_metadata_offset", "Offset of the last metadata record in force. Kafka: LastAppliedRecordOffset.")
	records := c.counter("controller_records_total", "Metadata records applied, those replayed at the start included.")
	commits := c.counter("controller_commits_total", "Writes of metadata; each may hold many changes.")
	failures := c.counter("controller_publish_failures_total", "Changes of metadata that could not be put in force. Kafka: MetadataApplyErrorCount.")
	queueFull := c.counter("controller_queue_full_total", "Automatic creations of topics given up because too many were waiting.")

	pauses := c.counter("quota_throttles_total", "Answers that told a client to pause, by quota.", "quota")
	overflow := c.counter("quota_shared_uses_total", "Uses charged to a rate that clients share because there are too many to measure apart.")
	c.section(func(s *sink) {
		image := src.Controller.Image()
		s.count(topics, int64(image.TopicCount()))
		s.count(brokers, int64(len(image.Brokers())))
		s.count(version, image.Version)
		m := src.Controller.Metrics()
		s.count(records, m.Records.Load())
		s.count(commits, m.Commits.Load())
		s.count(failures, m.PublishFailures.Load())
		s.count(queueFull, m.QueueFull.Load())

		q := &src.Quotas.Metrics
		for i := range q.Pauses {
			s.count(pauses, q.Pauses[i].Load(), quota.Kind(i).String())
		}
		s.count(overflow, q.Overflow.Load())
	})
}
