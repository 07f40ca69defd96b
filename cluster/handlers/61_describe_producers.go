package handlers

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/engine"
	"kserver/protocol"
)

// DescribeProducers (key 61), version 0 (KIP-664).
//
// The producers whose sequences partitions know, idempotent and transactional
// ones, by producer id, with the start of an open transaction.
func handle61DescribeProducers(b *Broker, r *Request) {
	var req kmsg.DescribeProducersRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrDescribeProducersResponse()
	for i := range req.Topics {
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = req.Topics[i].Topic
		for _, index := range req.Topics[i].Partitions {
			result := kmsg.NewDescribeProducersResponseTopicPartition()
			result.Partition = index
			producers, err := partitionProducers(b, out.Topic, index)
			result.ErrorCode, result.ErrorMessage = codeAndMessage(err)
			for _, p := range producers {
				result.ActiveProducers = append(result.ActiveProducers, kmsg.DescribeProducersResponseTopicPartitionActiveProducer{
					ProducerID: p.ProducerID, ProducerEpoch: int32(p.ProducerEpoch), LastSequence: p.LastSequence, LastTimestamp: p.LastTimestamp,
					CoordinatorEpoch: p.CoordinatorEpoch, CurrentTxnStartOffset: p.CurrentTxnStartOffset,
				})
			}
			out.Partitions = append(out.Partitions, result)
		}
		resp.Topics = append(resp.Topics, out)
	}
	r.Reply(resp)
}

// partitionProducers are the producers of one partition, or Kafka's error: with a
// message for what is wrong with the topic, with none for the partition.
func partitionProducers(b *Broker, topic string, index int32) ([]engine.ProducerInfo, *protocol.Error) {
	if err := protocol.ValidateTopicName(topic); err != nil {
		return nil, &protocol.Error{Code: protocol.CodeOf(err), Message: *protocol.MessageOf(err)}
	}
	t, err := b.Replicas.Topic(topic)
	if err != nil {
		return nil, &protocol.Error{Code: err.Code, Message: err.Code.Message()}
	}
	p, err := t.Partition(index)
	if err != nil {
		return nil, &protocol.Error{Code: err.Code}
	}
	producers, err := p.Producers()
	if err != nil {
		return nil, &protocol.Error{Code: err.Code}
	}
	slices.SortFunc(producers, func(a, b engine.ProducerInfo) int { return cmp.Compare(a.ProducerID, b.ProducerID) })
	return producers, nil
}
