package adopt

import (
	"context"
	"errors"
	"time"

	"kserver/cluster/controller"
	"kserver/engine"
	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// writeTimeout bounds the wait for the disk.
const writeTimeout = 5 * time.Minute

// writeLog makes a log directory at path with a metadata log of these batches, and closes it cleanly.
func writeLog(fsys vfs.FS, path string, nodeID int32, clusterID string, batches []byte) (err error) {
	m, err := engine.OpenLogManager(engine.Config{
		FS: fsys, Dirs: []string{path}, NodeID: nodeID, ClusterID: clusterID,
		ScrubInterval: -1, DiskReserveBytes: -1,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	log, err := m.CreateFirst(engine.TopicPartition{Topic: metadataTopic}, controller.MetadataTopicID, controller.LogConfig())
	if err != nil {
		return err
	}
	for len(batches) > 0 {
		b, rest, err := recordbatch.Next(batches)
		if err != nil {
			return err
		}
		if _, err := log.AppendAsLeader(b, engine.AppendOptions{LeaderEpoch: controller.QuorumEpoch, Origin: engine.OriginController}); err != nil {
			return err
		}
		batches = rest
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return log.WaitDurable(ctx, log.LogEndOffset())
}
