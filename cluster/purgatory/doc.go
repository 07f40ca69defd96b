// Package purgatory holds what waits for a partition to move: produce requests
// for the offset that acknowledges them, fetch requests for bytes. It is
// event-driven: the partition signals, and what became due runs in that
// signal. There is no goroutine and no polling per waiting request; deadlines
// are the owner's timers (the event loop's).
//
// An OffsetQueue serves waiters of one rising offset (high watermark, durable
// end) in order. Watchers serve waiters with a condition of their own, such as
// enough bytes over several partitions. Delayed is the once-only state both
// sides race for.
//
// Signals come from the committer's goroutine or from a loop; waiters must
// therefore not block and must not take the lock of the signalling partition.
package purgatory
