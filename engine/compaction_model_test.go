package engine

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

var compactionSeeds = flag.Int("compaction.seeds", 60, "seeds of the compaction model test")

// modelBatch is a batch a model appended.
type modelBatch struct {
	base           int64
	records        []kv // of a marker, none
	pid            int64
	seq            int32
	txn            bool
	marker, commit bool
}

// compactionModel is what a log of keyed records should tell a reader, whatever was compacted.
type compactionModel struct{ batches []modelBatch }

// upTo is the model of a log that ends at end.
func (m compactionModel) upTo(end int64) compactionModel {
	i := slices.IndexFunc(m.batches, func(b modelBatch) bool { return b.base >= end })
	if i < 0 {
		i = len(m.batches)
	}
	return compactionModel{m.batches[:i:i]}
}

// stable returns the last stable offset, and for each batch whether it was aborted.
func (m compactionModel) stable(end int64) (lso int64, aborted map[int64]bool) {
	open := map[int64][]int64{}
	aborted = map[int64]bool{}
	for _, b := range m.batches {
		switch {
		case b.marker:
			for _, base := range open[b.pid] {
				aborted[base] = !b.commit
			}
			delete(open, b.pid)
		case b.txn:
			open[b.pid] = append(open[b.pid], b.base)
		}
	}
	lso = end
	for _, bases := range open {
		lso = min(lso, bases[0])
	}
	return lso, aborted
}

// state is the newest committed value of each key among the offsets from start up to lso.
func (m compactionModel) state(start, lso int64) map[string]string {
	_, aborted := m.stable(lso)
	state := map[string]string{}
	for _, b := range m.batches {
		for i, r := range b.records {
			if at := b.base + int64(i); at < start || at >= lso || aborted[b.base] {
				continue
			}
			if state[r.key] = r.value; r.tombstone {
				delete(state, r.key)
			}
		}
	}
	return state
}

// sequences is the last sequence of each producer whose last batch is not below start.
func (m compactionModel) sequences(start int64) map[int64]int32 {
	seqs := map[int64]int32{}
	for _, b := range m.batches {
		if b.pid != 0 && !b.marker && b.base >= start {
			seqs[b.pid] = b.seq + int32(len(b.records)) - 1
		}
	}
	return seqs
}

// storedRecord is a record found in a log.
type storedRecord struct {
	offset int64
	kv
	txn     bool
	aborted bool
}

// readCommitted reads a log as a consumer does that skips aborted transactions: the index tells which began
// where, their markers where they end. It returns all records below the log's end, too.
func readCommitted(l *Log) (state map[string]string, all []storedRecord, err error) {
	start, lso := l.LogStartOffset(), l.LastStableOffset()
	raw, err := tryReadAll(l, start)
	if err != nil {
		return nil, nil, err
	}
	txns, err := l.AbortedTxns(start, lso)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(txns, func(a, b AbortedTxn) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	state = map[string]string{}
	running := map[int64]bool{}
	next := int64(-1)
	for len(raw) > 0 {
		b, rest, err := recordbatch.Next(raw)
		if err == nil {
			err = b.CheckCRC()
		}
		if err == nil && b.BaseOffset() < next {
			err = fmt.Errorf("batch at %d behind %d", b.BaseOffset(), next)
		}
		if err != nil {
			return nil, nil, err
		}
		raw, next = rest, b.NextOffset()
		for len(txns) > 0 && txns[0].FirstOffset <= b.LastOffset() {
			running[txns[0].ProducerID] = true
			txns = txns[1:]
		}
		if b.IsControl() {
			if m, ok := readMarker(b); ok && !m.commit {
				delete(running, b.ProducerID())
			}
			continue
		}
		for r, err := range b.Records(0) {
			if err != nil {
				return nil, nil, err
			}
			at := b.BaseOffset() + int64(r.OffsetDelta)
			s := storedRecord{
				offset: at, txn: b.IsTransactional(), aborted: b.IsTransactional() && running[b.ProducerID()],
				kv: kv{key: string(r.Key), value: string(r.Value), tombstone: r.Value == nil, ts: b.Timestamp(&r)},
			}
			all = append(all, s)
			if at < start || at >= lso || s.aborted {
				continue
			}
			if state[s.key] = s.value; s.tombstone {
				delete(state, s.key)
			}
		}
	}
	return state, all, nil
}

// check compares a log with the model of its batches.
func (m compactionModel) check(l *Log) ([]storedRecord, error) {
	start, end := l.LogStartOffset(), l.LogEndOffset()
	l.UpdateHighWatermark(end)
	known := map[int64]kv{}
	for _, b := range m.batches {
		for i, r := range b.records {
			known[b.base+int64(i)] = r
		}
	}
	got, all, err := readCommitted(l)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if want, ok := known[r.offset]; !ok || want != r.kv {
			return nil, fmt.Errorf("record at %d is %+v, was %+v", r.offset, r.kv, want)
		}
	}
	lso, _ := m.stable(end)
	if l.LastStableOffset() != lso && start == 0 { // what began below the log start may be forgotten
		return nil, fmt.Errorf("last stable offset %d, want %d", l.LastStableOffset(), lso)
	}
	lso = l.LastStableOffset()
	if want := m.state(start, lso); !maps.Equal(got, want) {
		return nil, fmt.Errorf("start %d end %d stable %d: read %v, want %v", start, end, lso, got, want)
	}
	seqs := m.sequences(start)
	for _, p := range l.Producers() {
		if want, ok := seqs[p.ProducerID]; ok && p.LastSequence != want {
			return nil, fmt.Errorf("producer %d has sequence %d, want %d", p.ProducerID, p.LastSequence, want)
		}
		delete(seqs, p.ProducerID)
	}
	for id, seq := range seqs {
		return nil, fmt.Errorf("producer %d with sequence %d was forgotten", id, seq)
	}
	return all, nil
}

