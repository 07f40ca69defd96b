// Package floor is the least a server can do that speaks Kafka's protocol to kbench: what a broker's figures can be
// set against. It is no broker: nothing survives it, nothing is retained or replicated, topics
// are made by being asked for, and a request that is not understood ends the connection.
//
// Produce is a plain Go loop: read the frame, check the batch's CRC, give it its offset, write it to the partition's
// file, answer. Fetch is a search for the offset, a head, and sendfile(2). Each connection is one goroutine that blocks.
//
//	Server   listens, answers, removes its files when closed          (server.go)
//	topic    partitions, each a file and the places of its batches    (topic.go)
//	journal  what a durable one syncs before it answers              (journal.go)
//	         produce and fetch, decoded by hand                       (produce.go, fetch.go)
//	         all that a client asks for besides                       (admin.go)
//
// Concurrency: a Server may be used by many goroutines. Lock order: Server.mu before partition.mu; journal.mu is a
// leaf.
package floor
