package engine

import (
	"errors"
	"sync"
	"syscall"

	"kserver/engine/vfs"
)

// errSegmentGone: the segment was deleted and nobody holds its file; look the offset up again.
var errSegmentGone = errors.New("segment is gone")

// handlePool bounds the descriptors of segments nobody is using at the moment. A segment opens its files when
// it is first used; when more than limit files are open, the pool closes those of segments that are neither
// pinned nor dirty, second chance first.
//
// Lock order: LogSegment.mu before handlePool.mu. The pool takes other segments' locks only by TryLock.
type handlePool struct {
	fs    vfs.FS
	limit int

	mu       sync.Mutex
	open     int           // files
	segments []*LogSegment // those with at least one open file
	hand     int           // where the next eviction looks first
}

// opened notes one more open file of s; first is set when it is the only one. s.mu is held.
func (p *handlePool) opened(s *LogSegment, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
	if first {
		s.poolSlot = int32(len(p.segments))
		p.segments = append(p.segments, s)
	}
	if p.open > p.limit {
		p.evictLocked(p.open - p.limit)
	}
}

// closed notes that s closed its n files. s.mu is held.
func (p *handlePool) closed(s *LogSegment, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(s, n)
}

func (p *handlePool) removeLocked(s *LogSegment, n int) {
	p.open -= n
	last := len(p.segments) - 1
	moved := p.segments[last]
	p.segments[s.poolSlot] = moved
	moved.poolSlot = s.poolSlot
	p.segments[last] = nil
	p.segments = p.segments[:last]
}

// evictLocked closes about n files, looking at each segment at most twice.
func (p *handlePool) evictLocked(n int) {
	for tries := 2 * len(p.segments); tries > 0 && n > 0 && len(p.segments) > 0; tries-- {
		p.hand = (p.hand + 1) % len(p.segments)
		s := p.segments[p.hand]
		if !s.mu.TryLock() {
			continue
		}
		if s.idleLocked() && !s.used {
			closed := s.closeFilesLocked()
			p.removeLocked(s, closed)
			n -= closed
		}
		s.used = false
		s.mu.Unlock()
	}
}

// idleLocked: the segment's descriptors may be closed. Its mu is held.
func (s *LogSegment) idleLocked() bool { return s.pins == 0 && !s.dirty.Load() && !s.kept.Load() }

// openFile opens a file of a segment, making room once when the process is out of descriptors.
func (p *handlePool) openFile(path string, create bool) (vfs.File, error) {
	f, err := p.fs.OpenReadWrite(path, create)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		p.mu.Lock()
		p.evictLocked(max(p.open/4, 1))
		p.mu.Unlock()
		f, err = p.fs.OpenReadWrite(path, create)
	}
	return f, err
}

// openFiles is the number of open files, for metrics.
func (p *handlePool) openFiles() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// segmentFile numbers the files a segment keeps open.
type segmentFile int

const (
	logFile segmentFile = iota
	offsetIndexFile
	timeIndexFile
	segmentFileCount
)

var segmentSuffix = [segmentFileCount]string{".log", ".index", ".timeindex"}

// acquire pins the segment and returns its log file, which stays open and readable until release, whatever
// happens to its name. errSegmentGone if it was deleted and is not open any more.
func (s *LogSegment) acquire() (vfs.File, error) { return s.pin(false) }

// acquireForAppend is acquire for the appender, whose first append makes the file.
func (s *LogSegment) acquireForAppend() (vfs.File, error) { return s.pin(true) }

func (s *LogSegment) pin(create bool) (vfs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.fileLocked(logFile, create)
	if err != nil {
		return nil, err
	}
	s.pins++
	s.used = true
	return f, nil
}

// release undoes one acquire.
func (s *LogSegment) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins--
	if s.pins < 0 {
		panic("engine: segment released more often than acquired: " + s.prefix())
	}
	if s.pins == 0 && s.gone {
		s.closeAndForgetLocked()
	}
}

// file returns one of the segment's files. The segment must be pinned.
func (s *LogSegment) file(which segmentFile, create bool) (vfs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fileLocked(which, create)
}

func (s *LogSegment) fileLocked(which segmentFile, create bool) (vfs.File, error) {
	if f := s.files[which]; f != nil {
		return f, nil
	}
	if s.gone {
		return nil, errSegmentGone
	}
	f, err := s.pool.openFile(s.prefix()+segmentSuffix[which], create)
	if err != nil {
		return nil, err
	}
	first := s.openCountLocked() == 0
	s.files[which] = f
	s.pool.opened(s, first)
	return f, nil
}

func (s *LogSegment) openCountLocked() (n int) {
	for _, f := range s.files {
		if f != nil {
			n++
		}
	}
	return n
}

// abandon marks the segment as deleted: its files are closed as soon as nobody has it pinned, and never
// opened again.
func (s *LogSegment) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	if s.pins == 0 {
		s.closeAndForgetLocked()
	}
}

func (s *LogSegment) closeAndForgetLocked() {
	if n := s.closeFilesLocked(); n > 0 {
		s.pool.closed(s, n)
	}
}

// closeFilesLocked closes what is open, and forgets what was read of indexes. Close errors say nothing here: what had to
// be durable was synced.
func (s *LogSegment) closeFilesLocked() (n int) {
	s.offsets.forget()
	s.times.forget()
	for i, f := range s.files {
		if f != nil {
			_ = f.Close()
			s.files[i] = nil
			n++
		}
	}
	return n
}

// adopt takes over the open log file of a segment just created.
func (s *LogSegment) adopt(f vfs.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[logFile] = f
	s.used = true
	s.pool.opened(s, true)
}
