package engine

import (
	"cmp"
	"slices"

	"kserver/protocol/recordbatch"
)

// cleanedTxns follows transactions through a cleaning, whose batches pass by in the order of their offsets.
// Kafka's CleanedTransactionMetadata. Only decided transactions pass: nothing at or behind the last stable
// offset is compacted.
type cleanedTxns struct {
	aborted []AbortedTxn // not begun yet, by first offset
	// running holds the aborted transactions that have begun, by producer; true once a batch of it was seen.
	running map[int64]*runningAbort
	// committed holds the producers of which batches of a committed transaction were seen.
	committed map[int64]bool
}

type runningAbort struct {
	AbortedTxn
	seen bool
}

// begin starts over. aborted are all aborted transactions of the batches to come.
func (c *cleanedTxns) begin(aborted []AbortedTxn) {
	slices.SortFunc(aborted, func(a, b AbortedTxn) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	*c = cleanedTxns{aborted: aborted, running: map[int64]*runningAbort{}, committed: map[int64]bool{}}
}

// advance begins the aborted transactions up to offset.
func (c *cleanedTxns) advance(offset int64) {
	for len(c.aborted) > 0 && c.aborted[0].FirstOffset <= offset {
		t := c.aborted[0]
		c.aborted = c.aborted[1:]
		if c.running[t.ProducerID] == nil {
			c.running[t.ProducerID] = &runningAbort{AbortedTxn: t}
		}
	}
}

// batchRead takes a batch of records and says whether it belongs to an aborted transaction.
func (c *cleanedTxns) batchRead(b recordbatch.Batch) (aborted bool) {
	c.advance(b.LastOffset())
	if !b.IsTransactional() {
		return false
	}
	if t := c.running[b.ProducerID()]; t != nil {
		t.seen = true
		return true
	}
	c.committed[b.ProducerID()] = true
	return false
}

// markerRead takes a control batch. alone says that no batch of its transaction is left, so that the marker may
// go in time; else, of an abort, txn is the transaction that still needs its entry in the index.
func (c *cleanedTxns) markerRead(b recordbatch.Batch) (txn *AbortedTxn, alone bool) {
	c.advance(b.LastOffset())
	if b.Count() == 0 {
		return nil, true // its marker went before
	}
	m, ok := readMarker(b)
	if !ok {
		return nil, false // another kind of control record stays
	}
	id := b.ProducerID()
	if m.commit {
		alone = !c.committed[id]
		delete(c.committed, id)
		return nil, alone
	}
	t := c.running[id]
	delete(c.running, id)
	if t == nil || !t.seen {
		return nil, true
	}
	return &t.AbortedTxn, false
}
