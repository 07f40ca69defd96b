package engine

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// kv is a record of a test: no value is a tombstone, no key none.
type kv struct {
	key, value string
	tombstone  bool
	ts         int64
}

// keyedBatch is a batch of a compaction test.
type keyedBatch struct {
	records []kv
	codec   recordbatch.Codec
	pid     int64 // 0 none
	epoch   int16
	seq     int32
	txn     bool
}

func (k keyedBatch) build(t testing.TB) recordbatch.Batch {
	t.Helper()
	cfg := recordbatch.BuilderConfig{PartitionLeaderEpoch: -1, Codec: k.codec, Transactional: k.txn}
	if k.pid != 0 {
		cfg.Producer = &recordbatch.Producer{ID: k.pid, Epoch: k.epoch, BaseSequence: k.seq}
	}
	b := recordbatch.NewBuilder(cfg)
	for _, r := range k.records {
		var key, value []byte
		if r.key != "" {
			key = []byte(r.key)
		}
		if !r.tombstone {
			value = []byte(r.value)
		}
		if r.ts == 0 {
			r.ts = 1_700_000_000_000
		}
		b.Append(r.ts, key, value)
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return append(recordbatch.Batch(nil), batch...)
}

// txnMarker is a control batch that ends a transaction.
func txnMarker(t testing.TB, pid int64, epoch int16, commit bool, ts int64) recordbatch.Batch {
	t.Helper()
	b := recordbatch.NewBuilder(recordbatch.BuilderConfig{
		Producer: &recordbatch.Producer{ID: pid, Epoch: epoch, BaseSequence: recordbatch.NoSequence}, Transactional: true, Control: true,
	})
	kind := byte(0)
	if commit {
		kind = 1
	}
	b.Append(ts, []byte{0, 0, 0, kind}, binary.BigEndian.AppendUint32([]byte{0, 0}, 7))
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return append(recordbatch.Batch(nil), batch...)
}

// compactedConfig is of a log with small segments that is always due.
func compactedConfig() LogConfig {
	cfg := testLogConfig()
	cfg.Compact, cfg.Delete = true, false
	cfg.MinCleanableRatio = 0
	cfg.FileDeleteDelayMs = 0
	return cfg
}

func appendKeyed(t testing.TB, l *Log, k keyedBatch) AppendInfo {
	t.Helper()
	info, err := l.AppendAsLeader(k.build(t), AppendOptions{LeaderEpoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func appendMarker(t testing.TB, l *Log, b recordbatch.Batch) AppendInfo {
	t.Helper()
	info, err := l.AppendAsLeader(b, AppendOptions{LeaderEpoch: 1, Origin: OriginCoordinator})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// settle makes everything appended durable and stable.
func settle(t testing.TB, l *Log) {
	t.Helper()
	waitDurable(t, l, l.LogEndOffset())
	l.UpdateHighWatermark(l.LogEndOffset())
}

// rollNow begins a new segment, so that what is there can be compacted.
func rollNow(t testing.TB, l *Log) {
	t.Helper()
	settle(t, l)
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if l.activeLocked().size.Load() == 0 {
		return
	}
	if err := l.roll(l.logEnd.Load()); err != nil {
		t.Fatal(err)
	}
}

func compactNow(t testing.TB, m *LogManager) {
	t.Helper()
	if err := m.RunCompaction(); err != nil {
		t.Fatal(err)
	}
}

// dump lists the batches of a log, one a line: offsets, flags and records.
func dump(t testing.TB, l *Log) string {
	t.Helper()
	var b strings.Builder
	for _, batch := range batches(t, readAll(t, l, l.LogStartOffset())) {
		fmt.Fprintf(&b, "%d-%d", batch.BaseOffset(), batch.LastOffset())
		if batch.HasProducerID() {
			fmt.Fprintf(&b, " p%d/%d", batch.ProducerID(), batch.LastSequence())
		}
		if batch.IsControl() {
			b.WriteString(" marker")
		}
		if batch.HasDeleteHorizon() {
			b.WriteString(" horizon")
		}
		for r, err := range batch.Records(0) {
			if err != nil {
				t.Fatal(err)
			}
			if !batch.IsControl() {
				fmt.Fprintf(&b, " %d:%s=%s", batch.BaseOffset()+int64(r.OffsetDelta), r.Key, r.Value)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// compactedLog opens a manager with one compacted log and no threads.
func compactedLog(t testing.TB, fs vfs.FS, clock *manualClock, cfg LogConfig) (*LogManager, *Log) {
	t.Helper()
	m := openManager(t, Config{FS: fs, Clock: clock, Cleaner: CleanerConfig{Disabled: true}})
	return m, create(t, m, testTP, cfg)
}

func one(key, value string) keyedBatch { return keyedBatch{records: []kv{{key: key, value: value}}} }

func TestCompactionKeepsTheLastOfEachKey(t *testing.T) {
	m, l := compactedLog(t, vfs.NewMem(), newManualClock(), compactedConfig())
	defer m.Close()
	for i := range 3 {
		appendKeyed(t, l, keyedBatch{records: []kv{
			{key: "a", value: fmt.Sprint(i)}, {key: "b", value: fmt.Sprint(i)}, {key: fmt.Sprintf("only%d", i), value: "x"},
		}})
	}
	rollNow(t, l)
	appendKeyed(t, l, one("b", "in the active segment"))
	settle(t, l)
	compactNow(t, m)
	want := "0-2 2:only0=x\n3-5 5:only1=x\n6-8 6:a=2 7:b=2 8:only2=x\n9-9 9:b=in the active segment\n"
	if got := dump(t, l); got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
	if at := l.dir.cleanedTo(testTP); at != 9 {
		t.Fatalf("cleaned to %d", at)
	}
	compactNow(t, m) // nothing is dirty
	if s := m.CleanerStats(); s.Cleanings != 1 || s.RecordsRead != 9 || s.RecordsKept != 5 || s.BytesRead == 0 || s.BytesWritten == 0 {
		t.Fatalf("%+v", s)
	}
}

func TestCompactionOfTombstones(t *testing.T) {
	clock := newManualClock()
	m, l := compactedLog(t, vfs.NewMem(), clock, compactedConfig())
	defer m.Close()
	appendKeyed(t, l, one("a", "1"))
	appendKeyed(t, l, keyedBatch{records: []kv{{key: "a", tombstone: true}, {key: "b", value: "1"}}})
	rollNow(t, l)
	compactNow(t, m)
	if got, want := dump(t, l), "1-2 horizon 1:a= 2:b=1\n"; got != want {
		t.Fatalf("first: got\n%swant\n%s", got, want)
	}
	again := func(want string) {
		t.Helper()
		appendKeyed(t, l, one("c", "1"))
		rollNow(t, l)
		compactNow(t, m)
		if got := dump(t, l); !strings.HasPrefix(got, want) {
			t.Fatalf("got\n%swant\n%s", got, want)
		}
	}
	clock.Advance(24*time.Hour - time.Millisecond)
	again("1-2 horizon 1:a= 2:b=1\n")
	clock.Advance(time.Millisecond)
	again("1-2 horizon 2:b=1\n")
}

// TestCompactionOfTransactions: what was aborted goes, its marker stays until the data is gone and then for
// delete.retention.ms more; a producer's last batch keeps its header.
func TestCompactionOfTransactions(t *testing.T) {
	clock := newManualClock()
	m, l := compactedLog(t, vfs.NewMem(), clock, compactedConfig())
	defer m.Close()
	now := clock.Now().UnixMilli()
	txn := func(pid int64, seq int32, key, value string) keyedBatch {
		return keyedBatch{records: []kv{{key: key, value: value, ts: now}}, pid: pid, seq: seq, txn: true}
	}
	appendKeyed(t, l, one("a", "0"))
	appendKeyed(t, l, txn(5, 0, "a", "aborted"))
	appendMarker(t, l, txnMarker(t, 5, 0, false, now))
	appendKeyed(t, l, txn(6, 0, "b", "committed"))
	appendKeyed(t, l, txn(6, 1, "c", "committed"))
	appendMarker(t, l, txnMarker(t, 6, 0, true, now))
	appendKeyed(t, l, txn(5, 1, "d", "undecided"))
	rollNow(t, l)
	appendKeyed(t, l, one("e", "1"))
	settle(t, l)
	compactNow(t, m)
	if got := dump(t, l); !strings.Contains(got, "d=undecided") || !strings.Contains(got, "aborted") {
		t.Fatalf("compacted a segment with an undecided transaction:\n%s", got)
	}
	appendMarker(t, l, txnMarker(t, 5, 0, true, now))
	appendKeyed(t, l, one("c", "2"))
	rollNow(t, l)
	compactNow(t, m)
	want := "0-0 0:a=0\n2-2 p5/-1 marker\n3-3 p6/0 3:b=committed\n4-4 p6/1\n5-5 p6/-1 marker\n6-6 p5/1 6:d=undecided\n7-7 7:e=1\n8-8 p5/-1 marker\n9-9 9:c=2\n"
	if got := dump(t, l); got != want {
		t.Fatalf("first: got\n%swant\n%s", got, want)
	}
	aborted, err := l.AbortedTxns(0, l.LogEndOffset())
	if err != nil || fmt.Sprint(aborted) != "[{5 1 2 3}]" {
		t.Fatalf("aborted %v, %v", aborted, err)
	}
	// The aborted record is gone, so the marker gets its horizon, and its entry goes.
	appendKeyed(t, l, one("f", "1"))
	rollNow(t, l)
	compactNow(t, m)
	if got := dump(t, l); !strings.Contains(got, "2-2 p5/-1 marker horizon\n") {
		t.Fatalf("second: got\n%s", got)
	}
	if aborted, err = l.AbortedTxns(0, l.LogEndOffset()); err != nil || len(aborted) != 0 {
		t.Fatalf("aborted %v, %v", aborted, err)
	}
	clock.Advance(24 * time.Hour)
	appendKeyed(t, l, one("g", "1"))
	rollNow(t, l)
	compactNow(t, m)
	if got := dump(t, l); strings.Contains(got, "2-2") || !strings.Contains(got, "8-8 p5/-1 marker\n") || !strings.Contains(got, "4-4 p6/1\n") {
		t.Fatalf("third: got\n%s", got)
	}
}

// TestCompactionGroupsSegments: small segments become one up to segment.bytes, and the log's segments still
// touch each other.
func TestCompactionGroupsSegments(t *testing.T) {
	mem := vfs.NewMem()
	m, l := compactedLog(t, mem, newManualClock(), compactedConfig())
	defer func() { m.Close() }()
	for i := range 200 {
		appendKeyed(t, l, one(fmt.Sprintf("k%d", i%7), fmt.Sprintf("value %d", i)))
	}
	rollNow(t, l)
	before := len(l.Segments())
	compactNow(t, m) // each becomes smaller
	appendKeyed(t, l, one("k0", "new"))
	rollNow(t, l)
	compactNow(t, m) // and now they fit together
	segments := l.Segments()
	if len(segments) >= before/2 || len(segments) < 2 {
		t.Fatalf("%d segments were %d", len(segments), before)
	}
	for i := range segments[:len(segments)-1] {
		s := l.segmentList()[i]
		end, err := endOfBatches(mem, s.prefix()+".log", s.base)
		if err != nil || end != segments[i+1].BaseOffset {
			t.Fatalf("segment %d ends at %d, the next begins at %d: %v", s.base, end, segments[i+1].BaseOffset, err)
		}
	}
	want := dump(t, l)
	if strings.Count(want, "=") != 7 {
		t.Fatalf("kept\n%s", want)
	}
	for _, clean := range []bool{true, false} {
		if clean {
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			old := m
			mem = mem.Crash(3)
			defer old.Close()
		}
		m, l = compactedLog(t, mem, newManualClock(), compactedConfig())
		if got := dump(t, l); got != want {
			t.Fatalf("after a restart (clean %v): got\n%swant\n%s", clean, got, want)
		}
	}
}

// TestCompactionUncleanable: damage found on the way leaves the log as it is, for good.
func TestCompactionUncleanable(t *testing.T) {
	mem := vfs.NewMem()
	m, l := compactedLog(t, mem, newManualClock(), compactedConfig())
	defer func() { m.Close() }()
	for i := range 100 {
		appendKeyed(t, l, one(fmt.Sprintf("k%d", i%5), "value"))
	}
	rollNow(t, l)
	s := l.segmentList()[1]
	f, err := mem.OpenReadWrite(s.prefix()+".log", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, s.size.Load()/2); err != nil {
		t.Fatal(err)
	}
	before, err := tryReadAll(l, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RunCompaction(); err == nil {
		t.Fatal("compacted a damaged log")
	}
	compactNow(t, m) // it is left alone now
	if stats := m.CleanerStats(); stats.Uncleanable != 1 || stats.Failed != 1 || stats.Cleanings != 0 {
		t.Fatalf("%+v", stats)
	}
	after, err := tryReadAll(l, 0)
	if err != nil || string(after) != string(before) {
		t.Fatalf("the log changed: %d bytes were %d, %v", len(after), len(before), err)
	}
	if names, err := mem.List("/data/t-0"); err != nil || strings.Contains(fmt.Sprint(names), cleanedSuffix) {
		t.Fatalf("left %v, %v", names, err)
	}
}

// TestCompactionInRounds: a map too small for all keys takes several rounds and comes to the same end.
func TestCompactionInRounds(t *testing.T) {
	m := openManager(t, Config{FS: vfs.NewMem(), Clock: newManualClock(), Cleaner: CleanerConfig{
		Disabled: true, DedupeBufferBytes: 10 * offsetSlotBytes, IOBufferBytes: 1,
	}})
	defer m.Close()
	l := create(t, m, testTP, compactedConfig())
	for i := range 300 {
		appendKeyed(t, l, keyedBatch{records: []kv{{key: fmt.Sprintf("a%d", i%50), value: fmt.Sprint(i)}, {key: fmt.Sprintf("b%d", i%20), value: fmt.Sprint(i)}}})
	}
	rollNow(t, l)
	compactNow(t, m)
	if got := strings.Count(dump(t, l), "="); got != 70 {
		t.Fatalf("%d records", got)
	}
	if s := m.CleanerStats(); s.Cleanings < 20 {
		t.Fatalf("%+v", s)
	}
	if at := l.dir.cleanedTo(testTP); at != 600 {
		t.Fatalf("cleaned to %d", at)
	}
}
