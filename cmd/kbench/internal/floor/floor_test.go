package floor

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/cmd/kbench/wire"
)

func serve(t *testing.T, durable bool) (address, dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := Listen("127.0.0.1:0", dir, durable)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return s.Address().String(), dir
}

func dial(t *testing.T, address string) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(t.Context(), address, "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

func frame(t *testing.T, c *wire.Conn, partition int32, records int, value byte) *wire.ProduceFrame {
	t.Helper()
	batch, err := wire.EncodeBatch(records, 100, wire.CodecNone, 1, func(_ int, v []byte) { v[0] = value })
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.NewProduceFrame("t", partition, -1, 1000, batch)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What is produced, several requests in flight, gets offsets in order and comes back the same, by both clients.
func TestProduceAndFetch(t *testing.T) {
	t.Run("page cache", func(t *testing.T) { testProduceAndFetch(t, false) })
	t.Run("durable", func(t *testing.T) { testProduceAndFetch(t, true) })
}

func testProduceAndFetch(t *testing.T, durable bool) {
	address, _ := serve(t, durable)
	c := dial(t, address)
	if err := c.CreateTopic("t", 2); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic("t", 2); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("created twice: %v", err)
	}
	c = dial(t, address)
	f := frame(t, c, 1, 3, 'x')
	for i := range int32(4) {
		if err := c.WriteFrame(f.Bytes(), i); err != nil {
			t.Fatal(err)
		}
	}
	r, err := c.NewProduceReader()
	if err != nil {
		t.Fatal(err)
	}
	for i := range int32(4) {
		res, err := r.Next()
		if err != nil || res.Err != nil || res.Correlation != i || res.Partition != 1 || res.BaseOffset != int64(3*i) {
			t.Fatalf("answer %d: %+v, %v", i, res, err)
		}
	}
	if offsets, err := dial(t, address).Offsets("t", []int32{0, 1}, wire.LatestOffset); err != nil || offsets[0] != 0 || offsets[1] != 12 {
		t.Errorf("offsets %v, %v", offsets, err)
	}

	w, err := c.NewFetchWriter("t", wire.FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	fetched := c.NewFetchReader()
	for _, tt := range []struct{ from, batches, next int64 }{{0, 4, 12}, {4, 3, 12}, {9, 1, 12}, {12, 0, 0}} {
		if err := w.Send(7, []wire.FetchPosition{{Partition: 1, Offset: tt.from}, {Partition: 0, Offset: 0}}); err != nil {
			t.Fatal(err)
		}
		corr, parts, err := fetched.Next()
		if err != nil || corr != 7 || len(parts) != 2 {
			t.Fatalf("from %d: %d, %+v, %v", tt.from, corr, parts, err)
		}
		for _, p := range parts {
			if p.Partition == 1 && (int64(p.Batches) != tt.batches || p.NextOffset != tt.next || p.HighWatermark != 12) {
				t.Errorf("from %d: %+v", tt.from, p)
			}
		}
	}

	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("t"), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for next := int64(0); next < 12; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next || r.Partition != 1 || r.Value[0] != 'x' {
				t.Errorf("record %+v, expected offset %d", r, next)
			}
			next++
		})
	}
}

// When a batch is acknowledged, the journal's file has it.
func TestDurable(t *testing.T) {
	address, dir := serve(t, true)
	if err := dial(t, address).CreateTopic("t", 1); err != nil {
		t.Fatal(err)
	}
	c := dial(t, address)
	r, err := c.NewProduceReader()
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range []byte("abc") {
		value := bytes.Repeat([]byte{value}, 100)
		batch, err := wire.EncodeBatch(1, len(value), wire.CodecNone, 1, func(_ int, v []byte) { copy(v, value) })
		if err != nil {
			t.Fatal(err)
		}
		f, err := c.NewProduceFrame("t", 0, -1, 1000, batch)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.WriteFrame(f.Bytes(), int32(i)); err != nil {
			t.Fatal(err)
		}
		if res, err := r.Next(); err != nil || res.Err != nil {
			t.Fatalf("%+v, %v", res, err)
		}
		if journal, err := os.ReadFile(filepath.Join(dir, "journal")); err != nil || !bytes.Contains(journal, value) {
			t.Errorf("batch %c is not in the journal: %v", value[0], err)
		}
	}
}

func TestProduceRefuses(t *testing.T) {
	address, _ := serve(t, false)
	if err := dial(t, address).CreateTopic("t", 1); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		partition int32
		damage    func(b []byte)
		want      error
	}{
		"good":         {0, func([]byte) {}, nil},
		"no partition": {1, func([]byte) {}, kerr.UnknownTopicOrPartition},
		"changed byte": {0, func(b []byte) { b[len(b)-4] ^= 1 }, kerr.CorruptMessage},
	} {
		c := dial(t, address)
		f := frame(t, c, tt.partition, 1, 'x')
		tt.damage(f.Bytes())
		if err := c.WriteFrame(f.Bytes(), 1); err != nil {
			t.Fatal(err)
		}
		r, err := c.NewProduceReader()
		if err != nil {
			t.Fatal(err)
		}
		if res, err := r.Next(); err != nil || !errors.Is(res.Err, tt.want) {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}
