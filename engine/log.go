package engine

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Log is one partition's sequence of batches. All methods are safe for concurrent use.
//
// Locks, in the order they may be taken: appendMu, then viewMu or the leader epochs' lock or a segment's.
// viewMu is never held during I/O, so readers do not wait behind an append's write. The four offsets are
// read without a lock.
//
// States: unloaded -> open (load, on first use) -> closed (Delete, LogManager.Close); a log whose load
// failed stays unloaded and reports why.
type Log struct {
	tp  TopicPartition
	m   *LogManager
	dir *logDir

	cfg     atomic.Pointer[LogConfig]
	topicID atomic.Pointer[[16]byte]

	// logStart <= lastStable <= highWatermark <= logEnd, set by publishOffsets alone.
	logStart, lastStable, highWatermark, logEnd atomic.Int64
	durable                                     atomic.Int64
	// lastAborted is at or behind the marker of the newest aborted transaction, -1 while there is none. It never falls.
	lastAborted atomic.Int64

	loaded  atomic.Bool
	loadMu  sync.Mutex
	loadErr error // guarded by loadMu; a failed load is not tried again
	// readings counts how often the files were read, the background's recovery included. Guarded by loadMu.
	readings int

	// appendMu serialises everything that changes the log's files: append, roll, truncate, delete.
	appendMu       sync.Mutex
	path           string // guarded by appendMu after the log was published; changes when the log is deleted
	producers      *producerState
	closed         bool    // no more appends
	deleted        bool    // and the directory has another name
	flushScheduled bool    // a relaxed log has a flush.ms timer running
	changed        bool    // since it was loaded: a clean stop has something to write
	unsnapshotted  int64   // bytes appended since the newest producer snapshot
	snapshots      []int64 // offsets of the producer snapshots on disk, sorted
	checkpointEnd  int64   // log end at the last checkpoint
	txnSumsLost    bool    // the checksums of the transaction indexes are to be written again

	epochs leaderEpochs

	// viewMu guards what readers and the committer need besides the offsets.
	viewMu     sync.Mutex
	segments   []*LogSegment // by base offset, never empty once loaded; replaced, not changed, on delete
	recent     recentBatches
	openTxn    int64         // first offset of the oldest open transaction, MaxInt64 none
	endedTxns  []endedTxn    // whose marker is not below the high watermark yet
	dirty      []*LogSegment // with bytes written since they were last captured by a commit round
	dirtyNames bool          // segments were created since the partition's directory was last synced
	freshDir   bool          // the partition's own name and partition.metadata are not durable yet
	committed  int64         // end of what commit rounds have made durable, and so the recovery point
	behind     behindJournal // what of that only the commit journal has
	roundFloor int64         // where a truncation cut the log since the running commit round began
	listener   DurableListener
	failure    error
	waiters    []durableWaiter

	// Guarded by the committer's lock: waiting for a round.
	commitQueued bool

	// outside counts those who keep the log out of the commit journal, see leaveJournal.
	outside atomic.Int32

	topicIDRead atomic.Bool
	// unborn: a full disk has kept the log from making its directory so far.
	unborn atomic.Bool
	// unrecovered: the last stop was unclean and the log has not been checked yet. Cleared under loadMu.
	unrecovered atomic.Bool

	// cleanAborts counts what makes a compaction that is under way invalid: truncation, deletion, a
	// cleanup.policy without compact. Changed under appendMu, or by SetConfig.
	cleanAborts atomic.Int64
}

type durableWaiter struct {
	end  int64
	done chan error
}

// recentBatchCount is how many of the newest batches have their place kept in memory, so that readers at the
// tail find it without looking at the disk.
const recentBatchCount = 32

// recentBatch is where one of the newest batches begins.
type recentBatch struct {
	base     int64
	position int32 // as in an index
	delta    int32 // last offset less base
}

// recentBatches is a ring of the newest batches, none left out up to the log end. They lie in the segments of their
// offsets, which nobody has replaced since.
type recentBatches struct {
	ring []recentBatch
	next int
}

func (r *recentBatches) add(b recentBatch) {
	if len(r.ring) < recentBatchCount {
		r.ring = append(r.ring, b)
		return
	}
	r.ring[r.next] = b
	r.next = (r.next + 1) % recentBatchCount
}

