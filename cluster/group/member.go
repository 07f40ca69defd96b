package group

import (
	"bytes"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// member is one member of a classic group.
type member struct {
	id                 string
	instanceID         *string // static members (KIP-345)
	clientID           string
	clientHost         string
	rebalanceTimeoutMs int32
	sessionTimeoutMs   int32
	protocolType       string
	protocols          []memberProtocol // in order of preference
	assignment         []byte
	// isNew until its first generation is complete: such a member may expire
	// even while it waits, for nobody would notice that its client is gone.
	isNew   bool
	join    joinReply // parked JoinGroup
	sync    syncReply // parked SyncGroup
	session session
}

// memberProtocol is one protocol a member offers.
type memberProtocol struct {
	name     string
	metadata []byte
}

type (
	joinReply func(*kmsg.JoinGroupResponse)
	syncReply func(*kmsg.SyncGroupResponse)
)

// metadata is what the member says for the named protocol, nil if nothing.
func (m *member) metadata(protocol string) []byte {
	for i := range m.protocols {
		if m.protocols[i].name == protocol {
			return m.protocols[i].metadata
		}
	}
	return nil
}

// offers reports whether the request lists exactly the member's protocols.
func (m *member) offers(protocols []kmsg.JoinGroupRequestProtocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a memberProtocol, b kmsg.JoinGroupRequestProtocol) bool {
		return a.name == b.Name && bytes.Equal(a.metadata, b.Metadata)
	})
}

// awaitsCoordinator reports whether the member waits for an answer, and is not
// to be heard of meanwhile: its session does not end. New members are excepted.
func (m *member) awaitsCoordinator() bool {
	return !m.isNew && (m.join != nil || m.sync != nil)
}

// copyProtocols detaches a request's protocols from its body. A name listed
// twice counts once, as in Kafka's collection.
func copyProtocols(in []kmsg.JoinGroupRequestProtocol) []memberProtocol {
	out := make([]memberProtocol, 0, len(in))
	for i := range in {
		if slices.ContainsFunc(out, func(p memberProtocol) bool { return p.name == in[i].Name }) {
			continue
		}
		out = append(out, memberProtocol{name: cloneString(in[i].Name), metadata: bytes.Clone(in[i].Metadata)})
	}
	return out
}
