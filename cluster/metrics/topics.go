package metrics

// topics shows the partitions this broker hosts and their traffic.
func (c *catalogue) topics(src *Sources) {
	topics := c.gauge("replica_topics", "Topics with a replica here.")
	partitions := c.gauge("replica_partitions", "Replicas here. Kafka: PartitionCount.")
	leaders := c.gauge("replica_leaders", "Partitions led by this broker. Kafka: LeaderCount.")
	under := c.gauge("replica_under_replicated_partitions", "Partitions led by this broker with fewer replicas in sync than assigned. Kafka: UnderReplicatedPartitions.")
	underMin := c.gauge("replica_under_min_isr_partitions", "Partitions led by this broker with fewer replicas in sync than min.insync.replicas. Kafka: UnderMinIsrPartitionCount.")

	const others = " The topic is empty for all those together that came when 1000 were told apart already."
	in := c.counter("topic_received_bytes_total", "Bytes of record batches written, by the broker itself too for internal topics. Kafka: BytesInPerSec."+others, "topic")
	out := c.counter("topic_sent_bytes_total", "Bytes of record batches in answers to consumers. Kafka: BytesOutPerSec."+others, "topic")
	messages := c.counter("topic_received_messages_total", "Records written, by the broker itself too for internal topics. Kafka: MessagesInPerSec."+others, "topic")
	c.section(func(s *sink) {
		n := src.Replicas.Counts()
		s.count(topics, int64(n.Topics))
		s.count(partitions, int64(n.Partitions))
		s.count(leaders, int64(n.Leaders))
		s.count(under, int64(n.UnderReplicated))
		s.count(underMin, int64(n.UnderMinISR))
		for _, t := range src.Replicas.Traffic() {
			s.count(in, t.BytesIn, t.Topic)
			s.count(out, t.BytesOut, t.Topic)
			s.count(messages, t.MessagesIn, t.Topic)
		}
	})
}
