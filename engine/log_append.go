package engine

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"kserver/protocol/recordbatch"
)

// Origin says who made a batch; it decides what AppendAsLeader checks.
type Origin int8

const (
	// OriginClient is a producer: exactly one batch, validated in full.
	OriginClient Origin = iota
	// OriginCoordinator is a group or transaction coordinator of this broker, which may write markers.
	OriginCoordinator
	// OriginController is the metadata log's own writer.
	OriginController
)

// AppendOptions accompany an append.
type AppendOptions struct {
	LeaderEpoch    int32 // stamped on the batches
	Origin         Origin
	ProduceVersion int16 // of the Produce request; 0 if there was none
	// MaxDecompressed, unless 0, has a client's batch refused with ErrCostly when its records are more
	// than this many bytes decompressed, or when they have to be compressed anew: for callers that must
	// not take long.
	MaxDecompressed int64
}

// AppendInfo tells what an append did.
type AppendInfo struct {
	FirstOffset, LastOffset int64 // inclusive
	// LogAppendTime in ms; -1 unless the topic stamps it. For a duplicate it is the stored batch's largest
	// timestamp, as in Kafka.
	LogAppendTime  int64
	LogStartOffset int64
	// Duplicate: the batch was in the log already, at these offsets. It may still be on its way to the disk:
	// wait for LastOffset+1 like after any append.
	Duplicate bool
}

// AppendAsLeader validates b, assigns offsets and leader epoch in place and writes it with one write; the
// records are durable once DurableEndOffset passes LastOffset. b is the caller's again when it returns, with
// its contents changed. On an error nothing of b is in the log.
//
// A batch of OriginClient goes through recordbatch.ValidateProduce and the rules of the idempotent producer;
// batches of the other origins (one or more in b) are only checked for integrity and fencing. Validation and
// decompression run outside the log's lock.
//
// Errors: ErrCostly, *recordbatch.InvalidError, ErrOutOfOrderSequence, ErrInvalidProducerEpoch, ErrInvalidTxnState,
// ErrTransactionCoordinatorFenced, ErrStorage (with ErrDiskFull when there was no space), ErrLogClosed.
func (l *Log) AppendAsLeader(b []byte, o AppendOptions) (AppendInfo, error) {
	if err := l.ensureLoaded(); err != nil {
		return AppendInfo{}, err
	}
	if err := l.makeDir(); err != nil {
		return AppendInfo{}, err
	}
	cfg := l.cfg.Load()
	appendTime := int64(-1)
	if o.Origin == OriginClient {
		now := l.nowMs()
		var err error
		if b, err = l.validate(b, cfg, now, &o); err != nil {
			return AppendInfo{}, err
		}
		if cfg.LogAppendTime {
			appendTime = now
		}
	} else if err := checkBatches(b); err != nil {
		return AppendInfo{}, err
	}
	info, relaxedEnd, err := l.appendLocked(b, cfg, &o)
	if err != nil {
		return AppendInfo{}, err
	}
	if !info.Duplicate {
		info.LogAppendTime = appendTime
	}
	if relaxedEnd >= 0 {
		l.advanceDurable(relaxedEnd)
	}
	return info, nil
}

// validateOptions are reused, because they would otherwise be the one allocation of an append.
var validateOptions = sync.Pool{New: func() any { return new(recordbatch.ValidateOptions) }}

// A batch may decompress to leastDecompressed bytes, to some times the largest batch, or to maxRatio times what
// it has, whichever is most: far more than producers pack, and a bound on what a few hostile bytes can cost. The
// least is generous because Java's producer fills a batch by its estimate of the compressed size: of records that
// are all alike it packs tens of MiB into a few KiB.
const (
	leastDecompressed  = 64 << 20
	decompressedFactor = 4
	maxRatio           = 256
)

func maxDecompressed(batch int, cfg *LogConfig) int64 {
	most := max(leastDecompressed, decompressedFactor*int64(cfg.MaxMessageBytes), maxRatio*int64(batch))
	return min(most, recordbatch.DefaultMaxDecompressed)
}

// costly reports that validating b as a client's batch may take long: its records are to be compressed anew, or
// there are more of them than fit limit bytes. What their size is shows only in decompressing.
func costly(b []byte, cfg *LogConfig, limit int64) bool {
	batch, _, err := recordbatch.Next(b)
	if err != nil {
		return false
	}
	if cfg.CompressionType.Target(batch.Codec()) != batch.Codec() {
		return true
	}
	return batch.Codec() != recordbatch.CodecNone && int64(batch.Count()) > limit/recordbatch.MinRecordSize
}

