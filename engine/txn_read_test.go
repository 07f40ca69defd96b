package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"kserver/engine/vfs"
)

// heldTxn is a transaction of the model: the offsets of its records and marker, and how it ended.
type heldTxn struct {
	pid                 int64
	first, last, marker int64 // of records; of the marker
	aborted             bool
}

// txnLog fills a log with interleaved transactions over several segments. Those that are not ended stay open.
func txnLog(t *testing.T, l *Log, seed uint64) (txns []heldTxn) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	seqs := map[int64]int32{}
	open := map[int64]*heldTxn{}
	for range 200 {
		pid := int64(1 + rnd.IntN(5))
		txn := open[pid]
		if txn != nil && rnd.IntN(3) == 0 {
			txn.aborted = rnd.IntN(2) == 0
			info, err := l.AppendAsLeader(markerBatch(t, pid, 0, !txn.aborted, 1), AppendOptions{Origin: OriginCoordinator})
			if err != nil {
				t.Fatal(err)
			}
			txn.marker = info.FirstOffset
			txns = append(txns, *txn)
			delete(open, pid)
			continue
		}
		n := 1 + rnd.IntN(3)
		info := appendBatch(t, l, batchSpec{records: n, pid: pid, seq: seqs[pid], txn: true, padBytes: 20})
		seqs[pid] += int32(n)
		if txn == nil {
			txn = &heldTxn{pid: pid, first: info.FirstOffset}
			open[pid] = txn
		}
		txn.last = info.LastOffset
	}
	waitDurable(t, l, l.LogEndOffset())
	l.UpdateHighWatermark(l.LogEndOffset())
	return txns
}

// Whatever a read_committed reader gets, it comes with all aborted transactions that have records in it, and with
// none that begin behind it: in the log it was written to, and after a restart, clean or not.
func TestRangesKnowTheirAbortedTransactions(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			mem := vfs.NewMem()
			m := openManager(t, Config{FS: mem})
			l := create(t, m, testTP, testLogConfig())
			txns := txnLog(t, l, seed)
			checkAborted(t, l, txns)
			crashed := mem.Crash(0)
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			for _, fs := range []*vfs.Mem{mem, crashed} {
				m := openManager(t, Config{FS: fs})
				l, _ := m.Log(testTP)
				l.UpdateHighWatermark(l.LogEndOffset())
				checkAborted(t, l, txns)
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func checkAborted(t *testing.T, l *Log, txns []heldTxn) {
	t.Helper()
	if len(l.segmentList()) < 4 || !slices.ContainsFunc(txns, func(x heldTxn) bool { return x.aborted }) {
		t.Fatal("the log is too small for this test")
	}
	bound := l.LastStableOffset()
	newest := int64(-1)
	for _, x := range txns {
		if x.aborted {
			newest = max(newest, x.marker)
		}
	}
	if !l.MayHaveAborted(newest) || l.MayHaveAborted(l.LogEndOffset()) {
		t.Errorf("aborted at %d: %t, at the log end: %t", newest, l.MayHaveAborted(newest), l.MayHaveAborted(l.LogEndOffset()))
	}
	for offset := range bound {
		for _, maxBytes := range []int{1, 300, 1 << 20} {
			info, err := l.Read(offset, maxBytes, bound, true)
			if err != nil || info.Range == nil {
				t.Fatal(offset, bound, err)
			}
			got, err := info.Range.AbortedTxns(offset, bound)
			if err != nil {
				t.Fatal(err)
			}
			b, err := readRange(info.Range)
			info.Range.Release()
			if err != nil {
				t.Fatal(err)
			}
			if info.Partial { // the batch it ends in is dropped by the reader, but counts
				continue
			}
			list := batches(t, b)
			end := list[len(list)-1].LastOffset() + 1
			var want []AbortedTxn
			for _, x := range txns {
				if x.aborted && x.marker >= offset && x.first < end {
					want = append(want, AbortedTxn{ProducerID: x.pid, FirstOffset: x.first, LastOffset: x.marker})
				}
			}
			for i := range got {
				got[i].LastStableOffset = 0
			}
			if !slices.Equal(got, want) {
				t.Fatalf("offsets [%d, %d), bound %d:\ngot  %+v\nwant %+v", offset, end, bound, got, want)
			}
		}
	}
}

// A log without aborted transactions says so from memory.
func TestCommittedTransactionsCostReadersNothing(t *testing.T) {
	m := openManager(t, Config{FS: vfs.NewMem()})
	defer m.Close()
	l := create(t, m, testTP, testLogConfig())
	appendBatch(t, l, batchSpec{pid: 8, txn: true})
	if _, err := l.AppendAsLeader(markerBatch(t, 8, 0, true, 1), AppendOptions{Origin: OriginCoordinator}); err != nil {
		t.Fatal(err)
	}
	if l.MayHaveAborted(0) {
		t.Error("a committed transaction counts as aborted")
	}
}