func (r *recentBatches) clear() { r.ring, r.next = r.ring[:0], 0 }

// at returns the i-th newest batch.
func (r *recentBatches) at(i int) recentBatch {
	return r.ring[(r.next+len(r.ring)-1-i)%len(r.ring)]
}

// containing finds the batch that holds offset: it is the i-th newest.
func (r *recentBatches) containing(offset int64) (b recentBatch, i int, ok bool) {
	for i = range r.ring {
		if b = r.at(i); b.base <= offset {
			return b, i, b.base+int64(b.delta) >= offset
		}
	}
	return b, i, false
}

// TopicPartition names the log.
func (l *Log) TopicPartition() TopicPartition { return l.tp }

// TopicID is the topic id from partition.metadata; ok is false when that file is missing or damaged, which
// Create repairs.
func (l *Log) TopicID() (id [16]byte, ok bool) {
	if !l.topicIDRead.Load() {
		l.readTopicID()
	}
	if p := l.topicID.Load(); p != nil {
		return *p, true
	}
	return id, false
}

// readTopicID looks at the file; an unreadable one counts as missing, and so does that of a deleted log. It takes no
// lock, because a start asks for all ids while the background recovers logs.
func (l *Log) readTopicID() {
	id, ok, err := readTopicID(l.m.cfg.FS, filepath.Join(l.dir.path, l.tp.String()))
	if err != nil {
		l.m.logger.Warn("partition.metadata cannot be read", "topic", l.tp.Topic, "partition", l.tp.Partition, "err", err)
	}
	if ok {
		l.topicID.CompareAndSwap(nil, &id)
	}
	l.topicIDRead.Store(true)
}

// Dir is the log directory (an element of Config.Dirs) the log lives in.
func (l *Log) Dir() string { return l.dir.path }

// Config returns the log's current settings.
func (l *Log) Config() LogConfig { return *l.cfg.Load() }

// SetConfig replaces the settings; they apply from the next append, read or retention check on. Offsets that
// were reported durable under a relaxed flush.messages are not taken back.
func (l *Log) SetConfig(cfg LogConfig) {
	old := l.cfg.Swap(l.m.shareConfig(cfg))
	if old.Compact && !cfg.Compact {
		l.cleanAborts.Add(1)
	}
	if cfg.FlushMessages == 1 && old.FlushMessages != 1 {
		l.dir.committer.request(l) // what was written so far
	}
}

// LogStartOffset is the first offset that may be read.
func (l *Log) LogStartOffset() int64 { l.ensureLoaded(); return l.logStart.Load() }

// LogEndOffset (LEO) is the offset the next record gets.
func (l *Log) LogEndOffset() int64 { l.ensureLoaded(); return l.logEnd.Load() }

// HighWatermark is the end (exclusive) of what consumers may read.
func (l *Log) HighWatermark() int64 { l.ensureLoaded(); return l.highWatermark.Load() }

// LastStableOffset is the end (exclusive) of what read_committed consumers may read: the high watermark, or
// the first offset of the oldest undecided transaction.
func (l *Log) LastStableOffset() int64 { l.ensureLoaded(); return l.lastStable.Load() }

// DurableEndOffset is the end (exclusive) of the prefix that meets the topic's promise: synced to the disk
// when flush.messages is 1, written otherwise. It never falls, except by TruncateTo.
func (l *Log) DurableEndOffset() int64 { l.ensureLoaded(); return l.durable.Load() }

// UpdateHighWatermark raises the high watermark to hw, bounded by the log end, and returns the one in force.
// A smaller hw changes nothing: the watermark falls only by TruncateTo.
func (l *Log) UpdateHighWatermark(hw int64) int64 {
	if l.ensureLoaded() != nil {
		return l.highWatermark.Load()
	}
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	end := l.logEnd.Load()
	if hw = min(hw, end); hw > l.highWatermark.Load() {
		l.publishOffsets(l.logStart.Load(), hw, end)
	}
	return l.highWatermark.Load()
}