// validate checks a client's batch; the result may lie in memory of its own.
func (l *Log) validate(b []byte, cfg *LogConfig, now int64, a *AppendOptions) ([]byte, error) {
	limit := maxDecompressed(len(b), cfg)
	quick := a.MaxDecompressed > 0 && a.MaxDecompressed < limit
	if quick {
		limit = a.MaxDecompressed
		if costly(b, cfg, limit) {
			return nil, ErrCostly
		}
	}
	o := validateOptions.Get().(*recordbatch.ValidateOptions)
	defer validateOptions.Put(o)
	*o = recordbatch.ValidateOptions{
		Topic: l.tp.Topic, Partition: l.tp.Partition,
		MaxBatchBytes: cfg.MaxMessageBytes, MaxSegmentBytes: cfg.SegmentBytes,
		NowMs: now, CheckTimestamps: true, BeforeMaxMs: cfg.BeforeMaxMs, AfterMaxMs: cfg.AfterMaxMs,
		LogAppendTime: cfg.LogAppendTime, Compacted: cfg.Compact, ProduceVersion: a.ProduceVersion,
		MaxDecompressed: limit,
		Compression:     cfg.CompressionType, Level: cfg.CompressionLevel,
	}
	v, err := recordbatch.ValidateProduce(b, o)
	if quick && errors.Is(err, recordbatch.ErrDecompressedSize) {
		return nil, ErrCostly
	}
	return v.Batch, err
}

// checkBatches makes sure that b is a sequence of whole batches with good checksums.
func checkBatches(b []byte) error {
	for first := true; first || len(b) > 0; first = false {
		batch, rest, err := recordbatch.Next(b)
		if err == nil {
			err = batch.CheckCRC()
		}
		if err == nil && (batch.LastOffsetDelta() < 0 || batch.Count() < 0) {
			err = fmt.Errorf("%w: negative count", ErrCorrupt)
		}
		if err != nil {
			return &recordbatch.InvalidError{Kind: recordbatch.KindCorruptMessage, Message: err.Error(), Cause: err}
		}
		b = rest
	}
	return nil
}

// appendLocked does the part of a leader's append that needs the log's lock. relaxedEnd is the new durable
// end when the topic asks for no sync, else -1.
func (l *Log) appendLocked(b []byte, cfg *LogConfig, o *AppendOptions) (info AppendInfo, relaxedEnd int64, err error) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.usableLocked(); err != nil {
		return info, -1, err
	}
	if o.Origin == OriginClient && l.dir.belowReserve() {
		return info, -1, l.dir.refuse(l.tp, nil)
	}
	dup, found, err := l.checkProducers(b, o)
	if err != nil {
		return info, -1, fmt.Errorf("%s: %w", l.tp, err)
	}
	if found {
		return AppendInfo{
			FirstOffset: dup.firstOffset(), LastOffset: dup.lastOffset, LogAppendTime: dup.timestamp,
			LogStartOffset: l.logStart.Load(), Duplicate: true,
		}, -1, nil
	}
	first := l.logEnd.Load()
	next := first
	for rest := b; len(rest) > 0; {
		var batch recordbatch.Batch
		batch, rest, _ = recordbatch.Next(rest)
		batch.SetBaseOffset(next)
		batch.SetPartitionLeaderEpoch(o.LeaderEpoch)
		next = batch.NextOffset()
	}
	if err := l.write(b, cfg); err != nil {
		return info, -1, err
	}
	info = AppendInfo{FirstOffset: first, LastOffset: next - 1, LogAppendTime: -1, LogStartOffset: l.logStart.Load()}
	return info, l.afterWrite(cfg, next), nil
}

// checkProducers applies the idempotent producer's rules to the batches of an append. For a client's batch
// seen before, it returns where it is.
func (l *Log) checkProducers(b []byte, o *AppendOptions) (dup producerBatch, found bool, err error) {
	for rest := b; len(rest) > 0; {
		var batch recordbatch.Batch
		batch, rest, _ = recordbatch.Next(rest)
		switch {
		case !batch.HasProducerID():
		case batch.IsControl():
			err = l.producers.checkMarker(batch)
		case o.Origin == OriginClient:
			if dup, found = l.producers.duplicate(batch); found {
				return dup, true, nil
			}
			err = l.producers.check(batch, o.ProduceVersion)
		}
		if err != nil {
			return dup, false, err
		}
	}
	return dup, false, nil
}

