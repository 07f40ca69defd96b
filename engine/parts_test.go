package engine

import (
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kserver/engine/vfs"
	"kserver/pagecache"
	"kserver/protocol/recordbatch"
)

// oneFile is an indexOwner with one file.
type oneFile struct {
	fs   vfs.FS
	path string
}

func (o oneFile) file(_ segmentFile, create bool) (vfs.File, error) {
	return o.fs.OpenReadWrite(o.path, create)
}

func TestIndexFileAcrossBlocks(t *testing.T) {
	file := oneFile{vfs.NewMem(), "/x.index"}
	x, y := new(OffsetIndex), new(OffsetIndex)
	x.init(&offsetCodec, file)
	const n = 3*indexBlockEntries + 77
	for i := range int32(n) {
		if err := x.append(offsetEntry{i * 10, i * 100}); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.append(offsetEntry{5, 5}); err != nil || x.count() != n {
		t.Fatal("an entry out of order was taken", err)
	}
	check := func(x *OffsetIndex, n int32) {
		t.Helper()
		for _, target := range []int32{0, 1, 9, 10, 5119, 5120, 5121, n*10 - 11, n*10 - 10, n * 10, math.MaxInt32} {
			e, found, err := x.find(func(e offsetEntry) bool { return e.relOffset <= target }, false)
			want := min(target/10, n-1)
			if err != nil || !found || e != (offsetEntry{want * 10, want * 100}) {
				t.Fatalf("find %d: %+v %v %v, want entry %d", target, e, found, err, want)
			}
		}
		if _, found, err := x.find(func(e offsetEntry) bool { return e.relOffset < 0 }, false); found || err != nil {
			t.Fatal(found, err)
		}
	}
	check(x, n)
	if err := x.flush(); err != nil {
		t.Fatal(err)
	}
	y.init(&offsetCodec, file)
	if err := y.load(true); err != nil || y.count() != n {
		t.Fatal(err)
	}
	check(y, n)
	for _, left := range []int32{n, n - 1, 2 * indexBlockEntries, 513, 1} {
		if err := y.truncate(func(e offsetEntry) bool { return e.relOffset < left*10 }); err != nil {
			t.Fatal(err)
		}
		if y.count() != int(left) {
			t.Fatalf("%d entries left, want %d", y.count(), left)
		}
		if e, _ := y.lastEntry(); e.relOffset != (left-1)*10 {
			t.Fatalf("last entry %+v", e)
		}
	}
	if err := y.append(offsetEntry{10, 100}); err != nil {
		t.Fatal(err)
	}
	check(y, 2)
}

func TestFileNames(t *testing.T) {
	for _, offset := range []int64{0, 7, math.MaxInt64} {
		name := offsetFileName(offset)
		got, ok := parseOffsetFileName(name+".log", ".log")
		if len(name) != 20 || !ok || got != offset {
			t.Errorf("%d became %s became %d, %v", offset, name, got, ok)
		}
	}
	for _, bad := range []string{"", "1.log", "0000000000000000000a.log", "99999999999999999999.log", "00000000000000000001.index", "-0000000000000000001.log"} {
		if _, ok := parseOffsetFileName(bad, ".log"); ok {
			t.Errorf("%q was taken for a segment", bad)
		}
	}
	for name, want := range map[string]TopicPartition{
		"t-0": {"t", 0}, "a-b-12": {"a-b", 12}, "__consumer_offsets-49": {"__consumer_offsets", 49},
	} {
		if tp, ok := parsePartitionDir(name); !ok || tp != want {
			t.Errorf("%q: %v %v", name, tp, ok)
		}
	}
	for _, bad := range []string{"t", "-1", "t-", "t-01", "t-x", "t-1.abc-delete", "t-0-future", "t-0-stray", "a b-0", "t-99999999999"} {
		if tp, ok := parsePartitionDir(bad); ok {
			t.Errorf("%q was taken for %v", bad, tp)
		}
	}
	long := TopicPartition{string(make([]byte, 249)), math.MaxInt32}
	if n := len(retiredDirName(long, newUUID(), deleteDirSuffix)); n != 255 {
		t.Errorf("name of %d bytes", n)
	}
}

func TestLeaderEpochs(t *testing.T) {
	var c leaderEpochs
	if e, end := c.endOffset(0, 10); e != -1 || end != -1 {
		t.Fatal(e, end)
	}
	c.assign(-1, 0)
	c.assign(2, 0)
	c.assign(2, 5)
	c.assign(1, 6)
	c.assign(4, 10)
	c.assign(5, 10) // epoch 4 never got a record
	c.assign(7, 20)
	if diff := cmp.Diff([]epochEntry{{2, 0}, {5, 10}, {7, 20}}, c.entries, cmp.AllowUnexported(epochEntry{})); diff != "" {
		t.Fatal(diff)
	}
	for epoch, want := range map[int32]epochEntry{0: {0, 0}, 1: {1, 0}, 2: {2, 10}, 3: {2, 10}, 4: {2, 10}, 5: {5, 20}, 6: {5, 20}, 7: {7, 33}, 8: {-1, -1}, -1: {-1, -1}} {
		if e, end := c.endOffset(epoch, 33); e != want.epoch || end != want.start {
			t.Errorf("epoch %d: %d, %d, want %+v", epoch, e, end, want)
		}
	}
	file := c.take()
	if string(file) != "0\n3\n2 0\n5 10\n7 20\n" || c.take() != nil {
		t.Fatalf("%q", file)
	}
	var again leaderEpochs
	if err := again.parse(file); err != nil || again.latest() != 7 {
		t.Fatal(err)
	}
	again.truncateFromStart(15)
	again.truncateFromEnd(20)
	if diff := cmp.Diff([]epochEntry{{5, 15}}, again.entries, cmp.AllowUnexported(epochEntry{})); diff != "" {
		t.Fatal(diff)
	}
	for _, bad := range []string{"", "0\n", "1\n0\n", "0\n2\n1 1\n", "0\n1\n1\n", "0\n2\n2 1\n1 2\n", "0\n2\n1 5\n2 5\n", "0\n1\n1 -1\n", "0\n1\n1 1x\n"} {
		if err := again.parse([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestOffsetCheckpoint(t *testing.T) {
	mem := vfs.NewMem()
	if err := mem.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	want := map[TopicPartition]int64{{"b", 1}: 7, {"a", 10}: 1 << 40, {"a", 2}: 0}
	if err := writeOffsetCheckpoint(mem, "/d", "f", want); err != nil {
		t.Fatal(err)
	}
	if b, _ := vfs.ReadFile(mem, "/d/f", 1000); string(b) != "0\n4\na 2 0\na 10 1099511627776\nb 1 7\n__kserver_checksum -1 2211739278\n" {
		t.Fatalf("%q", b)
	}
	got, err := readOffsetCheckpoint(mem, "/d/f")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
	if got, err := readOffsetCheckpoint(mem, "/d/none"); len(got) != 0 || err != nil {
		t.Fatal(got, err)
	}
	for _, bad := range []string{"x", "0\n1\n", "0\n1\na b 1\n", "0\n1\na 1\n", "0\n1\na 1 -5\n"} {
		if err := vfs.WriteFile(mem, "/d/bad", []byte(bad)); err != nil {
			t.Fatal(err)
		}
		if _, err := readOffsetCheckpoint(mem, "/d/bad"); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestProducerSnapshotKeepsTheNewestBatch(t *testing.T) {
	p := newProducerState()
	end := int64(100)
	for i := range int32(7) {
		b := batchSpec{records: 2, pid: 3, epoch: 5, seq: i * 2}.build(t)
		b.SetBaseOffset(end)
		p.apply(b)
		end += 2
	}
	txn := batchSpec{pid: 4, txn: true}.build(t)
	txn.SetBaseOffset(end)
	p.apply(txn)
	q := newProducerState()
	if err := q.decode(p.encode(), p.end); err != nil {
		t.Fatal(err)
	}
	e := q.entries.get(3)
	if e.n != 1 || e.batches[0] != (producerBatch{113, 1_700_000_000_000, 13, 1}) || e.epoch != 5 || e.txnFirstOffset != -1 {
		t.Fatalf("%+v", e)
	}
	if q.firstOpen() != 114 || q.end != 115 {
		t.Fatal(q.firstOpen(), q.end)
	}
	good := p.encode()
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		if newProducerState().decode(bad, 1) == nil {
			t.Fatalf("a flipped bit in byte %d was not seen", i)
		}
		if newProducerState().decode(good[:i], 1) == nil {
			t.Fatalf("a snapshot cut at %d was accepted", i)
		}
	}
}

func TestProducerCountIsBounded(t *testing.T) {
	p := newProducerState()
	for i := range int64(maxProducers + 1) {
		p.entry(i).lastTimestamp = i
	}
	if n := p.entries.len(); n > maxProducers || n < maxProducers*7/8 {
		t.Fatalf("%d producers", n)
	}
	if p.entries.get(0) != nil || p.entries.get(maxProducers) == nil {
		t.Fatal("the wrong ones went")
	}
}

func TestSequenceWraps(t *testing.T) {
	b := producerBatch{lastSeq: 1, offsetDelta: 3}
	if got := b.firstSeq(); got != math.MaxInt32-1 {
		t.Fatal(got)
	}
	if nextSequence(math.MaxInt32) != 0 || nextSequence(-1) != 0 || nextSequence(4) != 5 {
		t.Fatal("next sequence")
	}
}

func TestTransactionV2StartsAtZero(t *testing.T) {
	p := newProducerState()
	b := batchSpec{pid: 1, seq: 5, txn: true}.build(t)
	if err := p.check(b, startsAtZeroVersion); err == nil {
		t.Fatal("accepted")
	}
	if err := p.check(b, startsAtZeroVersion-1); err != nil {
		t.Fatal(err)
	}
}

func TestConfigValidation(t *testing.T) {
	cfg := Config{}
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err == nil {
		t.Error("a configuration without directories is valid")
	}
	lc := DefaultLogConfig()
	if err := lc.Validate(); err != nil {
		t.Error(err)
	}
	if err := (&LogConfig{}).Validate(); err == nil {
		t.Error("an empty topic configuration is valid")
	}
	if got := cfg.reserve(1 << 40); got != 1<<40/50 {
		t.Errorf("reserve of 1 TiB: %d", got)
	}
	if got := cfg.reserve(100 << 20); got != 10<<20 {
		t.Errorf("reserve of 100 MiB: %d", got)
	}
}

func TestLogAppendTime(t *testing.T) {
	clock := newManualClock()
	m := openManager(t, Config{FS: vfs.NewMem(), Clock: clock})
	defer m.Close()
	cfg := testLogConfig()
	cfg.LogAppendTime = true
	l := create(t, m, testTP, cfg)
	clock.Advance(time.Hour)
	info := appendBatch(t, l, batchSpec{records: 3})
	b := batches(t, readAll(t, l, 0))[0]
	if now := clock.Now().UnixMilli(); info.LogAppendTime != now || b.MaxTimestamp() != now || b.TimestampType() != recordbatch.LogAppendTime {
		t.Fatalf("%+v %d", info, b.MaxTimestamp())
	}
	offset, ts, _, ok, err := l.OffsetForTimestamp(info.LogAppendTime, 3)
	if offset != 0 || ts != info.LogAppendTime || !ok || err != nil {
		t.Fatal(offset, ts, ok, err)
	}
}

func TestColdRangeIsWarmed(t *testing.T) {
	dir := t.TempDir()
	warm := pagecache.NewWarmer(pagecache.Config{})
	defer warm.Close()
	m := openManager(t, Config{Dirs: []string{dir}, Warm: warm})
	cfg := DefaultLogConfig()
	l := create(t, m, testTP, cfg)
	for range 40 {
		appendBatch(t, l, batchSpec{padBytes: 100_000})
	}
	waitDurable(t, l, 40)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openManager(t, Config{Dirs: []string{dir}, Warm: warm})
	l, _ = m.Log(testTP)
	info, err := l.Read(20, 1<<20, 40, true)
	if err != nil {
		t.Fatal(err)
	}
	r := info.Range
	if err := pagecache.Drop(r.Fd(), 0, 1<<30); err != nil {
		t.Fatal(err)
	}
	var wakes atomic.Int32
	woken := make(chan struct{})
	if r.Ready(r.Offset(), r.Len(), func() { wakes.Add(1); close(woken) }) {
		t.Log("this file system keeps its pages")
	} else {
		r.Release() // the connection is gone; the warm-up still runs
		<-woken
		if info, err = l.Read(20, 1<<20, 40, true); err != nil {
			t.Fatal(err)
		}
		r = info.Range
	}
	if !r.Ready(r.Offset(), r.Len(), func() { t.Error("woken although ready") }) {
		t.Fatal("not ready after the warm-up")
	}
	r.Release()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if s := warm.Stats(); s.Warmed != uint64(wakes.Load()) || s.Commits == 0 {
		t.Fatalf("%+v", s)
	}
}

func TestReadNoWaitOnTail(t *testing.T) {
	m := openManager(t, Config{Dirs: []string{t.TempDir()}})
	defer m.Close()
	l := create(t, m, testTP, testLogConfig())
	if _, err := l.ReadNoWait(0, 100, 1, true); err != ErrWouldBlock {
		t.Fatalf("a log that was not opened: %v", err)
	}
	for i := range 30 {
		end := appendBatch(t, l, batchSpec{value: fmt.Sprint(i)}).LastOffset + 1
		info, err := l.ReadNoWait(end-1, 1<<20, end, true)
		if err != nil || info.Range == nil || info.StartOffset != end-1 {
			t.Fatalf("%+v, %v", info, err)
		}
		info.Range.Release()
	}
}
