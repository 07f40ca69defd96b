package engine

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"kserver/engine/vfs"
)

// The crash suite's workload on disks that fail: one that dies at the n-th operation, whatever it is, and one that
// is full for a while from the n-th operation on that needs room.

// dieOnce lets operation n of a seed's workload fail with EIO, alone or with all after it, and checks that what was
// reported durable is on the disk. fired is false when the workload has fewer operations.
func dieOnce(t testing.TB, n int, seed uint64, forGood bool) (fired bool, err error) {
	mem := vfs.NewMem()
	w := newWorld(t, seed)
	var failed []vfs.Op
	rule := vfs.Rule{Nth: n + 1, Count: 1, Err: syscall.EIO, Fired: func(op vfs.Op, _ string) { failed = append(failed, op) }}
	if forGood {
		rule.Count = 0
	}
	w.fault = vfs.NewFault(mem, rule)
	err = w.workload()
	if len(failed) == 0 {
		return false, err
	}
	if err := w.checkOffline(failed); err != nil {
		return true, err
	}
	if w.m != nil {
		_ = w.m.Close() // says what the disk says
	}
	return true, w.check(mem.Crash(seed))
}

// checkOffline makes sure that a failed sync or write was final: the directory is offline, and nothing more is
// promised although the disk may work again.
func (w *world) checkOffline(failed []vfs.Op) error {
	if w.m == nil || !slices.ContainsFunc(failed, func(op vfs.Op) bool {
		return op == vfs.OpSync || op == vfs.OpSyncDir || op == vfs.OpSyncAll || op == vfs.OpWrite
	}) {
		return nil
	}
	w.m.step()
	if err := w.m.Dirs()[0].Err; !errors.Is(err, ErrStorage) {
		return fmt.Errorf("the directory is online after a failed %s: %v", failed[0], err)
	}
	for tp, model := range w.model {
		l, ok := w.m.Log(tp)
		if !ok || model.deleted {
			continue
		}
		before := model.durable
		if _, err := l.AppendAsLeader(batchSpec{}.build(w.t), AppendOptions{LeaderEpoch: 7}); !errors.Is(err, ErrStorage) || errors.Is(err, ErrDiskFull) {
			return fmt.Errorf("append in an offline directory: %v", err)
		}
		w.m.step()
		if model.durable != before {
			return fmt.Errorf("%s: the durable end moved after a failed %s", tp, failed[0])
		}
	}
	return nil
}

// dieEverywhere is dieOnce at each operation.
func dieEverywhere(t testing.TB, seed uint64, forGood bool) (points int, err error) {
	for n := 0; ; n += stride() {
		fired, err := dieOnce(t, n, seed, forGood)
		if err != nil {
			return n, fmt.Errorf("EIO at operation %d, for good %v, KSERVER_CRASH_SEED=%d: %w", n, forGood, seed, err)
		}
		if !fired {
			return n, nil
		}
	}
}

func TestF1DyingDiskAtEveryOperation(t *testing.T) {
	for _, seed := range seeds(t, 2) {
		for _, forGood := range []bool{false, true} {
			points, err := dieEverywhere(t, seed, forGood)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("seed %d: %d operations", seed, points)
		}
	}
}

// needsRoom are the operations a full disk fails.
var needsRoom = []vfs.Op{vfs.OpWrite, vfs.OpCreate, vfs.OpMkdir}

// fullOnce makes the disk full from the n-th operation on that needs room, for count of them, and lets the workload
// try each step again with room. All steps must succeed then, the directory must stay online, and nothing durable
// may be missing after a crash. Of a write, part may get through.
func fullOnce(t testing.TB, n int, seed uint64, count int) (fired bool, err error) {
	mem := vfs.NewMem()
	w := newWorld(t, seed)
	w.fault = vfs.NewFault(mem)
	seen := 0
	for _, op := range needsRoom {
		w.fault.AddRule(vfs.Rule{Op: op, Err: syscall.ENOSPC, Bytes: n % 50, When: func() bool {
			seen++
			return seen > n && seen <= n+count
		}})
	}
	w.again = func(err error) bool { // an error of a step; true to try again
		fired = true
		w.fault.ClearRules()
		return true
	}
	if err := w.workload(); err != nil {
		return true, fmt.Errorf("a step failed with room again: %w", err)
	}
	return seen > n, w.check(mem.Crash(seed))
}

// fullEverywhere is fullOnce at each operation.
func fullEverywhere(t testing.TB, seed uint64, count int) (points int, err error) {
	for n := 0; ; n += stride() {
		fired, err := fullOnce(t, n, seed, count)
		if err != nil {
			return n, fmt.Errorf("ENOSPC at operation %d of %d, KSERVER_CRASH_SEED=%d: %w", n, count, seed, err)
		}
		if !fired {
			return n, nil
		}
	}
}

func TestF2FullDiskAtEveryOperation(t *testing.T) {
	for _, seed := range seeds(t, 2) {
		for _, count := range []int{1, 3, 1 << 30} {
			points, err := fullEverywhere(t, seed, count)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("seed %d: %d operations", seed, points)
		}
	}
}
