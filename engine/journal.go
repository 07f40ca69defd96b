package engine

import (
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"sync"
	"sync/atomic"

	"kserver/engine/vfs"
)

// commitJournal is a log directory's write-ahead file for rounds with many dirty files or little to write: a round
// appends the new bytes of all files as one frame and syncs that, instead of each segment. The segments are synced
// later, many rounds at once, by the keeper; after a crash what the journal holds is written to them again (see
// replayJournal). So a partition's record is acknowledged after one sync whatever the number of partitions, and new
// partitions and segments need no sync of their names before it.
//
// The bytes of the journal are preallocated in files of equal size, which are used in turn, so that a sync writes data
// and no metadata of the file system. A file is used again when every frame in it lies below the tail that a durable
// frame tells. A start makes new files when it has something to gain from them (Config.journalAfter), and a clean stop
// removes them, so that a plain Kafka directory stays behind.
//
// The committer appends; the keeper makes files, syncs segments and moves the tail. mu guards what both use.
type commitJournal struct {
	d         *logDir
	id        [16]byte
	fileBytes int64

	// ready: there are files, rounds may be appended. Only the committer makes it false.
	ready atomic.Bool

	// Owned by the committer.
	worth   int // rounds so far that would have gained by a journal
	current int // the file that is written
	first   []byte
	next    []byte
	table   []journalEntry
	sources []vfs.File // of the entries of table
	pending journalFrame

	mu          sync.Mutex // a leaf
	files       []*journalFile
	wanted      int    // files to be made
	seq         uint64 // of the newest durable frame
	tail        uint64 // the oldest frame that is needed
	durableTail uint64 // the tail told by a durable frame
	unsynced    []*Log // with bytes in frames from tail on that are not synced in their segments
	deleted     map[TopicPartition]uint64
	full        bool // a round found no room since the last flush
	dirMade     bool // there is a directory, perhaps without files
	released    bool // it is gone

	kept atomic.Int64 // segments that keep their descriptors for the flush

	rounds, bytes, refused, flushes atomic.Uint64
}

// journalFile is one preallocated file.
type journalFile struct {
	f      vfs.File
	used   int64  // bytes written since it was begun anew
	newest uint64 // the newest frame in it; 0 none
}

// journalChunk is how much of a frame is gathered in memory at a time, twice.
const journalChunk = 1 << 20

// maxJournalFrame bounds a frame: one more large is no cheaper than syncing segments.
const maxJournalFrame = 16 << 20

func newCommitJournal(d *logDir) *commitJournal {
	size := d.m.cfg.JournalBytes / journalFiles / journalBlock * journalBlock
	return &commitJournal{
		d: d, id: newUUID(), fileBytes: size, tail: 1, durableTail: 1, deleted: make(map[TopicPartition]uint64),
	}
}

// enabled says that the directory may have a journal.
func (j *commitJournal) enabled() bool { return j.fileBytes >= 4*journalBlock }

// room finds the place for a frame of n bytes: in the current file or at the begin of the next one. ok is false when
// there is none before the next flush. A block at the end of each file stays free for moveTail. Committer only.
func (j *commitJournal) room(n int64) (file *journalFile, off int64, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	file = j.files[j.current]
	if file.used+n+journalBlock <= j.fileBytes {
		return file, file.used, true
	}
	if n+journalBlock > j.fileBytes {
		return nil, 0, false
	}
	at := (j.current + 1) % len(j.files)
	if next := j.files[at]; next.newest < j.durableTail {
		j.current = at
		next.used, next.newest = 0, 0
		return next, 0, true
	}
	j.full = true
	if j.wanted == len(j.files) {
		j.wanted = min(j.wanted+1, journalFiles)
	}
	j.d.keeper.poke()
	return nil, 0, false
}

// begin empties the table of the frame that is to be appended next. Committer only.
func (j *commitJournal) begin() { j.table, j.sources = j.table[:0], j.sources[:0] }

// add puts the bytes of a segment from position from to to into that frame. The segment is pinned until append is
// over.
func (j *commitJournal) add(name string, topicID [16]byte, base int64, f vfs.File, from, to int64) {
	j.table = append(j.table, journalEntry{kind: journalWrite, name: name, topicID: topicID, base: base, position: from, length: to - from})
	j.sources = append(j.sources, f)
}

