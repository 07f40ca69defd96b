package engine

import (
	"fmt"
	"path/filepath"

	"kserver/engine/vfs"
)

// PartitionInspection describes one partition as it lies on disk.
type PartitionInspection struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	TopicID   string `json:"topic_id"` // empty if partition.metadata does not say

	LogStartOffset int64 `json:"log_start_offset"`
	LogEndOffset   int64 `json:"log_end_offset"` // behind the last good batch
	// RecoveryPoint and HighWatermark are those of the checkpoint files.
	RecoveryPoint int64 `json:"recovery_point"`
	HighWatermark int64 `json:"high_watermark"`
	Size          int64 `json:"size"` // bytes of the segments, indexes not counted

	Segments  []SegmentInspection  `json:"segments"`
	Epochs    []LeaderEpochStart   `json:"leader_epochs"`
	Snapshots []SnapshotInspection `json:"producer_snapshots"`
	// Recovery is what the next start does to this log, nil if nothing.
	Recovery *RecoveryPlan `json:"recovery"`
	Problems []Problem     `json:"problems"`
}

// LeaderEpochStart is one line of leader-epoch-checkpoint.
type LeaderEpochStart struct {
	Epoch       int32 `json:"epoch"`
	StartOffset int64 `json:"start_offset"`
}

// SnapshotInspection describes a producer snapshot.
type SnapshotInspection struct {
	Offset           int64 `json:"offset"` // it tells everything below
	Producers        int   `json:"producers"`
	OpenTransactions int   `json:"open_transactions"`
}

// RecoveryPlan is what a start after an unclean stop does to a log.
type RecoveryPlan struct {
	// FromSegment and FromPosition are where it begins to check batches, ScanBytes how much it reads.
	FromSegment  int64 `json:"from_segment"`
	FromPosition int64 `json:"from_position"`
	ScanBytes    int64 `json:"scan_bytes"`
	// CutBytes of the end are no whole batch and are cut off; DropSegments lie behind that.
	CutBytes     int64 `json:"cut_bytes"`
	DropSegments int   `json:"drop_segments"`
}

// inspector looks at one partition.
type inspector struct {
	fsys          vfs.FS
	dir           string
	verify, clean bool
	p             *PartitionInspection
}

func (in inspector) problem(file string, position int64, s Severity, format string, args ...any) {
	in.p.Problems = append(in.p.Problems, Problem{file, position, s, fmt.Sprintf(format, args...)})
}

func (in inspector) inspect(p *PartitionInspection, c checkpointedOffsets) {
	in.p = p
	p.RecoveryPoint, p.HighWatermark = c.recoveryPoint, c.highWatermark
	p.Segments, p.Epochs, p.Snapshots, p.Problems = []SegmentInspection{}, []LeaderEpochStart{}, []SnapshotInspection{}, []Problem{}
	files, err := listLogFiles(in.fsys, in.dir)
	if err != nil {
		in.problem("", -1, Damage, "cannot be listed: %v", err)
		return
	}
	in.topicID()
	in.segments(files.bases)
	p.LogStartOffset = c.logStart
	if len(p.Segments) > 0 {
		p.LogStartOffset = min(max(c.logStart, p.Segments[0].BaseOffset), p.LogEndOffset)
	}
	if p.LogEndOffset < p.RecoveryPoint {
		in.problem("", -1, Damage, "the log ends at %d, below its recovery point %d: durable records are missing",
			p.LogEndOffset, p.RecoveryPoint)
	}
	in.epochs()
	in.snapshots(files.snapshots)
}

func (in inspector) topicID() {
	id, ok, err := readTopicID(in.fsys, in.dir)
	switch {
	case err != nil:
		in.problem(partitionMetadataFile, -1, Damage, "cannot be read: %v", err)
	case !ok:
		in.problem(partitionMetadataFile, -1, Repairable, "missing or damaged: written again at the next start")
	default:
		in.p.TopicID = uuidText(id)
	}
}

// segments looks at all segments, oldest first, and sets LogEndOffset, Size and Recovery.
func (in inspector) segments(bases []int64) {
	p := in.p
	if len(bases) == 0 {
		p.LogEndOffset = max(p.RecoveryPoint, 0)
		return
	}
	recoverFrom := len(bases)
	if !in.clean {
		recoverFrom = 0
		for i, base := range bases {
			if base <= p.RecoveryPoint {
				recoverFrom = i
			}
		}
		p.Recovery = &RecoveryPlan{FromSegment: bases[recoverFrom], FromPosition: -1}
	}
	sums := in.txnSums()
	end := bases[0]
	torn := false
	for i, base := range bases {
		if torn || i > recoverFrom && base != end && base-bases[i-1] <= maxRelativeOffset {
			p.Recovery.DropSegments = len(bases) - i
			in.problem(offsetFileName(base)+".log", -1, Repairable, "lies behind a hole in the log, which ends at %d: it was never durable", end)
			return
		}
		s := segmentInspector{inspector: in, active: i == len(bases)-1, recovered: i >= recoverFrom, minOffset: end, txnSum: sums[base]}
		if i+1 < len(bases) {
			s.nextBase = bases[i+1]
		}
		var found SegmentInspection
		found, torn = s.inspect(base)
		p.Segments = append(p.Segments, found)
		p.Size += found.Size
		if found.endOffset > end {
			end = found.endOffset
		}
		torn = torn && i >= recoverFrom
	}
	p.LogEndOffset = end
}

// txnSums reads the checksums of transaction indexes that are about the segments as they are.
func (in inspector) txnSums() map[int64]txnSum {
	b, err := vfs.ReadFile(in.fsys, filepath.Join(in.dir, txnSumsFile), maxCheckpointBytes)
	if isNotExist(err) {
		return nil
	}
	var lines []txnSumLine
	if err == nil {
		lines, err = parseTxnSums(b)
	}
	if err != nil {
		in.problem(txnSumsFile, -1, Repairable, "%v: made anew when a transaction is aborted", err)
	}
	sums := map[int64]txnSum{}
	for _, t := range lines {
		path := filepath.Join(in.dir, offsetFileName(t.base)+segmentSuffix[logFile])
		if info, err := in.fsys.Stat(path); err == nil && info.Size >= t.logBytes {
			sums[t.base] = t.sum
		}
	}
	return sums
}

func (in inspector) epochs() {
	b, err := vfs.ReadFile(in.fsys, filepath.Join(in.dir, leaderEpochFile), maxCheckpointBytes)
	if isNotExist(err) && in.p.Size == 0 {
		return // written with the first checkpoint
	}
	var epochs leaderEpochs
	if err == nil {
		err = epochs.parse(b)
	}
	if err != nil {
		in.problem(leaderEpochFile, -1, Repairable, "%v: made anew from the batches", err)
		return
	}
	for _, e := range epochs.entries {
		in.p.Epochs = append(in.p.Epochs, LeaderEpochStart{e.epoch, e.start})
	}
}

func (in inspector) snapshots(offsets []int64) {
	for _, at := range offsets {
		name := offsetFileName(at) + snapshotSuffix
		b, err := vfs.ReadFile(in.fsys, filepath.Join(in.dir, name), maxSnapshotBytes)
		state := newProducerState()
		if err == nil {
			err = state.decode(b, at)
		}
		if err != nil {
			in.problem(name, -1, Repairable, "%v: an older one and the log take its place", err)
			continue
		}
		in.p.Snapshots = append(in.p.Snapshots, SnapshotInspection{at, state.entries.len(), len(state.open)})
	}
}
