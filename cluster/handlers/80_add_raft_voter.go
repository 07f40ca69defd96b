package handlers

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// AddRaftVoter (key 80), versions 0-1 (KIP-853).
//
// The voters of the quorum stand in the configuration, so none can be added: a
// request in order gets Kafka's answer of a quorum with kraft.version 0. v1 whether
// to wait for the commit.
func handle80AddRaftVoter(b *Broker, r *Request) {
	var req kmsg.AddRaftVoterRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrAddRaftVoterResponse()
	err := b.checkVoter("Add", req.ClusterID, req.VoterID, req.VoterDirectoryID)
	if err == nil {
		err = b.checkVoterEndpoint(req.Listeners)
	}
	if err == nil {
		err = protocol.Errorf(protocol.UnsupportedVersion, "Cluster doesn't support adding voter because the kraft.version feature is 0")
	}
	resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
	r.Reply(resp)
}

// checkVoter refuses a request about the voters that is not in order.
func (b *Broker) checkVoter(verb string, cluster *string, id int32, dir [16]byte) *protocol.Error {
	switch {
	case cluster != nil && *cluster != b.ClusterID:
		return protocol.Errorf(protocol.InconsistentClusterID, "The given id %q doesn't match the cluster id %q", *cluster, b.ClusterID)
	case id < 0 || dir == [16]byte{}:
		return protocol.Errorf(protocol.InvalidRequest, "%s voter request didn't include a valid voter", verb)
	}
	return nil
}

// checkVoterEndpoint makes sure that a new voter has the listener controllers use.
func (b *Broker) checkVoterEndpoint(listeners []kmsg.AddRaftVoterRequestListener) *protocol.Error {
	names, _ := b.Configs.Value("controller.listener.names")
	first, _, _ := strings.Cut(names, ",")
	var given []string
	for _, l := range listeners {
		if l.Name == first {
			return nil
		}
		given = append(given, fmt.Sprintf("ListenerName(%s)=%s:%d", l.Name, l.Host, l.Port))
	}
	return protocol.Errorf(protocol.InvalidRequest,
		"Add voter request didn't include the endpoint (Endpoints(endpoints={%s})) for the default listener ListenerName(%s)", strings.Join(given, ", "), first)
}
