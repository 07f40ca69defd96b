package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// scriptLog runs the scripts of testdata/log: one log on a memory file system.
//
//	open [segment-bytes=N] [retention-bytes=N] [retention-ms=N] [segment-ms=N] ...
//	append [n=N] [records=N] [ts=MS] [pid=N epoch=N seq=N] [value=S] [epoch-leader=N] [nowait]
//	follower base=N [records=N] [epoch-leader=N]
//	read offset=N [max=N] [up-to=N] [one]
//	available offset=N up-to=N
//	hw N | start N | truncate N | clock MS | retention | checkpoint | segments | offsets | files | producers
//	timestamp N [up-to=N] | max-timestamp | epoch N | assign N | epochs
//	restart | crash [seed=N]
type scriptLog struct {
	mem   *vfs.Mem
	clock *manualClock
	m     *LogManager
	l     *Log
	cfg   LogConfig
}

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/log", func(t *testing.T, path string) {
		s := &scriptLog{mem: vfs.NewMem(), clock: newManualClock(), cfg: testLogConfig()}
		s.cfg.FileDeleteDelayMs = 60000
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.run(t, d) })
		if s.m != nil {
			if err := s.m.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func intArg(t *testing.T, d *datadriven.TestData, name string, def int64) int64 {
	if !d.HasArg(name) {
		return def
	}
	var v int64
	d.ScanArgs(t, name, &v)
	return v
}

// number is the command's first argument.
func number(t *testing.T, d *datadriven.TestData) int64 {
	var v int64
	if _, err := fmt.Sscan(d.CmdArgs[0].Key, &v); err != nil {
		d.Fatalf(t, "%v", err)
	}
	return v
}

func result(err error) string {
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	return "ok\n"
}

func (s *scriptLog) openLog(t *testing.T) string {
	s.mem.SetClock(s.clock.Now)
	m, err := tryOpen(Config{FS: s.mem, Clock: s.clock})
	if err != nil {
		return result(err)
	}
	s.m = m
	s.l = create(t, m, testTP, s.cfg)
	return s.offsets()
}

func (s *scriptLog) offsets() string {
	l := s.l
	return fmt.Sprintf("start=%d stable=%d hw=%d durable=%d end=%d\n",
		l.LogStartOffset(), l.LastStableOffset(), l.HighWatermark(), l.DurableEndOffset(), l.LogEndOffset())
}

func (s *scriptLog) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "open", "config":
		s.cfg.SegmentBytes = int(intArg(t, d, "segment-bytes", int64(s.cfg.SegmentBytes)))
		s.cfg.RetentionBytes = intArg(t, d, "retention-bytes", s.cfg.RetentionBytes)
		s.cfg.RetentionMs = intArg(t, d, "retention-ms", s.cfg.RetentionMs)
		s.cfg.SegmentMs = intArg(t, d, "segment-ms", s.cfg.SegmentMs)
		s.cfg.SegmentIndexBytes = int(intArg(t, d, "index-bytes", int64(s.cfg.SegmentIndexBytes)))
		s.cfg.FlushMessages = intArg(t, d, "flush-messages", s.cfg.FlushMessages)
		if d.Cmd == "config" {
			s.l.SetConfig(s.cfg)
			return "ok\n"
		}
		return s.openLog(t)
	case "restart":
		if err := s.m.Close(); err != nil {
			return result(err)
		}
		return s.openLog(t)
	case "crash":
		seed := intArg(t, d, "seed", 0)
		after := s.mem.Crash(uint64(seed))
		if err := s.m.Close(); err != nil {
			return result(err)
		}
		s.mem = after
		return s.openLog(t)
	case "append", "follower":
		return s.append(t, d)
	case "read":
		return s.read(t, d)
	case "available":
		n, older := s.l.BytesAvailable(intArg(t, d, "offset", 0), intArg(t, d, "up-to", 0))
		return fmt.Sprintf("bytes=%d older=%v\n", n, older)
	case "clock":
		s.clock.Advance(time.Duration(number(t, d)) * time.Millisecond)
		return "ok\n"
	}
	return s.runOffsets(t, d)
}

