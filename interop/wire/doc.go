// Package wire speaks the Kafka protocol over one plain TCP connection without a client in between.
//
// Requests and responses are kmsg messages. A response is accepted only when encoding it again
// gives the same bytes, so a surplus byte or a field in the wrong form is an error and not a value
// nobody looks at. The package also builds record batches field by field, broken ones included.
//
// A Conn is for one goroutine at a time; requests may be pipelined by calling Send several times
// before Receive.
package wire
