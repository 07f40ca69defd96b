package group

import (
	"encoding/binary"
	"errors"
)

// errSubscription says that a consumer's metadata is not what
// ConsumerProtocolSubscription starts with.
var errSubscription = errors.New("group: malformed consumer subscription")

// readSubscriptions works out which topics the group's members subscribe to,
// from what they said for the chosen protocol. It is known only for consumers
// whose metadata can be read; an empty consumer group subscribes to nothing.
func (g *classicGroup) readSubscriptions() {
	g.subscribed, g.subscribedKnown = nil, false
	if g.protocolType != consumerProtocol {
		return
	}
	topics := make(map[string]struct{})
	for _, m := range g.order {
		if err := addSubscribedTopics(topics, m.metadata(g.protocol)); err != nil {
			return
		}
	}
	g.subscribed, g.subscribedKnown = topics, true
}

// subscribes reports whether offsets of topic are in use by members. Not
// knowing counts as yes for consumers, and as no for other types.
func (g *classicGroup) subscribes(topic string) bool {
	if g.subscribedKnown {
		_, ok := g.subscribed[topic]
		return ok
	}
	return g.protocolType == consumerProtocol
}

// addSubscribedTopics reads the part that all versions of a consumer's
// subscription share: int16 version, then an array of topic names.
func addSubscribedTopics(topics map[string]struct{}, b []byte) error {
	if len(b) < 6 {
		return errSubscription
	}
	n := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	if n < 0 || int64(n) > int64(len(b)/2) { // a name takes two bytes at least
		return errSubscription
	}
	for range n {
		if len(b) < 2 {
			return errSubscription
		}
		size := int(int16(binary.BigEndian.Uint16(b)))
		if size < 0 || size > len(b)-2 {
			return errSubscription
		}
		topics[string(b[2:2+size])] = struct{}{}
		b = b[2+size:]
	}
	return nil
}
