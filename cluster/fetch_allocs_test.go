package cluster

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol/recordbatch"
)

// What allocates in a fetch, and is not measured here, because it happens once or seldom: a fetch of a log that was
// not read since the start, or whose range or index is not in the page cache, or of more than keptFetchParts
// partitions (package handlers); a session, when it begins and for each partition it gets; a topic that is not there;
// an error or a diverging epoch in an answer; transactions that were aborted in the range.

func skipFetchAllocations(t *testing.T) {
	t.Helper()
	switch {
	case raceDetector:
		t.Skip("sync.Pool allocates under the race detector")
	case invariants:
		t.Skip("with the invariants on no range of a log is used again")
	}
}

// rawFetch is an encoded request whose numbers can be changed where they lie.
type rawFetch struct {
	request []byte
	session []byte   // id and epoch
	offsets [][]byte // by partition
}

// unlikely is an offset that is found again in an encoded request.
const unlikely = 0x5ca1ab1e00c0ffee

// newRawFetch is a fetch of partitions of a topic, from their beginning. Without inSession it is of no session, else it
// begins one.
func newRawFetch(t *testing.T, topic string, id [16]byte, partitions int32, version int16, wait time.Duration, inSession bool) *rawFetch {
	t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(wait.Milliseconds()), 1, 1<<20
	req.SessionID, req.SessionEpoch = unlikely>>32, 0
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	for p := range partitions {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = p, unlikely, 1<<20
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	f := &rawFetch{request: encodeRaw(req, version, 1)}
	marks := binary.BigEndian.AppendUint64(nil, unlikely)
	if version >= 7 {
		at := bytes.Index(f.request, marks[:4])
		f.session = f.request[at : at+8]
		epoch := int32(-1)
		if inSession {
			epoch = 0
		}
		binary.BigEndian.PutUint64(f.session, uint64(uint32(epoch)))
	}
	for range partitions {
		at := bytes.Index(f.request, marks)
		f.offsets = append(f.offsets, f.request[at:at+8])
		f.setOffset(len(f.offsets)-1, 0)
	}
	return f
}

func (f *rawFetch) setOffset(partition int, offset int64) {
	binary.BigEndian.PutUint64(f.offsets[partition], uint64(offset))
}

// begin makes the requests that follow those of the session.
func (f *rawFetch) begin(session int32) {
	binary.BigEndian.PutUint64(f.session, uint64(session)<<32|1)
}

// next makes it the next request of the session.
func (f *rawFetch) next() {
	binary.BigEndian.PutUint64(f.session, binary.BigEndian.Uint64(f.session)+1)
}

// fetched asks once and returns the answer, of one topic.
func (c *pipe) fetched(f *rawFetch, version int16) *kmsg.FetchResponse {
	c.t.Helper()
	resp := kmsg.NewPtrFetchResponse()
	c.send(f.request)
	c.receiveFlexible(resp, version, 1)
	if resp.ErrorCode != 0 || len(resp.Topics) != 1 {
		c.t.Fatalf("error %d, %d topics", resp.ErrorCode, len(resp.Topics))
	}
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != 0 {
			c.t.Fatalf("partition %d: error %d", p.Partition, p.ErrorCode)
		}
	}
	return resp
}

// The steady state of Fetch allocates nothing when there is something to read: by sendfile and copied, of no session
// and of one.
func TestFetchDoesNotAllocate(t *testing.T) {
	skipFetchAllocations(t)
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		for _, tc := range []struct {
			name       string
			topic      string
			partitions int32
			value      int // bytes
			version    int16
			inSession  bool
		}{
			{"sendfile of no session", "large", 1, 100 << 10, 4, false},
			{"sendfile of no session, ids", "large", 1, 100 << 10, 18, false},
			{"copied of no session", "small", 3, 100, 12, false},
			{"copied of no session, ids", "small", 3, 100, 17, false},
			{"sendfile in a session", "large", 1, 100 << 10, 11, true},
			{"copied in a session, ids", "small", 3, 100, 17, true},
		} {
			t.Run(tc.name, func(t *testing.T) {
				id := filledTopic(t, b, tc.topic, tc.partitions, tc.value)
				c, buf := openPipe(t, b), make([]byte, 1<<20)
				f := newRawFetch(t, tc.topic, id, tc.partitions, tc.version, 0, tc.inSession)
				resp := c.fetched(f, tc.version)
				for _, p := range resp.Topics[0].Partitions {
					if len(p.RecordBatches) < tc.value {
						t.Fatalf("partition %d: %d bytes", p.Partition, len(p.RecordBatches))
					}
				}
				if tc.inSession {
					f.begin(resp.SessionID)
				}
				if n := allocations(1, func() {
					c.talk(f.request, 1, buf)
					if tc.inSession {
						f.next()
					}
				}); n > spareAllocations {
					t.Errorf("%v allocations per request", n)
				}
				if resp := c.fetched(f, tc.version); len(resp.Topics[0].Partitions) != int(tc.partitions) {
					t.Errorf("the last answer has %d partitions, want %d", len(resp.Topics[0].Partitions), tc.partitions)
				}
			})
		}
	})
}