// publishOffsets is the only place that changes the four offsets. viewMu is held. Each of them may be read
// alone at any time, so growing and falling ones are stored in the order that keeps them sorted meanwhile.
func (l *Log) publishOffsets(start, highWatermark, end int64) {
	stable := max(start, min(highWatermark, l.firstUnstable(highWatermark)))
	if start < 0 || start > stable || stable > highWatermark || highWatermark > end {
		panic(fmt.Sprintf("engine: %s: offsets out of order: start %d, stable %d, high watermark %d, end %d",
			l.tp, start, stable, highWatermark, end))
	}
	if end >= l.logEnd.Load() {
		l.logEnd.Store(end)
		l.highWatermark.Store(highWatermark)
		l.lastStable.Store(stable)
		l.logStart.Store(start)
		return
	}
	l.logStart.Store(min(start, l.logStart.Load()))
	l.lastStable.Store(stable)
	l.highWatermark.Store(highWatermark)
	l.logEnd.Store(end)
	l.logStart.Store(start)
}

// SetDurableListener names who hears that the durable end moved, or that the log's directory failed. Durable
// is called on the committer's goroutine after a round, and on the appender's for relaxed logs; calls for one
// log may overlap or come late, so take the maximum. Failed is called at most once per listener, also when
// the directory failed before it was set. Neither may block or call back into the log's appends.
func (l *Log) SetDurableListener(d DurableListener) {
	l.viewMu.Lock()
	l.listener = d
	failure := l.failure
	l.viewMu.Unlock()
	if failure != nil && d != nil {
		d.Failed(failure)
	}
}

// WaitDurable blocks until everything below end is durable. Errors: ErrStorage, ErrLogClosed, the context's.
func (l *Log) WaitDurable(ctx context.Context, end int64) error {
	if err := l.ensureLoaded(); err != nil {
		return err
	}
	l.viewMu.Lock()
	if l.durable.Load() >= end {
		l.viewMu.Unlock()
		return nil
	}
	if l.failure != nil {
		l.viewMu.Unlock()
		return l.failure
	}
	done := make(chan error, 1)
	l.waiters = append(l.waiters, durableWaiter{end, done})
	l.viewMu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err() // the waiter leaves the list with the next round
	}
}

// advanceDurable moves the durable end and tells who waits for it. No lock is held.
func (l *Log) advanceDurable(end int64) {
	l.viewMu.Lock()
	if end <= l.durable.Load() {
		l.viewMu.Unlock()
		return
	}
	if leo := l.logEnd.Load(); end > leo {
		panic(fmt.Sprintf("engine: %s: durable end %d is behind the log end %d", l.tp, end, leo))
	}
	l.durable.Store(end)
	kept := l.waiters[:0]
	for _, w := range l.waiters {
		if w.end <= end {
			w.done <- nil
		} else {
			kept = append(kept, w)
		}
	}
	clear(l.waiters[len(kept):])
	l.waiters = kept
	listener := l.listener
	l.viewMu.Unlock()
	if listener != nil {
		listener.Durable(end)
	}
}

// fail ends the waits for durability with err, once. No lock is held.
func (l *Log) fail(err error) {
	l.viewMu.Lock()
	if l.failure != nil {
		l.viewMu.Unlock()
		return
	}
	l.failure = err
	for _, w := range l.waiters {
		w.done <- err
	}
	l.waiters = nil
	listener := l.listener
	l.viewMu.Unlock()
	if listener != nil {
		listener.Failed(err)
	}
}

// Err is why the log cannot be used any more: its directory is offline (ErrStorage), it is damaged
// (ErrCorrupt), or it was deleted or closed (ErrLogClosed). nil while it works.
func (l *Log) Err() error {
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	return l.failure
}

// EndOffsetForEpoch answers OffsetForLeaderEpoch: the largest known epoch not above the asked one, and the
// offset (exclusive) where it ends; (-1, -1) when the asked epoch is newer than any known (KIP-101, KIP-279).
func (l *Log) EndOffsetForEpoch(epoch int32) (foundEpoch int32, endOffset int64) {
	if l.ensureLoaded() != nil {
		return -1, -1
	}
	return l.epochs.endOffset(epoch, l.logEnd.Load())
}

// LatestEpoch is the newest leader epoch of the log, -1 if there is none.
func (l *Log) LatestEpoch() int32 {
	if l.ensureLoaded() != nil {
		return -1
	}
	return l.epochs.latest()
}

// EpochForOffset is the leader epoch of the record at offset, or of the next one at the log's end; -1 if it
// is not known.
func (l *Log) EpochForOffset(offset int64) int32 {
	if l.ensureLoaded() != nil {
		return -1
	}
	return l.epochs.at(offset)
}

