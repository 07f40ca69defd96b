package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"kserver/engine/vfs"
	"kserver/pagecache"
)

// Entry sizes of Kafka's index files.
const (
	offsetEntryBytes = 8
	timeEntryBytes   = 12
)

// indexBlockEntries is how many entries are read and cached at a time: those of 2 MiB of the log, so that they tell where
// a fetch of 1 MiB ends. indexTailEntries is how many are kept unwritten at most, since every log that is written to has
// some.
const (
	indexBlockEntries = 512
	indexTailEntries  = 64
)

// offsetEntry maps the last offset of a batch to the position of its first byte. Kafka's OffsetIndex.
type offsetEntry struct {
	relOffset int32 // last offset of the batch minus the segment's base offset
	position  int32
}

// timeEntry says that no record up to and including relOffset is younger than timestamp. Kafka's TimeIndex.
type timeEntry struct {
	timestamp int64 // ms
	relOffset int32
}

// entryCodec is how one kind of entry lies in its file, and its order.
type entryCodec[E any] struct {
	file   segmentFile
	suffix string
	size   int
	append func(dst []byte, e E) []byte
	get    func(src []byte) E
	// follows reports whether next may stand behind prev.
	follows func(prev, next E) bool
}

var offsetCodec = entryCodec[offsetEntry]{
	file: offsetIndexFile, suffix: ".index", size: offsetEntryBytes,
	append: func(dst []byte, e offsetEntry) []byte {
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, uint32(e.relOffset)), uint32(e.position))
	},
	get: func(src []byte) offsetEntry {
		return offsetEntry{int32(binary.BigEndian.Uint32(src)), int32(binary.BigEndian.Uint32(src[4:]))}
	},
	follows: func(prev, next offsetEntry) bool {
		return next.relOffset > prev.relOffset && next.position > prev.position
	},
}

var timeCodec = entryCodec[timeEntry]{
	file: timeIndexFile, suffix: ".timeindex", size: timeEntryBytes,
	append: func(dst []byte, e timeEntry) []byte {
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, uint64(e.timestamp)), uint32(e.relOffset))
	},
	get: func(src []byte) timeEntry {
		return timeEntry{int64(binary.BigEndian.Uint64(src)), int32(binary.BigEndian.Uint32(src[8:]))}
	},
	follows: func(prev, next timeEntry) bool {
		return next.timestamp > prev.timestamp && next.relOffset >= prev.relOffset
	},
}

// errBadIndex: an index file contradicts itself or its log. The index is rebuilt.
var errBadIndex = errors.New("index file is damaged")

// indexOwner has the files of a segment.
type indexOwner interface {
	file(which segmentFile, create bool) (vfs.File, error)
}

// indexFile is a sorted file of fixed-size entries: a part on disk, which never changes but by truncation,
// and a tail in memory that is written once it is long enough. One goroutine appends (the holder of the log's
// append lock); lookups may run beside it. Every method that may touch the file needs its segment pinned.
type indexFile[E any] struct {
	codec *entryCodec[E]
	owner indexOwner

	mu        sync.Mutex
	persisted int         // entries in the file
	tail      []byte      // entries behind those, as they will be in the file
	last      E           // newest entry, if count > 0
	block     *indexBlock // what a lookup has read, or nil
}

// indexBlock is a copy of an index file from the first-th entry on, at least one. It is not changed.
type indexBlock struct {
	first   int
	entries []byte
}

// init makes x the index of an owner that has no entry yet.
func (x *indexFile[E]) init(codec *entryCodec[E], owner indexOwner) { x.codec, x.owner = codec, owner }

func (x *indexFile[E]) open(create bool) (vfs.File, error) { return x.owner.file(x.codec.file, create) }

// OffsetIndex and TimeIndex are the two indexes of a segment.
type (
	OffsetIndex = indexFile[offsetEntry]
	TimeIndex   = indexFile[timeEntry]
)

// in is how many entries b holds, and entry the i-th of them.
func (x *indexFile[E]) in(b []byte) int             { return len(b) / x.codec.size }
func (x *indexFile[E]) entry(b []byte, i int) (e E) { return x.codec.get(b[i*x.codec.size:]) }

func (x *indexFile[E]) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.countLocked()
}

func (x *indexFile[E]) countLocked() int { return x.persisted + x.in(x.tail) }