func (s *scriptLog) runOffsets(t *testing.T, d *datadriven.TestData) string {
	l := s.l
	switch d.Cmd {
	case "hw":
		return fmt.Sprintf("hw=%d\n", l.UpdateHighWatermark(number(t, d)))
	case "start":
		return result(l.SetLogStartOffset(number(t, d)))
	case "truncate":
		return result(l.TruncateTo(number(t, d)))
	case "retention":
		return result(s.m.RunRetention())
	case "checkpoint":
		return result(s.m.Checkpoint())
	case "offsets":
		return s.offsets()
	case "segments":
		var b strings.Builder
		for _, seg := range l.Segments() {
			fmt.Fprintf(&b, "base=%d size=%d max-timestamp=%d\n", seg.BaseOffset, seg.Size, seg.MaxTimestamp)
		}
		return b.String()
	case "files":
		entries, err := s.mem.List("/data/t-0")
		if err != nil {
			return result(err)
		}
		var b strings.Builder
		for _, e := range entries {
			fmt.Fprintln(&b, e.Name)
		}
		return b.String()
	case "timestamp", "max-timestamp":
		upTo := intArg(t, d, "up-to", l.LogEndOffset())
		if d.Cmd == "max-timestamp" {
			offset, ts, epoch, ok, err := l.MaxTimestampOffset(upTo)
			return fmt.Sprintf("offset=%d timestamp=%d epoch=%d found=%v err=%v\n", offset, ts, epoch, ok, err)
		}
		offset, ts, epoch, ok, err := l.OffsetForTimestamp(number(t, d), upTo)
		return fmt.Sprintf("offset=%d timestamp=%d epoch=%d found=%v err=%v\n", offset, ts, epoch, ok, err)
	case "epoch":
		epoch, end := l.EndOffsetForEpoch(int32(number(t, d)))
		return fmt.Sprintf("epoch=%d end=%d\n", epoch, end)
	case "assign":
		return result(l.AssignEpochStart(int32(number(t, d))))
	case "producers":
		var b strings.Builder
		for _, p := range l.Producers() {
			fmt.Fprintf(&b, "%+v\n", p)
		}
		return b.String()
	}
	return "unknown command\n"
}

func (s *scriptLog) append(t *testing.T, d *datadriven.TestData) string {
	spec := batchSpec{
		records: int(intArg(t, d, "records", 1)), ts: intArg(t, d, "ts", 0), value: "value",
		pid: intArg(t, d, "pid", 0), epoch: int16(intArg(t, d, "epoch", 0)), seq: int32(intArg(t, d, "seq", 0)),
		txn: d.HasArg("txn"),
	}
	leader := int32(intArg(t, d, "leader", 1))
	var b strings.Builder
	for range intArg(t, d, "n", 1) {
		batch := spec.build(t)
		var info AppendInfo
		var err error
		if d.Cmd == "follower" {
			batch.SetBaseOffset(intArg(t, d, "base", 0))
			batch.SetPartitionLeaderEpoch(leader)
			info, err = s.l.AppendAsFollower(batch)
		} else {
			info, err = s.l.AppendAsLeader(batch, AppendOptions{LeaderEpoch: leader})
		}
		if err != nil {
			return b.String() + result(err)
		}
		if !d.HasArg("nowait") {
			waitDurable(t, s.l, info.LastOffset+1)
		}
		fmt.Fprintf(&b, "offsets %d-%d", info.FirstOffset, info.LastOffset)
		if info.Duplicate {
			b.WriteString(" duplicate")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (s *scriptLog) read(t *testing.T, d *datadriven.TestData) string {
	info, err := s.l.Read(intArg(t, d, "offset", 0), int(intArg(t, d, "max", 1<<20)),
		intArg(t, d, "up-to", s.l.LogEndOffset()), d.HasArg("one"))
	if err != nil {
		return result(err)
	}
	if info.Range == nil {
		return "empty\n"
	}
	defer info.Range.Release()
	b, err := readRange(info.Range)
	if err != nil {
		return result(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "position=%d size=%d first=%d partial=%v:", info.Range.Offset(), info.Size, info.StartOffset, info.Partial)
	for len(b) > 0 {
		batch, rest, err := recordbatch.Next(b)
		if err != nil {
			fmt.Fprintf(&out, " +%d", len(b))
			break
		}
		fmt.Fprintf(&out, " %d-%d", batch.BaseOffset(), batch.LastOffset())
		b = rest
	}
	return out.String() + "\n"
}
