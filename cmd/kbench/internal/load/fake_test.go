package load

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/wire"
)

// fakeBroker keeps batches in memory, enough for the raw driver, and can be told to cheat.
type fakeBroker struct {
	ln net.Listener
	wg sync.WaitGroup

	mu        sync.Mutex
	logs      map[int32][][]byte
	ends      map[int32]int64
	batches   int
	producing int                      // connections that have sent a produce request
	cheat     func(n int) (copies int) // how often to append the n-th batch; nil is once
}

func newFakeBroker(t *testing.T) *fakeBroker {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &fakeBroker{ln: ln, logs: map[int32][][]byte{}, ends: map[int32]int64{}}
	b.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			b.wg.Go(func() {
				if err := b.serve(c); err != nil {
					t.Errorf("fake broker: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		b.wg.Wait()
	})
	return b
}

func (b *fakeBroker) leaders(n int32) map[int32]string {
	m := map[int32]string{}
	for p := range n {
		m[p] = b.ln.Addr().String()
	}
	return m
}

func (b *fakeBroker) serve(c net.Conn) (err error) {
	defer func() { err = errors.Join(err, c.Close()) }()
	for counted := false; ; {
		var head [4]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return nil
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(c, frame); err != nil {
			return nil
		}
		req := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(frame)))
		req.SetVersion(int16(binary.BigEndian.Uint16(frame[2:])))
		body := frame[10+binary.BigEndian.Uint16(frame[8:]):]
		if req.IsFlexible() {
			body = body[1:]
		}
		if err := req.ReadFrom(body); err != nil {
			return err
		}
		resp := b.answer(req)
		if req.Key() == int16(kmsg.Produce) && !counted {
			counted = true
			b.mu.Lock()
			b.producing++
			b.mu.Unlock()
		}
		resp.SetVersion(req.GetVersion())
		out := append([]byte{0, 0, 0, 0}, frame[4:8]...)
		if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
			out = append(out, 0)
		}
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := c.Write(out); err != nil {
			return nil
		}
	}
}

func (b *fakeBroker) answer(req kmsg.Request) kmsg.Response {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch req := req.(type) {
	case *kmsg.ApiVersionsRequest:
		resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
		for _, k := range []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.InitProducerID} {
			resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: int16(k), MaxVersion: kmsg.RequestForKey(int16(k)).MaxVersion()})
		}
		return resp
	case *kmsg.InitProducerIDRequest:
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ProducerID = 9
		return resp
	case *kmsg.ProduceRequest:
		return b.produce(req)
	case *kmsg.FetchRequest:
		return b.fetch(req)
	}
	panic(kmsg.NameForKey(req.Key()))
}

func (b *fakeBroker) produce(req *kmsg.ProduceRequest) kmsg.Response {
	in := req.Topics[0].Partitions[0]
	copies := 1
	if b.cheat != nil {
		copies = b.cheat(b.batches)
	}
	b.batches++
	base := b.ends[in.Partition]
	for range copies {
		batch := append([]byte(nil), in.Records...)
		binary.BigEndian.PutUint64(batch, uint64(b.ends[in.Partition]))
		b.logs[in.Partition] = append(b.logs[in.Partition], batch)
		b.ends[in.Partition] += int64(binary.BigEndian.Uint32(batch[57:]))
	}
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	t := kmsg.NewProduceResponseTopic()
	p := kmsg.NewProduceResponseTopicPartition()
	p.Partition, p.BaseOffset = in.Partition, base
	t.Partitions = append(t.Partitions, p)
	resp.Topics = append(resp.Topics, t)
	return resp
}

func (b *fakeBroker) fetch(req *kmsg.FetchRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.FetchResponse)
	t := kmsg.NewFetchResponseTopic()
	for _, in := range req.Topics[0].Partitions {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.HighWatermark = in.Partition, b.ends[in.Partition]
		for _, batch := range b.logs[in.Partition] {
			last := int64(binary.BigEndian.Uint64(batch)) + int64(binary.BigEndian.Uint32(batch[23:]))
			if last >= in.FetchOffset && len(p.RecordBatches) < int(in.PartitionMaxBytes) {
				p.RecordBatches = append(p.RecordBatches, batch...)
			}
		}
		t.Partitions = append(t.Partitions, p)
	}
	resp.Topics = append(resp.Topics, t)
	return resp
}

