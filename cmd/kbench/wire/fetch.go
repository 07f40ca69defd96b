package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchVersion is the one version of Fetch spoken: the last that names topics, in every broker since Kafka 2.7.
const fetchVersion = 12

// FetchPosition is where one partition is read from.
type FetchPosition struct {
	Partition int32
	Offset    int64 // the next offset to read
}

// FetchOptions are the limits of a Fetch request.
type FetchOptions struct {
	MinBytes          int32
	MaxBytes          int32 // whole answer
	PartitionMaxBytes int32
	MaxWaitMs         int32
}

// FetchWriter encodes Fetch requests without a session for one topic. It belongs to one goroutine.
type FetchWriter struct {
	c   *Conn
	req *kmsg.FetchRequest
	out []byte
}

// NewFetchWriter returns a writer of requests for topic.
func (c *Conn) NewFetchWriter(topic string, o FetchOptions) (*FetchWriter, error) {
	if _, err := c.Version(int16(kmsg.Fetch), fetchVersion, fetchVersion); err != nil {
		return nil, err
	}
	req := kmsg.NewPtrFetchRequest()
	req.Version = fetchVersion
	req.ReplicaID = -1
	req.MinBytes, req.MaxBytes, req.MaxWaitMillis = o.MinBytes, o.MaxBytes, o.MaxWaitMs
	req.SessionID, req.SessionEpoch = 0, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes = o.PartitionMaxBytes
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return &FetchWriter{c: c, req: req}, nil
}

// Send sends one request for the given positions.
func (w *FetchWriter) Send(corr int32, positions []FetchPosition) error {
	t := &w.req.Topics[0]
	for len(t.Partitions) < len(positions) {
		t.Partitions = append(t.Partitions, t.Partitions[0])
	}
	t.Partitions = t.Partitions[:len(positions)]
	for i, p := range positions {
		t.Partitions[i].Partition = p.Partition
		t.Partitions[i].FetchOffset = p.Offset
	}
	w.out = w.c.formatter.AppendRequest(w.out[:0], w.req, corr)
	_, err := w.c.c.Write(w.out)
	return err
}

// FetchedPartition is the answer for one partition, without the records.
type FetchedPartition struct {
	Partition     int32
	Err           error // nil or a *kerr.Error
	HighWatermark int64
	StartOffset   int64 // log start offset
	Batches       int   // whole batches
	Records       int64 // as the batch headers count them
	Bytes         int64 // of whole batches
	NextOffset    int64 // offset after the last whole batch; meaningful when Batches > 0
}

// FetchReader reads Fetch answers of one connection as they arrive. It belongs to the reading goroutine.
type FetchReader struct {
	// OnBatch, when set, is called with every whole batch; the bytes are valid during the call. When nil, record
	// bytes are dropped, most of them inside the kernel.
	OnBatch func(partition int32, batch []byte) error

	c       *Conn
	scratch []byte
	parts   []FetchedPartition
}

// NewFetchReader returns a reader of the answers to a FetchWriter's requests.
func (c *Conn) NewFetchReader() *FetchReader { return &FetchReader{c: c} }

// Next reads the next answer. The returned slice is valid until the next call. The error of the whole answer is a
// *kerr.Error; everything else that fails leaves the connection unusable.
func (f *FetchReader) Next() (corr int32, parts []FetchedPartition, err error) {
	_, corr, err = f.c.frameHead()
	if err != nil {
		return 0, nil, err
	}
	if err := f.body(); err != nil {
		return corr, f.parts, fmt.Errorf("fetch answer: %w", err)
	}
	if f.c.r.limit != 0 {
		return corr, f.parts, fmt.Errorf("fetch answer: %d bytes left over", f.c.r.limit)
	}
	return corr, f.parts, nil
}

func (f *FetchReader) body() error {
	r := &f.c.r
	f.parts = f.parts[:0]
	if err := r.skipTags(); err != nil { // response header
		return err
	}
	if err := r.skip(4); err != nil { // throttle time
		return err
	}
	code, err := r.int16()
	if err != nil {
		return err
	}
	if err := r.skip(4); err != nil { // session id
		return err
	}
	topics, err := r.compactLen()
	if err != nil {
		return err
	}
	for range topics {
		if err := f.topic(); err != nil {
			return err
		}
	}
	if err := r.skipTags(); err != nil {
		return err
	}
	return kerr.ErrorForCode(code)
}

func (f *FetchReader) topic() error {
	r := &f.c.r
	name, err := r.compactLen()
	if err != nil {
		return err
	}
	if err := r.skip(max(name, 0)); err != nil {
		return err
	}
	partitions, err := r.compactLen()
	if err != nil {
		return err
	}
	for range partitions {
		if err := f.partition(); err != nil {
			return err
		}
	}
	return r.skipTags()
}

func (f *FetchReader) partition() error {
	r := &f.c.r
	// partition int32, error int16, high watermark int64, last stable offset int64, log start offset int64
	head, err := r.take(30)
	if err != nil {
		return err
	}
	p := FetchedPartition{
		Partition:     int32(binary.BigEndian.Uint32(head)),
		Err:           kerr.ErrorForCode(int16(binary.BigEndian.Uint16(head[4:]))),
		HighWatermark: int64(binary.BigEndian.Uint64(head[6:])),
		StartOffset:   int64(binary.BigEndian.Uint64(head[22:])),
	}
	aborted, err := r.compactLen()
	if err != nil {
		return err
	}
	for range max(aborted, 0) {
		if err := r.skip(16); err != nil {
			return err
		}
		if err := r.skipTags(); err != nil {
			return err
		}
	}
	if err := r.skip(4); err != nil { // preferred read replica
		return err
	}
	size, err := r.compactLen()
	if err != nil {
		return err
	}
	if size > 0 {
		if err := f.records(&p, size); err != nil {
			return fmt.Errorf("partition %d: %w", p.Partition, err)
		}
	}
	f.parts = append(f.parts, p)
	return r.skipTags()
}

// records walks size bytes of record batches; a part of a batch at the end is dropped, as the protocol allows.
func (f *FetchReader) records(p *FetchedPartition, size int) error {
	r := &f.c.r
	for size >= batchHeaderSize {
		h, err := r.peek(batchHeaderSize)
		if err != nil {
			return err
		}
		total := int64(int32(binary.BigEndian.Uint32(h[batchLengthOffset:]))) + batchLengthPreamble
		if total < batchHeaderSize || h[batchMagicOffset] != 2 {
			return fmt.Errorf("record batch announces %d bytes, magic %d", total, h[batchMagicOffset])
		}
		if total > int64(size) {
			break
		}
		base := int64(binary.BigEndian.Uint64(h))
		p.NextOffset = base + int64(int32(binary.BigEndian.Uint32(h[batchLastDelta:]))) + 1
		p.Records += int64(int32(binary.BigEndian.Uint32(h[batchCountOffset:])))
		p.Batches++
		p.Bytes += total
		if err := f.batch(p.Partition, int(total)); err != nil {
			return err
		}
		size -= int(total)
	}
	return r.skip(size)
}

func (f *FetchReader) batch(partition int32, n int) error {
	if f.OnBatch == nil {
		return f.c.r.skip(n)
	}
	if cap(f.scratch) < n {
		f.scratch = make([]byte, n)
	}
	b := f.scratch[:n]
	if err := f.c.r.full(b); err != nil {
		return err
	}
	return f.OnBatch(partition, b)
}
