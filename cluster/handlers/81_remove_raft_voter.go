package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// RemoveRaftVoter (key 81), version 0 (KIP-853).
//
// The voters of the quorum stand in the configuration, so none can be removed: a
// request in order gets Kafka's answer of a quorum with kraft.version 0.
func handle81RemoveRaftVoter(b *Broker, r *Request) {
	var req kmsg.RemoveRaftVoterRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrRemoveRaftVoterResponse()
	err := b.checkVoter("Remove", req.ClusterID, req.VoterID, req.VoterDirectoryID)
	if err == nil {
		err = protocol.Errorf(protocol.UnsupportedVersion, "Cluster doesn't support removing voter because the kraft.version feature is 0")
	}
	resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
	r.Reply(resp)
}
