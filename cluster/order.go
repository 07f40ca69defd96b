package cluster

import "kserver/netio"

// Requests of a connection are handled one after another, as Kafka does, except
// that a Produce may begin while earlier Produces wait for the disk. Everything
// else behind unanswered Produces waits here until they are answered, and so
// sees their records:
//
//	Produce, Produce ... Request -> order.wait -> (last answer) -> next -> handle
//
// One request at most waits: it holds the connection.

// order is a connection's. It belongs to its loop.
type order struct {
	unanswered int // pipelined requests that have begun
	behind     *netio.Request
}

// wait has nr wait for the answers to the pipelined requests before it, if there
// are any. delayed says that nr holds the connection already.
func (o *order) wait(nr *netio.Request, delayed bool) bool {
	if o.unanswered == 0 {
		return false
	}
	nr.Keep()
	if !delayed {
		nr.Hold()
	}
	o.behind = nr
	return true
}

// take ends the wait of the request and returns it, nil when none waits.
func (o *order) take() *netio.Request {
	nr := o.behind
	o.behind = nil
	return nr
}

// next handles the request that waited for the answer that was the last one.
func (f *front) next(k *conn) {
	if k.order.behind != nil && k.order.unanswered == 0 {
		f.handle(k.order.take(), k, true)
	}
}
