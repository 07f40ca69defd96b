// Hostile attacks a broker with everything a client may not do, beside a client that behaves well, and then proves
// that nobody was hurt.
//
// The attack runs in a process of its own with a lower priority (attacker.go), so that the latencies of the
// well-behaved client measure the broker and not who gets a processor. The kinds of attack (kinds.go) run one after
// the other. Those that hold connections (announced frames that never
// come, half-open, slow and never-reading peers) keep them until the end, so that the others run beside them. The
// well-behaved client (bench/internal/steady) writes stamped records at a fixed rate and reads them back all the while.
// Afterwards:
//
//   - the broker is alive and answers ApiVersions on a new connection,
//   - its log shows no panic, no fatal error and no data race,
//   - the well-behaved client lost nothing, got nothing twice, changed or out of order,
//   - resident memory never exceeded --max-rss,
//   - the sockets and files of the broker are as many as before,
//   - it stops in order when told to (only a broker that this program has started).
//
// Every input is drawn from --seed, its kind and its number, so a finding can be repeated with --kinds, --seed and
// --inputs. What is not repeated is the time in record batches and the order in which inputs of several connections reach the broker.
//
// The attacker stays away from the topic of the well-behaved client and from the settings of the broker: without
// authentication anybody may change both, which is no defect.
//
// How long the well-behaved client waits also depends on what the attacker leaves it of the processors. --control
// repeats the attack on a server that does nothing (standin.go), beside the same client of the broker, and the table
// shows how much processor time was used by processes that take no part: of a run with much of that, latencies say
// little.
//
// Files: main.go options; run.go the course of a run; attacker.go the attacking process; kinds.go, connections.go,
// requests.go the attacks (their inputs are internal/hostile's); standin.go the server of --control; result.go
// table and verdict.
package main
