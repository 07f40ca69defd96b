package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"sort"

	"kserver/engine/vfs"
)

// Kafka's producer snapshot, version 1: int16 version, uint32 CRC-32C of what follows, int32 count, then per
// producer the fields of snapshotEntryBytes. Only the newest batch of a producer survives.
const (
	snapshotSuffix     = ".snapshot"
	snapshotVersion    = 1
	snapshotHeadBytes  = 2 + 4 + 4
	snapshotEntryBytes = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8
	maxSnapshotBytes   = snapshotHeadBytes + maxProducers*snapshotEntryBytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode writes the state in Kafka's snapshot format, producers in order of their ids.
func (p *producerState) encode() []byte {
	ids := make([]int64, 0, p.entries.len())
	for id := range p.entries.all() {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	b := make([]byte, 6, snapshotHeadBytes+len(ids)*snapshotEntryBytes)
	binary.BigEndian.PutUint16(b, snapshotVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(ids)))
	for _, id := range ids {
		e := p.entries.get(id)
		last := producerBatch{lastOffset: -1, lastSeq: -1}
		if e.n > 0 {
			last = e.batches[e.n-1]
		}
		b = binary.BigEndian.AppendUint64(b, uint64(id))
		b = binary.BigEndian.AppendUint16(b, uint16(e.epoch))
		b = binary.BigEndian.AppendUint32(b, uint32(last.lastSeq))
		b = binary.BigEndian.AppendUint64(b, uint64(last.lastOffset))
		b = binary.BigEndian.AppendUint32(b, uint32(last.offsetDelta))
		b = binary.BigEndian.AppendUint64(b, uint64(e.lastTimestamp))
		b = binary.BigEndian.AppendUint32(b, uint32(e.coordinatorEpoch))
		b = binary.BigEndian.AppendUint64(b, uint64(e.txnFirstOffset))
	}
	binary.BigEndian.PutUint32(b[2:], crc32.Checksum(b[6:], castagnoli))
	return b
}

// decode replaces the state by a snapshot that ends at end.
func (p *producerState) decode(b []byte, end int64) error {
	if len(b) < snapshotHeadBytes {
		return fmt.Errorf("%w: producer snapshot of %d bytes", ErrCorrupt, len(b))
	}
	if v := binary.BigEndian.Uint16(b); v != snapshotVersion {
		return fmt.Errorf("%w: producer snapshot has version %d", ErrCorrupt, v)
	}
	if crc32.Checksum(b[6:], castagnoli) != binary.BigEndian.Uint32(b[2:]) && !planted(bugSnapshotTrusted) {
		return fmt.Errorf("%w: producer snapshot checksum", ErrCorrupt)
	}
	n := int(binary.BigEndian.Uint32(b[6:]))
	b = b[snapshotHeadBytes:]
	if len(b)/snapshotEntryBytes != n || len(b)%snapshotEntryBytes != 0 {
		return fmt.Errorf("%w: producer snapshot of %d producers has %d bytes", ErrCorrupt, n, len(b))
	}
	p.clear(end)
	for ; len(b) > 0; b = b[snapshotEntryBytes:] {
		id := int64(binary.BigEndian.Uint64(b))
		if p.entries.get(id) != nil {
			return fmt.Errorf("%w: producer snapshot holds producer %d twice", ErrCorrupt, id)
		}
		e := p.entry(id)
		e.epoch = int16(binary.BigEndian.Uint16(b[8:]))
		last := producerBatch{
			lastSeq:     int32(binary.BigEndian.Uint32(b[10:])),
			lastOffset:  int64(binary.BigEndian.Uint64(b[14:])),
			offsetDelta: int32(binary.BigEndian.Uint32(b[22:])),
			timestamp:   int64(binary.BigEndian.Uint64(b[26:])),
		}
		e.lastTimestamp = last.timestamp
		if last.lastOffset >= 0 {
			e.addBatch(last)
		}
		e.coordinatorEpoch = int32(binary.BigEndian.Uint32(b[34:]))
		e.txnFirstOffset = int64(binary.BigEndian.Uint64(b[38:]))
		if e.txnFirstOffset >= 0 {
			if p.open == nil {
				p.open = make(map[int64]int64)
			}
			p.open[id] = e.txnFirstOffset
		}
	}
	return nil
}

// loadSnapshot takes the newest usable snapshot among offsets (sorted), removing those that are damaged or
// lie behind the end of the log, and returns the offsets of those left. The state is empty at start if there
// is none.
func (p *producerState) loadSnapshot(fsys vfs.FS, dir string, offsets []int64, start, end int64) ([]int64, error) {
	p.clear(start)
	p.snapshotAt = -1
	for n := len(offsets); n > 0; n-- {
		at := offsets[n-1]
		if at < start {
			return offsets[:n], nil
		}
		path := filepath.Join(dir, offsetFileName(at)+snapshotSuffix)
		if at <= end {
			b, err := vfs.ReadFile(fsys, path, maxSnapshotBytes)
			if err != nil {
				return nil, err
			}
			if p.decode(b, at) == nil {
				p.snapshotAt = at
				return offsets[:n], nil
			}
			p.clear(start)
		}
		if err := fsys.Remove(path); err != nil && !isNotExist(err) {
			return nil, err
		}
	}
	return nil, nil
}

// snapshotBytes of appends bring a producer snapshot forward to the next checkpoint, so that opening the log
// does not read the headers of a whole segment.
const snapshotBytes = 8 << 20

// keptSnapshots: besides those at segment starts, so many of the newest snapshots stay. The one before the
// last covers a crash that takes the log back behind the last.
const keptSnapshots = 2

// snapshot stores the producer state as of the log end. It is not synced: the checksum tells a torn one, and
// without it the log tells the rest. appendMu is held.
func (l *Log) snapshot() error {
	fsys, at := l.m.cfg.FS, l.producers.end
	path := filepath.Join(l.path, offsetFileName(at)+snapshotSuffix)
	if err := vfs.WriteFile(fsys, path, l.producers.encode()); err != nil {
		return err
	}
	l.producers.snapshotAt, l.unsnapshotted = at, 0
	if n := len(l.snapshots); n == 0 || l.snapshots[n-1] < at {
		l.snapshots = append(l.snapshots, at)
	}
	return l.pruneSnapshots()
}

// pruneSnapshots removes the snapshots that neither begin a segment nor are among the newest.
func (l *Log) pruneSnapshots() error {
	bases := make(map[int64]bool, len(l.segments))
	for _, s := range l.segments {
		bases[s.base] = true
	}
	kept := l.snapshots[:0]
	for i, at := range l.snapshots {
		if bases[at] || i >= len(l.snapshots)-keptSnapshots {
			kept = append(kept, at)
			continue
		}
		err := l.m.cfg.FS.Remove(filepath.Join(l.path, offsetFileName(at)+snapshotSuffix))
		if err != nil && !isNotExist(err) {
			return err
		}
	}
	l.snapshots = kept
	return nil
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
