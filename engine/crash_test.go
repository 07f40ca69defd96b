package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// The crash suite runs a workload on the strict memory file system, stops after every single I/O operation, takes
// the power away in several ways, and opens what is left. What was reported durable must be there, byte for byte,
// and everything there must be something that was appended, in order and whole.
//
// The workload, its sizes and what a crash leaves follow from one seed, and nothing runs beside it (Config.stepped),
// so that a seed and a number of operations are one run for ever:
//
//	KSERVER_CRASH_SEEDS=200             so many seeds instead of a few
//	KSERVER_CRASH_SEED=17               this seed only
//	KSERVER_CRASH_POINT=231             and this crash only

// modelLog is what the test knows of one partition.
type modelLog struct {
	mu      sync.Mutex
	durable int64 // largest end reported
	start   int64 // largest log start that is promised
	// maxStart is the largest log start that may be found.
	maxStart int64
	end      int64
	// batches that may be found at an offset: after a truncation, more than one.
	batches map[int64][][]byte
	id      [16]byte
	deleted bool
	created bool
	// idLost: nothing was reported durable, and the first crash took partition.metadata; the metadata log
	// would bring it back.
	idLost bool
}

// Durable implements DurableListener.
func (m *modelLog) Durable(end int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durable = max(m.durable, end)
}

// Failed implements DurableListener.
func (m *modelLog) Failed(error) {}

// world is a running workload.
type world struct {
	t     testing.TB
	fault *vfs.Fault
	clock *manualClock
	m     *LogManager
	model map[TopicPartition]*modelLog
	rand  *rand.Rand
	// journal has every second start go without a commit journal, or all or none.
	journal journalUse
	starts  int
	// lazyKeeper has the journal's keeper work now and then only, so that the journal fills up.
	lazyKeeper bool
	script     func(*world) error // workload if nil
	closing    func(*LogManager)  // told before a manager is closed
	// again, if set, is asked about a step that failed for want of room: true tries it once more.
	again func(err error) bool
}

// errStopped ends a workload at its crash.
var errStopped = errors.New("stopped by the crash")

// journalUse says which starts of a workload have a commit journal.
type journalUse int

const (
	journalAlways journalUse = iota
	journalNever
	journalByTurns
	journalUses
)

// config is that of the next start: a journal of a few frames, so that all of its edges come.
func (w *world) config(fsys vfs.FS) Config {
	cfg := Config{FS: fsys, Clock: w.clock, CheckpointBytes: 6000, SyncThreads: 1, stepped: true, JournalBytes: -1}
	if w.journal == journalAlways || w.journal == journalByTurns && w.starts%2 == 0 {
		cfg.JournalBytes, cfg.journalAfter = journalFiles*4*journalBlock, 1
	}
	w.starts++
	return cfg
}

func (w *world) open() error {
	m, err := tryOpen(w.config(w.fault))
	if err != nil {
		return fmt.Errorf("%w: open: %w", errStopped, err)
	}
	w.m = m
	for tp, model := range w.model {
		if l, ok := m.Log(tp); ok && !model.deleted {
			l.SetConfig(crashLogConfig())
			l.SetDurableListener(model)
		}
	}
	return nil
}

func crashLogConfig() LogConfig {
	cfg := testLogConfig()
	cfg.FileDeleteDelayMs = 0
	return cfg
}

func (w *world) create(tp TopicPartition) error {
	model := &modelLog{batches: map[int64][][]byte{}, id: testTID}
	if w.model[tp] != nil {
		model.id[0]++ // a new topic of the same name
	}
	w.model[tp] = model
	l, err := w.m.Create(tp, model.id, crashLogConfig())
	if err != nil {
		return fmt.Errorf("%w: create: %w", errStopped, err)
	}
	model.created = true
	l.SetDurableListener(model)
	return nil
}

// append adds one batch, and waits until it is durable if asked to.
func (w *world) append(tp TopicPartition, spec batchSpec, wait bool) error {
	l, ok := w.m.Log(tp)
	if !ok {
		return errStopped
	}
	model := w.model[tp]
	stored := spec.build(w.t)
	first := l.LogEndOffset()
	stored.SetBaseOffset(first)
	stored.SetPartitionLeaderEpoch(7)
	model.batches[first] = append(model.batches[first], stored) // also when the append fails half way
	info, err := l.AppendAsLeader(spec.build(w.t), AppendOptions{LeaderEpoch: 7})
	if err != nil {
		return fmt.Errorf("%w: append: %w", errStopped, err)
	}
	model.end = info.LastOffset + 1
	if !wait {
		return nil
	}
	w.step()
	if l.DurableEndOffset() < info.LastOffset+1 {
		if w.m.Dirs()[0].Err == nil {
			w.t.Fatal("append did not become durable")
		}
		return errStopped
	}
	return nil
}

