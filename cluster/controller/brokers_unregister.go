package controller

import (
	"context"

	"kserver/protocol"
)

// UnregisterBroker forgets a broker that is gone for good; the replicas assigned to
// it stay so. This broker, which runs, is refused.
func (c *Controller) UnregisterBroker(ctx context.Context, id int32) *protocol.Error {
	var refused *protocol.Error
	err := c.execute(ctx, func(image *MetadataImage) []Record {
		b, ok := image.Broker(id)
		switch {
		case !ok:
			refused = protocol.Errorf(protocol.BrokerIDNotRegistered, "Broker ID %d is not currently registered", id)
			return nil
		case id == c.cfg.NodeID:
			refused = protocol.Errorf(protocol.InvalidRequest, "Broker ID %d is the broker that runs here: without it the cluster would have none.", id)
			return nil
		}
		return []Record{&UnregisterBrokerRecord{ID: id, Epoch: b.Epoch}}
	})
	if err != nil {
		return asError(err)
	}
	return refused
}
