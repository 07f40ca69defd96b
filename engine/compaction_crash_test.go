package engine

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// compactionCrash is a scripted workload around compactions, stopped after some I/O operation.
type compactionCrash struct {
	t     testing.TB
	fault *vfs.Fault
	clock *manualClock
	m     *LogManager
	l     *Log
	// histories are what may be found: a truncation that was not finished leaves either.
	histories []compactionModel
	durable   int64
	start     int64 // largest log start asked for
	seq       int32
}

func (c *compactionCrash) model() *compactionModel { return &c.histories[len(c.histories)-1] }

func (c *compactionCrash) open() error {
	m, err := tryOpen(Config{FS: c.fault, Clock: c.clock, ProducerIDExpiration: 1000 * time.Hour, Cleaner: CleanerConfig{Disabled: true, DedupeBufferBytes: 40 * offsetSlotBytes}})
	if err != nil {
		return errStopped
	}
	c.m = m
	c.l, err = m.Create(testTP, testTID, compactedConfig())
	return err
}

func (c *compactionCrash) append(b recordbatch.Batch, mb modelBatch, origin Origin) error {
	mb.base = c.l.LogEndOffset()
	c.model().batches = append(c.model().batches, mb) // also when it fails half way
	info, err := c.l.AppendAsLeader(b, AppendOptions{LeaderEpoch: 1, Origin: origin})
	if err != nil {
		return errStopped
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if c.l.WaitDurable(ctx, info.LastOffset+1) != nil {
		return errStopped
	}
	c.durable = info.LastOffset + 1
	c.l.UpdateHighWatermark(c.durable)
	return nil
}

func (c *compactionCrash) put(i int) error {
	k := keyedBatch{codec: recordbatch.Codec(i % 5)}
	now := c.clock.Now().UnixMilli()
	for n := range 1 + i%3 {
		r := kv{key: fmt.Sprintf("k%d", (i+n)%6), value: fmt.Sprintf("value %d of batch %d", n, i), ts: now}
		if (i+n)%5 == 0 {
			r.value, r.tombstone = "", true
		}
		k.records = append(k.records, r)
	}
	switch i % 4 {
	case 1:
		k.pid, k.seq = 9, c.seq
		c.seq += int32(len(k.records))
	case 2:
		k.pid, k.txn, k.seq = int64(100+i), true, 0
	}
	if err := c.append(k.build(c.t), modelBatch{records: k.records, pid: k.pid, seq: k.seq, txn: k.txn}, OriginClient); err != nil || !k.txn {
		return err
	}
	commit := i%8 == 2
	return c.append(txnMarker(c.t, k.pid, 0, commit, now), modelBatch{pid: k.pid, marker: true, commit: commit}, OriginCoordinator)
}

func (c *compactionCrash) compact() error { return c.m.RunCompaction() }

func (c *compactionCrash) truncate() error {
	// What lies above the watermark goes.
	hw := c.l.HighWatermark()
	b := one("k1", "never read")
	if _, err := c.l.AppendAsLeader(b.build(c.t), AppendOptions{LeaderEpoch: 1}); err != nil {
		return err
	}
	m := c.model()
	longer := compactionModel{append(m.batches[:len(m.batches):len(m.batches)], modelBatch{base: hw, records: []kv{{key: "k1", value: "never read", ts: 1_700_000_000_000}}})}
	c.histories = append([]compactionModel{longer}, c.histories...)
	return c.l.TruncateTo(hw)
}

func (c *compactionCrash) deleteRecords() error {
	c.start = c.l.HighWatermark() / 3
	if err := c.l.SetLogStartOffset(c.start); err != nil {
		return err
	}
	return c.m.RunRetention()
}

// workload is the script.
func (c *compactionCrash) workload() error {
	steps := []func() error{c.open}
	for i := range 60 {
		steps = append(steps, func() error { return c.put(i) })
		switch i {
		case 15, 40:
			steps = append(steps, c.compact)
		case 25:
			steps = append(steps, c.truncate, c.compact)
		case 32:
			steps = append(steps, func() error { c.clock.Advance(48 * time.Hour); return c.m.Checkpoint() }, c.compact)
		case 45:
			steps = append(steps, c.closeAll, c.open, c.compact)
		case 50:
			steps = append(steps, c.deleteRecords, c.compact)
		}
	}
	steps = append(steps, func() error { return c.m.Checkpoint() }, c.compact, c.closeAll)
	for _, step := range steps {
		if err := step(); err != nil || c.fault.Crashed() {
			return errStopped
		}
	}
	return nil
}

func (c *compactionCrash) closeAll() error {
	err := c.m.Close()
	c.m = nil
	return err
}

// check opens what is left and compares it with what may be.
func (c *compactionCrash) check(mem *vfs.Mem) (state map[string]string, err error) {
	m, err := tryOpen(Config{FS: mem, Clock: c.clock, ProducerIDExpiration: 1000 * time.Hour, Cleaner: CleanerConfig{Disabled: true}})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	l, ok := m.Log(testTP)
	if !ok {
		if c.durable > 0 {
			return nil, fmt.Errorf("the log is gone")
		}
		return nil, nil
	}
	l.SetConfig(compactedConfig())
	if err := l.ensureLoaded(); err != nil {
		return nil, err
	}
	start, end := l.LogStartOffset(), l.LogEndOffset()
	if end < c.durable || start > c.start {
		return nil, fmt.Errorf("start %d (asked for %d), end %d, %d was durable", start, c.start, end, c.durable)
	}
	for _, h := range c.histories {
		if _, err = h.upTo(end).check(l); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if _, err := l.AppendAsLeader(one("k0", "after").build(c.t), AppendOptions{LeaderEpoch: 2}); err != nil {
		return nil, err
	}
	if err := m.RunCompaction(); err != nil {
		return nil, err
	}
	state, _, err = readCommitted(l)
	delete(state, "k0")
	return state, err
}

func compactionCrashOnce(t testing.TB, n int, seed uint64) (finished bool, err error) {
	c := &compactionCrash{t: t, clock: newManualClock(), histories: []compactionModel{{}}}
	mem := vfs.NewMem()
	c.fault = vfs.NewFault(mem)
	if n >= 0 {
		c.fault.CrashAfter(n)
	}
	err = c.workload()
	c.fault.CrashAfter(0)
	if c.m != nil {
		_ = c.m.Close() // ends the goroutines; the disk refuses everything
	}
	after := mem.Crash(seed)
	again := after.Crash(1) // a copy that keeps everything
	finished = err == nil
	first, err := c.check(after)
	if err != nil {
		return finished, err
	}
	// What recovery served must survive the power going away right behind it.
	m, err := tryOpen(Config{FS: again, Clock: c.clock, ProducerIDExpiration: 1000 * time.Hour, Cleaner: CleanerConfig{Disabled: true}})
	if err != nil {
		return finished, err
	}
	left := again.Crash(0)
	if err := m.Close(); err != nil {
		return finished, err
	}
	second, err := c.check(left)
	if err == nil && !maps.Equal(first, second) {
		err = fmt.Errorf("read %v after the first crash, %v after the second", first, second)
	}
	return finished, err
}

// TestCrashDuringCompaction stops after every single operation, in several ways of losing what was not synced.
func TestCrashDuringCompaction(t *testing.T) {
	for seed := range uint64(2) {
		n := 0
		for ; ; n += stride() {
			finished, err := compactionCrashOnce(t, n, seed)
			if err != nil {
				t.Fatalf("crash after operation %d, seed %d: %v", n, seed, err)
			}
			if finished {
				break
			}
		}
		t.Logf("seed %d: %d crash points", seed, n)
	}
}
