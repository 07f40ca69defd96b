package controller

import (
	"context"
	"fmt"
	"math"
	"sync"

	"kserver/protocol"
)

// producerIDBlock is how many producer ids a broker takes at a time (Kafka's
// ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE). What a broker does not use before it
// stops is lost.
const producerIDBlock = 1000

// producerIDs is the block this broker hands out.
type producerIDs struct {
	mu        sync.Mutex // held while a block is fetched: others wait for the same
	next, end int64
}

// NewProducerID returns a producer id no broker of the cluster gave out before.
// It waits for the metadata log once in a thousand calls. The error is a
// *protocol.Error.
func (c *Controller) NewProducerID(ctx context.Context) (int64, error) {
	c.ids.mu.Lock()
	defer c.ids.mu.Unlock()
	if c.ids.next == c.ids.end {
		first, err := c.AllocateProducerIDs(ctx, producerIDBlock)
		if err != nil {
			return 0, err
		}
		c.ids.next, c.ids.end = first, first+producerIDBlock
	}
	id := c.ids.next
	c.ids.next++
	return id, nil
}

// AllocateProducerIDs takes n consecutive producer ids, n at least 1, and returns
// the first. They are never given out again, restarts included. The error is a
// *protocol.Error.
func (c *Controller) AllocateProducerIDs(ctx context.Context, n int) (first int64, err error) {
	if n < 1 {
		panic(fmt.Sprintf("controller: allocation of %d producer ids", n))
	}
	var exhausted bool
	err = c.execute(ctx, func(image *MetadataImage) []Record {
		first = image.NextProducerID
		if exhausted = first > math.MaxInt64-int64(n); exhausted {
			return nil
		}
		var epoch int64 = -1
		if b, ok := image.Broker(c.cfg.NodeID); ok {
			epoch = b.Epoch
		}
		return []Record{&ProducerIDsRecord{BrokerID: c.cfg.NodeID, BrokerEpoch: epoch, NextProducerID: first + int64(n)}}
	})
	if err != nil {
		return 0, err
	}
	if exhausted {
		return 0, protocol.Errorf(protocol.UnknownServerError, "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit")
	}
	return first, nil
}
