package cluster

import (
	"kserver/cluster/replica"
	"kserver/engine"
	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// topicStorage is the log behind a coordinator: one internal topic, reached by
// the replica manager. It implements coordinator.Storage.
type topicStorage struct {
	replicas *replica.Manager
	topic    string
}

// waitDone calls a coordinator back when its batch is durable.
type waitDone func(error)

func (f waitDone) Reached(_ int32, err error) { f(err) }

// Append implements coordinator.Storage.
func (s *topicStorage) Append(partition, leaderEpoch int32, batch recordbatch.Batch, done func(error)) (int64, error) {
	p, perr := s.replicas.Partition(s.topic, partition)
	if perr != nil {
		return 0, protocol.Errorf(protocol.NotLeaderOrFollower, "%s", perr.Text())
	}
	if p.Leadership().LeaderEpoch != leaderEpoch {
		return 0, protocol.Errorf(protocol.NotLeaderOrFollower, "%s is not led here in epoch %d", p.TopicPartition, leaderEpoch)
	}
	info, err := p.Append(batch, true, engine.AppendOptions{Origin: engine.OriginCoordinator})
	if err != nil {
		return 0, replica.KafkaError(err)
	}
	if already, err := p.WaitAppended(info.LastOffset+1, waitDone(done), 0); already || err != nil {
		done(err)
	}
	return info.FirstOffset, nil
}

// Replay implements coordinator.Storage.
func (s *topicStorage) Replay(partition int32, fn func(recordbatch.Batch) error) error {
	p, err := s.replicas.Partition(s.topic, partition)
	if err != nil {
		return err
	}
	if err := p.Activate(); err != nil {
		return err
	}
	return replay(p.Log(), p.HighWatermark(), fn)
}

// MaxBatchBytes implements coordinator.Storage.
func (s *topicStorage) MaxBatchBytes(partition int32) int {
	p, err := s.replicas.Partition(s.topic, partition)
	if err != nil {
		return engine.DefaultLogConfig().MaxMessageBytes
	}
	return p.Log().Config().MaxMessageBytes
}
