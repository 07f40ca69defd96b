package vfs

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sort"
)

// crashMode is how unkind a crash is to what was not synced.
type crashMode int

const (
	crashDropAll  crashMode = iota // every unsynced change is gone
	crashKeepAll                   // every change made it (kill -9, not power loss)
	crashPrefix                    // changes up to some moment made it, the last one torn
	crashAnyOrder                  // any sectors of any changes made it
	crashModes
)

// Crash returns the file system as it is found after a loss of power at this moment, decided by seed. m itself
// is left alone, and so are its open files. What was synced is in the result; of the rest:
//
//   - sectors of 512 bytes to 4 KiB of unsynced writes are kept or lost one by one, in any order
//   - a file may have its new size without its new data, which then reads as zeros
//   - unsynced names are forgotten one by one; a rename within a directory happens whole or not at all
//
// Seeds 0 and 1 drop and keep everything.
func (m *Mem) Crash(seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	mode := crashMode(seed % uint64(crashModes))
	c := &crash{
		mode: mode, rand: rand.New(rand.NewPCG(seed, 0x5eed)),
		files: map[*memFile]*memFile{}, dirs: map[*memDir]*memDir{},
	}
	after := NewMem()
	after.now, after.capacity = m.now, m.capacity
	after.root = c.dir(m.root)
	after.used = bytesIn(after.root)
	return after
}

// Kill returns the file system as it is found after the process was killed and the machine goes on: everything is
// there, and what was not synced still is not. m itself is left alone.
func (m *Mem) Kill() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	after.now, after.capacity, after.used = m.now, m.capacity, m.used
	after.root = copier{}.node(m.root).(*memDir)
	return after
}

// copier copies nodes, each once.
type copier map[memNode]memNode

func (c copier) node(n memNode) memNode {
	if done := c[n]; done != nil {
		return done
	}
	switch n := n.(type) {
	case *memFile:
		f := &memFile{data: bytes.Clone(n.data), durable: bytes.Clone(n.durable), pending: slices.Clone(n.pending), modTime: n.modTime}
		c[n] = f
		return f
	case *memDir:
		d := newMemDir()
		c[n] = d
		for name, child := range n.names {
			d.names[name] = c.node(child)
		}
		for name, child := range n.durable {
			d.durable[name] = c.node(child)
		}
		for _, change := range n.pending {
			if change.node != nil {
				change.node = c.node(change.node)
			}
			d.pending = append(d.pending, change)
		}
		return d
	}
	return nil
}

type crash struct {
	mode  crashMode
	rand  *rand.Rand
	files map[*memFile]*memFile // survivors, so that a node with two names stays one
	dirs  map[*memDir]*memDir
}

// survives decides for one change of n, the i-th.
func (c *crash) survives(i, cut int) bool {
	switch c.mode {
	case crashDropAll:
		return false
	case crashKeepAll:
		return true
	case crashPrefix:
		return i < cut
	default:
		return c.rand.IntN(2) == 0
	}
}

func (c *crash) dir(d *memDir) *memDir {
	if done := c.dirs[d]; done != nil {
		return done
	}
	after := newMemDir()
	c.dirs[d] = after
	names := make(map[string]memNode, len(d.durable))
	for name, n := range d.durable {
		names[name] = n
	}
	cut := c.rand.IntN(len(d.pending) + 1)
	for i, change := range d.pending {
		if c.survives(i, cut) {
			change.apply(names)
		}
	}
	order := make([]string, 0, len(names)) // so that the same seed makes the same crash
	for name := range names {
		order = append(order, name)
	}
	sort.Strings(order)
	for _, name := range order {
		var n memNode
		switch old := names[name].(type) {
		case *memFile:
			n = c.file(old)
		case *memDir:
			n = c.dir(old)
		}
		after.names[name], after.durable[name] = n, n
	}
	return after
}

func (c *crash) file(f *memFile) *memFile {
	if done := c.files[f]; done != nil {
		return done
	}
	data := append([]byte(nil), f.durable...)
	sector := int64(512 << c.rand.IntN(4)) // 512 to 4096
	cut := c.rand.IntN(len(f.pending) + 1)
	for i, change := range f.pending {
		if change.data == nil {
			if c.survives(i, cut) {
				data = resize(data, change.off)
			}
			continue
		}
		if c.mode == crashPrefix && i == cut { // the write under way is torn
			data = applyWrite(data, change.off, change.data[:c.rand.IntN(len(change.data)+1)])
			continue
		}
		data = c.applySectors(data, change, sector, i, cut)
	}
	if c.mode == crashAnyOrder && len(f.pending) > 0 && c.rand.IntN(2) == 0 {
		data = resize(data, int64(len(f.data))) // the size made it, data may not have
	}
	after := &memFile{data: data, durable: append([]byte(nil), data...), modTime: f.modTime}
	c.files[f] = after
	return after
}

// applySectors writes the sectors of a change that survive.
func (c *crash) applySectors(data []byte, change dataChange, sector int64, i, cut int) []byte {
	for off, rest := change.off, change.data; len(rest) > 0; {
		n := min(int64(len(rest)), sector-off%sector)
		if c.survives(i, cut) {
			data = applyWrite(data, off, rest[:n])
		}
		off, rest = off+n, rest[n:]
	}
	return data
}

func applyWrite(data []byte, off int64, p []byte) []byte {
	if end := off + int64(len(p)); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[off:], p)
	return data
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}
