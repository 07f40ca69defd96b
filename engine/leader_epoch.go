package engine

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// leaderEpochFile is Kafka's name of the leader epoch cache of a partition.
const leaderEpochFile = "leader-epoch-checkpoint"

// epochEntry: batches of epoch begin at start.
type epochEntry struct {
	epoch int32
	start int64
}

// leaderEpochs remembers where each leader epoch of a log began; both fields strictly increase from entry to
// entry. Kafka's LeaderEpochFileCache. Safe for concurrent use.
//
// Batches carry their epoch, so the file only has to be as new as the recovery point: it is written by
// checkpoints, not by appends.
type leaderEpochs struct {
	mu      sync.Mutex
	entries []epochEntry
	changed bool // since it was last written
}

// assign notes that epoch begins at start, unless the epoch or a newer one is known.
func (c *leaderEpochs) assign(epoch int32, start int64) {
	if epoch < 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.entries); n > 0 && c.entries[n-1].epoch >= epoch {
		return
	}
	// Epochs assigned without an append since then hold nothing.
	for n := len(c.entries); n > 0 && c.entries[n-1].start >= start; n-- {
		c.entries = c.entries[:n-1]
	}
	c.entries = append(c.entries, epochEntry{epoch, start})
	c.changed = true
}

// list returns the epochs, oldest first.
func (c *leaderEpochs) list() []epochEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.entries)
}

// clear forgets all epochs.
func (c *leaderEpochs) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.changed = nil, true
}

// forget empties the cache of a log that is no longer loaded; the file stays as it is.
func (c *leaderEpochs) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.changed = nil, false
}

// latest is the newest epoch, -1 if there is none.
func (c *leaderEpochs) latest() int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.entries); n > 0 {
		return c.entries[n-1].epoch
	}
	return -1
}

// endOffset answers OffsetForLeaderEpoch: the largest epoch not above the asked one and where it ends.
// (-1, -1) when the asked epoch is newer than all, or nothing is known.
func (c *leaderEpochs) endOffset(epoch int32, logEnd int64) (found int32, end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.entries)
	if n == 0 || epoch < 0 || epoch > c.entries[n-1].epoch {
		return -1, -1
	}
	i := sort.Search(n, func(i int) bool { return c.entries[i].epoch > epoch }) // first newer one
	if i == n {
		return c.entries[n-1].epoch, logEnd
	}
	if i == 0 {
		return epoch, c.entries[0].start
	}
	return c.entries[i-1].epoch, c.entries[i].start
}

// at is the epoch of the record at offset, -1 if none is known.
func (c *leaderEpochs) at(offset int64) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].start > offset }) // first later one
	if i == 0 {
		return -1
	}
	return c.entries[i-1].epoch
}

// truncateFromEnd drops the epochs that began at or behind end.
func (c *leaderEpochs) truncateFromEnd(end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].start >= end })
	if n < len(c.entries) {
		c.entries, c.changed = c.entries[:n], true
	}
}

// truncateFromStart drops the epochs that ended at or before start; the one that covers start begins there.
func (c *leaderEpochs) truncateFromStart(start int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].start > start })
	if n == 0 || c.entries[n-1].start == start && n == 1 {
		return
	}
	c.entries = append([]epochEntry(nil), c.entries[n-1:]...)
	c.entries[0].start, c.changed = start, true
}

// take returns the file's contents if they changed since the last call, else nil. failed puts the mark back.
func (c *leaderEpochs) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.changed {
		return nil
	}
	c.changed = false
	var b strings.Builder
	fmt.Fprintf(&b, "0\n%d\n", len(c.entries))
	for _, e := range c.entries {
		fmt.Fprintf(&b, "%d %d\n", e.epoch, e.start)
	}
	return []byte(b.String())
}

func (c *leaderEpochs) failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = true
}

// parse replaces the cache by a file's contents.
func (c *leaderEpochs) parse(b []byte) error {
	lines, err := checkpointLines(b)
	if err != nil {
		return err
	}
	entries := make([]epochEntry, 0, len(lines))
	for _, line := range lines {
		first, second, _ := strings.Cut(line, " ")
		epoch, err1 := strconv.ParseInt(first, 10, 32)
		start, err2 := strconv.ParseInt(second, 10, 64)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("%w: leader epoch line %q", ErrCorrupt, line)
		}
		e := epochEntry{int32(epoch), start}
		last := epochEntry{-1, math.MinInt64}
		if n := len(entries); n > 0 {
			last = entries[n-1]
		}
		if e.epoch <= last.epoch || e.start <= last.start || e.start < 0 {
			return fmt.Errorf("%w: leader epoch line %q is out of order", ErrCorrupt, line)
		}
		entries = append(entries, e)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.changed = entries, false
	return nil
}