// lastEntry returns the newest entry; ok is false when there is none.
func (x *indexFile[E]) lastEntry() (e E, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last, x.countLocked() > 0
}

// append adds e if it continues the order, and writes the tail when it is long enough. A full disk is no
// error: the entries stay in memory and are written later.
func (x *indexFile[E]) append(e E) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.countLocked() > 0 && !x.codec.follows(x.last, e) {
		return nil
	}
	x.tail = x.codec.append(x.tail, e)
	x.last = e
	if x.in(x.tail)%indexTailEntries != 0 {
		return nil
	}
	if err := x.flushLocked(); err != nil && !isDiskFull(err) {
		return err
	}
	return nil
}

// flush writes the tail to the file, which exists afterwards even if it has no entry, and keeps no memory for another.
func (x *indexFile[E]) flush() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.flushLocked(); err != nil {
		return err
	}
	x.tail = nil
	return nil
}

func (x *indexFile[E]) flushLocked() error {
	f, err := x.open(true)
	if err != nil || len(x.tail) == 0 {
		return err
	}
	if _, err := f.WriteAt(x.tail, int64(x.persisted)*int64(x.codec.size)); err != nil {
		return err
	}
	x.persisted += x.in(x.tail)
	x.tail = x.tail[:0]
	return nil
}

// flushed says whether every entry is in the file.
func (x *indexFile[E]) flushed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.tail) == 0
}

// load takes the file as it is on disk. With all set every entry is checked, else only the last one.
// errBadIndex (or fs.ErrNotExist) tells the caller to rebuild.
func (x *indexFile[E]) load(all bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reset(0)
	f, err := x.open(false)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size%int64(x.codec.size) != 0 {
		return fmt.Errorf("%w: %d bytes is no multiple of %d", errBadIndex, size, x.codec.size)
	}
	n := int(size / int64(x.codec.size))
	if n == 0 {
		return nil
	}
	if all {
		if err := x.checkOrder(f, n); err != nil {
			return err
		}
	}
	entries, err := x.readEntries(f, n-1, 1, false)
	if err != nil {
		return err
	}
	x.persisted, x.last = n, entries[0]
	return nil
}

func (x *indexFile[E]) checkOrder(f vfs.File, n int) error {
	var prev E
	for i := 0; i < n; {
		entries, err := x.readEntries(f, i, min(indexBlockEntries, n-i), false)
		if err != nil {
			return err
		}
		for j, e := range entries {
			if i+j > 0 && !x.codec.follows(prev, e) {
				return fmt.Errorf("%w: entry %d is out of order", errBadIndex, i+j)
			}
			prev = e
		}
		i += len(entries)
	}
	return nil
}

// reset forgets everything but the first n entries of the file. The caller holds mu.
func (x *indexFile[E]) reset(n int) {
	var zero E
	x.persisted, x.tail, x.last, x.block = n, nil, zero, nil
}

// clear forgets all entries; the file is somebody else's business.
func (x *indexFile[E]) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reset(0)
}

// truncate drops every entry for which keep is false; keep is monotone (true first).
func (x *indexFile[E]) truncate(keep func(E) bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := sort.Search(x.in(x.tail), func(i int) bool { return !keep(x.entry(x.tail, i)) })
	if n > 0 || x.persisted == 0 {
		x.tail = x.tail[:n*x.codec.size]
		if n > 0 {
			x.last = x.entry(x.tail, n-1)
		}
		return nil
	}
	x.tail = nil
	f, err := x.open(false)
	if err != nil {
		return err
	}
	at, last, found, err := x.searchFile(f, x.persisted, keep, false)
	if err != nil {
		return err
	}
	left := 0
	if found {
		left = at + 1
	}
	if left == x.persisted {
		x.last = last
		return nil
	}
	x.reset(left)
	x.last = last
	return f.Truncate(int64(left) * int64(x.codec.size))
}

// readEntries reads n entries of the file from entry first on.
func (x *indexFile[E]) readEntries(f vfs.File, first, n int, noWait bool) ([]E, error) {
	b, err := x.read(f, first, n, noWait)
	if err != nil {
		return nil, err
	}
	entries := make([]E, n)
	for i := range entries {
		entries[i] = x.entry(b, i)
	}
	return entries, nil
}