// TestRawEndToEnd produces to a fake broker that keeps, loses or repeats batches, reads everything back and expects
// the integrity check to say exactly that.
func TestRawEndToEnd(t *testing.T) {
	const partitions, size = 3, 64
	tests := []struct {
		name  string
		cheat func(n int) int
		judge func(r integrity.Report, perBatch int64) bool
	}{
		{"honest", nil, func(r integrity.Report, _ int64) bool { return r.OK() && r.Records == r.Acked }},
		{"loses a batch", func(n int) int {
			if n == 5 {
				return 0
			}
			return 1
		}, func(r integrity.Report, n int64) bool { return r.Lost == n && r.Duplicate == 0 && r.Disorder == 0 }},
		{"repeats a batch", func(n int) int {
			if n == 7 {
				return 2
			}
			return 1
		}, func(r integrity.Report, n int64) bool { return r.Duplicate == n && r.Lost == 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFakeBroker(t)
			b.cheat = tt.cheat
			ledger := integrity.NewLedger()
			o := &ProduceOptions{
				ClientID: "test", Topic: "t", Leaders: b.leaders(partitions), Producers: 2, RecordSize: size, BatchBytes: 1000,
				Acks: -1, Pipeline: 3, Rate: 4000, Drain: 10 * time.Second, Idempotent: true, Ledger: ledger,
				Payload: NewPayload(size, 5, true, 1),
			}
			ps, err := PrepareRaw(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			m := NewMeter(NewWindow(0, 200*time.Millisecond), len(ps))
			if err := ps.Run(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			perBatch := int64(o.recordsPerBatch())
			manifest, err := ledger.Manifest("t", 5)
			if err != nil {
				t.Fatal(err)
			}
			// 4000 records a second for 0.2 s are 800; a batch more or less per producer.
			if c := m.Counts(); c.AllRecords != manifest.Acked() || c.Failed != 0 || c.AllRecords < 800-2*perBatch || c.AllRecords > 800+2*perBatch {
				t.Errorf("counts %+v, ledger %d", c, manifest.Acked())
			}
			arrivals := NewArrivals(5, nil, integrity.NewChecker(5))
			co := &ConsumeOptions{
				ClientID: "test", Topic: "t", Leaders: b.leaders(partitions), Consumers: 2, From: map[int32]int64{}, To: b.ends,
				AtEnd: AtEndStop, MinBytes: 1, MaxBytes: 1 << 20, PartitionMaxBytes: 4000, Pipeline: 2, Visit: arrivals.Visit,
			}
			cm := NewMeter(NewWindow(0, 20*time.Second), RawConsumeLanes(co))
			if err := ConsumeRaw(t.Context(), co, cm); err != nil {
				t.Fatal(err)
			}
			if r := arrivals.Report(manifest); !tt.judge(r, perBatch) {
				t.Errorf("report %+v, %d records a batch", r, perBatch)
			}
		})
	}
}

// TestRawConsumeRewind reads a small log over and over until the window ends.
func TestRawConsumeRewind(t *testing.T) {
	b := newFakeBroker(t)
	batch, err := wire.EncodeBatch(10, 20, wire.CodecNone, 1, func(int, []byte) {})
	if err != nil {
		t.Fatal(err)
	}
	b.logs[0] = [][]byte{batch.Bytes()}
	b.ends[0] = 10
	o := &ConsumeOptions{
		ClientID: "test", Topic: "t", Leaders: b.leaders(1), Consumers: 1, From: map[int32]int64{}, To: b.ends,
		AtEnd: AtEndRewind, MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20,
	}
	m := NewMeter(NewWindow(0, 100*time.Millisecond), RawConsumeLanes(o))
	if err := ConsumeRaw(t.Context(), o, m); err != nil {
		t.Fatal(err)
	}
	if c := m.Counts(); c.Records < 30 || c.Records%10 != 0 || c.Bytes != c.Records/10*int64(len(batch.Bytes())) {
		t.Errorf("counts %+v", c)
	}
}

func TestRawProducerReportsLostConnection(t *testing.T) {
	o := &ProduceOptions{
		ClientID: "test", Topic: "t", Leaders: map[int32]string{0: "127.0.0.1:1"}, Producers: 1, RecordSize: 10, BatchBytes: 100,
		Acks: 1, Pipeline: 1, Payload: NewPayload(10, 0, false, 0),
	}
	if _, err := PrepareRaw(t.Context(), o); err == nil {
		t.Error("nobody listens, no error")
	}
}

// Every connection of a producer has its turn, and all that is sent is answered and kept.
func TestRawConnections(t *testing.T) {
	const connections = 20
	b := newFakeBroker(t)
	o := &ProduceOptions{
		ClientID: "test", Topic: "t", Leaders: b.leaders(2), Producers: 1, Connections: connections, RecordSize: 50, BatchRecords: 2,
		Acks: -1, Pipeline: 1, Rate: 2000, Drain: 10 * time.Second, Payload: NewPayload(50, 0, false, 1),
	}
	ps, err := PrepareRaw(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMeter(NewWindow(0, 100*time.Millisecond), len(ps))
	if err := ps.Run(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	// 2000 records a second for 0.1 s are 100 batches of two.
	if c := m.Counts(); c.AllRecords != 200 || c.Failed != 0 || b.ends[0] != 100 || b.ends[1] != 100 {
		t.Errorf("counts %+v, ends %v", c, b.ends)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.producing != connections {
		t.Errorf("%d connections have produced", b.producing)
	}
}
