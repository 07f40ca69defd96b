package cluster

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/engine"
	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// appendTxn appends the values as a transaction of one batch, or its marker if there are none.
func appendTxn(t *testing.T, b *Broker, topic string, pid int64, seq int32, commit bool, values ...string) {
	t.Helper()
	cfg := recordbatch.BuilderConfig{Producer: &recordbatch.Producer{ID: pid, BaseSequence: seq}, Transactional: true}
	o := engine.AppendOptions{}
	if len(values) == 0 {
		cfg.Control, cfg.Producer.BaseSequence, o.Origin = true, recordbatch.NoSequence, engine.OriginCoordinator
	}
	build := recordbatch.NewBuilder(cfg)
	for _, v := range values {
		build.Append(time.Now().UnixMilli(), nil, []byte(v))
	}
	if cfg.Control {
		key := []byte{0, 0, 0, 0}
		if commit {
			key[3] = 1
		}
		build.Append(time.Now().UnixMilli(), key, binary.BigEndian.AppendUint32([]byte{0, 0}, 1))
	}
	batch, err := build.Build()
	if err != nil {
		t.Fatal(err)
	}
	p, perr := b.replicas.Partition(topic, 0)
	if perr != nil {
		t.Fatal(perr)
	}
	info, err := p.Append(slices.Clone(batch), false, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Log().WaitDurable(testContext(t), info.LastOffset+1); err != nil {
		t.Fatal(err)
	}
}

// values reads the records of a topic up to "end", as values.
func values(t *testing.T, b *Broker, topic string, opts ...kgo.Opt) (out []string) {
	t.Helper()
	cl := client(t, b, append(opts, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	for ctx := testContext(t); ; {
		f := cl.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			t.Fatalf("after %q: %v", out, err)
		}
		for _, r := range f.Records() {
			if out = append(out, string(r.Value)); string(r.Value) == "end" {
				return out
			}
		}
	}
}

// A read_committed consumer does not see what was aborted, however it fetches: small answers that are copied, large
// ones by sendfile, one request or a session, before and after a restart.
func TestReadCommittedDropsWhatWasAborted(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		dir := t.TempDir()
		b := startBroker(t, backend, dir)
		createTopic(t, client(t, b), "t", 1, nil)
		large := strings.Repeat("x", 200_000) // goes by sendfile
		appendTxn(t, b, "t", 1, 0, false, "gone", large)
		appendTxn(t, b, "t", 2, 0, false, "kept")
		appendTxn(t, b, "t", 1, 0, false)
		appendTxn(t, b, "t", 1, 2, false, "kept by the same producer", large)
		appendTxn(t, b, "t", 2, 0, true)
		appendTxn(t, b, "t", 1, 0, true)
		appendTxn(t, b, "t", 2, 1, false, "gone, too")
		appendTxn(t, b, "t", 2, 0, false)
		appendTxn(t, b, "t", 3, 0, false, "end")
		appendTxn(t, b, "t", 3, 0, true)
		committed := []string{"kept", "kept by the same producer", large, "end"}
		check := func() {
			t.Helper()
			for name, opts := range map[string][]kgo.Opt{
				"session":        nil,
				"no session":     {kgo.DisableFetchSessions()},
				"a batch a time": {kgo.FetchMaxPartitionBytes(1)},
			} {
				if got := values(t, b, "t", append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))...); !slices.Equal(got, committed) {
					t.Errorf("%s: read_committed sees %.40q, want %.40q", name, got, committed)
				}
			}
			if got := values(t, b, "t"); len(got) != len(committed)+3 {
				t.Errorf("read_uncommitted sees %.40q", got)
			}
		}
		check()
		stopBroker(t, b)
		b = startBroker(t, backend, dir)
		defer stopBroker(t, b)
		check()
	})
}

// The list of a fetch is null for read_uncommitted, empty without aborted transactions, and ends at the last stable
// offset: a transaction that lies behind one that is still open is not in it.
func TestAbortedTransactionsOfAFetch(t *testing.T) {
	b := startOn(t, vfs.NewMem())
	defer stopBroker(t, b)
	createTopic(t, client(t, b), "t", 1, nil)
	c := dialRaw(t, b)
	fetch := func(isolation int8) kmsg.FetchResponseTopicPartition {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxBytes, req.SessionEpoch, req.IsolationLevel = 11, 1<<20, -1, isolation
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.PartitionMaxBytes = 1 << 20
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		c.send(1, req)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.Version = req.Version
		c.receive(1, resp)
		return resp.Topics[0].Partitions[0]
	}
	appendTxn(t, b, "t", 1, 0, false, "a") // 0
	if p := fetch(1); p.AbortedTransactions == nil || len(p.AbortedTransactions) != 0 || p.LastStableOffset != 0 || len(p.RecordBatches) != 0 {
		t.Errorf("with nothing decided: %+v", p)
	}
	appendTxn(t, b, "t", 1, 0, false)      // 1: aborted
	appendTxn(t, b, "t", 2, 0, false, "b") // 2: stays open
	appendTxn(t, b, "t", 3, 0, false, "c") // 3
	appendTxn(t, b, "t", 3, 0, false)      // 4: aborted, behind the open one
	p := fetch(1)
	if len(p.AbortedTransactions) != 1 || p.AbortedTransactions[0].ProducerID != 1 || p.AbortedTransactions[0].FirstOffset != 0 || p.LastStableOffset != 2 {
		t.Errorf("below an open transaction: %+v", p)
	}
	if q := fetch(0); q.AbortedTransactions != nil || !bytes.HasPrefix(q.RecordBatches, p.RecordBatches) || len(q.RecordBatches) <= len(p.RecordBatches) {
		t.Errorf("read_uncommitted: %+v", q)
	}
	appendTxn(t, b, "t", 2, 0, true) // 5
	if p := fetch(1); len(p.AbortedTransactions) != 2 || p.AbortedTransactions[1].FirstOffset != 3 || p.LastStableOffset != 6 {
		t.Errorf("with all decided: %+v", p)
	}
}
