package pagecache

import "sync/atomic"

// FileID names a file for as long as the process lives; descriptors are reused, ids are not.
type FileID uint64

var lastFileID atomic.Uint64

// NewFileID returns an id never given out before.
func NewFileID() FileID { return FileID(lastFileID.Add(1)) }

// Files are read, remembered and dropped in pieces, aligned to their size.
const (
	pieceShift = 18
	pieceBytes = 1 << pieceShift // 256 KiB
)

// pieceKey is a piece of a file.
type pieceKey struct {
	file  FileID
	index int64
}

func (k pieceKey) offset() int64 { return k.index << pieceShift }

// pieceState is what is known of a piece. What is not known has none.
//
//	(unknown) --found--> cached
//	(unknown) --queue--> coming --loaded--> cached
//	cached    --pass---> passed --drop----> (unknown)
//	passed    --touch--> cached
//
// coming goes back to unknown when its read fails, cached and passed when they are forgotten.
type pieceState uint8

const (
	pieceComing pieceState = iota + 1 // waits to be read, or is being read
	pieceCached                       // in the page cache, as far as we know
	piecePassed                       // cached, and to be dropped soon
)

// piece is a node of pieceTable; prev and next order the cached and passed ones.
type piece struct {
	key        pieceKey
	prev, next *piece
	state      pieceState
	warmed     bool      // a Warmer has brought it in, so it may be dropped
	keep       bool      // belongs to the tail: not dropped
	waiters    []*waiter // while coming
}

// waiter is a range that waits for left pieces.
type waiter struct {
	left int
	wake func()
}

// pieceTable remembers pieces: those that are coming, and a bounded number of cached ones, of which it forgets the
// least recently used. The kernel may evict earlier than that; see Warmer.Missed.
type pieceTable struct {
	index  map[pieceKey]*piece
	recent piece  // head of the ring of cached and passed pieces, the latest first
	cached int    // in the ring
	limit  int    // of cached
	free   *piece // for reuse, linked by next
}

func newPieceTable(limit int) *pieceTable {
	t := &pieceTable{index: map[pieceKey]*piece{}, limit: max(limit, 1)}
	t.recent.prev, t.recent.next = &t.recent, &t.recent
	return t
}

// get returns a piece, nil when nothing is known of it.
func (t *pieceTable) get(k pieceKey) *piece { return t.index[k] }

// queue makes an unknown piece coming.
func (t *pieceTable) queue(k pieceKey, keep bool) *piece {
	p := t.take(k)
	p.state, p.keep = pieceComing, keep
	return p
}

// found makes an unknown piece cached.
func (t *pieceTable) found(k pieceKey) {
	t.settle(t.take(k), false)
}

// take makes a node for a piece.
func (t *pieceTable) take(k pieceKey) *piece {
	p := t.free
	if p == nil {
		p = new(piece)
	} else {
		t.free = p.next
	}
	*p = piece{key: k, waiters: p.waiters[:0]}
	t.index[k] = p
	return p
}

// settle makes a piece that is in the index, and not in the ring, cached.
func (t *pieceTable) settle(p *piece, warmed bool) {
	p.state, p.warmed = pieceCached, warmed
	t.link(p)
	if t.cached > t.limit {
		t.remove(t.recent.prev)
	}
}

// touch makes a cached or passed piece the latest used.
func (t *pieceTable) touch(p *piece) {
	p.state = pieceCached
	t.unlink(p)
	t.link(p)
}

// remove forgets a piece.
func (t *pieceTable) remove(p *piece) {
	if p.state != pieceComing {
		t.unlink(p)
	}
	delete(t.index, p.key)
	clear(p.waiters)
	p.next, t.free = t.free, p
}

// forget forgets the cached and passed pieces of a file.
func (t *pieceTable) forget(file FileID) {
	for p := t.recent.next; p != &t.recent; {
		next := p.next
		if p.key.file == file {
			t.remove(p)
		}
		p = next
	}
}

func (t *pieceTable) link(p *piece) {
	p.prev, p.next = &t.recent, t.recent.next
	p.prev.next, p.next.prev = p, p
	t.cached++
}

func (t *pieceTable) unlink(p *piece) {
	p.prev.next, p.next.prev = p.next, p.prev
	p.prev, p.next = nil, nil
	t.cached--
}