func (w *world) value(i int) batchSpec {
	return batchSpec{records: 1 + i%3, value: fmt.Sprintf("v%d", i), padBytes: w.rand.IntN(200), ts: 1_700_000_000_000 + int64(i)*1000}
}

func (w *world) idempotent(i int, seq int32) batchSpec {
	s := w.value(i)
	s.records, s.pid, s.seq = 2, 42, seq*2
	return s
}

// workload is the script: it touches everything that writes.
func (w *world) workload() error {
	a, b := TopicPartition{"a", 0}, TopicPartition{"b-x", 3}
	seq := int32(0)
	steps := []func() error{w.open, func() error { return w.create(a) }, func() error { return w.create(b) }}
	for i := range 24 {
		// Most appends leave the sync to a later one, so that several lie unsynced side by side.
		wait := w.rand.IntN(3) == 0
		spec := w.value(i)
		if i%3 == 0 {
			spec = w.idempotent(i, seq)
			seq++
		}
		steps = append(steps, func() error {
			return w.append(a, spec, wait)
		})
		if i%3 == 1 {
			other := w.value(i)
			steps = append(steps, func() error { return w.append(b, other, wait) })
		}
		switch i {
		case 8, 16:
			steps = append(steps, func() error { return w.m.Checkpoint() })
		case 11:
			steps = append(steps, func() error { return w.deleteRecords(a) })
		case 13:
			steps = append(steps, func() error { return w.retention(a) })
		case 15:
			steps = append(steps, func() error { return w.truncate(b) })
		case 18:
			steps = append(steps, func() error { return w.delete(b) }, func() error { return w.create(b) })
		case 20:
			steps = append(steps, w.close, w.open)
		}
	}
	steps = append(steps, func() error { return w.m.Checkpoint() }, w.close)
	return w.do(steps)
}

// do takes the steps up to the crash.
func (w *world) do(steps []func() error) error {
	for _, step := range steps {
		err := step()
		if w.again != nil && err != nil && w.again(err) {
			if w.m != nil && w.m.Dirs()[0].Err != nil {
				return w.m.Dirs()[0].Err
			}
			if err = step(); err != nil {
				return err
			}
		}
		if err != nil || w.fault.Crashed() {
			return errors.Join(errStopped, err)
		}
	}
	return nil
}

// step lets the committer and the background do what is due.
func (w *world) step() {
	if !w.lazyKeeper || w.rand.IntN(8) == 0 {
		w.m.step()
		return
	}
	for more := true; more; {
		more, _ = w.m.dirs[0].committer.turn()
	}
}

func (w *world) close() error {
	if w.m == nil { // an earlier try has closed it as far as it went
		return nil
	}
	if w.closing != nil {
		w.closing(w.m)
	}
	err := w.m.Close()
	w.m = nil
	return err
}

func (w *world) deleteRecords(tp TopicPartition) error {
	l, _ := w.m.Log(tp)
	l.UpdateHighWatermark(l.DurableEndOffset())
	at := l.HighWatermark() - 3
	w.model[tp].maxStart = max(w.model[tp].maxStart, at)
	if err := l.SetLogStartOffset(at); err != nil {
		return err
	}
	w.model[tp].start = at
	return nil
}

func (w *world) retention(tp TopicPartition) error {
	l, _ := w.m.Log(tp)
	l.UpdateHighWatermark(l.DurableEndOffset())
	w.model[tp].maxStart = l.HighWatermark()
	cfg := l.Config()
	cfg.RetentionBytes = 2500
	l.SetConfig(cfg)
	return w.m.RunRetention()
}

func (w *world) truncate(tp TopicPartition) error {
	l, _ := w.m.Log(tp)
	to := l.LogStartOffset() + 2*(l.LogEndOffset()-l.LogStartOffset())/3
	model := w.model[tp]
	model.mu.Lock()
	model.durable = min(model.durable, to-2) // the batch around it may go too
	model.mu.Unlock()
	if err := l.TruncateTo(to); err != nil {
		return err
	}
	model.end = l.LogEndOffset()
	return nil
}

func (w *world) delete(tp TopicPartition) error {
	w.model[tp].deleted = true
	return w.m.Delete(tp)
}

