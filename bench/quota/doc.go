// Quota shows that a quota on a client holds, and that the client beside it does not notice.
//
// Against any broker, with a real client library, one phase after another:
//
//	alone       the neighbour: a producer that sends one record at a time on a fixed schedule
//	produce     the neighbour beside a producer that wants more than its producer_byte_rate
//	consume     beside a consumer that wants more than its consumer_byte_rate
//	request p   beside clients that ask for metadata all the time, of request_percentage p, then of 2p
//
// Bytes are counted on the connection, as the broker counts them. The time that requests take in the broker cannot be
// seen by its client: what is judged is that twice the percentage gives twice the requests. A quota lets a client
// begin with a burst; it is over after the warm-up. Kafka lets the burst come again every 11 or 12 seconds, so that the
// bytes of half a minute tell little of it.
//
// The exit code is 1 when a rate is further from its quota than the tolerance, or the neighbour was disturbed. On a
// machine that is busy with other things the neighbour is.
package main
