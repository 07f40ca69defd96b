package engine

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// lazyOnce crashes a workload after n operations and then starts several times more, each time using some of the logs
// in some order, letting the background recover, checkpointing, stopping cleanly or not, before the next crash. What a
// log has shown must be there in the end, whatever became of the others.
func lazyOnce(t testing.TB, n int, seed uint64) (finished bool, err error) {
	w := newWorld(t, seed)
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	mem := vfs.NewMem()
	disk, finished := w.run(mem, n, seed)
	if rng.IntN(2) == 0 {
		disk = mem.Kill()
	}
	for start := range 3 {
		if disk, err = w.liveOn(disk, rng); err != nil {
			return finished, fmt.Errorf("start %d: %w", start, err)
		}
	}
	return finished, w.check(disk)
}

// liveOn is one start on what a crash has left. It returns what the next one leaves.
func (w *world) liveOn(disk *vfs.Mem, rng *rand.Rand) (*vfs.Mem, error) {
	m, err := tryOpen(w.config(disk))
	if err != nil {
		return nil, err
	}
	tps := slices.SortedFunc(maps.Keys(w.model), func(a, b TopicPartition) int {
		if before(a, b) {
			return -1
		}
		return 1
	})
	var acts []func() error
	for _, tp := range tps {
		acts = append(acts, func() error { return w.use(m, tp) })
	}
	acts = append(acts, func() error { m.step(); return nil }, m.Checkpoint, m.RunRetention)
	rng.Shuffle(len(acts), func(i, j int) { acts[i], acts[j] = acts[j], acts[i] })
	for _, act := range acts[:rng.IntN(len(acts)+1)] {
		if err := act(); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	left := m.Dirs()[0].UnrecoveredLogs
	after := disk.Crash(rng.Uint64())
	if rng.IntN(3) == 0 {
		after = disk.Kill()
	}
	if err := m.Close(); err != nil {
		return nil, err
	}
	_, err = disk.Stat("/data/" + cleanShutdownFile)
	if clean := err == nil; clean != (left == 0) {
		return nil, fmt.Errorf("clean shutdown marked %v with %d logs not recovered", clean, left)
	}
	if rng.IntN(3) == 0 {
		after = disk
	}
	return after, nil
}

// use is the first use of a log, or a later one. What it shows counts as durable.
func (w *world) use(m *LogManager, tp TopicPartition) error {
	model := w.model[tp]
	l, ok := m.Log(tp)
	if !ok || model.deleted || !model.created {
		return nil
	}
	l.SetConfig(crashLogConfig())
	id, known := l.TopicID()
	if known && id != model.id {
		return nil
	}
	if err := l.Load(); err != nil {
		return fmt.Errorf("%s: %w", tp, err)
	}
	if !known {
		model.idLost = true // the metadata log would bring it back
	}
	start, end := l.LogStartOffset(), l.DurableEndOffset()
	if end < model.durable {
		return fmt.Errorf("%s: ends at %d, %d was durable", tp, end, model.durable)
	}
	if end > model.maxStart {
		model.durable = max(model.durable, end)
	}
	if _, _, err := w.checkContents(l, model, start, l.LogEndOffset()); err != nil {
		return fmt.Errorf("%s: %w", tp, err)
	}
	return nil
}

// lazyEverywhere is lazyOnce at each operation.
func lazyEverywhere(t testing.TB, seed uint64) (points int, err error) {
	for n := 0; ; n += stride() {
		finished, err := lazyOnce(t, n, seed)
		if err != nil {
			return n, fmt.Errorf("lazy recovery, KSERVER_CRASH_SEED=%d, operation %d: %w", seed, n, err)
		}
		if finished {
			return n, nil
		}
	}
}

func TestD1LazyRecoveryInAnyOrder(t *testing.T) {
	for _, seed := range seeds(t, 4) {
		points, err := lazyEverywhere(t, seed)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d: %d crash points", seed, points)
	}
}

// killedLogs leaves a killed manager's disk with so many logs of 5 batches each, the last of which is torn.
func killedLogs(t testing.TB, n int) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	m := openManager(t, Config{FS: mem, stepped: true})
	for i := range n {
		l := create(t, m, TopicPartition{"k", int32(i)}, testLogConfig())
		for range 5 {
			appendBatch(t, l, batchSpec{value: fmt.Sprint(i), padBytes: 300})
		}
	}
	m.step()
	for i := range n {
		dir := fmt.Sprintf("/data/k-%d", i)
		files, err := listLogFiles(mem, dir)
		if err != nil {
			t.Fatal(err)
		}
		f, err := mem.OpenReadWrite(dir+"/"+offsetFileName(files.bases[len(files.bases)-1])+".log", false)
		if err != nil {
			t.Fatal(err)
		}
		size, err := f.Size()
		if err == nil {
			_, err = f.WriteAt([]byte("half a batch"), size)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	killed := mem.Kill()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return killed
}

// listGate holds back the first look into a directory until it is opened.
type listGate struct {
	vfs.FS
	dir           string
	once          sync.Once
	entered, open chan struct{}
}

func (g *listGate) List(path string) ([]vfs.Entry, error) {
	if path == g.dir {
		g.once.Do(func() { close(g.entered) })
		<-g.open
	}
	return g.FS.List(path)
}

// A first use waits for nothing but its own log, although the background waits for the disk on behalf of another.
func TestFirstUseWaitsForNoOther(t *testing.T) {
	const logs = 40
	gate := &listGate{FS: killedLogs(t, logs), dir: "/data/k-0", entered: make(chan struct{}), open: make(chan struct{})}
	m := openManager(t, Config{FS: gate, RecoveryThreads: 1})
	<-gate.entered
	l, _ := m.Log(TopicPartition{"k", logs - 1})
	if got := batches(t, readAll(t, l, 0)); len(got) != 5 || l.DurableEndOffset() != 5 {
		t.Fatalf("%d batches, durable to %d", len(got), l.DurableEndOffset())
	}
	if d := m.Dirs()[0]; d.RecoveredLogs != 1 || d.UnrecoveredLogs != logs-1 {
		t.Fatalf("%+v", d)
	}
	other, _ := m.Log(TopicPartition{"k", 1})
	if other.Loaded() || other.Size() == 0 || other.Loaded() {
		t.Fatal("the size of a log is known without a load")
	}
	open := m.OpenFiles()
	close(gate.open)
	for deadline := time.Now().Add(20 * time.Second); m.Dirs()[0].UnrecoveredLogs > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the background does not recover the others")
		}
	}
	if other.Loaded() || m.OpenFiles() > open {
		t.Fatalf("the background keeps what nobody uses: %d open files, %d before", m.OpenFiles(), open)
	}
	if got := batches(t, readAll(t, other, 0)); len(got) != 5 || other.DurableEndOffset() != 5 {
		t.Fatalf("%d batches, durable to %d", len(got), other.DurableEndOffset())
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := gate.Stat("/data/" + cleanShutdownFile); err != nil {
		t.Fatal(err)
	}
}

// What was not appended to since the last checkpoint is neither written nor synced by a recovery, whether its process
// stopped cleanly before or not.
func TestRecoveryLeavesUnchangedLogsAlone(t *testing.T) {
	mem := vfs.NewMem()
	m := openManager(t, Config{FS: mem, stepped: true})
	used := TopicPartition{"k", 0}
	for i := range 8 {
		l := create(t, m, TopicPartition{"k", int32(i)}, testLogConfig())
		for n := range 20 {
			appendBatch(t, l, batchSpec{value: fmt.Sprint(i), padBytes: 300, ts: 1_700_000_000_000 + int64(n)})
		}
		m.step()
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = openManager(t, Config{FS: mem, stepped: true})
	l, _ := m.Log(used)
	l.SetConfig(testLogConfig())
	appendBatch(t, l, batchSpec{value: "more"})
	m.step()
	killed := mem.Kill()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	fault := vfs.NewFault(killed)
	fault.StartLog()
	m = openManager(t, Config{FS: fault, stepped: true})
	m.step()
	if d := m.Dirs()[0]; d.RecoveredLogs != 8 || d.UnrecoveredLogs != 0 {
		t.Fatalf("%+v", d)
	}
	changes := 0
	for _, op := range fault.Log() {
		if strings.Contains(op, " /data/k-0/") {
			changes++
		} else if strings.Contains(op, " /data/k-") {
			t.Error(op)
		}
	}
	if changes == 0 {
		t.Error("the log with a new batch was not written")
	}
	for _, l := range m.Logs() {
		want := 20
		if l.TopicPartition() == used {
			want++
		}
		if got := batches(t, readAll(t, l, 0)); len(got) != want {
			t.Errorf("%s: %d batches", l.TopicPartition(), len(got))
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// First uses, the background, deletions, retention, sizes, checkpoints and the end of the manager, all at the same time.
func TestRecoveryRaces(t *testing.T) {
	const logs = 2*bulkSyncs + 10
	disk := killedLogs(t, logs)
	for round := range 4 {
		mem := disk.Kill()
		m := openManager(t, Config{FS: mem, RecoveryThreads: 3})
		var wg sync.WaitGroup
		for i := range 4 {
			rng := rand.New(rand.NewPCG(uint64(round), uint64(i)))
			wg.Go(func() {
				for range logs {
					if err := raceOnce(m, TopicPartition{"k", int32(rng.IntN(logs))}, rng.IntN(12)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		if round%2 == 0 {
			wg.Wait()
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		m = openManager(t, Config{FS: mem})
		for _, l := range m.Logs() {
			if got := batches(t, readAll(t, l, 0)); len(got) < 5 {
				t.Errorf("%s: %d batches", l.TopicPartition(), len(got))
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// raceOnce does something to a log that may be gone, or closed.
func raceOnce(m *LogManager, tp TopicPartition, what int) error {
	l, ok := m.Log(tp)
	if !ok {
		return nil
	}
	var err error
	switch what {
	case 0:
		err = m.Delete(tp)
	case 1:
		err = m.RunRetention()
	case 2:
		err = m.Checkpoint()
	case 3:
		l.Size()
		m.Counts()
		m.Dirs()
	case 4, 5:
		b := recordbatch.NewBuilder(recordbatch.BuilderConfig{})
		b.Append(1_700_000_000_000, nil, []byte("more"))
		var batch recordbatch.Batch
		if batch, err = b.Build(); err == nil {
			_, err = l.AppendAsLeader(batch, AppendOptions{LeaderEpoch: 2})
		}
	default:
		if err = l.Load(); err == nil {
			var all []byte
			if all, err = tryReadAll(l, 0); err == nil && len(all) == 0 {
				err = fmt.Errorf("%s is empty", tp)
			}
		}
	}
	if errors.Is(err, ErrLogClosed) {
		return nil
	}
	return err
}

// A log that cannot be recovered answers with its error, not with offsets nobody checked, and the directory does not
// count as cleanly stopped for it.
func TestUnrecoverableLogSaysSo(t *testing.T) {
	mem := killedLogs(t, 2)
	points := map[TopicPartition]int64{{"k", 0}: 9}
	if err := writeOffsetCheckpoint(mem, "/data", recoveryPointFile, points); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m := openManager(t, Config{FS: mem, stepped: true})
		bad, _ := m.Log(TopicPartition{"k", 0})
		if bad.Loaded() {
			t.Fatal("loaded before its first use")
		}
		for range 2 {
			if err := bad.Load(); !errors.Is(err, ErrCorrupt) || !bad.Loaded() {
				t.Fatal(err)
			}
		}
		if _, err := bad.Read(0, 100, 5, true); !errors.Is(err, ErrStorage) {
			t.Fatal(err)
		}
		m.step()
		if d := m.Dirs()[0]; d.RecoveredLogs != 1 || d.UnrecoveredLogs != 1 || d.Err != nil {
			t.Fatalf("%+v", d)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A producer whose requests a crash has kept from being answered sends them all again, and none is appended twice: not
// by a log that was recovered for its first use, nor by one that the background had recovered before.
func TestF5RecoveryKnowsTheLastBatchesOfAProducer(t *testing.T) {
	for _, background := range []bool{false, true} {
		mem := vfs.NewMem()
		m := openManager(t, Config{FS: mem, stepped: true})
		l := create(t, m, testTP, DefaultLogConfig())
		sent := make([]AppendInfo, 5)
		for i := range sent {
			sent[i] = appendBatch(t, l, batchSpec{records: 2, pid: 42, seq: int32(2 * i)})
		}
		m.step()
		killed := mem.Kill()
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time after a clean stop without a use
			m = openManager(t, Config{FS: killed, stepped: true})
			if !background {
				break
			}
			m.step()
			if n := m.Dirs()[0].UnrecoveredLogs; n != 0 {
				t.Fatalf("%d logs are not recovered", n)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if background {
			m = openManager(t, Config{FS: killed, stepped: true})
		}
		l, _ = m.Log(testTP)
		for i, want := range sent {
			info, err := l.AppendAsLeader(batchSpec{records: 2, pid: 42, seq: int32(2 * i)}.build(t), AppendOptions{LeaderEpoch: 7})
			if err != nil || !info.Duplicate || info.FirstOffset != want.FirstOffset {
				t.Errorf("background %v: batch %d: %+v, %v", background, i, info, err)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// firstUseGate holds back a first use that begins between the background's recovery of a log and its lines of the
// checkpoints. It begins with the sync of the checksums of transaction indexes, which the background has just written,
// and has taken away a transaction index when it is held.
type firstUseGate struct {
	vfs.FS
	use        func()
	begun      atomic.Bool
	held, open chan struct{}
	closeHeld  sync.Once
}

func (g *firstUseGate) OpenReadWrite(path string, create bool) (vfs.File, error) {
	if strings.HasSuffix(path, txnSumsFile+tmpSuffix) && !create && g.begun.CompareAndSwap(false, true) {
		go g.use()
		<-g.held
	}
	return g.FS.OpenReadWrite(path, create)
}

func (g *firstUseGate) Remove(path string) error {
	err := g.FS.Remove(path)
	if strings.HasSuffix(path, txnIndexSuffix) && g.begun.Load() {
		g.closeHeld.Do(func() { close(g.held) })
		<-g.open
	}
	return err
}

// A first use makes a log's side files anew. What the background has written of the log before it no longer vouches for
// them then, so no line of a checkpoint may: a loss of power would leave a log whose aborts nothing tells.
func TestFirstUseVoidsWhatTheBackgroundWrote(t *testing.T) {
	mem := vfs.NewMem()
	m := openManager(t, Config{FS: mem, stepped: true})
	l := create(t, m, testTP, testLogConfig())
	first := appendBatch(t, l, batchSpec{pid: 7, txn: true}).FirstOffset
	marker := appendMarker(t, l, txnMarker(t, 7, 0, false, 1)).FirstOffset
	m.step()
	killed := mem.Kill()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}

	gate := &firstUseGate{FS: killed, held: make(chan struct{}), open: make(chan struct{})}
	m = openManager(t, Config{FS: gate, stepped: true})
	used := make(chan error, 1)
	l, _ = m.Log(testTP)
	gate.use = func() { used <- l.Load() }
	m.step()
	if !gate.begun.Load() {
		t.Fatal("the background has written no checksums of transaction indexes")
	}
	close(gate.open)
	if err := <-used; err != nil {
		t.Fatal(err)
	}
	crashed := killed.Crash(0) // all that was not synced is gone
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}

	m = openManager(t, Config{FS: crashed, stepped: true})
	l, _ = m.Log(testTP)
	txns, err := l.AbortedTxns(first, l.LogEndOffset())
	if err != nil || len(txns) != 1 || txns[0].FirstOffset != first || txns[0].LastOffset != marker || !l.MayHaveAborted(first) {
		t.Errorf("aborted: %+v, %v; a transaction from %d to %d was", txns, err, first, marker)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}