// run does the workload up to a crash after n operations and returns the file system as it is found.
func (w *world) run(mem *vfs.Mem, n int, seed uint64) (after *vfs.Mem, finished bool) {
	w.fault = vfs.NewFault(mem)
	if n >= 0 {
		w.fault.CrashAfter(n)
	}
	script := (*world).workload
	if w.script != nil {
		script = w.script
	}
	err := script(w)
	w.fault.CrashAfter(0) // nothing moves any more
	if w.m != nil {
		_ = w.m.Close() // ends the goroutines; the disk refuses everything
	}
	return mem.Crash(seed), err == nil
}

// check opens what a crash left and compares it with the model.
func (w *world) check(mem *vfs.Mem) error {
	m, err := tryOpen(Config{FS: mem, Clock: w.clock})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer m.Close()
	for tp, model := range w.model {
		if model.deleted || !model.created {
			continue
		}
		if err := w.checkLog(m, tp, model); err != nil {
			return fmt.Errorf("%s: %w", tp, err)
		}
	}
	return nil
}

func (w *world) checkLog(m *LogManager, tp TopicPartition, model *modelLog) error {
	l, ok := m.Log(tp)
	if !ok {
		if model.durable > 0 {
			return fmt.Errorf("is gone with %d durable", model.durable)
		}
		return nil
	}
	l.SetConfig(crashLogConfig())
	if err := l.ensureLoaded(); err != nil {
		return err
	}
	id, ok := l.TopicID()
	if ok && id != model.id && model.durable == 0 {
		return nil // the delete before it was forgotten; Create refuses the directory by its id
	}
	if model.durable > 0 && !model.idLost && (!ok || id != model.id) {
		return fmt.Errorf("topic id %x, %v", id, ok)
	}
	start, end := l.LogStartOffset(), l.LogEndOffset()
	if end < model.durable {
		return fmt.Errorf("ends at %d, %d was durable", end, model.durable)
	}
	if start < model.start || start > model.maxStart {
		return fmt.Errorf("starts at %d, not in [%d, %d]", start, model.start, model.maxStart)
	}
	if l.DurableEndOffset() != end || l.HighWatermark() > end || l.LastStableOffset() > l.HighWatermark() {
		return fmt.Errorf("offsets %d %d %d %d", end, l.DurableEndOffset(), l.HighWatermark(), l.LastStableOffset())
	}
	lastSeq, next, err := w.checkContents(l, model, start, end)
	if err != nil {
		return err
	}
	return w.checkGoesOn(l, lastSeq, next)
}

// checkContents reads the whole log: contiguous, whole, known batches.
func (w *world) checkContents(l *Log, model *modelLog, start, end int64) (last recordbatch.Batch, next int64, err error) {
	all, err := tryReadAll(l, start)
	if err != nil {
		return nil, 0, err
	}
	next = -1
	for len(all) > 0 {
		b, rest, err := recordbatch.Next(all)
		if err == nil {
			err = b.CheckCRC()
		}
		if err != nil {
			return nil, 0, fmt.Errorf("at offset %d: %w", next, err)
		}
		if next < 0 && b.BaseOffset() > start || next >= 0 && b.BaseOffset() != next {
			return nil, 0, fmt.Errorf("batch at offset %d, expected %d", b.BaseOffset(), max(next, start))
		}
		known := false
		for _, want := range model.batches[b.BaseOffset()] {
			known = known || bytes.Equal(want, b)
		}
		if !known {
			return nil, 0, fmt.Errorf("batch at offset %d was never appended", b.BaseOffset())
		}
		if b.HasProducerID() {
			last = b
		}
		next = b.NextOffset()
		all = rest
	}
	if next >= 0 && next != end || next < 0 && start != end {
		return nil, 0, fmt.Errorf("batches end at %d, log at %d", next, end)
	}
	return last, end, nil
}