// filledTopic is the id of a topic with a record of so many bytes in each partition.
func filledTopic(t *testing.T, b *Broker, name string, partitions int32, value int) [16]byte {
	t.Helper()
	if topic, failed := b.replicas.Topic(name); failed == nil {
		return topic.ID
	}
	createTopic(t, client(t, b), name, partitions, nil)
	topic, failed := b.replicas.Topic(name)
	if failed != nil {
		t.Fatal(failed)
	}
	c := openPipe(t, b)
	for p := range partitions {
		req := rawProduce(name, make([]byte, value), recordbatch.CodecNone)
		req.Topics[0].Partitions[0].Partition = p
		c.send(encodeRaw(req, 9, 1))
		resp := kmsg.NewPtrProduceResponse()
		c.receiveFlexible(resp, 9, 1)
		if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
			t.Fatalf("partition %d: error %d", p, code)
		}
	}
	return topic.ID
}

// Nor does a fetch that waits, until an append wakes it or its time is over.
func TestWaitingFetchDoesNotAllocate(t *testing.T) {
	skipFetchAllocations(t)
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		const partitions = 3
		for _, tc := range []struct {
			name      string
			version   int16
			inSession bool
		}{{"of no session", 12, false}, {"in a session", 11, true}, {"in a session, ids", 17, true}} {
			t.Run(tc.name, func(t *testing.T) {
				id := filledTopic(t, b, "t", partitions, 100)
				topic, _ := b.replicas.Topic("t")
				produce := encodeRaw(rawProduce("t", make([]byte, 100), recordbatch.CodecNone), 9, 1)
				producer, c, buf := openPipe(t, b), openPipe(t, b), make([]byte, 1<<20)
				f := newRawFetch(t, "t", id, partitions, tc.version, time.Minute, tc.inSession)
				end := topic.Partitions[0].HighWatermark()
				if resp := c.fetched(f, tc.version); tc.inSession {
					f.begin(resp.SessionID)
				}
				for p := range partitions {
					f.setOffset(p, topic.Partitions[p].HighWatermark())
				}
				exchange := func() {
					f.setOffset(0, end)
					if _, err := c.Write(f.request); err != nil {
						t.Fatal(err)
					}
					for b.front.broker.Metrics.WaitingFetches.Load() == 0 {
						runtime.Gosched()
					}
					producer.talk(produce, 1, buf)
					c.talk(nil, 1, buf)
					end++
					if tc.inSession {
						f.next()
					}
				}
				if n := allocations(1, exchange); n > spareAllocations {
					t.Errorf("%v allocations for a fetch and what wakes it", n)
				}
				f.setOffset(0, end-1)
				if resp := c.fetched(f, tc.version); len(resp.Topics[0].Partitions[0].RecordBatches) == 0 {
					t.Error("the last answer has no records")
				}
			})
		}
		t.Run("in vain", func(t *testing.T) {
			id := filledTopic(t, b, "idle", partitions, 100)
			c, buf := openPipe(t, b), make([]byte, 1<<20)
			f := newRawFetch(t, "idle", id, partitions, 17, time.Millisecond, true)
			f.begin(c.fetched(f, 17).SessionID)
			for p := range partitions {
				f.setOffset(p, 1)
			}
			if n := allocations(1, func() { c.talk(f.request, 1, buf); f.next() }); n > spareAllocations {
				t.Errorf("%v allocations for a fetch and its timer", n)
			}
		})
	})
}