// AssignEpochStart notes that this broker leads from the log end on with the given epoch.
func (l *Log) AssignEpochStart(epoch int32) error {
	if err := l.ensureLoaded(); err != nil {
		return err
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	l.epochs.assign(epoch, l.logEnd.Load())
	return nil
}

// Size is the number of bytes of all segments' batches. Of a log that is not loaded it is asked of the file system,
// a torn tail included; 0 if that cannot tell.
func (l *Log) Size() int64 {
	if !l.loaded.Load() {
		return l.sizeOnDisk()
	}
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	var n int64
	for _, s := range l.segments {
		n += s.size.Load()
	}
	return n
}

// SegmentInfo describes one segment.
type SegmentInfo struct {
	BaseOffset int64
	Size       int64 // bytes
	// MaxTimestamp is the largest record timestamp in ms, -1 if there is none.
	MaxTimestamp int64
}

// Segments describes the log's segments, oldest first.
func (l *Log) Segments() []SegmentInfo {
	if l.ensureLoaded() != nil {
		return nil
	}
	segments := l.segmentList()
	infos := make([]SegmentInfo, 0, len(segments))
	for _, s := range segments {
		ts, err := s.largestTimestamp()
		if err != nil {
			ts = -1
		}
		infos = append(infos, SegmentInfo{s.base, s.size.Load(), ts})
	}
	return infos
}

// segmentList returns the current segments; the slice is not changed afterwards, but may be appended to.
func (l *Log) segmentList() []*LogSegment {
	l.viewMu.Lock()
	defer l.viewMu.Unlock()
	return l.segments[:len(l.segments):len(l.segments)]
}

// activeLocked is the segment appends go to. appendMu or viewMu is held.
func (l *Log) activeLocked() *LogSegment { return l.segments[len(l.segments)-1] }

// ProducerInfo is one producer's state, as DescribeProducers shows it.
type ProducerInfo struct {
	ProducerID            int64
	ProducerEpoch         int16
	LastSequence          int32 // -1 none
	LastTimestamp         int64 // ms
	CoordinatorEpoch      int32 // -1 unknown
	CurrentTxnStartOffset int64 // -1 none
}

// Producers lists the producers known to the log, in no order.
func (l *Log) Producers() []ProducerInfo {
	if l.ensureLoaded() != nil {
		return nil
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	infos := make([]ProducerInfo, 0, l.producers.entries.len())
	for id, e := range l.producers.entries.all() {
		infos = append(infos, ProducerInfo{id, e.epoch, e.lastSeq(), e.lastTimestamp, e.coordinatorEpoch, e.txnFirstOffset})
	}
	return infos
}

// expireProducers drops the producers idle since before (ms).
func (l *Log) expireProducers(before int64) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	l.producers.expire(before)
}

// noteTransactions takes over what the producer state knows of undecided transactions. appendMu and viewMu
// are held; publishOffsets follows.
func (l *Log) noteTransactions() {
	l.endedTxns = append(l.endedTxns, l.producers.ended...)
	l.producers.ended = l.producers.ended[:0]
	l.openTxn = l.producers.firstOpen()
}

// firstUnstable is the first offset of the oldest transaction that is open, or whose marker is not below the
// high watermark; MaxInt64 when there is none. viewMu is held.
func (l *Log) firstUnstable(highWatermark int64) int64 {
	first := l.openTxn
	if len(l.endedTxns) == 0 {
		return first
	}
	kept := l.endedTxns[:0]
	for _, t := range l.endedTxns {
		if t.marker >= highWatermark {
			kept = append(kept, t)
			first = min(first, t.first)
		}
	}
	l.endedTxns = kept
	return first
}

// usableLocked says why the log cannot be changed, or nil. appendMu is held.
func (l *Log) usableLocked() error {
	if err := l.dir.offline(); err != nil {
		return err
	}
	if l.closed {
		return fmt.Errorf("%w: %s", ErrLogClosed, l.tp)
	}
	return nil
}

func (l *Log) nowMs() int64 { return l.m.cfg.Clock.Now().UnixMilli() }

func msDuration(ms int64) time.Duration {
	if ms > math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(ms) * time.Millisecond
}
