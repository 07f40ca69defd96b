package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDirectoryIsLocked(t *testing.T) {
	dir := t.TempDir()
	m := openManager(t, Config{Dirs: []string{dir}})
	if _, err := tryOpen(Config{Dirs: []string{dir}}); !errors.Is(err, ErrLocked) {
		t.Fatalf("second open: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openManager(t, Config{Dirs: []string{dir}})
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryOfAnotherNode(t *testing.T) {
	mem := vfs.NewMem()
	m := openManager(t, Config{FS: mem, NodeID: 1})
	id := m.Dirs()[0].ID
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := tryOpen(Config{FS: mem, NodeID: 2}); !errors.Is(err, errWrongOwner) {
		t.Fatal(err)
	}
	m = openManager(t, Config{FS: mem, NodeID: 1})
	defer m.Close()
	if m.Dirs()[0].ID != id || id == [16]byte{} {
		t.Fatal("the directory id changed")
	}
}

func TestCreateIsIdempotentPerTopicID(t *testing.T) {
	mem := vfs.NewMem()
	m := openManager(t, Config{FS: mem})
	l := create(t, m, testTP, testLogConfig())
	if again := create(t, m, testTP, testLogConfig()); again != l {
		t.Fatal("a second log")
	}
	if _, err := m.Create(testTP, [16]byte{9}, testLogConfig()); !errors.Is(err, ErrTopicIDMismatch) {
		t.Fatal(err)
	}
	for _, topic := range []string{"", ".", "..", "a/b", "a\x00", strings.Repeat("x", 250), "ä"} {
		if _, err := m.Create(TopicPartition{topic, 0}, testTID, testLogConfig()); err == nil {
			t.Errorf("topic %q was created", topic)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Create(TopicPartition{"late", 0}, testTID, testLogConfig()); !errors.Is(err, ErrLogClosed) {
		t.Fatal(err)
	}
	// A short partition.metadata is completed, a good one is kept.
	if err := vfs.WriteFile(mem, "/data/t-0/"+partitionMetadataFile, []byte("version: 0\n")); err != nil {
		t.Fatal(err)
	}
	m = openManager(t, Config{FS: mem})
	defer m.Close()
	l, _ = m.Log(testTP)
	if _, ok := l.TopicID(); ok {
		t.Fatal("a short file has an id")
	}
	create(t, m, testTP, testLogConfig())
	if id, ok, err := readTopicID(mem, "/data/t-0"); !ok || id != testTID || err != nil {
		t.Fatal(id, ok, err)
	}
}

func TestDeleteKeepsRangesReadable(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		cfg := Config{FS: vfs.NewMem()}
		if dir != "" {
			cfg = Config{Dirs: []string{dir}}
		}
		clock := newManualClock()
		cfg.Clock = clock
		m := openManager(t, cfg)
		l := create(t, m, testTP, testLogConfig())
		for range 20 {
			appendBatch(t, l, batchSpec{value: "kept", padBytes: 100})
		}
		waitDurable(t, l, 20)
		info, err := l.Read(0, 1<<20, 20, true)
		if err != nil {
			t.Fatal(err)
		}
		want, err := readRange(info.Range)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Delete(testTP); err != nil {
			t.Fatal(err)
		}
		if _, ok := m.Log(testTP); ok {
			t.Fatal("still there")
		}
		if _, err := l.Read(0, 100, 20, true); !errors.Is(err, ErrLogClosed) {
			t.Fatalf("read after delete: %v", err)
		}
		if _, err := l.AppendAsLeader(batchSpec{}.build(t), AppendOptions{}); !errors.Is(err, ErrLogClosed) {
			t.Fatalf("append after delete: %v", err)
		}
		again := create(t, m, testTP, testLogConfig())
		waitDurable(t, again, appendBatch(t, again, batchSpec{value: "new"}).LastOffset+1)
		if got, err := readRange(info.Range); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("range after delete: %v", err)
		}
		info.Range.Release()
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		m = openManager(t, cfg)
		l, _ = m.Log(testTP)
		if got := batches(t, readAll(t, l, 0)); len(got) != 1 {
			t.Fatalf("%d batches in the new log", len(got))
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecreatedLogIsNotTrustedByOldCheckpoint: the recovery point of a deleted log must not vouch for bytes of
// the next one of that name.
func TestRecreatedLogIsNotTrustedByOldCheckpoint(t *testing.T) {
	mem := vfs.NewMem()
	m := openManager(t, Config{FS: mem})
	l := create(t, m, testTP, testLogConfig())
	for range 10 {
		appendBatch(t, l, batchSpec{})
	}
	waitDurable(t, l, 10)
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if err := m.Delete(testTP); err != nil {
		t.Fatal(err)
	}
	create(t, m, testTP, testLogConfig())
	points, err := readOffsetCheckpoint(mem, "/data/"+recoveryPointFile)
	if err != nil || points[testTP] != 0 {
		t.Fatal(points, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestHandlePoolStaysWithinItsLimit(t *testing.T) {
	m := openManager(t, Config{Dirs: []string{t.TempDir()}, MaxOpenFiles: 16})
	const logs = 60
	for i := range logs {
		l := create(t, m, TopicPartition{"many", int32(i)}, testLogConfig())
		waitDurable(t, l, appendBatch(t, l, batchSpec{value: fmt.Sprint(i)}).LastOffset+1)
	}
	// What only the commit journal has made durable keeps its descriptor until the next flush, and others are closed when
	// one is opened: so the count is looked at after both.
	check := func(step int32) {
		t.Helper()
		if err := m.dirs[0].flushJournal(); err != nil {
			t.Fatal(err)
		}
		l := create(t, m, TopicPartition{"more", step}, testLogConfig())
		waitDurable(t, l, appendBatch(t, l, batchSpec{}).LastOffset+1)
		if n := m.OpenFiles(); n > 20 {
			t.Fatalf("%d files open", n)
		}
	}
	check(0)
	for round := range 2 {
		for i := range logs {
			l, _ := m.Log(TopicPartition{"many", int32(i)})
			got := batches(t, readAll(t, l, 0))
			if len(got) != round+1 {
				t.Fatalf("log %d has %d batches", i, len(got))
			}
			waitDurable(t, l, appendBatch(t, l, batchSpec{}).LastOffset+1)
		}
	}
	check(1)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if n := m.OpenFiles(); n != 0 {
		t.Fatalf("%d files open after Close", n)
	}
}

// TestUncleanRestartOnDisk stops without Close, as kill -9 does, and opens the directory again.
func TestUncleanRestartOnDisk(t *testing.T) {
	dir := t.TempDir()
	m := openManager(t, Config{Dirs: []string{dir}})
	want := map[TopicPartition][]byte{}
	for i := range 20 {
		l := create(t, m, TopicPartition{"u", int32(i)}, testLogConfig())
		for j := range 1 + i*3 {
			appendBatch(t, l, batchSpec{value: fmt.Sprint(i, j), padBytes: 50})
		}
		waitDurable(t, l, l.LogEndOffset())
		want[l.TopicPartition()] = readAll(t, l, 0)
	}
	abandoned := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(abandoned, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openManager(t, Config{Dirs: []string{abandoned}})
	for tp, b := range want {
		l, ok := m.Log(tp)
		if !ok || !bytes.Equal(readAll(t, l, 0), b) {
			t.Fatalf("%s differs", tp)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTransactionsHoldTheLastStableOffset(t *testing.T) {
	mem := vfs.NewMem()
	m := openManager(t, Config{FS: mem})
	l := create(t, m, testTP, testLogConfig())
	appendBatch(t, l, batchSpec{records: 2})
	appendBatch(t, l, batchSpec{records: 2, pid: 8, txn: true})
	appendBatch(t, l, batchSpec{records: 2})
	waitDurable(t, l, 6)
	l.UpdateHighWatermark(6)
	if got := l.LastStableOffset(); got != 2 {
		t.Fatalf("stable offset %d with an open transaction at 2", got)
	}
	if _, err := l.AppendAsLeader(batchSpec{pid: 8, seq: 2}.build(t), AppendOptions{}); !errors.Is(err, ErrInvalidTxnState) {
		t.Fatal(err)
	}
	marker := markerBatch(t, 8, 0, true, 3)
	if _, err := l.AppendAsLeader(append(recordbatch.Batch(nil), marker...), AppendOptions{Origin: OriginCoordinator}); err != nil {
		t.Fatal(err)
	}
	if got := l.LastStableOffset(); got != 2 {
		t.Fatalf("stable offset %d before the marker is replicated", got)
	}
	l.UpdateHighWatermark(7)
	if got := l.LastStableOffset(); got != 7 {
		t.Fatalf("stable offset %d after the marker", got)
	}
	old := markerBatch(t, 8, 0, true, 2)
	if _, err := l.AppendAsLeader(old, AppendOptions{Origin: OriginCoordinator}); !errors.Is(err, ErrTransactionCoordinatorFenced) {
		t.Fatal(err)
	}
	appendBatch(t, l, batchSpec{records: 2, pid: 8, seq: 2, txn: true})
	waitDurable(t, l, 9)
	after := mem.Crash(0)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openManager(t, Config{FS: after})
	defer m.Close()
	l, _ = m.Log(testTP)
	l.UpdateHighWatermark(9)
	if got := l.LastStableOffset(); got != 7 {
		t.Fatalf("stable offset %d after a crash", got)
	}
	if p := l.Producers(); len(p) != 1 || p[0].CoordinatorEpoch != 3 || p[0].CurrentTxnStartOffset != 7 || p[0].LastSequence != 3 {
		t.Fatalf("%+v", p)
	}
}

func markerBatch(t *testing.T, pid int64, epoch int16, commit bool, coordinatorEpoch int32) recordbatch.Batch {
	t.Helper()
	b := recordbatch.NewBuilder(recordbatch.BuilderConfig{
		Producer:      &recordbatch.Producer{ID: pid, Epoch: epoch, BaseSequence: recordbatch.NoSequence},
		Transactional: true, Control: true,
	})
	kind := byte(0)
	if commit {
		kind = 1
	}
	b.Append(1_700_000_000_000, []byte{0, 0, 0, kind}, []byte{0, 0, 0, 0, 0, byte(coordinatorEpoch)})
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return append(recordbatch.Batch(nil), batch...)
}

func TestProducersExpire(t *testing.T) {
	clock := newManualClock()
	m := openManager(t, Config{FS: vfs.NewMem(), Clock: clock})
	defer m.Close()
	l := create(t, m, testTP, testLogConfig())
	appendBatch(t, l, batchSpec{pid: 1, seq: 0})
	appendBatch(t, l, batchSpec{pid: 2, seq: 0, txn: true})
	clock.Advance(25 * time.Hour)
	m.expireProducers()
	if p := l.Producers(); len(p) != 1 || p[0].ProducerID != 2 {
		t.Fatalf("%+v", p)
	}
	appendBatch(t, l, batchSpec{pid: 1, seq: 77, ts: clock.Now().UnixMilli()}) // unknown again: any sequence
}

func TestRelaxedLogIsFlushedByCountAndTime(t *testing.T) {
	m := openManager(t, Config{Dirs: []string{t.TempDir()}, Clock: systemClock{}})
	cfg := testLogConfig()
	cfg.FlushMessages, cfg.FlushMs = 3, 10
	l := create(t, m, testTP, cfg)
	heard := make(chan int64, 100)
	l.SetDurableListener(DurableFuncs{OnDurable: func(end int64) { heard <- end }})
	info := appendBatch(t, l, batchSpec{})
	if end := <-heard; end != info.LastOffset+1 || l.DurableEndOffset() != end {
		t.Fatalf("durable end %d", end)
	}
	flushed := func() int64 {
		l.viewMu.Lock()
		defer l.viewMu.Unlock()
		return l.committed
	}
	for deadline := time.Now().Add(20 * time.Second); flushed() < 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("flush.ms did nothing")
		}
	}
	for range 3 {
		appendBatch(t, l, batchSpec{})
	}
	for deadline := time.Now().Add(20 * time.Second); flushed() < 4; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("flush.messages did nothing")
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestD6ReadsRaceWithRollRetentionTruncateAndDelete: whatever a reader gets is whole, right, and at the right
// place.
func TestD6ReadsRaceWithRollRetentionAndDelete(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		cfg := Config{FS: vfs.NewMem(), MaxOpenFiles: 16}
		if dir != "" {
			cfg = Config{Dirs: []string{dir}, MaxOpenFiles: 16}
		}
		m := openManager(t, cfg)
		lc := testLogConfig()
		lc.RetentionBytes, lc.FileDeleteDelayMs = 3000, 0
		l := create(t, m, testTP, lc)
		var stop atomic.Bool
		var reads atomic.Int64
		var wg sync.WaitGroup
		for r := range 4 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(r), 7))
				for !stop.Load() {
					if err := readSomewhere(l, rng); err != nil {
						t.Error(err)
						return
					}
					reads.Add(1)
				}
			})
		}
		appends := 600
		if testing.Short() {
			appends = 200
		}
		for i := range appends {
			info, err := l.AppendAsLeader(valueBatch(t, l.LogEndOffset()), AppendOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if i%5 == 0 {
				waitDurable(t, l, info.LastOffset+1)
				l.UpdateHighWatermark(l.DurableEndOffset())
			}
			if i%20 == 0 {
				if err := m.RunRetention(); err != nil {
					t.Fatal(err)
				}
			}
			if i%50 == 0 {
				if err := m.Checkpoint(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := m.Delete(testTP); err != nil {
			t.Fatal(err)
		}
		stop.Store(true)
		wg.Wait()
		if reads.Load() == 0 {
			t.Error("nothing was read")
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// valueBatch says in its values at which offset they belong.
func valueBatch(t testing.TB, base int64) recordbatch.Batch {
	b := recordbatch.NewBuilder(recordbatch.BuilderConfig{})
	for i := range int64(3) {
		b.Append(1_700_000_000_000, nil, []byte(fmt.Sprintf("offset %d", base+i)))
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func readSomewhere(l *Log, rng *rand.Rand) error {
	start, end := l.LogStartOffset(), l.LogEndOffset()
	offset := start + rng.Int64N(end-start+1)
	if rng.IntN(4) == 0 {
		_, _, _, _, err := l.OffsetForTimestamp(1_700_000_000_000, end)
		return ignoreGone(err)
	}
	info, err := l.Read(offset, 50+rng.IntN(2000), end, true)
	if err != nil || info.Range == nil {
		return ignoreGone(err)
	}
	defer info.Range.Release()
	b, err := readRange(info.Range)
	if err != nil {
		return err
	}
	next := info.StartOffset
	if next > offset {
		return fmt.Errorf("asked for %d, got %d", offset, next)
	}
	for len(b) > 0 {
		batch, rest, err := recordbatch.Next(b)
		if errors.Is(err, recordbatch.ErrTruncated) && info.Partial {
			return nil
		}
		if err != nil {
			return err
		}
		if batch.BaseOffset() != next {
			return fmt.Errorf("batch at %d, want %d", batch.BaseOffset(), next)
		}
		for r, err := range batch.Records(0) {
			if err != nil || string(r.Value) != fmt.Sprintf("offset %d", next) {
				return fmt.Errorf("record at %d is %q, %v", next, r.Value, err)
			}
			next++
		}
		b = rest
	}
	return nil
}

// ignoreGone drops the errors a reader may get when the log moves on.
func ignoreGone(err error) error {
	if errors.Is(err, ErrOffsetOutOfRange) || errors.Is(err, ErrLogClosed) {
		return nil
	}
	return err
}

func TestAppendsFromManyGoroutines(t *testing.T) {
	for _, threads := range []bool{false, true} {
		t.Run(fmt.Sprintf("threads=%v", threads), func(t *testing.T) { appendsFromManyGoroutines(t, threads) })
	}
}

func appendsFromManyGoroutines(t *testing.T, threads bool) {
	m := openManager(t, Config{Dirs: []string{t.TempDir()}, DisableUring: threads})
	cfg := testLogConfig()
	cfg.SegmentBytes = 5000
	logs := make([]*Log, 8)
	for i := range logs {
		logs[i] = create(t, m, TopicPartition{"g", int32(i)}, cfg)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 60 {
				l := logs[i%len(logs)]
				info, err := l.AppendAsLeader(batchSpec{records: 2}.build(t), AppendOptions{})
				if err == nil {
					err = l.WaitDurable(context.Background(), info.LastOffset+1)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, l := range logs {
		next := int64(0)
		for _, b := range batches(t, readAll(t, l, 0)) {
			if b.BaseOffset() != next {
				t.Fatalf("batch at %d, want %d", b.BaseOffset(), next)
			}
			next = b.NextOffset()
			total++
		}
	}
	if total != 240 {
		t.Fatalf("%d batches", total)
	}
	if stats := m.Dirs()[0].Commits; stats.Rounds == 0 || stats.Files == 0 {
		t.Fatalf("%+v", stats)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSteadyAppendAllocatesNothing(t *testing.T) {
	m := openManager(t, Config{Dirs: []string{t.TempDir()}})
	cfg := DefaultLogConfig()
	cfg.FlushMessages = 1 << 40
	l := create(t, m, testTP, cfg)
	batch := batchSpec{records: 10, padBytes: 50}.build(t)
	buf := make([]byte, len(batch))
	n := testing.AllocsPerRun(2000, func() {
		copy(buf, batch)
		if _, err := l.AppendAsLeader(buf, AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	if n >= 1 {
		t.Errorf("%v allocations per append", n)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// dirSyncHook calls f before the first sync of a directory.
type dirSyncHook struct {
	vfs.FS
	dir  string
	f    func()
	once sync.Once
}

func (h *dirSyncHook) SyncDir(path string) error {
	if path == h.dir && h.f != nil {
		h.once.Do(h.f)
	}
	return h.FS.SyncDir(path)
}

// A manager that is being closed writes the files of its logs out under their names, and nobody may rename them: the
// directory would count as broken.
func TestNothingIsDeletedWhileTheManagerCloses(t *testing.T) {
	hook := &dirSyncHook{FS: vfs.NewMem(), dir: "/data/" + testTP.String()}
	m := openManager(t, Config{FS: hook, stepped: true})
	l := create(t, m, testTP, testLogConfig())
	appendBatch(t, l, batchSpec{pid: 3})
	m.step()
	asked := false
	hook.f = func() {
		asked = true
		if err := m.Delete(testTP); !errors.Is(err, ErrLogClosed) {
			t.Errorf("deletion while the manager closes: %v", err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := hook.Stat("/data/" + cleanShutdownFile); !asked || err != nil {
		t.Errorf("deletion was tried %v, clean shutdown: %v", asked, err)
	}
	if _, err := m.SetAside(testTP); !errors.Is(err, ErrLogClosed) {
		t.Errorf("setting aside behind the end of the manager: %v", err)
	}
}
