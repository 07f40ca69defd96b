package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"

	"kserver/engine/vfs"
)

// The commit journal's files hold frames, one for each round that went through the journal. A frame begins at a
// multiple of journalBlock and is
//
//	offset  bytes
//	     0      8  magic "ksjourn1"
//	     8     16  id of the journal, random; frames of another id are not of this journal
//	    24      8  sequence number of the frame, from 1
//	    32      8  tail: frames below this sequence number are not needed any more
//	    40      4  number of entries
//	    44      4  bytes of the table
//	    48      8  bytes of the payload
//	    56      4  CRC-32C of the bytes 0 to 55 and the table
//	    60         table, then payload: the bytes of the entries one after another; zeros up to the next block
//
// and an entry of the table
//
//	 0      1  kind
//	 1      1  bytes of the name, n
//	 2     16  topic id, zeros if it is not known
//	18      8  base offset of the segment
//	26      8  position of the bytes in the segment's log file
//	34      4  number of bytes
//	38      4  CRC-32C of the bytes
//	42      n  name of the partition's directory
//
// Numbers are big-endian, as in Kafka's files.
const (
	journalMagic       = "ksjourn1"
	journalBlock       = 4096
	journalHeaderBytes = 60
	journalEntryBytes  = 42
	// maxJournalTable bounds a table: ten thousand partitions with names of 60 bytes.
	maxJournalTable = journalChunk - journalHeaderBytes
	// maxJournalName is the longest name of a partition's directory that an entry can hold, and Linux takes.
	maxJournalName = 255
)

// The kinds of entries.
const (
	// journalWrite: the payload belongs at a position of a segment.
	journalWrite = 1
	// journalForget: earlier entries of the partition are void, because its log has been truncated, had segments
	// deleted or replaced, or was deleted itself since.
	journalForget = 2
)

// journalEntry is one entry of a frame's table.
type journalEntry struct {
	kind     byte
	name     string // of the partition's directory
	topicID  [16]byte
	base     int64
	position int64
	length   int64
	crc      uint32
}

func (e *journalEntry) bytes() int { return journalEntryBytes + len(e.name) }

// journalFrame is the header of a frame with its table.
type journalFrame struct {
	id        [16]byte
	seq, tail uint64
	table     int // bytes
	payload   int64
	entries   []journalEntry
}

// size is what the frame takes in its file.
func (f *journalFrame) size() int64 { return journalFrameBytes(f.table, f.payload) }

// journalFrameBytes is the size of a frame, a multiple of the block.
func journalFrameBytes(table int, payload int64) int64 {
	n := journalHeaderBytes + int64(table) + payload
	return (n + journalBlock - 1) / journalBlock * journalBlock
}

// encode writes header and table to b, which has room for them.
func (f *journalFrame) encode(b []byte) {
	copy(b, journalMagic)
	copy(b[8:], f.id[:])
	binary.BigEndian.PutUint64(b[24:], f.seq)
	binary.BigEndian.PutUint64(b[32:], f.tail)
	binary.BigEndian.PutUint32(b[40:], uint32(len(f.entries)))
	binary.BigEndian.PutUint32(b[44:], uint32(f.table))
	binary.BigEndian.PutUint64(b[48:], uint64(f.payload))
	at := journalHeaderBytes
	for i := range f.entries {
		e := &f.entries[i]
		b[at], b[at+1] = e.kind, byte(len(e.name))
		copy(b[at+2:], e.topicID[:])
		binary.BigEndian.PutUint64(b[at+18:], uint64(e.base))
		binary.BigEndian.PutUint64(b[at+26:], uint64(e.position))
		binary.BigEndian.PutUint32(b[at+34:], uint32(e.length))
		binary.BigEndian.PutUint32(b[at+38:], e.crc)
		at += journalEntryBytes + copy(b[at+journalEntryBytes:], e.name)
	}
	crc := crc32.Update(0, castagnoli, b[:56])
	binary.BigEndian.PutUint32(b[56:], crc32.Update(crc, castagnoli, b[journalHeaderBytes:at]))
}

// errNoFrame: there is no frame here, or what is there is not whole.
var errNoFrame = errors.New("engine: no whole journal frame")

