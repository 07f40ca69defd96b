package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// UnregisterBroker (key 64), version 0 (KIP-500).
//
// Forgets a broker that is gone for good, as one can be in metadata that another
// release wrote. Kafka also forgets a broker that runs, which leaves a cluster of
// one without any until it is started again; here that is INVALID_REQUEST.
func handle64UnregisterBroker(b *Broker, r *Request) {
	var req kmsg.UnregisterBrokerRequest
	if !r.Decode(&req) {
		return
	}
	ctx, cancel := deadline(int32(alterTimeout.Milliseconds()))
	defer cancel()
	resp := kmsg.NewPtrUnregisterBrokerResponse()
	resp.ErrorCode, resp.ErrorMessage = codeAndMessage(b.Controller.UnregisterBroker(ctx, req.BrokerID))
	r.Reply(resp)
}