// compactionWorld runs random operations on one log.
type compactionWorld struct {
	t     *testing.T
	rand  *rand.Rand
	mem   *vfs.Mem
	clock *manualClock
	cfg   LogConfig
	m     *LogManager
	l     *Log
	compactionModel
	seqs map[int64]int32
	open map[int64]bool
	// kept is until when each tombstone must be found unless a newer record of its key was compacted.
	kept map[int64]int64
	log  []string // what was done
}

func (w *compactionWorld) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *compactionWorld) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter %v\n%s", fmt.Sprintf(format, args...), w.log, dump(w.t, w.l))
}

func (w *compactionWorld) openLog() {
	w.mem.SetClock(w.clock.Now)
	w.m = openManager(w.t, Config{FS: w.mem, Clock: w.clock, Cleaner: CleanerConfig{
		Disabled: true, DedupeBufferBytes: int64(3+w.rand.IntN(60)) * offsetSlotBytes, IOBufferBytes: 1 + w.rand.IntN(20000),
	}})
	w.l = create(w.t, w.m, testTP, w.cfg)
	w.l.UpdateHighWatermark(w.l.LogEndOffset())
	w.adoptSequences()
}

// adoptSequences learns of producers whose batches are below the log start what the log still knows of them.
func (w *compactionWorld) adoptSequences() {
	known := w.sequences(w.l.LogStartOffset())
	for id := range w.seqs {
		if _, ok := known[id]; !ok {
			w.seqs[id] = 0
		}
	}
	for _, p := range w.l.Producers() {
		if _, ok := known[p.ProducerID]; !ok {
			w.seqs[p.ProducerID] = p.LastSequence + 1
		}
	}
}

func (w *compactionWorld) appendBatch() {
	k := keyedBatch{codec: recordbatch.Codec(w.rand.IntN(5))}
	switch w.rand.IntN(4) {
	case 0: // a transaction
		k.pid, k.txn = 1+w.rand.Int64N(3), true
	case 1: // an idempotent producer
		k.pid = 10 + w.rand.Int64N(3)
	}
	now := w.clock.Now().UnixMilli()
	for range 1 + w.rand.IntN(5) {
		r := kv{key: fmt.Sprintf("k%d", w.rand.IntN(12)), value: fmt.Sprintf("%d/%d", w.l.LogEndOffset(), w.rand.IntN(1000)), ts: now - w.rand.Int64N(5000)}
		if w.rand.IntN(4) == 0 {
			r.value, r.tombstone = "", true
		}
		k.records = append(k.records, r)
	}
	if k.pid != 0 {
		k.seq = w.seqs[k.pid]
		w.seqs[k.pid] += int32(len(k.records))
		w.open[k.pid] = w.open[k.pid] || k.txn
	}
	info := appendKeyed(w.t, w.l, k)
	w.batches = append(w.batches, modelBatch{base: info.FirstOffset, records: k.records, pid: k.pid, seq: k.seq, txn: k.txn})
}

