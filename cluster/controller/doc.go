// Package controller keeps the metadata of the cluster: topics, partitions,
// brokers, finalized features, settings and producer ids.
//
// The metadata is a log of records in Kafka's KRaft formats, partition 0 of
// __cluster_metadata, and an image: the state the records lead to. A request
// becomes records, the records are committed, and only then they change the
// image, in the same way at a restart and on every broker:
//
//	request -> plan(image) -> records -> Quorum.Propose -> durable
//	                                                          |
//	answer <- image visible <- Publisher: partitions made <- apply (and replay)
//
// A change is answered when all of that is done, so that the next request on any
// connection sees it, and a topic that is visible can be produced to.
//
// # Main types
//
// Controller takes the requests. MetadataImage is the state, immutable and
// shared freely. Delta is the difference of two images, for the Publisher, which
// the composer of the broker implements. Quorum orders and keeps the records; a
// single node has the local one, on a Log.
//
// # Concurrency
//
// One goroutine plans, commits, publishes and answers; callers wait on channels.
// It takes all operations that wait at a time and commits them together: many
// requests cost one wait for the disk. Images are read through an atomic pointer.
//
// Lock order: Controller.mu, ensuredTopics.mu and producerIDs.mu are leaves; none
// is held while another is taken, except that producerIDs.mu is held over a
// whole allocation (and so over Controller.mu).
//
// # What it does not know
//
// No sockets and no requests' bytes, no files beyond its log, and nothing of
// what a partition is made of.
//
// # Where it leaves Kafka
//
//   - Answers come in the order of the request. Kafka's DeleteTopics shuffles
//     them, and others follow a hash table.
//   - An internal topic gets no more replicas than there are brokers. Kafka
//     leaves a node with the default offsets.topic.replication.factor of 3
//     without offsets topic.
//   - Only metadata.version is finalized, and only at the level of Kafka 4.3. A
//     log of another level is refused: records of another level are not written.
//   - A broker registers unfenced: it does so when it can serve. Kafka registers
//     a fenced broker and lifts the fence in a second step.
//   - Replicas are not moved: a reassignment can be what is already, or be
//     cancelled.
//   - The leader of an unclean election has nothing to recover, so no recovery
//     state is written for it.
//   - A setting of a broker that is set to what it is writes no record; Kafka
//     writes it again, to have certificates read anew.
//   - No snapshots of the log are taken: it is replayed whole.
//   - Records whose state is not held (ACLs, quotas, SCRAM, delegation tokens) are
//     skipped with a warning at start.
package controller
