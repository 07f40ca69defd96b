package adopt

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kserver/cluster/controller"
	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// ErrDamaged says that a metadata log or snapshot does not check. Nothing is adopted of it.
var ErrDamaged = errors.New("adopt: metadata is damaged")

// Names and bounds of Kafka's metadata log (KafkaRaftLog, Snapshots, KafkaRaftClient).
const (
	metadataTopic  = "__cluster_metadata"
	metadataDir    = metadataTopic + "-0"
	segmentSuffix  = ".log"
	snapshotSuffix = ".checkpoint"
	// maxBatchBytes bounds a batch. Kafka's own bound is 8 MiB of records.
	maxBatchBytes = 8<<20 + 64<<10
)

// kraftLog is what a metadata log leads to: Kafka's, with its latest snapshot, or kserver's.
type kraftLog struct {
	draft *controller.Draft
	// end is the offset behind the last record, and epoch the leader epoch of the last batch or, if the log has none,
	// of the snapshot.
	end   int64
	epoch int32
	// voters is how many controllers the control records name last, 0 if they name none.
	voters int
	// snapshot is the name of the snapshot it begins with, "" for none.
	snapshot string
}

// readKRaftLog reads the log in dir: the newest snapshot, if there is one, and the batches behind it. Whatever is
// wrong with it wraps ErrDamaged or is an error of the disk.
func readKRaftLog(fsys vfs.FS, dir, clusterID string) (*kraftLog, error) {
	entries, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	var segments []int64
	l := &kraftLog{draft: controller.NewDraft(clusterID)}
	newest := snapshotID{offset: -1}
	for _, e := range entries {
		if base, ok := parseOffset(e.Name, segmentSuffix); ok && !e.Dir {
			segments = append(segments, base)
		}
		if id, ok := parseSnapshotName(e.Name); ok && !e.Dir && id.newerThan(newest) {
			newest, l.snapshot = id, e.Name
		}
	}
	slices.Sort(segments)
	if l.snapshot != "" {
		if err := l.readSnapshot(fsys, filepath.Join(dir, l.snapshot), newest); err != nil {
			return nil, err
		}
	}
	if len(segments) == 0 && l.snapshot == "" {
		return nil, fmt.Errorf("%w: %s has neither a log nor a snapshot", ErrDamaged, dir)
	}
	if len(segments) > 0 && segments[0] > l.end {
		return nil, fmt.Errorf("%w: %s begins at offset %d, and no snapshot tells what was before", ErrDamaged, dir, segments[0])
	}
	for i, base := range segments {
		next := int64(-1) // where the segment must end
		if i+1 < len(segments) {
			next = segments[i+1]
		}
		if next >= 0 && next <= l.end && i+1 < len(segments) {
			continue // the snapshot has all of it
		}
		if err := l.readSegment(fsys, filepath.Join(dir, offsetName(base)+segmentSuffix), base, next); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// readSegment applies the batches of a segment that the snapshot does not have.
func (l *kraftLog) readSegment(fsys vfs.FS, path string, base, next int64) error {
	at := base
	err := eachBatch(fsys, path, func(b recordbatch.Batch) error {
		if b.BaseOffset() != at || b.LastOffset() < at || b.PartitionLeaderEpoch() < 0 {
			return fmt.Errorf("batch of offsets %d to %d, epoch %d, where %d follows", b.BaseOffset(), b.LastOffset(), b.PartitionLeaderEpoch(), at)
		}
		at = b.NextOffset()
		switch {
		case at <= l.end:
			return nil // the snapshot has it
		case b.BaseOffset() < l.end:
			return fmt.Errorf("the snapshot ends inside the batch of offsets %d to %d", b.BaseOffset(), b.LastOffset())
		case b.PartitionLeaderEpoch() < l.epoch:
			return fmt.Errorf("epoch %d at offset %d follows epoch %d", b.PartitionLeaderEpoch(), b.BaseOffset(), l.epoch)
		}
		l.end, l.epoch = at, b.PartitionLeaderEpoch()
		return l.apply(b)
	})
	if err == nil && next >= 0 && at != next {
		err = fmt.Errorf("%w: %s ends at offset %d, the next segment begins at %d", ErrDamaged, path, at, next)
	}
	return err
}

// readSnapshot applies a snapshot: a control record as header, records, and a control record as footer, without which
// it was not finished.
func (l *kraftLog) readSnapshot(fsys vfs.FS, path string, id snapshotID) error {
	first, last := int16(-1), int16(-1)
	at := int64(0)
	err := eachBatch(fsys, path, func(b recordbatch.Batch) error {
		if b.BaseOffset() != at {
			return fmt.Errorf("batch at %d where %d follows", b.BaseOffset(), at)
		}
		at = b.NextOffset()
		last = -1
		if b.IsControl() {
			kinds, err := l.control(b)
			if err != nil {
				return err
			}
			if last = kinds[len(kinds)-1]; first < 0 {
				first = kinds[0]
			}
			return nil
		}
		return l.apply(b)
	})
	if err == nil && (first != controlSnapshotHeader || last != controlSnapshotFooter) {
		err = fmt.Errorf("%w: %s has no header or no footer", ErrDamaged, path)
	}
	l.end, l.epoch = id.offset, id.epoch
	return err
}

func (l *kraftLog) apply(b recordbatch.Batch) error {
	if b.IsControl() {
		_, err := l.control(b)
		return err
	}
	return l.draft.Apply(b)
}

// control reads the control records of a batch, of which there is at least one, and returns their types.
func (l *kraftLog) control(b recordbatch.Batch) (kinds []int16, err error) {
	for r, err := range b.Records(maxBatchBytes) {
		if err != nil {
			return nil, err
		}
		c, err := readControlRecord(r.Key, r.Value)
		if err != nil {
			return nil, fmt.Errorf("offset %d: %w", b.BaseOffset()+int64(r.OffsetDelta), err)
		}
		if c.voters > 0 {
			l.voters = c.voters
		}
		kinds = append(kinds, c.kind)
	}
	if len(kinds) == 0 {
		return nil, fmt.Errorf("control batch at %d without records", b.BaseOffset())
	}
	return kinds, nil
}

// eachBatch reads a file of batches one at a time and checks them. The batch is valid during the call. An error of
// visit, or a batch that does not check, comes back as ErrDamaged with the place.
func eachBatch(fsys vfs.FS, path string, visit func(recordbatch.Batch) error) error {
	f, err := fsys.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	buf := make([]byte, 0, 64<<10)
	for pos := int64(0); pos < size; {
		var b recordbatch.Batch
		b, buf, err = readBatch(f, pos, size, buf)
		if err != nil {
			return err
		}
		if b != nil {
			err = b.CheckCRC()
		} else {
			err = fmt.Errorf("%d bytes that are no batch", size-pos)
		}
		if err == nil {
			err = visit(b)
		}
		if err != nil {
			return fmt.Errorf("%w: %s at position %d: %w", ErrDamaged, path, pos, err)
		}
		pos += int64(len(b))
	}
	return nil
}

// readBatch reads the batch at pos into buf, which it may replace. It returns nil for what is no batch, and an error of
// the disk.
func readBatch(f vfs.File, pos, size int64, buf []byte) (recordbatch.Batch, []byte, error) {
	if size-pos < recordbatch.HeaderSize {
		return nil, buf, nil
	}
	buf = slices.Grow(buf[:0], recordbatch.HeaderSize)[:recordbatch.HeaderSize]
	if err := readFull(f, buf, pos); err != nil {
		return nil, buf, err
	}
	n, err := recordbatch.PeekSize(buf)
	if err != nil || n > maxBatchBytes || int64(n) > size-pos {
		return nil, buf, nil
	}
	buf = slices.Grow(buf[:0], n)[:n]
	if err := readFull(f, buf, pos); err != nil {
		return nil, buf, err
	}
	b, _, err := recordbatch.Next(buf)
	if err != nil {
		return nil, buf, nil
	}
	return b, buf, nil
}

func readFull(f vfs.File, p []byte, pos int64) error {
	n, err := f.ReadAt(p, pos)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// snapshotID names a snapshot: everything below offset, the last of it written in epoch.
type snapshotID struct {
	offset int64
	epoch  int32
}

func (id snapshotID) newerThan(o snapshotID) bool {
	return id.offset > o.offset || id.offset == o.offset && id.epoch > o.epoch
}

// parseSnapshotName reads Kafka's name of a finished snapshot: offset and epoch in 20 and 10 digits.
func parseSnapshotName(name string) (id snapshotID, ok bool) {
	text, found := strings.CutSuffix(name, snapshotSuffix)
	if !found || len(text) != 20+1+10 || text[20] != '-' {
		return id, false
	}
	offset, err1 := strconv.ParseUint(text[:20], 10, 63)
	epoch, err2 := strconv.ParseUint(text[21:], 10, 31)
	return snapshotID{int64(offset), int32(epoch)}, err1 == nil && err2 == nil
}

// parseOffset reads a name of 20 digits and a suffix.
func parseOffset(name, suffix string) (int64, bool) {
	text, found := strings.CutSuffix(name, suffix)
	if !found || len(text) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err == nil
}

func offsetName(offset int64) string { return fmt.Sprintf("%020d", offset) }
