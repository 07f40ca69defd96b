package pagecache

import (
	"sync"
	"sync/atomic"
)

// FileID names a file to a Tracker for as long as the process lives; descriptors are reused, ids are not.
type FileID uint64

var lastFileID atomic.Uint64

// NewFileID returns an id never given out before.
func NewFileID() FileID { return FileID(lastFileID.Add(1)) }

// windowShift: residency is remembered in windows of 1 MiB.
const (
	windowShift = 20
	windowBytes = 1 << windowShift
)

type windowKey struct {
	file   FileID
	window int64
}

// trackedWindow is a node of the recency list; prev and next are indexes into Tracker.nodes.
type trackedWindow struct {
	key        windowKey
	prev, next int32
	// from and to bound the bytes of the window known to be cached, relative to its start.
	from, to int32
}

// Tracker remembers a bounded number of recently cached windows, forgetting the least recently used.
// The kernel may evict pages earlier under memory pressure; keep the capacity well below the memory.
type Tracker struct {
	mu    sync.Mutex
	index map[windowKey]int32
	nodes []trackedWindow // nodes[0] is the list's head and holds no window
	limit int
}

// NewTracker returns a Tracker of at most windows windows of 1 MiB.
func NewTracker(windows int) *Tracker {
	t := &Tracker{index: make(map[windowKey]int32), limit: max(windows, 1)}
	t.nodes = append(t.nodes, trackedWindow{})
	return t
}

// Touch notes that the n bytes at off of the file are now in the page cache.
func (t *Tracker) Touch(id FileID, off int64, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for end := off + int64(n); off < end; {
		w := off >> windowShift
		base := w << windowShift
		to := min(end, base+windowBytes)
		t.touchLocked(windowKey{id, w}, int32(off-base), int32(to-base))
		off = to
	}
}

func (t *Tracker) touchLocked(key windowKey, from, to int32) {
	i, found := t.index[key]
	if !found {
		i = t.takeNodeLocked()
		t.nodes[i] = trackedWindow{key: key, from: from, to: to}
		t.index[key] = i
	} else {
		n := &t.nodes[i]
		t.unlinkLocked(i)
		if from <= n.to && to >= n.from { // joined or touching: one interval
			n.from, n.to = min(n.from, from), max(n.to, to)
		} else {
			n.from, n.to = from, to
		}
	}
	head := &t.nodes[0]
	t.nodes[i].prev, t.nodes[i].next = 0, head.next
	t.nodes[head.next].prev = i
	t.nodes[0].next = i
}

// takeNodeLocked returns an unlinked node, taking the least recently used one when all are in use.
func (t *Tracker) takeNodeLocked() int32 {
	if len(t.nodes) <= t.limit {
		t.nodes = append(t.nodes, trackedWindow{})
		return int32(len(t.nodes) - 1)
	}
	i := t.nodes[0].prev
	delete(t.index, t.nodes[i].key)
	t.unlinkLocked(i)
	return i
}

func (t *Tracker) unlinkLocked(i int32) {
	n := t.nodes[i]
	t.nodes[n.prev].next = n.next
	t.nodes[n.next].prev = n.prev
}

// Hot reports whether all n bytes at off were touched lately.
func (t *Tracker) Hot(id FileID, off int64, n int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for end := off + int64(n); off < end; {
		w := off >> windowShift
		base := w << windowShift
		to := min(end, base+windowBytes)
		i, found := t.index[windowKey{id, w}]
		if !found || t.nodes[i].from > int32(off-base) || t.nodes[i].to < int32(to-base) {
			return false
		}
		off = to
	}
	return true
}
