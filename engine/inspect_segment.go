package engine

import (
	"errors"
	"io"
	"path/filepath"
	"sort"

	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// SegmentInspection describes a segment as it lies on disk.
type SegmentInspection struct {
	BaseOffset int64 `json:"base_offset"`
	Size       int64 `json:"size"` // bytes of the .log file
	// Batches, Records and LastOffset are of the batches that were read: all of them when verifying; -1 if none was.
	Batches      int   `json:"batches"`
	Records      int64 `json:"records"`
	LastOffset   int64 `json:"last_offset"`
	MaxTimestamp int64 `json:"max_timestamp"` // ms; by the time index unless verifying; -1 unknown
	// OffsetIndexEntries and TimeIndexEntries count the entries of the files.
	OffsetIndexEntries int `json:"offset_index_entries"`
	TimeIndexEntries   int `json:"time_index_entries"`
	// AbortedTransactions counts the entries of the transaction index.
	AbortedTransactions int `json:"aborted_transactions"`

	endOffset int64 // behind the last good batch read, or as far as the next segment says
}

// segmentInspector looks at one segment.
type segmentInspector struct {
	inspector
	active    bool // the last one
	recovered bool // an unclean start checks it
	minOffset int64
	nextBase  int64  // base offset of the segment behind; 0 if active
	txnSum    txnSum // what the transaction index begins with
}

// inspect returns what it found; torn is set when the segment's end is no whole batch.
func (in segmentInspector) inspect(base int64) (s SegmentInspection, torn bool) {
	s = SegmentInspection{BaseOffset: base, LastOffset: -1, MaxTimestamp: -1, endOffset: max(base, in.nextBase)}
	name := offsetFileName(base)
	f, err := in.fsys.Open(filepath.Join(in.dir, name+".log"))
	if err == nil {
		defer f.Close()
		s.Size, err = f.Size()
	}
	if err != nil {
		in.problem(name+".log", -1, Damage, "cannot be opened: %v", err)
		return s, false
	}
	offsets := readIndex(in, &offsetCodec, name, s.Size)
	times := readIndex(in, &timeCodec, name, s.Size)
	s.OffsetIndexEntries, s.TimeIndexEntries = len(offsets), len(times)
	s.AbortedTransactions = in.abortedTransactions(name, base)
	if len(times) > 0 {
		s.MaxTimestamp = times[len(times)-1].timestamp
	}
	from, ok := in.scanStart(f, base, s.Size, offsets)
	if !ok {
		return s, false
	}
	walk := batchCheck{name: name, base: base, offsets: offsets, times: times, from: from}
	torn = in.walk(f, &s, &walk)
	if in.verify && !torn {
		walk.finish(in.inspector)
		s.MaxTimestamp = walk.maxTimestamp
	}
	return s, torn
}

// abortedTransactions counts the entries of the segment's transaction index, which few segments have.
func (in segmentInspector) abortedTransactions(name string, base int64) int {
	file := name + txnIndexSuffix
	b, err := vfs.ReadFile(in.fsys, filepath.Join(in.dir, file), maxTxnIndexSize)
	if isNotExist(err) {
		if in.txnSum.bytes == 0 {
			return 0
		}
		err = nil
	}
	var txns []AbortedTxn
	if err == nil {
		err = in.txnSum.check(b)
	}
	if err == nil {
		txns, err = parseTxnIndex(b, base)
	}
	if err != nil {
		in.problem(file, -1, Repairable, "%v: made anew from the log", err)
	}
	return len(txns)
}

// scanStart is the position to read batches from, the one a start would begin at; ok is false when it would not
// read the segment.
func (in segmentInspector) scanStart(f vfs.File, base, size int64, offsets []offsetEntry) (from int64, ok bool) {
	limit := len(offsets)
	switch {
	case in.recovered:
		limit = sort.Search(len(offsets), func(i int) bool { return base+int64(offsets[i].relOffset) >= in.p.RecoveryPoint })
	case !in.active && !in.verify:
		return 0, false
	}
	if limit > 0 {
		e := offsets[limit-1]
		var w headerWalk
		w.open(f, size, false)
		b, _, err := w.at(int64(e.position))
		w.close()
		if err == nil && b.last == base+int64(e.relOffset) {
			from = b.position
		} else {
			in.problem(offsetFileName(base)+offsetCodec.suffix, -1, Repairable, "its entry for offset %d does not name a batch: made anew",
				base+int64(e.relOffset))
		}
	}
	if r := in.p.Recovery; in.recovered && r != nil {
		if r.FromPosition < 0 {
			r.FromPosition = from
		}
		r.ScanBytes += size - from
	}
	if in.verify {
		from = 0
	}
	return from, true
}

// walk reads the batches from the position of c on. It reports whether it met bytes that are no good batch.
func (in segmentInspector) walk(f vfs.File, s *SegmentInspection, c *batchCheck) (torn bool) {
	var w headerWalk
	w.open(f, s.Size, false)
	defer w.close()
	var buf []byte
	s.endOffset = s.BaseOffset
	next := in.minOffset
	if c.from > 0 {
		next = s.BaseOffset
	}
	bad := func(pos int64, err error) bool {
		severity := Damage
		if in.recovered && s.endOffset >= in.p.RecoveryPoint {
			severity = Repairable
			in.p.Recovery.CutBytes += s.Size - pos
		}
		in.problem(c.name+".log", pos, severity, "%v; the last good batch ends at offset %d", err, s.endOffset)
		return true
	}
	for pos := c.from; ; {
		at, h, err := w.at(pos)
		if err == io.EOF {
			return false
		}
		if err != nil {
			return bad(pos, err)
		}
		if at.base < next {
			return bad(pos, errors.New("offsets go back"))
		}
		count := h.Count() // before the next read takes the header's place
		if in.verify || in.recovered {
			if int64(cap(buf)) < at.size {
				buf = make([]byte, at.size)
			}
			batch := recordbatch.Batch(buf[:at.size])
			if err := readFull(f, batch, pos, false); err != nil {
				return bad(pos, err)
			}
			if err := batch.CheckCRC(); err != nil {
				return bad(pos, err)
			}
		}
		if in.verify {
			c.batch(in.inspector, at)
		}
		s.Batches++
		s.Records += int64(count)
		s.LastOffset, s.endOffset, next = at.last, at.last+1, at.last+1
		s.MaxTimestamp = max(s.MaxTimestamp, at.maxTimestamp)
		pos = at.end()
	}
}

// readIndex reads an index file and checks its order. Entries behind a damaged one are not returned.
func readIndex[E any](in segmentInspector, codec *entryCodec[E], name string, logSize int64) []E {
	file := name + codec.suffix
	// An index has at most one entry for each batch.
	limit := (logSize/recordbatch.HeaderSize + 2) * int64(codec.size)
	b, err := vfs.ReadFile(in.fsys, filepath.Join(in.dir, file), max(limit, 16<<20))
	if isNotExist(err) && (logSize == 0 || in.recovered) {
		return nil // entries are written in blocks; a recovery makes what is missing
	}
	if err != nil {
		in.problem(file, -1, Repairable, "%v: made anew from the log", err)
		return nil
	}
	if len(b)%codec.size != 0 {
		in.problem(file, int64(len(b)/codec.size*codec.size), Repairable, "%d bytes are no whole entry: made anew from the log", len(b)%codec.size)
	}
	entries := make([]E, 0, len(b)/codec.size)
	for i := 0; i+codec.size <= len(b); i += codec.size {
		if allZero(b[i:i+codec.size]) && allZero(b[i:]) {
			return entries // room that Kafka sets aside in the indexes of the active segment
		}
		e := codec.get(b[i:])
		if n := len(entries); n > 0 && !codec.follows(entries[n-1], e) {
			in.problem(file, int64(i), Repairable, "entry %d is out of order: made anew from the log", n)
			return entries
		}
		entries = append(entries, e)
	}
	return entries
}

// batchCheck compares index entries with batches as these pass by.
type batchCheck struct {
	name         string
	base         int64
	from         int64 // position to begin at
	offsets      []offsetEntry
	times        []timeEntry
	maxTimestamp int64
	offsetsBad   bool
	timesBad     bool
}

func (c *batchCheck) batch(in inspector, at batchAt) {
	for len(c.offsets) > 0 && int64(c.offsets[0].position) < at.end() {
		if e := c.offsets[0]; int64(e.position) != at.position || c.base+int64(e.relOffset) != at.last {
			c.badOffset(in)
		}
		c.offsets = c.offsets[1:]
	}
	c.maxTimestamp = max(c.maxTimestamp, at.maxTimestamp)
	for len(c.times) > 0 && c.base+int64(c.times[0].relOffset) <= at.last {
		if e := c.times[0]; c.base+int64(e.relOffset) < at.base || e.timestamp != at.maxTimestamp {
			c.badTime(in)
		}
		c.times = c.times[1:]
	}
}

// finish is called behind the last batch: no entry may be left.
func (c *batchCheck) finish(in inspector) {
	if len(c.offsets) > 0 {
		c.badOffset(in)
	}
	if len(c.times) > 0 {
		c.badTime(in)
	}
}

// badOffset and badTime report each file once.
func (c *batchCheck) badOffset(in inspector) {
	if !c.offsetsBad {
		c.offsetsBad = true
		in.problem(c.name+offsetCodec.suffix, -1, Repairable, "its entry for offset %d names no batch: made anew from the log",
			c.base+int64(c.offsets[0].relOffset))
	}
}

func (c *batchCheck) badTime(in inspector) {
	if !c.timesBad {
		c.timesBad = true
		in.problem(c.name+timeCodec.suffix, -1, Repairable, "its entry for offset %d has not the timestamp of that batch: made anew from the log",
			c.base+int64(c.times[0].relOffset))
	}
}
