package cluster

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol/recordbatch"
)

// allocations is what the process allocates for each of the requests that exchange makes n of: of the whole broker,
// on its event loops and behind them. The client must allocate nothing.
func allocations(n int, exchange func()) float64 {
	const rounds = 200
	for range rounds { // what grows once
		exchange()
	}
	// What a request allocates is there every time, what the process does beside it is not.
	least := math.Inf(1)
	for try := 0; try < 5 && least > spareAllocations; try++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			exchange()
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.Mallocs-before.Mallocs)/float64(rounds*n))
	}
	return least
}

// spareAllocations is what a request may cost on average in a process that does other things as well, such as
// opening a sync.Pool anew after a collection.
const spareAllocations = 0.1

// talk sends bytes that hold n requests and reads as many answers.
func (c *pipe) talk(requests []byte, n int, buf []byte) {
	if _, err := c.Write(requests); err != nil {
		c.t.Fatal(err)
	}
	for range n {
		if _, err := io.ReadFull(c, buf[:4]); err != nil {
			c.t.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf[:binary.BigEndian.Uint32(buf)]); err != nil {
			c.t.Fatal(err)
		}
	}
}

// The steady state of Produce allocates nothing: from the socket through the handler, the log, the commit round that
// makes the records durable, to the answer.
func TestProduceDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("sync.Pool allocates under the race detector")
	}
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		const pipelined = 8
		partitions := int32(3)
		if backend == "epoll" {
			partitions = 1 // a commit round of several files without io_uring starts goroutines
		}
		cl := client(t, b)
		createTopic(t, cl, "t", partitions, nil)
		topic, failed := b.replicas.Topic("t")
		if failed != nil {
			t.Fatal(failed)
		}
		for _, version := range []int16{3, 9, 13} {
			t.Run(fmt.Sprint("v", version), func(t *testing.T) {
				var requests []byte
				for range pipelined {
					requests = append(requests, encodeRaw(produceAll("t", topic.ID, partitions), version, 1)...)
				}
				c, buf := openPipe(t, b), make([]byte, 4096)
				if n := allocations(pipelined, func() { c.talk(requests, pipelined, buf) }); n > spareAllocations {
					t.Errorf("%v allocations per request", n)
				}
				resp := kmsg.NewPtrProduceResponse()
				c.send(requests[:len(requests)/pipelined])
				c.receiveFlexible(resp, version, 1)
				for _, p := range resp.Topics[0].Partitions {
					if p.ErrorCode != 0 || p.BaseOffset < pipelined {
						t.Errorf("partition %d: error %d, offset %d", p.Partition, p.ErrorCode, p.BaseOffset)
					}
				}
			})
		}
	})
}

// produceAll is a request of one record to each partition.
func produceAll(topic string, id [16]byte, partitions int32) *kmsg.ProduceRequest {
	req := rawProduce(topic, make([]byte, 100), recordbatch.CodecNone)
	rt := &req.Topics[0]
	rt.TopicID = id
	for p := int32(1); p < partitions; p++ {
		rp := rt.Partitions[0]
		rp.Partition = p
		rt.Partitions = append(rt.Partitions, rp)
	}
	return req
}

// receiveFlexible is receive for an answer whose header may have tagged fields, which are none.
func (c *pipe) receiveFlexible(resp kmsg.Response, version int16, correlation int32) {
	c.t.Helper()
	resp.SetVersion(version)
	if !resp.IsFlexible() {
		c.receive(resp, version, correlation)
		return
	}
	buf := make([]byte, 1<<20)
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.ReadFull(c, buf[:4]); err != nil {
		c.t.Fatal(err)
	}
	p := buf[:binary.BigEndian.Uint32(buf)]
	if _, err := io.ReadFull(c, p); err != nil {
		c.t.Fatal(err)
	}
	if err := resp.ReadFrom(p[5:]); err != nil {
		c.t.Fatal(err)
	}
}