// readJournalFrame reads the header and the table of the frame at off of a file of size bytes. The payload is not
// looked at. errNoFrame if there is none; other errors are the disk's.
func readJournalFrame(f vfs.File, off, size int64) (frame journalFrame, err error) {
	var head [journalHeaderBytes]byte
	if off+journalBlock > size {
		return frame, errNoFrame
	}
	if err := readFull(f, head[:], off, false); err != nil {
		return frame, err
	}
	if string(head[:8]) != journalMagic {
		return frame, errNoFrame
	}
	frame.id = [16]byte(head[8:])
	frame.seq, frame.tail = binary.BigEndian.Uint64(head[24:]), binary.BigEndian.Uint64(head[32:])
	count, table, payload := binary.BigEndian.Uint32(head[40:]), binary.BigEndian.Uint32(head[44:]), binary.BigEndian.Uint64(head[48:])
	if table > maxJournalTable || payload > uint64(size) || uint64(count)*journalEntryBytes > uint64(table) ||
		off+journalFrameBytes(int(table), int64(payload)) > size {
		return frame, errNoFrame
	}
	frame.table, frame.payload = int(table), int64(payload)
	b := make([]byte, table)
	if err := readFull(f, b, off+journalHeaderBytes, false); err != nil {
		return frame, err
	}
	crc := crc32.Update(0, castagnoli, head[:56])
	if crc32.Update(crc, castagnoli, b) != binary.BigEndian.Uint32(head[56:]) && !planted(bugJournalUnchecked) {
		return frame, errNoFrame
	}
	if frame.entries, err = parseJournalTable(b, int(count), frame.payload); err != nil {
		return frame, err
	}
	return frame, nil
}

// parseJournalTable reads a table whose checksum is right; it is held against its own numbers all the same.
func parseJournalTable(b []byte, count int, payload int64) ([]journalEntry, error) {
	entries := make([]journalEntry, 0, count)
	for range count {
		if len(b) < journalEntryBytes || len(b) < journalEntryBytes+int(b[1]) {
			return nil, fmt.Errorf("%w: its table is too short", errNoFrame)
		}
		e := journalEntry{
			kind: b[0], topicID: [16]byte(b[2:]),
			base: int64(binary.BigEndian.Uint64(b[18:])), position: int64(binary.BigEndian.Uint64(b[26:])),
			length: int64(binary.BigEndian.Uint32(b[34:])), crc: binary.BigEndian.Uint32(b[38:]),
			name: string(b[journalEntryBytes : journalEntryBytes+int(b[1])]),
		}
		b = b[e.bytes():]
		payload -= e.length
		if _, ok := parsePartitionDir(e.name); !ok || e.kind != journalWrite && e.kind != journalForget ||
			e.base < 0 || e.position < 0 || e.position+e.length < 0 || payload < 0 || e.kind == journalForget && e.length > 0 {
			return nil, fmt.Errorf("%w: entry for %q", errNoFrame, e.name)
		}
		entries = append(entries, e)
	}
	if len(b) > 0 || payload != 0 {
		return nil, fmt.Errorf("%w: its sizes disagree", errNoFrame)
	}
	return entries, nil
}

const (
	// journalDirName is the journal's directory in the log directory. Kafka takes it for a partition's directory with a
	// bad name and does not start: it would lose what the journal holds.
	journalDirName = "commit-journal"
	// journalGoneName is the directory's name once nothing in it is needed; the start removes what it finds of it.
	journalGoneName = journalDirName + deleteDirSuffix
	// journalFiles is how many files a journal has at most, each of 1/journalFiles of its bytes.
	journalFiles = 8
)

func journalFileName(i int) string { return "journal-" + strconv.Itoa(i) }

// removeJournal takes the journal of a log directory away, in one step for whoever comes after a crash.
func removeJournal(fsys vfs.FS, dir string) error {
	gone := filepath.Join(dir, journalGoneName)
	if err := fsys.RemoveAll(gone); err != nil {
		return err
	}
	if err := fsys.Rename(filepath.Join(dir, journalDirName), gone); err != nil && !isNotExist(err) {
		return err
	}
	if err := fsys.SyncDir(dir); err != nil {
		return err
	}
	return fsys.RemoveAll(gone)
}
