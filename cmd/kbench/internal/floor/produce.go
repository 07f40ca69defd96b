package floor

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceVersion is the one version served.
const produceVersion = 9

// produce appends one batch to one partition, which is what the raw driver sends; franz-go's requests have more and
// are refused.
func (c *conn) produce(corr uint32, body []byte) error {
	r := &c.reader
	r.Src = body
	skipTags(r) // of the header
	r.CompactNullableBytes()
	acks := r.Int16()
	r.Int32() // timeout
	topics := r.CompactArrayLen()
	name := r.UnsafeCompactString()
	partitions := r.CompactArrayLen()
	index := r.Int32()
	batch := r.CompactNullableBytes()
	if !r.Ok() || topics != 1 || partitions != 1 {
		return errors.New("a produce request that is not about one partition")
	}
	code := kerr.UnknownTopicOrPartition.Code
	var offset int64
	if p := c.server.partition(name, index); p != nil {
		var err error
		code = 0
		if offset, err = p.append(batch); errors.Is(err, errBatch) {
			code = kerr.CorruptMessage.Code
		} else if err != nil {
			return err
		}
	}
	if acks == 0 {
		return nil
	}
	if j := c.server.journal; j != nil && code == 0 {
		var err error
		if c.round, err = j.put(batch); err != nil {
			return err
		}
	}
	if c.produced == nil {
		c.produced = kmsg.NewPtrProduceResponse()
		c.produced.Version = produceVersion
		t := kmsg.NewProduceResponseTopic()
		t.Partitions = append(t.Partitions, kmsg.NewProduceResponseTopicPartition())
		c.produced.Topics = append(c.produced.Topics, t)
	}
	t := &c.produced.Topics[0]
	if t.Topic != name {
		t.Topic = string([]byte(name)) // it lives in the buffer
	}
	t.Partitions[0].Partition, t.Partitions[0].BaseOffset, t.Partitions[0].ErrorCode = index, offset, code
	c.answer(corr, c.produced)
	return nil
}

// partition returns a partition, or nil.
func (s *Server) partition(name string, index int32) *partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[name]
	if index < 0 || int(index) >= len(t) {
		return nil
	}
	return t[index]
}
