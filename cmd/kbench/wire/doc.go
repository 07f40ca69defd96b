// Package wire is a small Kafka client for measuring: it sends requests that were encoded beforehand and reads
// answers without copying what nobody looks at. It reconnects never, retries never and hides nothing; for a client
// that behaves well use franz-go.
//
// Main types: Conn is one TCP connection. Batch is an encoded record batch whose records can be patched in place;
// ProduceFrame is a whole Produce request around a Batch, sent again and again. FetchReader walks a Fetch response as
// it arrives: record bytes are dropped inside the kernel (MSG_TRUNC) unless a visitor wants them.
//
// Versions: the package speaks Produce 3-12 and Fetch 12, the last ones that name topics by name, and whatever kmsg
// and the broker both know for other requests.
//
// Concurrency: on a Conn one goroutine may write while another reads. Everything else belongs to one goroutine.
package wire
