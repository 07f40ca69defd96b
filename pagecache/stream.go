package pagecache

import (
	"container/list"
	"time"
)

const (
	// streamSlack is how far from where a reader is expected it may go on and still be the same: it asks again for
	// what it got only a part of, and readers so near to each other are one.
	streamSlack = 1 << 20
	// passedBehind is how far a reader is ahead of what counts as passed.
	passedBehind = 2 << 20
	// nearBehind is how far behind a reader another may follow for which what the first has passed is kept.
	nearBehind = 64 << 20
	// streamIdle is how long a reader may be silent until nothing is kept for it.
	streamIdle = 10 * time.Second
	// streamKept is how long a reader may be silent until it is forgotten, and its file with it, which may be deleted.
	streamKept = time.Minute
	// readingNow is how long ago those have asked among whom reading ahead is divided.
	readingNow = time.Second
	// maxAhead is the most pieces read ahead for one reader: 8 MiB.
	maxAhead = 32
	// firstAhead is how many are read ahead of one that begins a file or is found to read on.
	firstAhead = 2
)

// stream is a reader that goes through a file, as far as it can be told from what is asked.
type stream struct {
	id   FileID
	file File
	dev  *device
	next int64 // position it is expected to ask for
	used time.Time
	keep bool // it has reached the tail
	at   *list.Element

	ahead    int   // pieces to read ahead of it; grows with what is found cold, shrinks with what is not
	aheadTo  int64 // index of the first piece not looked at yet
	passedTo int64 // index of the first piece not passed yet

	queue  []*piece // to be read for it, in order; the device's
	listed bool     // in the device's list
}

// streamTable is a bounded number of streams; the one that was silent for longest goes first, at the latest when others have
// read on for streamKept.
type streamTable struct {
	files  map[FileID][]*stream
	recent list.List // of *stream, the latest first
	limit  int
}

func newStreamTable(limit int) *streamTable {
	return &streamTable{files: map[FileID][]*stream{}, limit: max(limit, 1)}
}

// find returns the stream that is expected at off, nil when there is none.
func (t *streamTable) find(id FileID, off int64) *stream {
	var best *stream
	var least int64 = streamSlack + 1
	for _, s := range t.files[id] {
		if d := max(s.next-off, off-s.next); d < least {
			best, least = s, d
		}
	}
	return best
}

// add makes a stream whose reader asks for the range at off.
func (t *streamTable) add(id FileID, file File, dev *device, off int64) *stream {
	if t.recent.Len() >= t.limit {
		t.remove(t.recent.Back().Value.(*stream))
	}
	s := &stream{id: id, file: file, dev: dev, next: off, aheadTo: off >> pieceShift, passedTo: off >> pieceShift}
	if off == 0 {
		s.ahead = firstAhead // readers that come to a file's beginning read on
	}
	s.at = t.recent.PushFront(s)
	t.files[id] = append(t.files[id], s)
	return s
}

// remove forgets a stream; what is queued for it is still read.
func (t *streamTable) remove(s *stream) {
	t.recent.Remove(s.at)
	left := t.files[s.id][:0]
	for _, other := range t.files[s.id] {
		if other != s {
			left = append(left, other)
		}
	}
	clear(t.files[s.id][len(left):])
	if t.files[s.id] = left; len(left) == 0 {
		delete(t.files, s.id)
	}
}

// advance notes that the reader asks for the n bytes at off.
func (t *streamTable) advance(s *stream, off int64, n int, now time.Time) {
	s.next, s.used = off+int64(n), now
	t.recent.MoveToFront(s.at)
	for last := t.recent.Back().Value.(*stream); now.Sub(last.used) >= streamKept; last = t.recent.Back().Value.(*stream) {
		t.remove(last)
	}
}

// share is how many pieces may be read ahead of each of the streams that read now, total for all of them.
func (t *streamTable) share(total int, now time.Time) int {
	reading := 0
	for e := t.recent.Front(); e != nil && reading < total && now.Sub(e.Value.(*stream).used) < readingNow; e = e.Next() {
		reading++
	}
	return min(total/max(reading, 1), maxAhead)
}

// near reports whether a reader is at a piece or follows so closely that it will find it useful.
func (t *streamTable) near(k pieceKey, now time.Time) bool {
	end := k.offset() + pieceBytes
	for _, s := range t.files[k.file] {
		if behind := end - (s.next - passedBehind); behind > 0 && behind <= nearBehind+passedBehind && now.Sub(s.used) < streamIdle {
			return true
		}
	}
	return false
}
