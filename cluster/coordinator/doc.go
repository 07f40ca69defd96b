// Package coordinator runs replicated state machines on the partitions of an
// internal topic (Kafka's CoordinatorRuntime, KIP-848). The group coordinator
// runs on __consumer_offsets; transactions and share groups have topics of
// their own. It knows no Kafka request and no record format: those belong to
// the State a caller supplies.
//
// # One event
//
//	Do(partition, fn)
//	   lock the shard
//	   fn:  read state -> Event.Write(records) -> change state -> Event.Answer(f)
//	   unlock                      |                                 |
//	                       Storage.Append                   queued behind the write
//	                               |                                 |
//	                       done(nil): durable  ------------>  f(NONE), in order
//
// A write comes first and the state follows it, so a refused append leaves the
// state untouched and fn decides what to answer. An answer leaves only when
// every write its state was made from is durable: an event that wrote nothing
// still waits for the writes before it. Nobody is told what a crash could take
// back, and reads see their own writes.
//
// # When durability fails
//
// After Storage accepted a batch the state has moved on, so a failure reported
// by done is not undone piece by piece. All answers that wait in the shard fail
// with the code AppendError gives (a retriable one for every expected cause),
// requests parked in the state are answered by State.Unloaded, and the shard is
// replaced by a new one, loaded from what the log really holds. If the cause is
// lost leadership or a failed log directory the shard is dropped instead: the
// next Load brings it back. A write that stays undecided longer than
// Config.WriteTimeout fails its answers with REQUEST_TIMED_OUT mapped the same
// way, but the state stands: the write is still in the log.
//
// # Shard states
//
//	(none) --Load--> loading --replayed--> active --Unload--> (none)
//	                    |                    |
//	                    | replay failed      | durability failed
//	                    v                    v
//	                  failed <-- fatal --- (new) loading
//
// Do answers COORDINATOR_LOAD_IN_PROGRESS while loading and NOT_COORDINATOR
// for none and failed.
//
// # Concurrency
//
// Everything may be called from any goroutine. A shard has one mutex for its
// state and a second, inner one for its waiting answers. Storage.Append and
// Timer.After are called under the first; answers run under neither. Lock
// order: shard.mu, then Runtime.mu, then answers.mu. There is no goroutine per
// shard: events run on the caller's goroutine, timers on the Wheel's, loads on
// at most Config.Loaders goroutines that end when nothing is left to load.
package coordinator
