package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"
	"testing"
	"time"

	"kserver/protocol/recordbatch"
)

// manualClock stands still until it is set; its timers never fire, so that tests run background work by hand.
type manualClock struct {
	mu  sync.Mutex
	now time.Time
}

func newManualClock() *manualClock { return &manualClock{now: time.UnixMilli(1_700_000_000_000)} }

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *manualClock) AfterFunc(time.Duration, func()) func() { return func() {} }

var (
	testTP  = TopicPartition{"t", 0}
	testTID = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
)

// testLogConfig has tiny segments and indexes, so that edges come early.
func testLogConfig() LogConfig {
	cfg := DefaultLogConfig()
	cfg.SegmentBytes = 1000
	cfg.IndexIntervalBytes = 100
	cfg.SegmentIndexBytes = 480
	cfg.RetentionMs = -1
	return cfg
}

func openManager(t testing.TB, cfg Config) *LogManager {
	t.Helper()
	m, err := tryOpen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func tryOpen(cfg Config) (*LogManager, error) {
	if cfg.Dirs == nil {
		cfg.Dirs = []string{"/data"}
	}
	if cfg.Clock == nil {
		cfg.Clock = newManualClock()
	}
	if cfg.DiskReserveBytes == 0 {
		cfg.DiskReserveBytes = -1
	}
	cfg.ClusterID = "AAAAAAAAAAAAAAAAAAAAAA"
	return OpenLogManager(cfg)
}

// step runs all work of the background that is due, see Config.stepped.
func (m *LogManager) step() {
	for more := true; more; {
		more = false
		for _, d := range m.dirs {
			again, _ := d.committer.turn()
			more = d.keeper.turn() || again || more
		}
		if f, _, _ := m.janitor.next(); f != nil {
			f()
			more = true
		}
	}
}

func create(t testing.TB, m *LogManager, tp TopicPartition, cfg LogConfig) *Log {
	t.Helper()
	l, err := m.Create(tp, testTID, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// batchSpec describes a batch of a test.
type batchSpec struct {
	records  int
	value    string
	ts       int64
	pid      int64 // 0 none
	epoch    int16
	seq      int32
	txn      bool
	codec    recordbatch.Codec
	padBytes int
}

func (s batchSpec) build(t testing.TB) recordbatch.Batch {
	t.Helper()
	cfg := recordbatch.BuilderConfig{PartitionLeaderEpoch: -1, Codec: s.codec, Transactional: s.txn}
	if s.pid != 0 {
		cfg.Producer = &recordbatch.Producer{ID: s.pid, Epoch: s.epoch, BaseSequence: s.seq}
	}
	b := recordbatch.NewBuilder(cfg)
	for i := range max(s.records, 1) {
		ts := s.ts
		if ts == 0 {
			ts = 1_700_000_000_000
		}
		b.Append(ts, nil, []byte(fmt.Sprintf("%s/%d%s", s.value, i, string(make([]byte, s.padBytes)))))
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return append(recordbatch.Batch(nil), batch...)
}

func appendBatch(t testing.TB, l *Log, s batchSpec) AppendInfo {
	t.Helper()
	info, err := l.AppendAsLeader(s.build(t), AppendOptions{LeaderEpoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func waitDurable(t testing.TB, l *Log, end int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := l.WaitDurable(ctx, end); err != nil {
		t.Fatal(err)
	}
}

// readAll reads from offset to the end of the log, across segments.
func readAll(t testing.TB, l *Log, offset int64) []byte {
	t.Helper()
	b, err := tryReadAll(l, offset)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tryReadAll(l *Log, offset int64) ([]byte, error) {
	var all []byte
	for {
		info, err := l.Read(offset, 1<<30, l.LogEndOffset(), true)
		if err != nil || info.Range == nil {
			return all, err
		}
		b, err := readRange(info.Range)
		info.Range.Release()
		if err != nil {
			return all, err
		}
		all = append(all, b...)
		for len(b) > 0 {
			batch, rest, err := recordbatch.Next(b)
			if err != nil {
				return all, err
			}
			if batch.NextOffset() <= offset {
				return all, fmt.Errorf("a read at %d gave the batch of %d to %d", offset, batch.BaseOffset(), batch.LastOffset())
			}
			offset = batch.NextOffset()
			b = rest
		}
	}
}

func readRange(r *Range) ([]byte, error) {
	b := make([]byte, r.Len())
	_, err := r.ReadAt(b, r.Offset())
	return b, err
}

// batches splits bytes into whole batches and checks them.
func batches(t testing.TB, b []byte) []recordbatch.Batch {
	t.Helper()
	var list []recordbatch.Batch
	for len(b) > 0 {
		batch, rest, err := recordbatch.Next(b)
		if err == nil {
			err = batch.CheckCRC()
		}
		if err != nil {
			t.Fatalf("bytes after %d batches: %v", len(list), err)
		}
		list = append(list, batch)
		b = rest
	}
	return list
}

// sealJournalHeader gives a frame at the begin of b the checksum of its header and table.
func sealJournalHeader(b []byte) {
	if len(b) < journalHeaderBytes {
		return
	}
	table := int64(binary.BigEndian.Uint32(b[44:]))
	if journalHeaderBytes+table > int64(len(b)) {
		return
	}
	crc := crc32.Update(0, castagnoli, b[:56])
	binary.BigEndian.PutUint32(b[56:], crc32.Update(crc, castagnoli, b[journalHeaderBytes:journalHeaderBytes+table]))
}
