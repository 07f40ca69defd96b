package steady

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/cmd/kbench/integrity"
)

const testRun = 5

func newTestClient() *Client {
	return &Client{run: testRun, ledger: integrity.NewLedger(), checker: integrity.NewChecker(testRun), latencies: newLatencies()}
}

func fetched(err error, records ...*kgo.Record) kgo.Fetches {
	return kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: "t", Partitions: []kgo.FetchPartition{{Partition: 0, Err: err, Records: records}}}}}}
}

func stamped(offset, seq int64, due time.Duration) *kgo.Record {
	value := make([]byte, integrity.StampSize)
	integrity.Stamp{Run: testRun, Sequence: seq, Time: int64(due)}.Put(value)
	return &kgo.Record{Offset: offset, Value: value}
}

// Latencies count from when a record was due, and belong to the phase in which it was answered or arrived.
func TestPhase(t *testing.T) {
	c := newTestClient()
	c.arrived(fetched(nil, stamped(0, 0, time.Second), stamped(1, 1, 2*time.Second)), 3*time.Second)
	c.answered(40*time.Millisecond, nil)
	l := c.Phase()
	if l.Consumed.TotalCount() != 2 || l.Consumed.Max() < 1_990_000 || l.Consumed.Min() > 1_010_000 {
		t.Errorf("%d arrived, after %d to %d us", l.Consumed.TotalCount(), l.Consumed.Min(), l.Consumed.Max())
	}
	if l.Produced.TotalCount() != 1 || l.Produced.Max() < 39_900 || l.Produced.Max() > 40_100 {
		t.Errorf("%d answered, after %d us at most", l.Produced.TotalCount(), l.Produced.Max())
	}
	c.answered(2*longestLatencyUs*time.Microsecond, nil)
	if l := c.Phase(); l.Produced.TotalCount() != 1 || l.Consumed.TotalCount() != 0 {
		t.Errorf("the next phase has %d answered and %d arrived", l.Produced.TotalCount(), l.Consumed.TotalCount())
	}
	if c.acked != 2 || c.read != 2 || !c.caughtUp() || c.Err() != nil {
		t.Errorf("%d acknowledged, %d read, %v", c.acked, c.read, c.Err())
	}
	c.answered(0, nil)
	if c.caughtUp() {
		t.Error("caught up with a record that was not read")
	}
}

// The first failure is kept, of either side; what is wrong with records is the checker's to tell.
func TestFailures(t *testing.T) {
	c := newTestClient()
	c.arrived(fetched(errors.New("broken")), 0)
	c.answered(0, errors.New("refused"))
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "consume partition 0: broken") {
		t.Errorf("first failure %v", err)
	}
	if c.failed != 1 || c.acked != 0 {
		t.Errorf("%d failed, %d acknowledged", c.failed, c.acked)
	}
	c.arrived(fetched(nil, stamped(0, 0, 0), stamped(1, 0, 0), stamped(2, 2, 0), &kgo.Record{Offset: 3, Value: []byte("another's")}), 0)
	if r := c.checker.Report(nil); r.Duplicate != 1 || r.Lost != 1 || r.Foreign != 1 {
		t.Errorf("%+v", r)
	}
	if n := c.Phase().Consumed.TotalCount(); n != 3 {
		t.Errorf("%d latencies of records with a stamp", n)
	}
}
