package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// Endpoint types of DescribeCluster (KIP-919).
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

// DescribeCluster (key 60), versions 0-2 (KIP-700).
//
// The cluster's id and the brokers that are alive, as seen through the client's
// listener. v1 endpoint type: this is a broker's endpoint, one that asks for
// controllers gets 114 · v2 fenced brokers on request (KIP-1073).
func handle60DescribeCluster(b *Broker, r *Request) {
	req := kmsg.NewPtrDescribeClusterRequest()
	if !r.Decode(req) {
		return
	}
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.EndpointType, resp.ControllerID = endpointBrokers, -1
	if err := checkEndpointType(req); err != nil {
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		r.Reply(resp)
		return
	}
	image := b.Controller.Image()
	resp.ClusterID = image.ClusterID
	resp.ControllerID = b.adminBroker(aliveBrokers(image, r.Client.Listener))
	for _, n := range image.Brokers() {
		e, ok := n.Endpoint(r.Client.Listener)
		if !ok || n.Fenced && !req.IncludeFencedBrokers {
			continue
		}
		out := kmsg.NewDescribeClusterResponseBroker()
		out.NodeID, out.Host, out.Port, out.Rack, out.IsFenced = n.ID, e.Host, int32(e.Port), n.Rack, n.Fenced
		resp.Brokers = append(resp.Brokers, out)
	}
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	r.Reply(resp)
}

func checkEndpointType(req *kmsg.DescribeClusterRequest) *protocol.Error {
	switch {
	case req.Version == 0 || req.EndpointType == endpointBrokers:
		return nil
	case req.EndpointType == endpointControllers:
		return protocol.Errorf(protocol.MismatchedEndpointType, "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER")
	}
	return protocol.Errorf(protocol.UnsupportedEndpointType, "Unsupported endpoint type %d", req.EndpointType)
}
