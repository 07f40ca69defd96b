package interop

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// newProducerID asks for a non-transactional producer id.
func newProducerID(t *testing.T, conn *wire.Conn) (int64, int16) {
	t.Helper()
	req := at(kmsg.NewPtrInitProducerIDRequest(), 4)
	req.ProducerID, req.ProducerEpoch = -1, -1
	req.TransactionTimeoutMillis = math.MaxInt32
	var resp *kmsg.InitProducerIDResponse
	eventually(t, "init producer id", func() error { // a broker that has just started may have no block of ids yet
		resp = ask[*kmsg.InitProducerIDResponse](t, conn, req)
		return kerr.ErrorForCode(resp.ErrorCode)
	})
	return resp.ProducerID, resp.ProducerEpoch
}

// TestProducerIDs checks that ids are fresh and begin at epoch 0.
func TestProducerIDs(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	seen := make(map[int64]bool)
	for range 100 {
		id, epoch := newProducerID(t, conn)
		if id < 0 || epoch != 0 || seen[id] {
			t.Fatalf("producer id %d epoch %d, handed out before: %v", id, epoch, seen[id])
		}
		seen[id] = true
	}
}

// TestIdempotence walks through the sequence checks of one producer on one partition (broker
// semantics as in Kafka's ProducerAppendInfo and ProducerStateEntry). Every answer here was
// compared with Apache Kafka 4.3.1.
func TestIdempotence(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	id, _ := newProducerID(t, conn)
	batch := func(epoch int16, sequence int32, n int) []byte {
		values := make([][]byte, n)
		for i := range values {
			values[i] = fmt.Appendf(nil, "%d", int(sequence)+i)
		}
		return wire.NewBatch(time.Now().UnixMilli(), values...).WithProducer(id, epoch, sequence).Encode()
	}
	kept := batch(0, 0, 3)
	steps := []struct {
		name   string
		batch  []byte
		code   int16
		offset int64
	}{
		{"first batch", kept, 0, 0},
		{"the same bytes again", kept, 0, 0},
		{"next batch", batch(0, 3, 2), 0, 3},
		{"gap", batch(0, 6, 1), 45, -1},
		{"overlap with the last batch", batch(0, 4, 2), 45, -1},
		{"after the refusals", batch(0, 5, 1), 0, 5},
		{"first batch once more", kept, 0, 0},
		{"fourth", batch(0, 6, 1), 0, 6},
		{"fifth", batch(0, 7, 1), 0, 7},
		{"oldest of five", kept, 0, 0},
		{"sixth", batch(0, 8, 1), 0, 8},
		{"beyond the five last batches", kept, 45, -1},
		{"second, now the oldest of five", batch(0, 3, 2), 0, 3},
		{"same first sequence, other length", batch(0, 8, 2), 45, -1},
		{"new epoch, sequence not 0", batch(1, 9, 1), 45, -1},
		{"new epoch from 0", batch(1, 0, 1), 0, 9},
		{"old epoch", batch(0, 9, 1), 47, -1},
		{"new epoch again", batch(1, 0, 1), 0, 9},
		{"new epoch goes on", batch(1, 1, 1), 0, 10},
	}
	for _, s := range steps {
		p := produceBatch(t, conn, topic, 0, s.batch)
		if p.ErrorCode != s.code || p.BaseOffset != s.offset {
			t.Errorf("%s: code %d offset %d, want %d %d", s.name, p.ErrorCode, p.BaseOffset, s.code, s.offset)
		}
	}
	var next int64
	for _, b := range fetchBatches(t, conn, topic, 0, 0) {
		if b.BaseOffset != next {
			t.Errorf("batch at %d, want %d: a refused or repeated batch left a trace", b.BaseOffset, next)
		}
		next = b.NextOffset()
	}
	if next != 11 {
		t.Errorf("log ends at %d, want 11", next)
	}
}

// TestSequenceWrap lets the sequence go over 2^31-1, between two batches and inside one. An unknown
// producer id may begin anywhere.
func TestSequenceWrap(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	id, epoch := newProducerID(t, conn)
	now := time.Now().UnixMilli()
	one, two := []byte("1"), []byte("2")
	mustProduce(t, conn, topic, 0, wire.NewBatch(now, one, two).WithProducer(id, epoch, math.MaxInt32-1))
	mustProduce(t, conn, topic, 0, wire.NewBatch(now, one).WithProducer(id, epoch, 0))
	p := produceBatch(t, conn, topic, 0, wire.NewBatch(now, one).WithProducer(id, epoch, 2).Encode())
	wantCode(t, "gap after the wrap", p.ErrorCode, 45)

	id, epoch = newProducerID(t, conn)
	inside := wire.NewBatch(now, one, two, one).WithProducer(id, epoch, math.MaxInt32-1) // 2^31-2, 2^31-1, 0
	at := mustProduce(t, conn, topic, 0, inside)
	if again := mustProduce(t, conn, topic, 0, inside); again != at {
		t.Errorf("repeated batch that wraps: offset %d, want %d", again, at)
	}
	mustProduce(t, conn, topic, 0, wire.NewBatch(now, one).WithProducer(id, epoch, 1))
}

// TestProducersAreSeparate checks that state is per partition and per producer id.
func TestProducersAreSeparate(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 2)
	conn := newConn(t)
	a, epoch := newProducerID(t, conn)
	b, _ := newProducerID(t, conn)
	now := time.Now().UnixMilli()
	for i := range int32(4) {
		for _, id := range []int64{a, b} {
			for partition := range int32(2) {
				mustProduce(t, conn, topic, partition, wire.NewBatch(now, []byte("v")).WithProducer(id, epoch, i))
			}
		}
	}
}
