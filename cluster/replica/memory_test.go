package replica

import (
	"runtime"
	"slices"
	"testing"

	"kserver/engine"
	"kserver/internal/heaptest"
	"kserver/protocol/recordbatch"
)

// What a partition may take of the heap with its log, in bytes.
const (
	maxCreatedBytes = 950  // never used
	maxWrittenBytes = 1800 // an idempotent producer has written a batch, and the file is open
	maxBusyBytes    = 3700 // and so many that every cache is full
	maxQuietBytes   = 2100 // and nothing since two checkpoints ago
)

func TestMemoryPerPartition(t *testing.T) {
	const partitions, batches, batchBytes = 200, 70, 4200 // more batches than an index keeps entries unwritten
	m, _ := hosted(t, 1)
	before := heaptest.InUse()
	leads := slices.Repeat([]Leadership{leading}, partitions)
	cfg := engine.DefaultLogConfig()
	cfg.FlushMessages = 1 << 40
	if err := m.Apply(TopicState{Name: "many", ID: [16]byte{2}, Config: cfg, Partitions: leads}); err != nil {
		t.Fatal(err)
	}
	topic, _ := m.Topic("many")
	parts := topic.Partitions
	appendAll := func(sequence int32) {
		b := recordbatch.NewBuilder(recordbatch.BuilderConfig{
			PartitionLeaderEpoch: -1, Producer: &recordbatch.Producer{ID: 7, BaseSequence: sequence},
		})
		b.Append(1_700_000_000_000+int64(sequence), nil, make([]byte, batchBytes))
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			batch.SetBaseOffset(0) // the last append has stamped it
			if _, err := p.Append(batch, true, engine.AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(state string, most int64) {
		t.Helper()
		if each := (heaptest.InUse() - before) / partitions; each > most {
			t.Errorf("a partition that is %s takes %d bytes, more than %d", state, each, most)
		} else {
			t.Logf("%s: %d bytes", state, each)
		}
	}
	check("created", maxCreatedBytes)
	appendAll(0)
	check("written", maxWrittenBytes)
	for n := range int32(batches) {
		appendAll(n + 1)
	}
	check("busy", maxBusyBytes)
	for range 2 { // the second finds that nothing was appended since the first
		if err := m.cfg.Logs.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	check("quiet", maxQuietBytes)
	runtime.KeepAlive(m)
}