// forget puts into that frame that the partition's entries before it are void.
func (j *commitJournal) forget(name string) {
	j.table = append(j.table, journalEntry{kind: journalForget, name: name})
	j.sources = append(j.sources, nil)
}

// frame makes the frame of the entries added since begin; ok is false if it would be too large.
func (j *commitJournal) frame() (frame *journalFrame, ok bool) {
	frame = &j.pending
	*frame = journalFrame{entries: j.table}
	for i := range j.table {
		frame.table += j.table[i].bytes()
		frame.payload += j.table[i].length
	}
	return frame, frame.table <= maxJournalTable && frame.size() <= min(maxJournalFrame, j.fileBytes-journalBlock)
}

// write numbers the frame and puts it into the file. It is durable when file.f has been synced, and counts when written was called.
func (j *commitJournal) write(frame *journalFrame, file *journalFile, off int64) error {
	if j.first == nil {
		j.first, j.next = make([]byte, journalChunk), make([]byte, journalChunk)
	}
	// The head has the checksums of the payload and is written last, or all at once if it fits.
	j.mu.Lock()
	frame.id, frame.seq, frame.tail = j.id, j.seq+1, j.tail
	j.mu.Unlock()
	w := journalWriter{f: file.f, off: off, head: j.first, buf: j.first, n: journalHeaderBytes + frame.table, spare: j.next}
	for i := range frame.entries {
		if e := &frame.entries[i]; e.length > 0 {
			if err := w.copy(e, j.sources[i]); err != nil {
				return err
			}
		}
	}
	frame.encode(j.first)
	return w.finish()
}

// journalWriter gathers a frame in chunks. The first chunk is held back until the end.
type journalWriter struct {
	f     vfs.File
	off   int64 // of the frame, then of the chunk in buf
	head  []byte
	buf   []byte // the chunk that is filled: head at first, spare later
	spare []byte
	n     int // bytes in buf
	later bool
	begin int64
}

// copy adds the bytes of an entry and notes their checksum.
func (w *journalWriter) copy(e *journalEntry, src vfs.File) error {
	for at, left := e.position, e.length; left > 0; {
		if w.n == len(w.buf) {
			if err := w.nextChunk(); err != nil {
				return err
			}
		}
		b := w.buf[w.n:min(int64(len(w.buf)), int64(w.n)+left)]
		if err := readFull(src, b, at, false); err != nil {
			return fmt.Errorf("read of %s-%d: %w", e.name, e.base, err)
		}
		e.crc = crc32.Update(e.crc, castagnoli, b)
		w.n, at, left = w.n+len(b), at+int64(len(b)), left-int64(len(b))
	}
	return nil
}

func (w *journalWriter) nextChunk() error {
	if !w.later {
		w.later, w.begin = true, w.off
		w.buf = w.spare
	} else if _, err := w.f.WriteAt(w.buf, w.off); err != nil {
		return err
	}
	w.off += int64(len(w.head))
	w.n = 0
	return nil
}

// finish fills the last block with zeros and writes what is left.
func (w *journalWriter) finish() error {
	whole := (w.n + journalBlock - 1) / journalBlock * journalBlock
	clear(w.buf[w.n:whole])
	if _, err := w.f.WriteAt(w.buf[:whole], w.off); err != nil {
		return err
	}
	if !w.later {
		return nil
	}
	_, err := w.f.WriteAt(w.head, w.begin)
	return err
}

// written takes a durable frame into account. Committer only.
func (j *commitJournal) written(frame *journalFrame, file *journalFile) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq, j.durableTail = frame.seq, frame.tail
	file.used += frame.size()
	file.newest = frame.seq
	if len(frame.entries) == 0 {
		return
	}
	j.rounds.Add(1)
	j.bytes.Add(uint64(frame.size()))
}

// moveTail makes the tail durable by an empty frame in the block that each file keeps for it, so that the next file
// can be used again. It does nothing if that would not give room. Committer only.
func (j *commitJournal) moveTail() error {
	var frame journalFrame
	j.mu.Lock()
	file, next := j.files[j.current], j.files[(j.current+1)%len(j.files)]
	off, gains := file.used, next.newest < j.tail && file.used+journalBlock <= j.fileBytes
	j.mu.Unlock()
	if !gains {
		return nil
	}
	err := j.write(&frame, file, off)
	if err == nil {
		err = file.f.Sync()
	}
	if err == nil {
		j.written(&frame, file)
	}
	return err
}

