package replica

import (
	"errors"
	"sync/atomic"

	"kserver/cluster/purgatory"
	"kserver/engine"
	"kserver/protocol"
)

// Partition is one replica of a topic partition on this broker.
// All methods may be called concurrently.
type Partition struct {
	TopicPartition engine.TopicPartition
	TopicID        [16]byte

	log *engine.Log
	// leadership is replaced as a whole when the metadata image changes it. Partitions of a topic may share one.
	leadership atomic.Pointer[Leadership]
	activated  atomic.Bool
	deleted    atomic.Bool

	traffic traffic
	produce purgatory.OffsetQueue // waits for the high watermark
	fetch   purgatory.Watchers    // wait for bytes
}

// Leadership is what the metadata image says of a partition's leader and
// replicas.
type Leadership struct {
	Leader      int32
	LeaderEpoch int32
	IsLeader    bool // this broker is Leader
	Replicas    int  // assigned
	ISR         int  // in sync
	// MinISR is the topic's min.insync.replicas.
	MinISR int
}

// enoughReplicas reports whether acks=all may be promised: the in-sync replicas
// are at least min.insync.replicas, or all there are.
func (l *Leadership) enoughReplicas() bool { return l.ISR >= min(l.MinISR, l.Replicas) }

func newPartition(tp engine.TopicPartition, id [16]byte, log *engine.Log, l *Leadership) *Partition {
	p := &Partition{TopicPartition: tp, TopicID: id, log: log}
	p.leadership.Store(l)
	log.SetDurableListener(p)
	return p
}

// Log is the partition's log.
func (p *Partition) Log() *engine.Log { return p.log }

// Leadership is the current one.
func (p *Partition) Leadership() Leadership { return *p.leadership.Load() }

// Loaded reports whether the partition's log has been read, and recovered, since
// the start. A start with thousands of partitions reads none: the first use does,
// and waits for the disk, so an event loop leaves it to a worker. A log that
// cannot be read counts as loaded: whoever uses it gets the error at once.
func (p *Partition) Loaded() bool { return p.activated.Load() || p.log.Loaded() }

// Activate loads the log at the partition's first use and raises the high
// watermark to what was found durable. It waits for the disk.
func (p *Partition) Activate() error {
	if p.activated.Load() {
		return nil
	}
	if err := p.log.Load(); err != nil {
		return err
	}
	p.Durable(p.log.DurableEndOffset())
	p.activated.Store(true)
	return nil
}

// HighWatermark is the exclusive end of what is acknowledged, once the partition
// is active.
func (p *Partition) HighWatermark() int64 { return p.log.HighWatermark() }

// Durable implements engine.DurableListener: the log's durable end has moved.
func (p *Partition) Durable(end int64) {
	hw := p.log.UpdateHighWatermark(end)
	p.produce.Advance(hw)
	p.fetch.Signal()
}

// Failed implements engine.DurableListener: the log's directory is offline.
func (p *Partition) Failed(err error) {
	p.produce.Fail(KafkaError(err))
	p.fetch.Signal()
}

// LogStartMoved implements engine.LogStartListener: who waits below the start is told, and
// sessions tell their clients.
func (p *Partition) LogStartMoved(int64) { p.fetch.Signal() }

// lead replaces the leadership.
func (p *Partition) lead(l *Leadership) {
	p.leadership.Store(l)
	p.fetch.Signal()
}

// remove ends every waiter of a partition that is no longer here.
func (p *Partition) remove() {
	p.deleted.Store(true)
	p.produce.Fail(protocol.Errorf(protocol.UnknownTopicOrPartition, "partition %s was deleted", p.TopicPartition))
	p.fetch.Signal()
}

// checkLeader verifies that this broker leads the partition and that the
// client's leader epoch, when it knows one (>= 0), is the current one
// (KIP-320).
func (p *Partition) checkLeader(epoch int32) *protocol.Error {
	l := p.leadership.Load()
	if p.deleted.Load() {
		return errUnknownPartition
	}
	if !l.IsLeader {
		return errNotLeader
	}
	if err := p.Activate(); err != nil {
		return KafkaError(err)
	}
	switch {
	case p.log.Err() != nil:
		return KafkaError(p.log.Err())
	case epoch < 0 || epoch == l.LeaderEpoch:
		return nil
	case epoch < l.LeaderEpoch:
		return errFencedEpoch
	default:
		return errUnknownEpoch
	}
}

// Append appends the batch of a produce request. The batch is stamped in
// place. It is durable, and the acknowledgement due, once WaitAppended says so
// for AppendInfo.LastOffset+1. With allAcks, too few in-sync replicas refuse the
// append.
func (p *Partition) Append(batch []byte, allAcks bool, o engine.AppendOptions) (engine.AppendInfo, error) {
	if err := p.checkLeader(-1); err != nil {
		return engine.AppendInfo{}, err
	}
	l := p.leadership.Load()
	if allAcks && !l.enoughReplicas() {
		return engine.AppendInfo{}, protocol.Errorf(protocol.NotEnoughReplicas,
			"%s has %d in-sync replicas, min.insync.replicas is %d", p.TopicPartition, l.ISR, l.MinISR)
	}
	o.LeaderEpoch = l.LeaderEpoch
	info, err := p.log.AppendAsLeader(batch, o)
	if err == nil {
		p.traffic.bytesIn.Add(int64(len(batch)))
		p.traffic.messagesIn.Add(info.LastOffset - info.FirstOffset + 1)
	}
	return info, err
}

// WaitAppended registers w to be told when the high watermark reaches offset;
// true means it has already, and w is not called.
func (p *Partition) WaitAppended(offset int64, w purgatory.Reached, token int32) (already bool, err error) {
	return p.produce.Wait(offset, w, token)
}

