package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// FindCoordinator (key 10), versions 0-6.
//
// The broker that coordinates a group, transactional id or share partition:
// the leader of the internal topic's partition the key belongs to. A missing
// internal topic is created first; while it has no leader the answer is 15.
// v0 groups only · v1 key type, error message · v3 flexible · v4 several keys
// (KIP-699) · v6 key type 2, share (KIP-932).
// Kinds that are not served: transactions 35, share 42.
func handle10FindCoordinator(b *Broker, r *Request) {
	req := kmsg.NewPtrFindCoordinatorRequest()
	if !r.Decode(req) {
		return
	}
	kind := coordinator.KeyType(req.CoordinatorType)
	keys := req.CoordinatorKeys
	if r.Version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	if kind == coordinator.KeyShare && r.Version < 6 {
		r.Reply(foundCoordinators(r.Version, coordinator.NotFound(keys, protocol.InvalidRequest)))
		return
	}
	r.Async()
	b.Coordinators.Find(kind, keys, r.Client.Listener, func(found []coordinator.Found) {
		r.Reply(foundCoordinators(r.Version, found))
	})
}

// foundCoordinators lays out the answer; before v4 it has one coordinator. The
// messages of a success are what Kafka sends: its name before v4, then none.
func foundCoordinators(version int16, found []coordinator.Found) *kmsg.FindCoordinatorResponse {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	if version < 4 {
		f := &found[0]
		message := f.Code.String()
		if f.Code != protocol.None {
			message = f.Code.Message()
		}
		resp.ErrorCode, resp.ErrorMessage = int16(f.Code), &message
		resp.NodeID, resp.Host, resp.Port = f.Endpoint.NodeID, f.Endpoint.Host, f.Endpoint.Port
		return resp
	}
	for i := range found {
		f := &found[i]
		message := f.Code.Message()
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.Key, c.ErrorCode, c.ErrorMessage = f.Key, int16(f.Code), &message
		c.NodeID, c.Host, c.Port = f.Endpoint.NodeID, f.Endpoint.Host, f.Endpoint.Port
		resp.Coordinators = append(resp.Coordinators, c)
	}
	return resp
}