// mayHold says that a replay could find entries of the partition that leaves.
func (j *commitJournal) mayHold(d departure) bool {
	if d.log == nil {
		return j.holdsDeleted(d.tp)
	}
	d.log.viewMu.Lock()
	newest := d.log.behind.newest
	d.log.viewMu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	return newest >= j.durableTail
}

// noteUnsynced has the next flush sync the log's segments.
func (j *commitJournal) noteUnsynced(l *Log) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unsynced = append(j.unsynced, l)
}

// noteDeleted remembers that the journal may hold frames of a log whose name may be used again. The round under way
// may be one.
func (j *commitJournal) noteDeleted(tp TopicPartition) {
	if !j.ready.Load() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.deleted[tp] = j.seq + 1
}

// holdsDeleted says that the journal may hold frames of a deleted log of this name.
func (j *commitJournal) holdsDeleted(tp TopicPartition) bool {
	if !j.ready.Load() {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	seq, found := j.deleted[tp]
	return found && seq >= j.durableTail
}

// used is what the frames that are needed take, in bytes, and of how many.
func (j *commitJournal) used() (used, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, file := range j.files {
		if file.newest >= j.tail {
			used += file.used
		}
	}
	return used, int64(len(j.files)) * j.fileBytes
}

// makeFile preallocates one more file: zeros that are durable, because a sync of blocks that were never written would
// also have to sync where they are.
func (j *commitJournal) makeFile(i int) (err error) {
	fsys := j.d.m.cfg.FS
	dir := filepath.Join(j.d.path, journalDirName)
	j.mu.Lock()
	j.dirMade = true
	j.mu.Unlock()
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, journalFileName(i))
	f, err := fsys.Create(path)
	if err != nil {
		return err
	}
	zeros := make([]byte, min(journalChunk, j.fileBytes))
	for off := int64(0); off < j.fileBytes && err == nil; off += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), j.fileBytes-off)], off)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil && !planted(bugJournalUnnamed) {
		err = errors.Join(fsys.SyncDir(dir), fsys.SyncDir(j.d.path))
	}
	if err != nil {
		return errors.Join(err, f.Close(), fsys.Remove(path))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.files = append(j.files, &journalFile{f: f})
	return nil
}

// remove is release while the log directory stays in use. There may be a new journal later. Committer only.
func (j *commitJournal) remove() error {
	j.ready.Store(false)
	if err := j.release(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.released, j.wanted, j.current, j.full = false, 0, 0, false
	j.tail, j.durableTail = j.seq+1, j.seq+1
	clear(j.deleted)
	return nil
}

// release closes and removes the files. Nothing in them is needed any more, and nobody appends.
func (j *commitJournal) release() error {
	j.mu.Lock()
	files, made := j.files, j.dirMade
	j.files, j.dirMade, j.released = nil, false, true
	j.mu.Unlock()
	if !made {
		return nil
	}
	for _, file := range files {
		_ = file.f.Close() // what had to be durable was synced
	}
	return removeJournal(j.d.m.cfg.FS, j.d.path)
}

// abandon closes the files and leaves them to the next start.
func (j *commitJournal) abandon() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, file := range j.files {
		_ = file.f.Close() // what had to be durable was synced
	}
	j.files, j.released = nil, true
}

// JournalStats counts what the commit journal of a log directory did.
type JournalStats struct {
	Rounds uint64 // rounds made durable by it
	Bytes  uint64 // written to it, frames whole
	// Refused are rounds that it was too full for; their segments were synced instead.
	Refused uint64
	Flushes uint64 // times that the segments behind it were synced
	Size    int64  // bytes of its files
}

func (j *commitJournal) stats() JournalStats {
	_, size := j.used()
	return JournalStats{
		Rounds: j.rounds.Load(), Bytes: j.bytes.Load(), Refused: j.refused.Load(), Flushes: j.flushes.Load(), Size: size,
	}
}
