package wire

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Produce versions spoken: record batches from 3 on, topic ids from 13 on.
const (
	minProduceVersion = 3
	maxProduceVersion = 12
)

// ProduceFrame is a whole Produce request, length included, with one batch for one partition. Batch aliases the
// frame: patching and sealing the batch changes what is sent.
type ProduceFrame struct {
	Partition int32
	Batch     *Batch
	frame     []byte
}

// NewProduceFrame encodes a request that carries batch, which afterwards lives inside the frame. timeoutMs is the
// broker's time to satisfy acks.
func (c *Conn) NewProduceFrame(topic string, partition int32, acks int16, timeoutMs int32, batch *Batch) (*ProduceFrame, error) {
	v, err := c.Version(int16(kmsg.Produce), minProduceVersion, maxProduceVersion)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version = v
	req.Acks = acks
	req.TimeoutMillis = timeoutMs
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition = partition
	p.Records = batch.bytes
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	frame := c.formatter.AppendRequest(nil, req, 0)

	// The records are the last field; only empty tag sections (partition, topic, request) follow in flexible versions.
	tail := 0
	if req.IsFlexible() {
		tail = 3
	}
	end := len(frame) - tail
	start := end - len(batch.bytes)
	if start < 0 || string(frame[start:end]) != string(batch.bytes) {
		panic(fmt.Sprintf("wire: the batch is not where Produce version %d should have it", v))
	}
	batch.bytes = frame[start:end:end]
	return &ProduceFrame{Partition: partition, Batch: batch, frame: frame}, nil
}

// Bytes returns the encoded request; WriteFrame patches its correlation id.
func (f *ProduceFrame) Bytes() []byte { return f.frame }

// NextSequence returns the base sequence that follows a batch of count records: sequences wrap from 2^31-1 to 0.
func NextSequence(base int32, count int) int32 {
	return int32((int64(base) + int64(count)) & math.MaxInt32)
}

// ProduceResult is the answer for one partition.
type ProduceResult struct {
	Correlation int32
	Partition   int32
	BaseOffset  int64
	Err         error // nil or a *kerr.Error
}

// ProduceReader reads answers to Produce requests of one connection. It belongs to the reading goroutine.
type ProduceReader struct {
	c    *Conn
	resp *kmsg.ProduceResponse
}

// NewProduceReader returns a reader for answers to frames made by NewProduceFrame on this connection.
func (c *Conn) NewProduceReader() (*ProduceReader, error) {
	v, err := c.Version(int16(kmsg.Produce), minProduceVersion, maxProduceVersion)
	if err != nil {
		return nil, err
	}
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = v
	return &ProduceReader{c: c, resp: resp}, nil
}

// Next reads the next answer, which must be about exactly one partition.
func (r *ProduceReader) Next() (ProduceResult, error) {
	r.resp.Topics = nil
	corr, err := r.c.ReadResponse(r.resp)
	if err != nil {
		return ProduceResult{}, err
	}
	if len(r.resp.Topics) != 1 || len(r.resp.Topics[0].Partitions) != 1 {
		return ProduceResult{}, fmt.Errorf("produce answer is not about one partition: %d topics", len(r.resp.Topics))
	}
	p := &r.resp.Topics[0].Partitions[0]
	res := ProduceResult{Correlation: corr, Partition: p.Partition, BaseOffset: p.BaseOffset, Err: kerr.ErrorForCode(p.ErrorCode)}
	if res.Err != nil && p.ErrorMessage != nil {
		res.Err = fmt.Errorf("%w (%s)", res.Err, *p.ErrorMessage)
	}
	return res, nil
}

// InitProducerID asks for a producer id for an idempotent producer.
func (c *Conn) InitProducerID() (id int64, epoch int16, err error) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionTimeoutMillis = 60_000
	req.ProducerID, req.ProducerEpoch = -1, -1
	resp, err := c.Do(req, requestTimeout)
	if err != nil {
		return 0, 0, err
	}
	r := resp.(*kmsg.InitProducerIDResponse)
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return 0, 0, fmt.Errorf("init producer id: %w", err)
	}
	return r.ProducerID, r.ProducerEpoch, nil
}
