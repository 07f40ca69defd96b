package protocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// encodeFetch writes resp with a FetchEncoder.
func encodeFetch(dst []byte, resp *kmsg.FetchResponse, correlationID int32) []byte {
	var e FetchEncoder
	dst = e.Begin(dst, resp.Version, correlationID, resp.ThrottleMillis, ErrorCode(resp.ErrorCode), resp.SessionID, len(resp.Topics))
	for _, t := range resp.Topics {
		dst = e.Topic(dst, t.Topic, t.TopicID, len(t.Partitions))
		for _, k := range t.Partitions {
			p := FetchPartition{
				Index: k.Partition, Code: ErrorCode(k.ErrorCode), HighWatermark: k.HighWatermark, LastStable: k.LastStableOffset,
				LogStartOffset: k.LogStartOffset, PreferredReadReplica: k.PreferredReadReplica,
			}
			if k.AbortedTransactions != nil {
				p.Aborted = []AbortedTxn{}
			}
			for _, a := range k.AbortedTransactions {
				p.Aborted = append(p.Aborted, AbortedTxn{a.ProducerID, a.FirstOffset})
			}
			if d := k.DivergingEpoch; d.Epoch != -1 {
				p.Diverging = &EpochEndOffset{d.Epoch, d.EndOffset}
			}
			if l := k.CurrentLeader; l.LeaderID != -1 {
				p.CurrentLeader = &LeaderIDAndEpoch{l.LeaderID, l.LeaderEpoch}
			}
			dst = e.PartitionHead(dst, &p, len(k.RecordBatches))
			dst = append(dst, k.RecordBatches...)
			dst = e.PartitionTail(dst, &p)
		}
		dst = e.TopicTail(dst)
	}
	var nodes []NodeEndpoint
	for _, b := range resp.Brokers {
		nodes = append(nodes, NodeEndpoint{b.NodeID, b.Host, b.Port, b.Rack})
	}
	return e.End(dst, nodes)
}

// randomFetch makes a response with what its version can carry.
func randomFetch(version int16, rnd *rand.Rand) *kmsg.FetchResponse {
	flexible := version >= 12
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = version
	resp.ThrottleMillis = rnd.Int32N(100)
	if version >= 7 {
		resp.ErrorCode, resp.SessionID = int16(rnd.IntN(110)), rnd.Int32()
	}
	for range rnd.IntN(4) {
		t := kmsg.NewFetchResponseTopic()
		if version >= 13 {
			binary.BigEndian.PutUint64(t.TopicID[:], rnd.Uint64())
		} else {
			t.Topic = fmt.Sprintf("topic-%0*d", rnd.IntN(200), rnd.IntN(10))
		}
		t.Partitions = []kmsg.FetchResponseTopicPartition{}
		for range rnd.IntN(4) {
			p := kmsg.NewFetchResponseTopicPartition()
			p.Partition, p.ErrorCode = rnd.Int32(), int16(rnd.IntN(110))
			p.HighWatermark, p.LastStableOffset = rnd.Int64(), rnd.Int64()-1<<62
			if version >= 5 {
				p.LogStartOffset = rnd.Int64()
			}
			if version >= 11 {
				p.PreferredReadReplica = rnd.Int32N(5) - 1
			}
			if n := rnd.IntN(4) - 1; n >= 0 {
				p.AbortedTransactions = make([]kmsg.FetchResponseTopicPartitionAbortedTransaction, n)
				for i := range p.AbortedTransactions {
					p.AbortedTransactions[i].ProducerID, p.AbortedTransactions[i].FirstOffset = rnd.Int64(), rnd.Int64()
				}
			}
			p.RecordBatches = make([]byte, rnd.IntN(3)*rnd.IntN(20_000))
			for i := range p.RecordBatches {
				p.RecordBatches[i] = byte(rnd.Uint32())
			}
			if flexible && rnd.IntN(2) == 0 {
				p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = rnd.Int32(), rnd.Int64()
			}
			if flexible && rnd.IntN(2) == 0 {
				p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = rnd.Int32(), rnd.Int32()
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	if version >= 16 {
		for i := range rnd.IntN(40) { // enough for a size of more than one byte
			b := kmsg.NewFetchResponseBroker()
			b.NodeID, b.Host, b.Port = int32(i), fmt.Sprintf("host-%0*d", rnd.IntN(200), i), rnd.Int32N(65536)
			if rnd.IntN(2) == 0 {
				b.Rack = kmsg.StringPtr(fmt.Sprintf("rack-%0*d", rnd.IntN(200), i))
			}
			resp.Brokers = append(resp.Brokers, b)
		}
	}
	return resp
}

func TestFetchEncoder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for version := FetchMinVersion; version <= FetchMaxVersion; version++ {
		for range 50 {
			resp := randomFetch(version, rnd)
			prefix := []byte("before")
			got := encodeFetch(bytes.Clone(prefix), resp, 77)
			want := resp.AppendTo(AppendResponseHeader(bytes.Clone(prefix), 1, version, 77))
			if !bytes.Equal(got, want) {
				t.Fatalf("version %d: encoded\n% x\nkmsg\n% x", version, got, want)
			}
			header := len(AppendResponseHeader(prefix, 1, version, 77))
			decoded := kmsg.NewPtrFetchResponse()
			decoded.Version = version
			if err := decoded.ReadFrom(got[header:]); err != nil {
				t.Fatalf("version %d: %v", version, err)
			}
			if again := decoded.AppendTo(nil); !bytes.Equal(again, got[header:]) {
				t.Fatalf("version %d: decoded %+v", version, decoded)
			}
		}
	}
}

// Apache Kafka's own responses must come out byte by byte.
func TestFetchEncoderAgreesWithKafka(t *testing.T) {
	seen := 0
	for _, c := range capturedFrames(t) {
		if c.api != "Fetch" || c.response == nil {
			continue
		}
		h, _, err := ParseRequestHeader(c.frame)
		if err != nil {
			t.Fatal(err)
		}
		header := len(AppendResponseHeader(nil, 1, h.Version, 0))
		resp := kmsg.NewPtrFetchResponse()
		resp.Version = h.Version
		if err := resp.ReadFrom(c.response[header:]); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := encodeFetch(nil, resp, h.CorrelationID); !bytes.Equal(got, c.response) {
			t.Errorf("%s: encoded\n% x\nKafka\n% x", c.name, got, c.response)
		}
		seen++
	}
	if seen < 3 {
		t.Errorf("only %d responses", seen)
	}
}

func TestFetchEncoderDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 4096)
	p := FetchPartition{Aborted: []AbortedTxn{{1, 2}}, Diverging: &EpochEndOffset{1, 2}, CurrentLeader: &LeaderIDAndEpoch{3, 4}}
	nodes := []NodeEndpoint{{1, "host", 9092, nil}}
	var e FetchEncoder
	if n := testing.AllocsPerRun(50, func() {
		b := e.Begin(dst, 18, 1, 0, None, 5, 1)
		b = e.Topic(b, "t", [16]byte{1}, 1)
		b = e.PartitionHead(b, &p, 100)
		b = e.PartitionTail(b, &p)
		e.End(e.TopicTail(b), nodes)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFetchEncoderPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"version 3":        func() { new(FetchEncoder).Begin(nil, 3, 0, 0, 0, 0, 0) },
		"version 19":       func() { new(FetchEncoder).Begin(nil, 19, 0, 0, 0, 0, 0) },
		"negative records": func() { new(FetchEncoder).PartitionHead(nil, &FetchPartition{}, -1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
