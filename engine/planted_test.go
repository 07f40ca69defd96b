//go:build plantedbugs

package engine

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// catchers say which test of the ordinary suites has to find each planted bug. They return what it finds: nil
// without a bug, an error with it.
var catchers = map[plantedBug]func(t testing.TB) error{
	bugAckBeforeSync:       crashSeeds,
	bugNoDirSync:           crashSeeds,
	bugSyncRetried:         dyingSeeds,
	bugIndexTrusted:        damageFinding,
	bugSnapshotTrusted:     damageFinding,
	bugRenameBeforeSync:    crashSeeds,
	bugTailCutBelowDurable: damageFinding,
	bugFileReused:          rangeAcrossTruncation,
	bugCheckpointAhead:     crashSeeds,
	bugRecoveryNotSynced:   crashSeeds,
	bugPointNotLowered:     crashSeeds,
	bugStartNotDurable:     crashSeeds,
	bugOldPointsKept:       crashSeeds,
	bugOffsetsReused:       damageFinding,
	bugLogBegunAnew:        deadDirectory,
	bugEpochsTrusted:       damageFinding,
	bugSwapNotSynced:       compactionLosses,
	bugChecksumIgnored:     damageFinding,
	bugJournalFreedEarly:   journalSeeds,
	bugJournalNotLeft:      journalSeeds,
	bugJournalUnnamed:      journalSeeds,
	bugJournalUnchecked:    journalDamageFinding,
	bugReplayNotSynced:     replayCrashes,
}

const catchSeeds = 4

func eachSeed(run func(seed uint64) error) error {
	for seed := range uint64(catchSeeds) {
		if err := run(seed); err != nil {
			return err
		}
	}
	return nil
}

func crashSeeds(t testing.TB) error {
	return eachSeed(func(seed uint64) error { _, err := crashEverywhere(t, seed, -1); return err })
}

func journalSeeds(t testing.TB) error {
	return eachSeed(func(seed uint64) error { _, err := journalCrashes(t, seed, -1); return err })
}

func dyingSeeds(t testing.TB) error {
	return eachSeed(func(seed uint64) error { _, err := dieEverywhere(t, seed, false); return err })
}

func fullSeeds(t testing.TB) error {
	return eachSeed(func(seed uint64) error { _, err := fullEverywhere(t, seed, 1); return err })
}

func damageFinding(t testing.TB) error {
	_, err := damageMatrix(t, true)
	return err
}

// rangeAcrossTruncation holds a Range over a truncation and appends behind it.
func rangeAcrossTruncation(t testing.TB) error {
	m, err := tryOpen(Config{FS: vfs.NewMem(), stepped: true})
	if err != nil {
		return err
	}
	defer m.Close()
	l := create(t, m, testTP, testLogConfig())
	for range 3 {
		appendBatch(t, l, batchSpec{value: "before"})
	}
	m.step()
	info, err := l.Read(1, 1<<20, 3, true)
	if err != nil {
		return err
	}
	defer info.Range.Release()
	want, err := readRange(info.Range)
	if err != nil {
		return err
	}
	if err := l.TruncateTo(1); err != nil {
		return err
	}
	for range 3 {
		appendBatch(t, l, batchSpec{value: "behind"})
	}
	if got, err := readRange(info.Range); err == nil && !bytes.Equal(got, want) {
		return errors.New("a range shows other bytes than those it was made for")
	}
	return nil
}

// deadDirectory restarts without the directory of a partition.
func deadDirectory(t testing.TB) error {
	fault := vfs.NewFault(vfs.NewMem())
	cfg := Config{FS: fault, Dirs: []string{"/one", "/two"}, stepped: true}
	m, err := tryOpen(cfg)
	if err != nil {
		return err
	}
	create(t, m, TopicPartition{"a", 0}, testLogConfig())
	b := TopicPartition{"b", 0}
	appendBatch(t, create(t, m, b, testLogConfig()), batchSpec{})
	m.step()
	if err := m.Close(); err != nil {
		return err
	}
	fault.AddRule(vfs.Rule{Glob: "/two/*", Err: syscall.EIO})
	if m, err = tryOpen(cfg); err != nil {
		return err
	}
	defer m.Close()
	l, err := m.Reopen(b, testTID, testLogConfig())
	if err != nil {
		return err
	}
	if info, err := l.AppendAsLeader(batchSpec{}.build(t), AppendOptions{LeaderEpoch: 1}); !errors.Is(err, ErrStorage) {
		return fmt.Errorf("offset %d was given out a second time: %v", info.FirstOffset, err)
	}
	return nil
}