func (w *compactionWorld) endTxn() {
	for pid := int64(1); pid <= 3; pid++ {
		if w.open[pid] && w.rand.IntN(2) == 0 {
			commit := w.rand.IntN(2) == 0
			info := appendMarker(w.t, w.l, txnMarker(w.t, pid, 0, commit, w.clock.Now().UnixMilli()))
			w.batches = append(w.batches, modelBatch{base: info.FirstOffset, pid: pid, marker: true, commit: commit})
			w.note("end(%d,%v)", pid, commit)
			delete(w.open, pid)
		}
	}
}

func (w *compactionWorld) restart(clean bool) {
	waitDurable(w.t, w.l, w.l.LogEndOffset())
	old := w.m
	if !clean {
		w.mem = w.mem.Crash(w.rand.Uint64())
	}
	if err := old.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.openLog()
}

// truncate cuts off what is above the high watermark, as a follower does.
func (w *compactionWorld) truncate() {
	hw, end := w.l.HighWatermark(), w.l.LogEndOffset()
	if hw == end {
		return
	}
	waitDurable(w.t, w.l, end)
	if err := w.l.TruncateTo(hw + w.rand.Int64N(end-hw)); err != nil {
		w.t.Fatal(err)
	}
	w.compactionModel = w.upTo(w.l.LogEndOffset())
	w.seqs, w.open = map[int64]int32{}, map[int64]bool{}
	for id, seq := range w.sequences(0) {
		w.seqs[id] = seq + 1
	}
	w.adoptSequences()
	for _, b := range w.batches {
		w.open[b.pid] = b.txn && !b.marker
	}
	maps.DeleteFunc(w.kept, func(at, _ int64) bool { return at >= w.l.LogEndOffset() })
}

func (w *compactionWorld) compact() {
	now := w.clock.Now().UnixMilli()
	for _, b := range w.batches {
		for i, r := range b.records {
			if at := b.base + int64(i); r.tombstone {
				until := now + w.cfg.DeleteRetentionMs // if it is compacted first in this round
				if earlier, ok := w.kept[at]; ok {
					until = min(until, earlier)
				}
				w.kept[at] = until
			}
		}
	}
	compactNow(w.t, w.m)
}

// verify compares what is in the log with the model.
func (w *compactionWorld) verify() {
	all, err := w.check(w.l)
	if err != nil {
		w.fail("%v", err)
	}
	cleaned := w.l.dir.cleanedTo(testTP)
	here := map[int64]bool{}
	newest := map[string]int64{}
	for _, r := range all {
		here[r.offset] = true
		if r.offset >= cleaned || r.offset < w.l.LogStartOffset() {
			continue
		}
		if at, ok := newest[r.key]; ok {
			w.fail("key %s is at %d and %d, cleaned to %d", r.key, at, r.offset, cleaned)
		}
		if r.aborted {
			w.fail("aborted record at %d, cleaned to %d", r.offset, cleaned)
		}
		newest[r.key] = r.offset
	}
	w.verifyTombstones(here, cleaned)
	w.verifySearch(all)
	segments := w.l.segmentList()
	for i, s := range segments[:len(segments)-1] {
		end, err := endOfBatches(w.mem, s.prefix()+".log", s.base)
		if err != nil || end != segments[i+1].base {
			w.fail("segment %d ends at %d, the next begins at %d: %v", s.base, end, segments[i+1].base, err)
		}
	}
}

// verifyTombstones: one that was the last of its key is not gone before its time.
func (w *compactionWorld) verifyTombstones(here map[int64]bool, cleaned int64) {
	_, aborted := w.stable(w.l.LogEndOffset())
	last := map[string]int64{}
	for _, b := range w.batches {
		for i, r := range b.records {
			if at := b.base + int64(i); !aborted[b.base] && at < cleaned {
				last[r.key] = at
			}
		}
	}
	now := w.clock.Now().UnixMilli()
	for key, at := range last {
		if until := w.kept[at]; until > now && at >= w.l.LogStartOffset() && !here[at] {
			w.fail("tombstone of %s at %d is gone at %d, before %d", key, at, now, until)
		}
	}
}

