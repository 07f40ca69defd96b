package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/bench/internal/launch"
	"kserver/cmd/kbench/wire"
)

const (
	produceTimeoutMs = 60_000
	// lengthBytes is the most by which the lengths in a record grow with its value.
	lengthBytes = 8
)

// latencies of requests, sorted.
type latencies []time.Duration

// at is a quantile, 0 when there are none.
func (l latencies) at(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(int(q*float64(len(l))), len(l)-1)]
}

// writer writes batches of one record, one request at a time.
type writer struct {
	conn   *wire.Conn
	frames map[int32]*wire.ProduceFrame
	bytes  int
	reader *wire.ProduceReader
}

func newWriter(conn *wire.Conn, bytes int, partitions ...int32) (*writer, error) {
	r, err := conn.NewProduceReader()
	w := &writer{conn: conn, frames: map[int32]*wire.ProduceFrame{}, bytes: bytes, reader: r}
	for _, p := range partitions {
		if err == nil {
			_, err = w.frame(p)
		}
	}
	return w, err
}

func (w *writer) frame(partition int32) (*wire.ProduceFrame, error) {
	if f := w.frames[partition]; f != nil {
		return f, nil
	}
	random := rand.NewChaCha8([32]byte{byte(partition)})
	b, err := wire.EncodeBatch(1, w.bytes-wire.BatchBytes(1, 0)-lengthBytes, wire.CodecNone, time.Now().UnixMilli(), func(_ int, v []byte) { _, _ = random.Read(v) })
	if err != nil {
		return nil, err
	}
	f, err := w.conn.NewProduceFrame(topic, partition, -1, produceTimeoutMs, b)
	if err == nil {
		w.frames[partition] = f
	}
	return f, err
}

// write appends one batch and returns when it is acknowledged.
func (w *writer) write(partition int32) error {
	f, err := w.frame(partition)
	if err != nil {
		return err
	}
	if err := w.conn.WriteFrame(f.Bytes(), 1); err != nil {
		return err
	}
	res, err := w.reader.Next()
	if err != nil {
		return err
	}
	return res.Err
}

// onConnections runs f on each of the load's connections.
func onConnections(ctx context.Context, o *options, addr string, f func(i int, conn *wire.Conn) error) error {
	errs := make([]error, o.connections)
	var wg sync.WaitGroup
	for i := range o.connections {
		wg.Go(func() {
			conn, err := wire.Dial(ctx, addr, "restart", timeout)
			if err == nil {
				err = errors.Join(f(i, conn), conn.Close())
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// errUnfilled: the time for filling is over, and there is more to write.
var errUnfilled = errors.New("not filled yet, go on with the same options")

// fill makes the topic and writes what its partitions lack of their segments, and stops the broker.
func fill(ctx context.Context, o *options, p *launch.Place) (err error) {
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return err
	}
	proc, err := p.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proc.Terminate(timeout)) }()
	conn, err := proc.Connect(ctx, p.Addr(), timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := o.createTopic(conn); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return err
	}
	written, err := endOffsets(conn, o.partitions)
	if err != nil {
		return err
	}
	began := time.Now()
	return onConnections(ctx, o, p.Addr(), func(i int, conn *wire.Conn) error {
		w, err := newWriter(conn, o.batchBytes)
		for partition := int32(i); err == nil && int(partition) < o.partitions; partition += int32(o.connections) {
			for n := written[partition]; err == nil && n < int64(o.segments*o.segmentBatches); n++ {
				if o.fill > 0 && time.Since(began) > o.fill {
					return errUnfilled
				}
				err = errors.Join(w.write(partition), ctx.Err())
			}
			delete(w.frames, partition)
		}
		return err
	})
}

// endOffsets asks for the number of records of each partition, which begin at 0.
func endOffsets(conn *wire.Conn, partitions int) (ends []int64, err error) {
	req := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = int32(i), -1
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	resp, err := conn.Do(req, timeout)
	if err != nil {
		return nil, err
	}
	ends = make([]int64, partitions)
	for _, t := range resp.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("partition %d: %w", p.Partition, err)
			}
			if int(p.Partition) < partitions {
				ends[p.Partition] = p.Offset
			}
		}
	}
	return ends, nil
}

// createTopic makes a topic whose segments hold so many batches.
func (o *options) createTopic(conn *wire.Conn) error {
	bytes, name := o.segmentBatches*o.batchBytes, "segment.bytes"
	if bytes < 1<<20 {
		name = "internal.segment.bytes"
	}
	return conn.CreateTopicWith(topic, o.partitions, map[string]string{name: strconv.Itoa(bytes)})
}

// load writes to the hot partitions for so long, and returns the latency of each request.
func load(ctx context.Context, o *options, p *launch.Place, d time.Duration) (all latencies, err error) {
	until := time.Now().Add(d)
	var mu sync.Mutex
	err = onConnections(ctx, o, p.Addr(), func(i int, conn *wire.Conn) error {
		w, err := newWriter(conn, 1000)
		var took latencies
		for n := i; err == nil && time.Now().Before(until); n += o.connections {
			began := time.Now()
			err = errors.Join(w.write(int32(n%o.hot)), ctx.Err())
			took = append(took, time.Since(began))
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, took...)
		return err
	})
	slices.Sort(all)
	return all, err
}