// AppendAsFollower appends batches exactly as the leader wrote them, offsets and epochs included. b holds one
// or more batches; a part of a batch at its end is ignored. Offsets may leave gaps, but never fall below the
// log end.
//
// Errors: ErrUnexpectedOffset, *recordbatch.InvalidError, ErrStorage, ErrLogClosed. On an error nothing of b
// is in the log.
func (l *Log) AppendAsFollower(b []byte) (AppendInfo, error) {
	if err := l.ensureLoaded(); err != nil {
		return AppendInfo{}, err
	}
	if err := l.makeDir(); err != nil {
		return AppendInfo{}, err
	}
	b = wholeBatches(b)
	if len(b) == 0 {
		end := l.logEnd.Load()
		return AppendInfo{FirstOffset: end, LastOffset: end - 1, LogAppendTime: -1, LogStartOffset: l.logStart.Load()}, nil
	}
	if err := checkBatches(b); err != nil {
		return AppendInfo{}, err
	}
	cfg := l.cfg.Load()
	info, relaxedEnd, err := l.appendFollowerLocked(b, cfg)
	if err == nil && relaxedEnd >= 0 {
		l.advanceDurable(relaxedEnd)
	}
	return info, err
}

// wholeBatches cuts off a trailing part of a batch, as a fetch response may end with.
func wholeBatches(b []byte) []byte {
	n := 0
	for n < len(b) {
		batch, _, err := recordbatch.Next(b[n:])
		if errors.Is(err, recordbatch.ErrTruncated) {
			break
		}
		if err != nil {
			return b // checkBatches says what is wrong
		}
		n += len(batch)
	}
	return b[:n]
}

func (l *Log) appendFollowerLocked(b []byte, cfg *LogConfig) (info AppendInfo, relaxedEnd int64, err error) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.usableLocked(); err != nil {
		return info, -1, err
	}
	next := l.logEnd.Load()
	info = AppendInfo{FirstOffset: -1, LogAppendTime: -1, LogStartOffset: l.logStart.Load()}
	for rest := b; len(rest) > 0; {
		var batch recordbatch.Batch
		batch, rest, _ = recordbatch.Next(rest)
		if batch.BaseOffset() < next {
			return info, -1, fmt.Errorf("%w: %s: batch at offset %d, log end %d", ErrUnexpectedOffset, l.tp, batch.BaseOffset(), next)
		}
		if info.FirstOffset < 0 {
			info.FirstOffset = batch.BaseOffset()
		}
		next = batch.NextOffset()
	}
	info.LastOffset = next - 1
	if err := l.write(b, cfg); err != nil {
		return info, -1, err
	}
	return info, l.afterWrite(cfg, next), nil
}

// write rolls if need be and appends b, whose offsets are final, to the active segment. Only when the bytes
// are in the file does it change indexes, producer state, epochs and offsets. appendMu is held.
func (l *Log) write(b []byte, cfg *LogConfig) error {
	sum := summarize(b)
	if err := l.maybeRoll(cfg, sum, int64(len(b))); err != nil {
		return l.writeFailed(nil, 0, err)
	}
	s := l.activeLocked()
	f, err := s.acquireForAppend()
	if err != nil {
		return l.writeFailed(nil, 0, err)
	}
	defer s.release()
	start := s.size.Load()
	if _, err := f.WriteAt(b, start); err != nil {
		return l.writeFailed(s, start, err)
	}
	if s.firstTimestamp < 0 {
		s.firstTimestamp = sum.maxTimestamp
	}
	if err := l.noteBatches(s, b, start, cfg); err != nil {
		// The bytes are written and the state is theirs, but an index could not be: the disk is failing.
		return l.writeFailed(nil, 0, err)
	}
	l.changed = true
	l.unsnapshotted += int64(len(b))
	l.viewMu.Lock()
	l.publishAppend(s, b, start, sum)
	l.viewMu.Unlock()
	l.dir.appended(len(b))
	return nil
}

// batchSummary is what rolling needs to know of an append.
type batchSummary struct {
	first, last  int64
	maxTimestamp int64
}

func summarize(b []byte) (sum batchSummary) {
	sum = batchSummary{first: -1, maxTimestamp: -1}
	for len(b) > 0 {
		batch, rest, _ := recordbatch.Next(b)
		if sum.first < 0 {
			sum.first = batch.BaseOffset()
		}
		sum.last = batch.LastOffset()
		sum.maxTimestamp = max(sum.maxTimestamp, batch.MaxTimestamp())
		b = rest
	}
	return sum
}