// compactionLosses takes the power away after each operation of a compaction and looks for the last of each key.
func compactionLosses(t testing.TB) error {
	return eachSeed(func(seed uint64) error {
		for n := 0; ; n++ {
			finished, err := compactionLoss(t, n, seed)
			if err != nil || finished {
				return err
			}
		}
	})
}

func compactionLoss(t testing.TB, n int, seed uint64) (finished bool, err error) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	m, err := tryOpen(Config{FS: fault, SyncThreads: 1, stepped: true})
	if err != nil {
		return false, err
	}
	l := create(t, m, testTP, compactedConfig())
	for i := range 12 {
		batch := one(fmt.Sprint("key", i%4), fmt.Sprint("value", i)).build(t)
		if _, err := l.AppendAsLeader(batch, AppendOptions{LeaderEpoch: 1}); err != nil {
			return false, err
		}
		m.step()
		if i%3 == 2 {
			l.appendMu.Lock()
			err := l.roll(l.logEnd.Load())
			l.appendMu.Unlock()
			if err != nil {
				return false, err
			}
		}
	}
	l.UpdateHighWatermark(l.LogEndOffset())
	if err := m.Checkpoint(); err != nil {
		return false, err
	}
	fault.CrashAfter(n)
	err = m.RunCompaction()
	finished = err == nil && !fault.Crashed()
	fault.CrashAfter(0)
	_ = m.Close() // the disk refuses everything
	return finished, lastOfEachKey(mem.Crash(seed), fmt.Sprintf("compaction crashed after operation %d, seed %d", n, seed))
}

func lastOfEachKey(mem *vfs.Mem, what string) error {
	m, err := tryOpen(Config{FS: mem, stepped: true})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer m.Close()
	l, ok := m.Log(testTP)
	if !ok {
		return fmt.Errorf("%s: the log is gone", what)
	}
	l.SetConfig(compactedConfig())
	all, err := tryReadAll(l, l.LogStartOffset())
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	last := map[string]string{}
	for len(all) > 0 {
		batch, rest, err := recordbatch.Next(all)
		if err == nil {
			err = batch.CheckCRC()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		for r, err := range batch.Records(0) {
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			last[string(r.Key)] = string(r.Value)
		}
		all = rest
	}
	for i := range 4 {
		if key, want := fmt.Sprint("key", i), fmt.Sprint("value", 8+i); last[key] != want {
			return fmt.Errorf("%s: %s is %q, not %q", what, key, last[key], want)
		}
	}
	return nil
}

// Each planted bug is found, and without a bug nothing is.
func TestPlantedBugsAreCaught(t *testing.T) {
	for bug := noBug + 1; bug < bugCount; bug++ {
		catch := catchers[bug]
		if catch == nil {
			t.Errorf("nothing is to catch bug %d", bug)
			continue
		}
		plantedNow.Store(int32(bug))
		err := caught(t, catch)
		plantedNow.Store(int32(noBug))
		if err == nil {
			t.Errorf("bug %d was not caught", bug)
		} else {
			t.Logf("bug %d: %v", bug, err)
		}
	}
	for name, catch := range map[string]func(testing.TB) error{
		"crash": crashSeeds, "dying disk": dyingSeeds, "full disk": fullSeeds, "damage": damageFinding,
		"journal": journalSeeds, "damaged journal": journalDamageFinding, "replay": replayCrashes,
		"range": rangeAcrossTruncation, "dead directory": deadDirectory, "compaction": compactionLosses,
	} {
		if err := catch(t); err != nil {
			t.Errorf("%s: found without a bug: %v", name, err)
		}
	}
}

// caught runs a catcher; an assertion of the engine that fails counts as well.
func caught(t testing.TB, catch func(testing.TB) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("assertion: %v", r)
		}
	}()
	return catch(t)
}