// read is readEntries without looking into them.
func (x *indexFile[E]) read(f vfs.File, first, n int, noWait bool) ([]byte, error) {
	b := make([]byte, n*x.codec.size)
	if err := readFull(f, b, int64(first)*int64(x.codec.size), noWait); err != nil {
		if err == io.ErrUnexpectedEOF {
			err = fmt.Errorf("%w: file is shorter than its entries", errBadIndex)
		}
		return nil, err
	}
	return b, nil
}

// find returns the last entry for which before is true; before is monotone (true first). found is false when
// there is no such entry. With noWait it returns ErrWouldBlock instead of waiting for the disk.
func (x *indexFile[E]) find(before func(E) bool, noWait bool) (e E, found bool, err error) {
	x.mu.Lock()
	if e, found = x.lastTrue(x.tail, before); found {
		x.mu.Unlock()
		return e, true, nil
	}
	n := x.persisted
	if n == 0 {
		x.mu.Unlock()
		return e, false, nil
	}
	if b := x.block; b != nil && (b.first+x.in(b.entries) == n || !before(x.entry(b.entries, x.in(b.entries)-1))) {
		if e, found = x.lastTrue(b.entries, before); found {
			x.mu.Unlock()
			return e, true, nil
		}
	}
	x.mu.Unlock()

	f, err := x.open(false)
	if err != nil {
		return e, false, err
	}
	_, e, found, err = x.searchFile(f, n, before, noWait)
	return e, found, err
}

// trim keeps no more memory than the entries take that are not in the file.
func (x *indexFile[E]) trim() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tail, x.block = append([]byte(nil), x.tail...), nil
}

// forget drops what lookups have left behind, unless somebody is at it. Its segment's mu may be held.
func (x *indexFile[E]) forget() {
	if x.mu.TryLock() {
		x.block = nil
		x.mu.Unlock()
	}
}

// lastTrue is the last entry of b for which before is true, if there is one.
func (x *indexFile[E]) lastTrue(b []byte, before func(E) bool) (e E, found bool) {
	n := sort.Search(x.in(b), func(i int) bool { return !before(x.entry(b, i)) })
	if n == 0 {
		return e, false
	}
	return x.entry(b, n-1), true
}

// searchFile finds the last of the file's first n entries for which before is true, and its number.
func (x *indexFile[E]) searchFile(f vfs.File, n int, before func(E) bool, noWait bool) (int, E, bool, error) {
	var zero E
	var failed error
	blocks := (n + indexBlockEntries - 1) / indexBlockEntries
	// The first block whose first entry is past the target; the target is in the block before it.
	b := sort.Search(blocks, func(i int) bool {
		if failed != nil {
			return true
		}
		first, err := x.read(f, i*indexBlockEntries, 1, noWait)
		if err != nil {
			failed = err
			return true
		}
		return !before(x.entry(first, 0))
	})
	if failed != nil || b == 0 {
		return 0, zero, false, failed
	}
	first := (b - 1) * indexBlockEntries
	entries, err := x.read(f, first, min(indexBlockEntries, n-first), noWait)
	if err != nil {
		return 0, zero, false, err
	}
	i := sort.Search(x.in(entries), func(i int) bool { return !before(x.entry(entries, i)) }) - 1
	if i < 0 { // the file changed under us, or is not sorted
		return 0, zero, false, errBadIndex
	}
	if x.mu.TryLock() { // keep the block for the next reader of this stretch; never needed
		if x.persisted >= first+x.in(entries) {
			x.block = &indexBlock{first, entries}
		}
		x.mu.Unlock()
	}
	return first + i, x.entry(entries, i), true, nil
}

// readFull fills p from off. io.ErrUnexpectedEOF when the file ends first; with noWait, ErrWouldBlock when
// the bytes are not in the page cache.
func readFull(f vfs.File, p []byte, off int64, noWait bool) error {
	if fd := f.Fd(); noWait && fd >= 0 {
		n, ok, err := pagecache.ReadNoWait(fd, p, off)
		switch {
		case errors.Is(err, pagecache.ErrUnsupported): // this file system cannot say: read and maybe wait
		case err != nil:
			return err
		case !ok:
			return ErrWouldBlock
		case n < len(p):
			return io.ErrUnexpectedEOF
		default:
			return nil
		}
	}
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF || err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}

// findCached is find among the entries that are in memory.
func (x *indexFile[E]) findCached(before func(E) bool) (e E, found bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e, found = x.lastTrue(x.tail, before); !found && x.block != nil {
		e, found = x.lastTrue(x.block.entries, before)
	}
	return e, found
}
