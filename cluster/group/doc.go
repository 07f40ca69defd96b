// Package group is the group coordinator: consumer groups of the classic
// protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup) and committed offsets,
// kept in __consumer_offsets in Kafka's record formats. It follows Kafka's
// GroupMetadataManager, ClassicGroup and OffsetMetadataManager (KIP-62, 134,
// 211, 345, 394, 559, 814, 848 where it touches classic groups).
//
// # Shape
//
//	handlers -> Coordinator: checks what needs no group, finds the partition
//	              |
//	              v
//	    coordinator.Runtime: one shard per partition, one event at a time
//	              |
//	              v
//	       shard: groups, offsets        file
//	         joinGroup, syncGroup ...    join.go, sync.go, leave.go
//	         rebalance, its timers       rebalance.go, session.go
//	         commit, fetch, expiry       offset_*.go, expiry.go
//	         records in and out          records.go, shard.go (Replay)
//
// What a group does next is decided in shard; classicGroup and member hold the
// data and keep it consistent (state.go has the state diagram). Members that
// wait for others are parked: their reply functions are kept in member, and a
// later event answers them. Every answer goes through Event.Answer and so
// leaves only when the log holds what it rests on.
//
// # What is durable
//
// One group record per completed rebalance, per replaced static member and per
// group that became Empty; one offset record per committed partition. A group
// that is not Stable exists in memory as of its next generation: after a
// restart it is what the last record says, its members have a session timeout
// to be heard of, and whoever was joining joins again.
//
// # Where it differs from Kafka
//
//   - A group's first record is written when its first generation is complete,
//     not when its first member asks for an id.
//   - The group is Stable when the leader's assignment is in the log; answers
//     wait until it is durable, and fail if it does not become so. Kafka stays
//     in CompletingRebalance meanwhile.
//   - A parked request that its member repeats, or that a leaving member left
//     behind, is answered (REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID) instead of
//     never.
//   - With group.initial.rebalance.delay.ms=0 the first join phase ends within
//     the request, not by a timer.
//   - Offsets of a topic that was deleted and created again are not shown under
//     its name, even if the coordinator missed the deletion.
//   - A rejoining member that group.max.size keeps out no longer holds up the
//     join phase.
//   - Of equal protocol votes the order of joining decides, and members are
//     listed in that order, where Kafka has hash order.
//
// # Concurrency
//
// Coordinator is safe for concurrent use. A shard and all it holds is guarded
// by its runtime shard's lock; nothing here has a lock or goroutine of its own.
package group
