package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// TestCompactionRaces compacts a log without pause while it is appended to, read, cut back, shortened at the
// front, reconfigured and at last deleted. Run it with -race.
func TestCompactionRaces(t *testing.T) {
	m := openManager(t, Config{FS: vfs.NewMem(), Clock: newManualClock(), Cleaner: CleanerConfig{
		Threads: 2, Backoff: time.Nanosecond, DedupeBufferBytes: 1 << 16, IOBufferBytes: 8 << 10,
	}})
	defer m.Close()
	cfg := compactedConfig()
	cfg.Delete = true
	l := create(t, m, testTP, cfg)
	var stop atomic.Bool
	var work sync.WaitGroup
	loop := func(f func(i int) error) {
		work.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if err := f(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	loop(func(i int) error { // compaction by hand; the threads of a standing clock wait for each other
		if err := m.RunCompaction(); err != nil && !errors.Is(err, errCleaningAborted) && !errors.Is(err, errSegmentGone) {
			return err
		}
		return nil
	})
	loop(func(int) error {
		_, err := tryReadAll(l, l.LogStartOffset())
		if errors.Is(err, ErrOffsetOutOfRange) || errors.Is(err, recordbatch.ErrTruncated) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil // it moved meanwhile, or a truncation shortened the range
		}
		return err
	})
	loop(func(int) error {
		_, err := l.AbortedTxns(l.LogStartOffset(), l.LogEndOffset())
		_ = m.CleanerStats()
		return err
	})
	loop(func(i int) error {
		if i%50 == 49 {
			if err := m.Checkpoint(); err != nil {
				return err
			}
		}
		c := cfg
		c.Compact = i%7 != 0
		c.RetentionBytes = int64(3000 + i%5*1000)
		l.SetConfig(c)
		return m.RunRetention()
	})
	for i := range 600 {
		b := keyedBatch{codec: recordbatch.Codec(i % 5), records: []kv{{key: fmt.Sprintf("k%d", i%9), value: fmt.Sprint("value ", i)}}}
		if _, err := l.AppendAsLeader(b.build(t), AppendOptions{LeaderEpoch: 1}); err != nil {
			t.Fatal(err)
		}
		switch {
		case i%40 == 39: // what is not below the watermark yet
			if err := l.TruncateTo(max(l.HighWatermark(), l.LogEndOffset()-3)); err != nil && !errors.Is(err, ErrOffsetOutOfRange) {
				t.Fatal(err)
			}
		case i%10 == 9:
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			if err := l.WaitDurable(ctx, l.LogEndOffset()); err != nil {
				t.Fatal(err)
			}
			cancel()
			l.UpdateHighWatermark(l.DurableEndOffset())
		case i%60 == 50:
			if err := l.SetLogStartOffset(l.HighWatermark() / 2); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop.Store(true)
	work.Wait()
	cfg.RetentionBytes = -1
	l.SetConfig(cfg)
	settle(t, l)
	rollNow(t, l)
	// A cleaning that is under way leaves nothing to this one, and counts when it is over.
	for deadline := time.Now().Add(20 * time.Second); m.CleanerStats().Cleanings == 0 && time.Now().Before(deadline); {
		compactNow(t, m)
	}
	_ = dump(t, l)
	if s := m.CleanerStats(); s.Cleanings == 0 || s.Uncleanable > 0 {
		t.Fatalf("%+v", s)
	}
	info, err := l.Read(l.LogStartOffset(), 1<<20, l.LogEndOffset(), true)
	if err != nil || info.Range == nil {
		t.Fatalf("%+v, %v", info, err)
	}
	before, err := readRange(info.Range)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Delete(testTP); err != nil {
		t.Fatal(err)
	}
	if after, err := readRange(info.Range); err != nil || string(after) != string(before) {
		t.Fatalf("a range changed: %v", err)
	}
	info.Range.Release()
}

// TestCompactionAborts: a cleaning whose log changed before its result was in place leaves the log alone.
func TestCompactionAborts(t *testing.T) {
	for name, change := range map[string]func(*LogManager, *Log) error{
		"truncate": func(_ *LogManager, l *Log) error { return l.TruncateTo(l.LogEndOffset() - 1) },
		"delete":   func(m *LogManager, l *Log) error { return m.Delete(testTP) },
		"retention": func(m *LogManager, l *Log) error {
			cfg := l.Config()
			cfg.Delete, cfg.RetentionBytes = true, 1
			l.SetConfig(cfg)
			return m.RunRetention()
		},
		"policy": func(_ *LogManager, l *Log) error {
			cfg := l.Config()
			cfg.Compact = false
			l.SetConfig(cfg)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, l := compactedLog(t, vfs.NewMem(), newManualClock(), compactedConfig())
			defer m.Close()
			for i := range 60 {
				appendKeyed(t, l, one(fmt.Sprintf("k%d", i%4), fmt.Sprint(i)))
			}
			rollNow(t, l)
			appendKeyed(t, l, one("k0", "last"))
			settle(t, l)
			segments := len(l.Segments())
			task, found := m.cleaner.grab()
			if !found {
				t.Fatal("nothing is due")
			}
			if err := change(m, l); err != nil {
				t.Fatal(err)
			}
			var w cleaner
			err := w.clean(m.cleaner, task)
			m.cleaner.done(task, err)
			if !errors.Is(err, errCleaningAborted) && !errors.Is(err, ErrLogClosed) && !errors.Is(err, errSegmentGone) {
				t.Fatalf("cleaned: %v", err)
			}
			if s := m.CleanerStats(); s.Aborted != 1 || s.Uncleanable != 0 || s.InProgress != 0 {
				t.Fatalf("%+v", s)
			}
			if at := l.dir.cleanedTo(testTP); at != 0 {
				t.Fatalf("cleaned to %d", at)
			}
			if name == "policy" && len(l.Segments()) != segments {
				t.Fatal("segments were exchanged")
			}
		})
	}
}

// TestCompactionReadersGoOn: a range of an old segment stays what it was.
func TestCompactionReadersGoOn(t *testing.T) {
	m, l := compactedLog(t, vfs.NewMem(), newManualClock(), compactedConfig())
	defer m.Close()
	for i := range 40 {
		appendKeyed(t, l, one("k", fmt.Sprint(i)))
	}
	rollNow(t, l)
	info, err := l.Read(3, 1<<20, l.LogEndOffset(), true)
	if err != nil {
		t.Fatal(err)
	}
	before, err := readRange(info.Range)
	if err != nil {
		t.Fatal(err)
	}
	compactNow(t, m)
	after, err := readRange(info.Range)
	if err != nil || string(after) != string(before) {
		t.Fatalf("the range changed: %v", err)
	}
	info.Range.Release()
	if info, err = l.Read(3, 1<<20, l.LogEndOffset(), true); err != nil || info.StartOffset == 3 || info.Size >= len(before) {
		t.Fatalf("%+v, %v", info, err)
	}
	info.Range.Release()
}

// TestCompactionLags: min.compaction.lag.ms protects young segments, max.compaction.lag.ms makes old ones due
// whatever the ratio.
func TestCompactionLags(t *testing.T) {
	clock := newManualClock()
	cfg := compactedConfig()
	cfg.MinCleanableRatio = 1
	m, l := compactedLog(t, vfs.NewMem(), clock, cfg)
	defer m.Close()
	put := func() {
		appendKeyed(t, l, keyedBatch{records: []kv{{key: "k", value: "v", ts: clock.Now().UnixMilli()}}})
		rollNow(t, l)
		compactNow(t, m)
	}
	put()
	clock.Advance(time.Minute)
	put()
	if n := m.CleanerStats().Cleanings; n != 0 {
		t.Fatalf("%d cleanings", n)
	}
	cfg.MaxCompactionLagMs, cfg.MinCompactionLagMs = 30_000, 20_000
	l.SetConfig(cfg)
	compactNow(t, m)
	if n, at := m.CleanerStats().Cleanings, l.dir.cleanedTo(testTP); n != 1 || at != 1 {
		t.Fatalf("%d cleanings, up to %d", n, at)
	}
	clock.Advance(time.Minute)
	compactNow(t, m)
	if at := l.dir.cleanedTo(testTP); at != 2 {
		t.Fatalf("up to %d", at)
	}
}

// TestThrottle: the time waited is what the rate asks for.
func TestThrottle(t *testing.T) {
	clock := &stepClock{manualClock: newManualClock()}
	th := throttle{clock: clock}
	began := clock.Now()
	for range 100 {
		th.use(1000, 10_000, nil)
	}
	if took := clock.Now().Sub(began); took < 9500*time.Millisecond || took > 10*time.Second {
		t.Fatalf("100 kB at 10 kB/s took %v", took)
	}
}

// stepClock fires timers at once, and moves to their time.
type stepClock struct{ *manualClock }

func (c *stepClock) AfterFunc(d time.Duration, f func()) func() {
	c.Advance(d)
	f()
	return func() {}
}
