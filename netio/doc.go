// Package netio is the event loop of the server: listeners, connections, frames,
// response order, queues, timers, limits. It moves bytes and descriptors and
// knows nothing of Kafka. A frame is a four-byte big-endian length and that many
// bytes, in both directions.
//
// A Server has a few Loops. Each is a goroutine locked to its thread that owns
// its connections and their memory and serves them run-to-completion: it calls
// the Handler with whole frames, and the handler answers through the Request,
// at once or later. There is no goroutine per connection or request.
//
//	                 Handler.Request(r)                r.Respond()
//	socket -> input ------------------> handler ... -> slot queue -> output -> socket
//	          frames out of shared      any order      arrival       memory: send
//	          receive buffers                          order         ranges: sendfile
//
// Two drivers talk to the kernel behind one small interface (driver.go):
// io_uring with multishot accept and receive and batched sends, and
// edge-triggered epoll with direct calls. Everything else exists once. The
// choice is made in New and told by Server.Backend.
//
// # Concurrency
//
// Handler methods, and all methods of Conn, Request and Response that do not
// say otherwise, run on the connection's loop. Other goroutines reach a loop
// with Loop.Post only. Server's methods may be called from any goroutine that is
// not a loop. Locks, none of which is held while another is taken: mailbox.mu,
// Server.connMu, throttle.mu; Server.mu is held around Start, Drain's posting
// and Close and may take mailbox.mu.
//
// The process should run with GOMAXPROCS >= 2. A loop that sleeps in the kernel
// keeps its P until the scheduler takes it away; with a single P every other
// goroutine waits for that.
//
// # Memory
//
// Frames and answers live in a per-loop arena of mapped memory outside the Go
// heap (arena.go). An idle connection owns none of it. Received bytes are
// charged to one budget as they arrive. DESIGN.md has the paths, the invariants
// and what is not obvious.
package netio
