package handlers

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// producerIDTimeout bounds the wait for a new block of producer ids; clients give
// this request no timeout of its own.
const producerIDTimeout = 30 * time.Second

// InitProducerId (key 22), versions 0-5.
//
// Without a transactional id: a producer id nobody had before, with epoch 0,
// whatever id the client says it has. With one: transactions are not served, and
// the answer is UNSUPPORTED_VERSION, as for every feature that is off; clients
// take it as final. An empty transactional id, and an id without epoch or the
// reverse, are 42.
// v2 flexible · v3 producer id and epoch of a client that lost its transaction
// (KIP-360) · v4 PRODUCER_FENCED · v5 TRANSACTION_ABORTABLE, neither of which occur.
func handle22InitProducerID(b *Broker, r *Request) {
	req := kmsg.NewPtrInitProducerIDRequest()
	if !r.Decode(req) {
		return
	}
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	code := checkInitProducerID(req)
	if code == protocol.None {
		ctx, cancel := context.WithTimeout(context.Background(), producerIDTimeout)
		defer cancel()
		id, err := b.Controller.NewProducerID(ctx)
		if code = protocol.CodeOf(err); err == nil {
			resp.ProducerID, resp.ProducerEpoch = id, 0
		}
	}
	resp.ErrorCode = int16(code)
	r.Reply(resp)
}

func checkInitProducerID(req *kmsg.InitProducerIDRequest) protocol.ErrorCode {
	switch {
	case req.Version >= 3 && (req.ProducerID == -1) != (req.ProducerEpoch == -1):
		return protocol.InvalidRequest
	case req.TransactionalID == nil:
		return protocol.None
	case *req.TransactionalID == "":
		return protocol.InvalidRequest
	}
	return protocol.UnsupportedVersion
}