// Isolation selects what a reader may see.
type Isolation int8

const (
	// ReadUncommitted reads up to the high watermark.
	ReadUncommitted Isolation = iota
	// ReadCommitted reads up to the last stable offset.
	ReadCommitted
)

// readBound is the exclusive end of what a consumer of the isolation sees.
func (p *Partition) readBound(iso Isolation) int64 {
	if iso == ReadCommitted {
		return p.log.LastStableOffset()
	}
	return p.log.HighWatermark()
}

// FetchRequest is what a consumer asks of one partition.
type FetchRequest struct {
	Offset             int64
	MaxBytes           int   // byte limit of this partition
	CurrentLeaderEpoch int32 // -1 unknown
	LastFetchedEpoch   int32 // -1 unknown
	Isolation          Isolation
}

// FetchResult is the answer of one partition. Range, when not nil, is pinned
// and owned by the caller, who releases it.
type FetchResult struct {
	Err              *protocol.Error // nil for success
	Range            *engine.Range
	HighWatermark    int64 // -1 on error, as the two below
	LastStableOffset int64
	LogStartOffset   int64
	Diverging        *protocol.EpochEndOffset
	// AtEnd says that there is nothing to read at the offset, whatever the limits, until
	// the partition signals its watchers again; Signals is how often it had when the
	// read began.
	AtEnd   bool
	Signals uint64
	// Aborted, for ReadCommitted only: the aborted transactions with something in the range.
	Aborted []engine.AbortedTxn
}

// Read reads up to maxBytes of the partition; with atLeastOne the first batch
// comes whole whatever its size (KIP-74). It may wait for the disk unless
// noWait is set: then ok is false when it would have to, and nothing is pinned.
func (p *Partition) Read(req *FetchRequest, maxBytes int, atLeastOne, noWait bool) (res FetchResult, ok bool) {
	signals := p.fetch.Signals()
	if noWait && !p.Loaded() {
		return res, false
	}
	if err := p.checkLeader(req.CurrentLeaderEpoch); err != nil {
		return FailedFetch(err), true
	}
	res = FetchResult{
		HighWatermark:    p.log.HighWatermark(),
		LastStableOffset: p.log.LastStableOffset(),
		LogStartOffset:   p.log.LogStartOffset(),
		Signals:          signals,
	}
	if req.Offset < res.LogStartOffset {
		return FailedFetch(errOffsetOutOfRange), true
	}
	// An offset beyond the end may be that of a log that has diverged, which is
	// to be told, and truncates, not resets, the reader (KIP-320).
	if req.LastFetchedEpoch >= 0 {
		epoch, end := p.endOfEpoch(req.LastFetchedEpoch)
		switch {
		case epoch < 0 || end < 0:
			return FailedFetch(errOffsetOutOfRange), true
		case epoch < req.LastFetchedEpoch || end < req.Offset:
			res.Diverging = &protocol.EpochEndOffset{Epoch: epoch, EndOffset: end}
			return res, true
		}
	}
	if req.Offset > p.log.LogEndOffset() {
		return FailedFetch(errOffsetOutOfRange), true
	}
	bound := p.readBound(req.Isolation)
	if res.AtEnd = req.Offset >= bound; res.AtEnd || (maxBytes <= 0 && !atLeastOne) {
		return res, true
	}
	read := p.log.Read
	committed := req.Isolation == ReadCommitted
	if noWait {
		if committed && p.log.MayHaveAborted(req.Offset) {
			return res, false
		}
		read = p.log.ReadNoWait
	}
	info, err := read(req.Offset, min(maxBytes, req.MaxBytes), bound, atLeastOne)
	switch {
	case errors.Is(err, engine.ErrWouldBlock):
		return res, false
	case err != nil:
		return FailedFetch(KafkaError(err)), true
	}
	if committed && info.Range != nil {
		if res.Aborted, err = info.Range.AbortedTxns(req.Offset, bound); err != nil {
			info.Range.Release()
			return FailedFetch(KafkaError(err)), true
		}
	}
	res.Range = info.Range
	return res, true
}

// FailedFetch is the result of a partition that failed with err.
func FailedFetch(err *protocol.Error) FetchResult {
	return FetchResult{Err: err, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1}
}

// Available is the number of bytes a reader at req.Offset could get now, and
// whether its offset lies in an older segment than the end of what it may see:
// a wait for more bytes is over in that case. It never waits for the disk; of a log
// that is not loaded nothing is known, and a wait is over, too.
func (p *Partition) Available(req *FetchRequest) (bytes int64, older bool, err *protocol.Error) {
	if !p.Loaded() {
		return 0, true, nil
	}
	if err := p.checkLeader(req.CurrentLeaderEpoch); err != nil {
		return 0, false, err
	}
	bound := p.readBound(req.Isolation)
	if req.Offset < p.log.LogStartOffset() || req.Offset > p.log.LogEndOffset() {
		return 0, false, errOffsetOutOfRange
	}
	if req.Offset >= bound {
		return 0, false, nil
	}
	bytes, older = p.log.BytesAvailable(req.Offset, bound)
	return min(bytes, int64(req.MaxBytes)), older, nil
}

// Watch adds a watcher of the partition's end; Forget removes it.
func (p *Partition) Watch(w purgatory.Watcher, token int32) { p.fetch.Watch(w, token) }

// Signals is how often the partition has signalled its watchers: see purgatory.Watchers.
func (p *Partition) Signals() uint64 { return p.fetch.Signals() }

// Forget removes a watcher added with the same token.
func (p *Partition) Forget(w purgatory.Watcher, token int32) { p.fetch.Forget(w, token) }

// Watching is the number of fetches that wait for the partition.
func (p *Partition) Watching() int { return p.fetch.Len() }
