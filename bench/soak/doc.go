// Soak runs a broker under a mixed load for long, and shows whether it is at the end what it was at the beginning: as
// quick, as small, and right about every record.
//
// The load, all of it at once (run.go):
//
//   - tail: a producer on a schedule over many partitions, and a consumer at its heels (bench/internal/steady);
//     every record is checked,
//   - catch-up (catchup.go): a reader that goes through the whole log again and again at a bounded rate, and checks
//     every record it finds,
//   - retention: segments and what is kept of the log are so small that segments begin and are deleted all the time,
//     also below the reader's feet, who then goes on where the log begins,
//   - churn (churn.go): topics that are created, written, read and deleted, each by a client of its own.
//
// Every --report it prints a row: the latencies of the tail, what the load did, and what the broker took (sample.go):
// memory, descriptors, goroutines, processor time, disk. At the end the last sixth of the rows is set against the first
// sixth, of what came after --warm-up (trend.go). It fails when
//
//   - a record of the tail was lost, repeated, changed, put out of order or refused, or the reader found another one
//     than was written,
//   - a topic could not be created, written, read or deleted, or the catch-up failed,
//   - retention has deleted nothing,
//   - a figure has grown by more than its bound,
//   - the log shows what no client may cause, or the broker does not stop in order.
//
// Latencies mean something on a machine that does nothing else.
package main
