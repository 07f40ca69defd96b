package cluster

import (
	"context"

	"kserver/engine"
	"kserver/protocol/recordbatch"
)

// metadataLog is the engine log of __cluster_metadata-0 as the controller sees
// it. It implements controller.Log.
type metadataLog struct{ log *engine.Log }

// Append implements controller.Log.
func (m metadataLog) Append(batches []byte, leaderEpoch int32) (int64, error) {
	info, err := m.log.AppendAsLeader(batches, engine.AppendOptions{LeaderEpoch: leaderEpoch, Origin: engine.OriginController})
	return info.FirstOffset, err
}

// WaitDurable implements controller.Log.
func (m metadataLog) WaitDurable(ctx context.Context, end int64) error {
	return m.log.WaitDurable(ctx, end)
}

// Replay implements controller.Log.
func (m metadataLog) Replay(fn func(recordbatch.Batch) error) error {
	if err := m.log.Load(); err != nil {
		return err
	}
	return replay(m.log, m.log.LogEndOffset(), fn)
}
