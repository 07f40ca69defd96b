package cluster

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// pipe is a connection whose requests are written one by one, or many at once.
type pipe struct {
	t *testing.T
	net.Conn
}

func openPipe(t *testing.T, b *Broker) *pipe {
	t.Helper()
	c, err := net.Dial("tcp", b.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &pipe{t, c}
}

// encodeRaw encodes a request with its length.
func encodeRaw(req kmsg.Request, version int16, correlation int32) []byte {
	req.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw")).AppendRequest(nil, req, correlation)
}

func (c *pipe) send(p ...[]byte) {
	c.t.Helper()
	if _, err := c.Write(bytes.Join(p, nil)); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads the answer to a request with that correlation id into resp.
func (c *pipe) receive(resp kmsg.Response, version int16, correlation int32) {
	c.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		c.t.Fatal(err)
	}
	p := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c, p); err != nil {
		c.t.Fatal(err)
	}
	if got := int32(binary.BigEndian.Uint32(p)); got != correlation {
		c.t.Fatalf("answer to request %d, want %d", got, correlation)
	}
	resp.SetVersion(version)
	if err := resp.ReadFrom(p[4:]); err != nil {
		c.t.Fatal(err)
	}
}

func (c *pipe) expectEnd() {
	c.t.Helper()
	if n, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		c.t.Fatalf("%d bytes, %v; want the end of the connection", n, err)
	}
}

// rawProduce is a request of one record to partition 0.
func rawProduce(topic string, value []byte, codec recordbatch.Codec) *kmsg.ProduceRequest {
	w := recordbatch.NewBuilder(recordbatch.BuilderConfig{Codec: codec})
	w.Append(time.Now().UnixMilli(), nil, value)
	batch, err := w.Build()
	if err != nil {
		panic(err)
	}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 20000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = batch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func rawListOffsets(topic string) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp, rp.CurrentLeaderEpoch = -1, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// What follows a Produce on the same connection sees its records, as it does in
// Kafka, although Produces among themselves do not wait for the disk.
func TestRequestsBehindProduceSeeIt(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		createTopic(t, client(t, b), "t", 1, nil)
		c := openPipe(t, b)
		const rounds, produces = 20, 5
		for round := range rounds {
			var p [][]byte
			for i := range produces {
				p = append(p, encodeRaw(rawProduce("t", []byte("x"), recordbatch.CodecNone), 8, int32(i)))
			}
			fetch := kmsg.NewPtrFetchRequest()
			fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes = 0, 1, 1<<20
			ft := kmsg.NewFetchRequestTopic()
			ft.Topic = "t"
			fp := kmsg.NewFetchRequestTopicPartition()
			fp.FetchOffset, fp.PartitionMaxBytes = int64(round*produces), 1<<20
			ft.Partitions = append(ft.Partitions, fp)
			fetch.Topics = append(fetch.Topics, ft)
			p = append(p, encodeRaw(fetch, 11, 100), encodeRaw(rawListOffsets("t"), 5, 101))
			c.send(p...)
			for i := range produces {
				var resp kmsg.ProduceResponse
				c.receive(&resp, 8, int32(i))
				if part := resp.Topics[0].Partitions[0]; part.ErrorCode != 0 || part.BaseOffset != int64(round*produces+i) {
					t.Fatalf("produce %d: %+v", i, part)
				}
			}
			var fetched kmsg.FetchResponse
			c.receive(&fetched, 11, 100)
			const end = produces
			if part := fetched.Topics[0].Partitions[0]; part.HighWatermark != int64(round*produces+end) || len(part.RecordBatches) == 0 {
				t.Fatalf("round %d: a fetch behind %d produces sees the high watermark %d", round, produces, part.HighWatermark)
			}
			var offsets kmsg.ListOffsetsResponse
			c.receive(&offsets, 5, 101)
			if got := offsets.Topics[0].Partitions[0].Offset; got != int64(round*produces+end) {
				t.Fatalf("round %d: ListOffsets behind %d produces says %d", round, produces, got)
			}
		}
	})
}

// A connection that ends while a request waits behind a Produce leaves nothing
// behind, and a stop does not wait for it.
func TestRequestBehindProduceOfAClosedConnection(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		createTopic(t, client(t, b), "t", 1, nil)
		for range 20 {
			c := openPipe(t, b)
			c.send(encodeRaw(rawProduce("t", []byte("x"), recordbatch.CodecNone), 8, 1), encodeRaw(rawListOffsets("t"), 5, 2))
			c.Close()
		}
		stopBroker(t, b)
	})
}

// A request that cannot be read takes no answer along: what came before it is
// answered first.
func TestAnswersBeforeABrokenRequest(t *testing.T) {
	metadata := kmsg.NewPtrMetadataRequest()
	broken := encodeRaw(metadata, 7, 3)
	broken[len(broken)-2] ^= 0x7f
	broken = append(broken, 1, 2, 3)
	binary.BigEndian.PutUint32(broken, uint32(len(broken)-4))
	for name, p := range map[string][]byte{
		"malformed": broken,
		"unknown":   {0, 0, 0, 8, 0x7f, 0xff, 0, 0, 0, 0, 0, 3},
		"short":     {0, 0, 0, 1, 0},
		"length":    {0xff, 0xff, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			onBothBackends(t, func(t *testing.T, backend string) {
				b := startBroker(t, backend, t.TempDir())
				defer stopBroker(t, b)
				createTopic(t, client(t, b), "t", 1, nil)
				c := openPipe(t, b)
				c.send(encodeRaw(metadata, 7, 1), encodeRaw(rawProduce("t", []byte("x"), recordbatch.CodecNone), 8, 2), p)
				c.receive(kmsg.NewPtrMetadataResponse(), 7, 1)
				var resp kmsg.ProduceResponse
				c.receive(&resp, 8, 2)
				if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
					t.Errorf("produce: error %d", code)
				}
				c.expectEnd()
				waitFor(t, "the closing to be counted", func() bool {
					n := int64(0)
					for reason, count := range b.ClosedConnections() {
						if reason != otherReason {
							n += count
						}
					}
					return n == 1
				})
			})
		})
	}
}

