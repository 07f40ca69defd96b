package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"kserver/engine"
	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// engineLog is the metadata log on the engine, as a broker composes it.
type engineLog struct{ *engine.Log }

func (l engineLog) Append(batches []byte, leaderEpoch int32) (int64, error) {
	info, err := l.AppendAsLeader(batches, engine.AppendOptions{LeaderEpoch: leaderEpoch, Origin: engine.OriginController})
	return info.FirstOffset, err
}

func (l engineLog) WaitDurable(ctx context.Context, end int64) error {
	return l.Log.WaitDurable(ctx, end)
}

func (l engineLog) Replay(fn func(recordbatch.Batch) error) error {
	for next := l.LogStartOffset(); next < l.LogEndOffset(); {
		info, err := l.Read(next, 1<<20, l.LogEndOffset(), true)
		if err != nil {
			return err
		}
		b := make([]byte, info.Range.Len())
		_, err = info.Range.ReadAt(b, info.Range.Offset())
		info.Range.Release()
		if err != nil {
			return err
		}
		for len(b) > 0 {
			batch, rest, err := recordbatch.Next(b)
			if errors.Is(err, recordbatch.ErrTruncated) {
				break
			}
			if err == nil {
				err = fn(batch)
			}
			if err != nil {
				return err
			}
			b, next = rest, batch.NextOffset()
		}
	}
	return nil
}

// openOn opens a controller whose log is on fs.
func openOn(t *testing.T, fs vfs.FS) (*Controller, *engine.LogManager) {
	t.Helper()
	logs, err := engine.OpenLogManager(engine.Config{Dirs: []string{"/data"}, FS: fs, NodeID: 1, ClusterID: "test-cluster"})
	if err != nil {
		t.Fatal(err)
	}
	log, err := logs.Create(engine.TopicPartition{Topic: "__cluster_metadata"}, MetadataTopicID, LogConfig())
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(testConfig(engineLog{log}))
	if err != nil {
		t.Fatal(err)
	}
	return c, logs
}

// TestCrash takes the power away after changes were answered, at several points
// of the log's life, with the engine below: all of them are there afterwards.
func TestCrash(t *testing.T) {
	fs := vfs.NewMem()
	want := ""
	for start := range 5 {
		c, logs := openOn(t, fs)
		if want != "" && topicsOf(c.Image()) != want {
			t.Fatalf("start %d: topics %s\nanswered %s", start, topicsOf(c.Image()), want)
		}
		for i := range 20 {
			create(t, c, fmt.Sprintf("t%d.%d", start, i), int32(1+i%3))
		}
		name := fmt.Sprintf("t%d.0", start)
		if r := c.DeleteTopics(t.Context(), []TopicRef{{Name: &name}}, nil); r[0].Err != nil {
			t.Fatal(r[0].Err)
		}
		want = topicsOf(c.Image())
		crashed := fs.Crash(uint64(start))
		if err := errors.Join(c.Close(), logs.Close()); err != nil {
			t.Fatal(err)
		}
		fs = crashed
	}
}

// topicsOf renders the topics of an image.
func topicsOf(m *MetadataImage) (s string) {
	for topic := range m.Topics() {
		s += fmt.Sprintf("%s:%d ", topic, len(topic.Partitions))
	}
	return s
}