// noteBatches takes written batches into indexes, producer state and epochs. appendMu is held.
func (l *Log) noteBatches(s *LogSegment, b []byte, position int64, cfg *LogConfig) error {
	ix := indexer{
		interval: cfg.IndexIntervalBytes, sinceEntry: s.bytesSinceIndex,
		maxTimestamp: s.maxTimestamp.Load(), offsetOfMax: s.offsetOfMaxTimestamp.Load(),
	}
	var firstErr error
	for rest := b; len(rest) > 0; {
		var batch recordbatch.Batch
		batch, rest, _ = recordbatch.Next(rest)
		at := batchAt{
			position: position, size: int64(len(batch)), base: batch.BaseOffset(), last: batch.LastOffset(),
			maxTimestamp: recordTimestamp(batch),
		}
		if err := ix.add(s, at); err != nil && firstErr == nil {
			firstErr = err
		}
		l.epochs.assign(batch.PartitionLeaderEpoch(), at.base)
		l.producers.apply(batch)
		position = at.end()
	}
	for _, t := range l.producers.aborted {
		if err := s.txns.append(l.m.cfg.FS, t); err != nil && firstErr == nil {
			firstErr = err
		}
		l.noteAborted(t.LastOffset)
	}
	l.producers.aborted = l.producers.aborted[:0]
	s.bytesSinceIndex = ix.sinceEntry
	s.maxTimestamp.Store(ix.maxTimestamp)
	s.offsetOfMaxTimestamp.Store(ix.offsetOfMax)
	return firstErr
}

// publishAppend makes written batches visible to readers. appendMu and viewMu are held.
func (l *Log) publishAppend(s *LogSegment, b []byte, position int64, sum batchSummary) {
	for len(b) > 0 {
		batch, rest, _ := recordbatch.Next(b)
		l.recent.add(recentBatch{batch.BaseOffset(), int32(position), batch.LastOffsetDelta()})
		position += int64(len(batch))
		b = rest
	}
	s.size.Store(position)
	if !s.dirty.Swap(true) {
		l.dirty = append(l.dirty, s)
	}
	l.noteTransactions()
	l.publishOffsets(l.logStart.Load(), l.highWatermark.Load(), sum.last+1)
}

// writeFailed decides the fate of a failed append. A full disk costs the request: the file is cut back to
// its last good byte at position good of s (s is nil when nothing was written). Anything else is final for
// the directory. appendMu is held.
func (l *Log) writeFailed(s *LogSegment, good int64, err error) error {
	if isDiskFull(err) {
		if s == nil || l.cutBack(s, good) == nil {
			return l.dir.refuse(l.tp, err)
		}
	}
	return l.dir.fail(fmt.Errorf("append to %s: %w", l.tp, err))
}

func (l *Log) cutBack(s *LogSegment, good int64) error {
	f, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release()
	return f.Truncate(good)
}

// afterWrite asks for a commit round, or returns the new durable end when the topic's promise is met by the
// write. appendMu is held.
func (l *Log) afterWrite(cfg *LogConfig, end int64) (relaxedEnd int64) {
	if cfg.FlushMessages == 1 {
		l.dir.committer.request(l)
		return -1
	}
	l.viewMu.Lock()
	unflushed := end - l.committed
	l.viewMu.Unlock()
	if unflushed >= cfg.FlushMessages {
		l.dir.committer.request(l)
	} else {
		l.pace(l.activeLocked())
		l.scheduleFlush(cfg)
	}
	return end
}

// paceBytes is how much a relaxed log writes between two starts of writeback.
const paceBytes = 8 << 20

// pace lets the kernel write out what a relaxed log has piled up, so that a later sync is short. appendMu is
// held; the system call is made by the committer.
func (l *Log) pace(s *LogSegment) {
	if size := s.size.Load(); size-s.pacedTo >= paceBytes {
		l.dir.committer.startWriteback(s, s.pacedTo, size-s.pacedTo)
		s.pacedTo = size
	}
}

// scheduleFlush keeps flush.ms: one timer per log at a time, and only while there is something to flush.
func (l *Log) scheduleFlush(cfg *LogConfig) {
	if cfg.FlushMs == math.MaxInt64 || l.flushScheduled {
		return
	}
	l.flushScheduled = true
	l.m.janitor.after(msDuration(cfg.FlushMs), func() {
		l.appendMu.Lock()
		l.flushScheduled = false
		l.appendMu.Unlock()
		l.dir.committer.request(l)
	})
}