// Batches that take long are validated on workers, and still every append keeps
// its place among the connection's, and what is refused is refused for its size.
func TestCostlyProducesKeepTheirOrder(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		createTopic(t, client(t, b), "t", 1, nil)
		c := openPipe(t, b)
		costly := bytes.Repeat([]byte("costly"), 200<<10) // far more than a loop decompresses
		bomb := make([]byte, 80<<20)
		const rounds = 5
		var p [][]byte
		for i := range int32(rounds) {
			p = append(p,
				encodeRaw(rawProduce("t", costly, recordbatch.CodecZstd), 8, 4*i),
				encodeRaw(rawProduce("t", []byte("plain"), recordbatch.CodecNone), 8, 4*i+1),
				encodeRaw(rawProduce("t", bomb, recordbatch.CodecZstd), 8, 4*i+2),
				encodeRaw(rawProduce("t", []byte("packed"), recordbatch.CodecLZ4), 8, 4*i+3))
		}
		c.send(p...)
		offset := int64(0)
		for i := range int32(4 * rounds) {
			var resp kmsg.ProduceResponse
			c.receive(&resp, 8, i)
			part := resp.Topics[0].Partitions[0]
			if i%4 == 2 {
				if part.ErrorCode != int16(protocol.MessageTooLarge) {
					t.Errorf("a bomb was answered with %d", part.ErrorCode)
				}
				continue
			}
			if part.ErrorCode != 0 || part.BaseOffset != offset {
				t.Fatalf("produce %d: error %d, offset %d, want offset %d", i, part.ErrorCode, part.BaseOffset, offset)
			}
			offset++
		}
		if n := b.workers.most(); n == 0 {
			t.Error("no worker was asked")
		}
	})
}

// A request that names many partitions does not keep its loop.
func TestProduceToManyPartitions(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		createTopic(t, client(t, b), "t", 1, nil)
		c := openPipe(t, b)
		many := rawProduce("t", []byte("x"), recordbatch.CodecNone)
		for i := range int32(5000) {
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Partition = i + 1
			many.Topics[0].Partitions = append(many.Topics[0].Partitions, rp)
		}
		c.send(encodeRaw(many, 8, 1), encodeRaw(rawProduce("t", []byte("y"), recordbatch.CodecNone), 8, 2))
		var resp kmsg.ProduceResponse
		c.receive(&resp, 8, 1)
		parts := resp.Topics[0].Partitions
		if len(parts) != 5001 || parts[0].ErrorCode != 0 || parts[0].BaseOffset != 0 || parts[5000].ErrorCode != int16(protocol.UnknownTopicOrPartition) {
			t.Fatalf("%d partitions, the first %+v", len(parts), parts[0])
		}
		c.receive(&resp, 8, 2)
		if part := resp.Topics[0].Partitions[0]; part.ErrorCode != 0 || part.BaseOffset != 1 {
			t.Fatalf("%+v", part)
		}
		if n := b.workers.most(); n == 0 {
			t.Error("no worker was asked")
		}
	})
}

// A fetch of very many partitions is served off the loop, without a session, and
// waits for its deadline.
func TestFetchOfVeryManyPartitions(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		createTopic(t, client(t, b), "t", 1, nil)
		c := openPipe(t, b)
		c.send(encodeRaw(rawProduce("t", []byte("x"), recordbatch.CodecNone), 8, 1))
		c.receive(kmsg.NewPtrProduceResponse(), 8, 1)
		for _, offset := range []int64{0, 1} { // there are records, there are none yet
			fetch := kmsg.NewPtrFetchRequest()
			fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes, fetch.SessionEpoch = 10, 1, 1<<20, 0
			ft := kmsg.NewFetchRequestTopic()
			ft.Topic = "t"
			for i := range int32(20_000) {
				fp := kmsg.NewFetchRequestTopicPartition()
				fp.Partition, fp.FetchOffset, fp.PartitionMaxBytes = i, offset, 1<<20
				ft.Partitions = append(ft.Partitions, fp)
			}
			fetch.Topics = append(fetch.Topics, ft)
			c.send(encodeRaw(fetch, 11, 2))
			var resp kmsg.FetchResponse
			c.receive(&resp, 11, 2)
			if resp.SessionID != 0 || len(resp.Topics[0].Partitions) != 20_000 {
				t.Fatalf("session %d, %d partitions", resp.SessionID, len(resp.Topics[0].Partitions))
			}
			if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || (len(p.RecordBatches) > 0) != (offset == 0) {
				t.Errorf("offset %d: %d bytes, error %d", offset, len(p.RecordBatches), p.ErrorCode)
			}
		}
	})
}