// verifySearch: reads and searches by time find what a scan finds.
func (w *compactionWorld) verifySearch(all []storedRecord) {
	start, end := w.l.LogStartOffset(), w.l.LogEndOffset()
	if start == end {
		return
	}
	from := start + w.rand.Int64N(end-start)
	info, err := w.l.Read(from, 1, end, true)
	if err != nil || info.Range == nil {
		w.fail("read of %d: %+v, %v", from, info, err)
	}
	b, err := readRange(info.Range)
	info.Range.Release()
	if err != nil || recordbatch.Batch(b).LastOffset() < from {
		w.fail("read of %d: %v", from, err)
	}
	ts := w.clock.Now().UnixMilli() - w.rand.Int64N(200_000)
	want := int64(-1)
	for _, r := range all {
		if r.offset >= start && r.ts >= ts && want < 0 {
			want = r.offset
		}
	}
	offset, _, _, _, err := w.l.OffsetForTimestamp(ts, end)
	if err != nil || offset != want && !w.control(offset, want) {
		w.fail("offset for %d is %d, want %d: %v", ts, offset, want, err)
	}
}

// control says whether offset is that of a marker before want: searches by time find those, too.
func (w *compactionWorld) control(offset, want int64) bool {
	return slices.ContainsFunc(w.batches, func(b modelBatch) bool { return b.marker && b.base == offset }) && (want < 0 || offset < want)
}

func (w *compactionWorld) step() {
	switch n := w.rand.IntN(100); {
	case n < 55:
		w.appendBatch()
		w.note("append")
	case n < 67:
		w.endTxn()
	case n < 73:
		settle(w.t, w.l)
		w.note("settle")
	case n < 78:
		d := time.Duration(w.rand.IntN(60)) * time.Second
		w.clock.Advance(d)
		w.note("clock %v", d)
	case n < 80:
		rollNow(w.t, w.l)
		w.note("roll")
	case n < 92:
		settle(w.t, w.l)
		w.note("compact")
		w.compact()
		w.verify()
	case n < 94:
		clean := w.rand.IntN(2) == 0
		w.note("restart %v", clean)
		w.restart(clean)
		w.verify()
	case n < 95:
		w.note("truncate")
		w.truncate()
	case n < 96:
		settle(w.t, w.l)
		at := w.l.LogStartOffset() + (w.l.HighWatermark()-w.l.LogStartOffset())/4
		w.note("start %d", at)
		if err := w.l.SetLogStartOffset(at); err != nil {
			w.t.Fatal(err)
		}
		if err := w.m.RunRetention(); err != nil {
			w.t.Fatal(err)
		}
	case n < 98:
		w.note("checkpoint")
		if err := w.m.Checkpoint(); err != nil {
			w.t.Fatal(err)
		}
	default:
		w.cfg.DeleteRetentionMs = w.rand.Int64N(100_000)
		w.cfg.MinCompactionLagMs = w.rand.Int64N(2) * 20_000
		w.cfg.SegmentBytes = 600 + w.rand.IntN(4000)
		w.cfg.MinCleanableRatio = float64(w.rand.IntN(2)) * 0.3
		w.l.SetConfig(w.cfg)
		w.note("config")
	}
}

// TestCompactionModel: random histories of keys, tombstones, transactions, codecs, restarts and crashes read
// as if nothing had ever been compacted. -compaction.seeds=1000 is the long run.
func TestCompactionModel(t *testing.T) {
	for seed := range uint64(*compactionSeeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &compactionWorld{
				t: t, rand: rand.New(rand.NewPCG(seed, 7)), mem: vfs.NewMem(), clock: newManualClock(),
				seqs: map[int64]int32{}, open: map[int64]bool{}, kept: map[int64]int64{}, cfg: compactedConfig(),
			}
			w.cfg.DeleteRetentionMs = 50_000
			w.openLog()
			for range 250 {
				w.step()
			}
			settle(t, w.l)
			w.compact()
			w.verify()
			w.restart(false)
			w.verify()
			if err := w.m.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
