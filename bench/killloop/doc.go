// Killloop kills a broker again and again under load and then proves that it kept its promises.
//
// Idempotent producers write stamped records (package integrity) to several partitions and retry for ever. The
// broker is killed with SIGKILL at random moments, some of them while it is still starting, and started again on the
// same directory. At the end everything is read back:
//
//   - no acknowledged record is lost,
//   - none is there twice (a retry after a crash must be recognised),
//   - order within a partition is kept, and no byte is changed,
//   - offsets are continuous from 0,
//   - from exec to serving (the end offset of every partition answered) never takes longer than --max-restart.
//
// What a SIGKILL cannot show is the loss of data that was written and not synced: the page cache survives it. With
// --power-loss ext4 or xfs the data lies on a file system of its own, which is shut down under the broker before each
// kill, with the journal written or not, and mounted again. That needs root, mkfs and loop devices; without them the
// run is skipped with a message, exit code 0.
//
// Files: main.go options and result; cycle.go the loop; power.go the loss of power; producer.go the load; readback.go
// the check.
//
// The exit code is 1 when any of it does not hold. The seed of the random moments is printed and can be given again.
package main