// checkGoesOn appends to the log: a repeated batch is a duplicate, the next one fits, a later one does not.
func (w *world) checkGoesOn(l *Log, last recordbatch.Batch, end int64) error {
	o := AppendOptions{LeaderEpoch: 9}
	if last != nil {
		again := append(recordbatch.Batch(nil), last...)
		again.SetBaseOffset(0)
		info, err := l.AppendAsLeader(again, o)
		if err != nil || !info.Duplicate || info.FirstOffset != last.BaseOffset() {
			return fmt.Errorf("repeated batch at %d: %+v, %v", last.BaseOffset(), info, err)
		}
		late := batchSpec{records: 2, pid: 42, seq: last.LastSequence() + 3}
		if _, err := l.AppendAsLeader(late.build(w.t), o); !errors.Is(err, ErrOutOfOrderSequence) {
			return fmt.Errorf("late batch: %v", err)
		}
		fits := batchSpec{records: 2, pid: 42, seq: last.LastSequence() + 1}
		if _, err := l.AppendAsLeader(fits.build(w.t), o); err != nil {
			return fmt.Errorf("next batch: %w", err)
		}
		end += 2
	}
	info, err := l.AppendAsLeader(batchSpec{value: "after"}.build(w.t), o)
	if err != nil || info.FirstOffset != end {
		return fmt.Errorf("append at %d: %+v, %v", end, info, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return l.WaitDurable(ctx, end+1)
}

func newWorld(t testing.TB, seed uint64) *world {
	return &world{
		t: t, clock: newManualClock(), model: map[TopicPartition]*modelLog{}, rand: rand.New(rand.NewPCG(seed, 1)),
		journal: journalUse(seed % uint64(journalUses)),
	}
}

// crashOnce crashes after n operations, checks, and takes the power away again right after recovery: what
// recovery served must survive that too.
func crashOnce(w *world, n int, seed uint64) (finished bool, err error) {
	mem := vfs.NewMem()
	after, finished := w.run(mem, n, seed)
	// Every other time only the process is killed first: then the page cache has what the disk does not.
	recovered := after.Crash(1)
	if n%2 == 1 {
		recovered = mem.Kill()
	}
	if err := w.check(after); err != nil {
		return finished, err
	}
	m, err := tryOpen(Config{FS: recovered, Clock: w.clock})
	if err != nil {
		return finished, err
	}
	ends := map[TopicPartition]int64{}
	for tp := range w.model {
		if l, ok := m.Log(tp); ok {
			ends[tp] = l.LogEndOffset()
			id, known := l.TopicID()
			if known && id != w.model[tp].id {
				delete(ends, tp)
			}
			w.model[tp].idLost = !known
		}
	}
	again := recovered.Crash(0)
	if err := m.Close(); err != nil {
		return finished, err
	}
	for tp, end := range ends {
		if model := w.model[tp]; end > model.maxStart {
			model.durable = max(model.durable, end)
		}
	}
	if err := w.check(again); err != nil {
		return finished, fmt.Errorf("second crash: %w", err)
	}
	return finished, nil
}

// crashEverywhere crashes after each operation of a seed's workload, or after one only if point is not negative.
func crashEverywhere(t testing.TB, seed uint64, point int) (points int, err error) {
	return crashEach(func() *world { return newWorld(t, seed) }, seed, point)
}

func crashEach(newWorld func() *world, seed uint64, point int) (points int, err error) {
	for n := max(point, 0); ; n += stride() {
		finished, err := crashOnce(newWorld(), n, seed)
		if err != nil {
			return n, fmt.Errorf("KSERVER_CRASH_SEED=%d KSERVER_CRASH_POINT=%d: %w", seed, n, err)
		}
		if finished || point >= 0 {
			return n, nil
		}
	}
}

// stride is from one operation that is crashed or failed to the next. Short runs, such as those of the race detector,
// try some of them: a workload is one goroutine and the same each time.
func stride() int {
	if testing.Short() {
		return 17
	}
	return 1
}

// envNumber is a number from the environment, def if there is none.
func envNumber(t testing.TB, name string, def int) int {
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// seeds are the seeds a suite runs with: few of them unless the environment asks for others.
func seeds(t testing.TB, few int) []uint64 {
	if one := envNumber(t, "KSERVER_CRASH_SEED", -1); one >= 0 {
		return []uint64{uint64(one)}
	}
	list := make([]uint64, envNumber(t, "KSERVER_CRASH_SEEDS", few))
	for i := range list {
		list[i] = uint64(i)
	}
	return list
}

func TestD1CrashAfterEveryOperation(t *testing.T) {
	point := envNumber(t, "KSERVER_CRASH_POINT", -1)
	for _, seed := range seeds(t, 4) {
		points, err := crashEverywhere(t, seed, point)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d: %d crash points", seed, points)
	}
}

var retiredID = regexp.MustCompile(`\.[0-9a-f]{32}-`)

// The same seed is the same run, operation for operation; without that a found seed would be worth nothing.
func TestCrashSuiteIsReplayable(t *testing.T) {
	var logs [2][]string
	for i := range logs {
		w := newWorld(t, 3)
		w.fault = vfs.NewFault(vfs.NewMem())
		w.fault.StartLog()
		if err := w.workload(); err != nil {
			t.Fatal(err)
		}
		for _, line := range w.fault.Log() { // but for the random names of deleted directories
			logs[i] = append(logs[i], retiredID.ReplaceAllString(line, "."))
		}
	}
	if !slices.Equal(logs[0], logs[1]) {
		t.Fatalf("two runs of one seed differ:\n%s\n\n%s", strings.Join(logs[0], "\n"), strings.Join(logs[1], "\n"))
	}
}
