package replica

import (
	"kserver/engine"
	"kserver/protocol"
)

// ToHighWatermark, as the offset of DeleteRecords, stands for the high watermark.
const ToHighWatermark = -1

// DeleteRecords takes the records below offset out of the partition and returns
// its low watermark: the smallest log start offset of all replicas, which is this
// one's, as there is no other. It waits for the disk. Records that are there no
// more are no error.
func (p *Partition) DeleteRecords(offset int64) (lowWatermark int64, _ *protocol.Error) {
	if err := p.checkLeader(-1); err != nil {
		return -1, err
	}
	if protocol.IsInternalTopic(p.TopicPartition.Topic) {
		return -1, protocol.Errorf(protocol.InvalidTopicException, "Cannot delete records of internal topic %s", p.TopicPartition.Topic)
	}
	if c := p.log.Config(); c.Compact && !c.Delete {
		return -1, protocol.Errorf(protocol.PolicyViolation, "Records of partition %s can not be deleted due to the configured policy", p.TopicPartition)
	}
	if offset == ToHighWatermark {
		offset = p.log.HighWatermark()
	}
	if offset < 0 {
		return -1, errOffsetOutOfRange
	}
	if err := p.log.SetLogStartOffset(offset); err != nil {
		return -1, KafkaError(err)
	}
	return p.log.LogStartOffset(), nil
}

// Producers lists the producers whose sequences the partition knows, in no order.
func (p *Partition) Producers() ([]engine.ProducerInfo, *protocol.Error) {
	if err := p.checkLeader(-1); err != nil {
		return nil, err
	}
	return p.log.Producers(), nil
}
