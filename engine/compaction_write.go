package engine

import (
	"errors"
	"fmt"

	"kserver/engine/vfs"
	"kserver/pagecache"
	"kserver/protocol/recordbatch"
)

// cleanedSuffix ends the names of the files of a segment that compaction is writing; they are worth nothing
// before they are renamed, and removed at the next start.
const cleanedSuffix = ".cleaned"

// cleanedSegment is a segment that compaction is writing, under names of its own. It is nobody else's until
// swapIn.
type cleanedSegment struct {
	*LogSegment
	g       *cleaning
	f       vfs.File
	ix      indexer
	pos     int64        // where the next batch goes; what lies before is in the file or in g.out
	aborted []AbortedTxn // entries of the transaction index
	// tail is the header of the newest batch of which nothing was kept, if nothing was kept of what follows. It
	// is written last without records, so that the segment ends at the offset at which the old ones ended.
	tail []byte
	// same is true as long as every batch was kept as it was.
	same bool
}

// newCleanedSegment makes the files of a compacted segment. It is pinned: its files stay open until it has its
// final names.
func (g *cleaning) newCleanedSegment(base int64) (*cleanedSegment, error) {
	fsys := g.log.m.cfg.FS
	out := &cleanedSegment{LogSegment: newSegment(g.log.m.pool, g.log.path, base), g: g, same: true}
	var files [segmentFileCount]vfs.File
	for i, suffix := range segmentSuffix {
		f, err := fsys.Create(out.prefix() + suffix + cleanedSuffix)
		if err != nil {
			for _, f := range files[:i] {
				_ = f.Close() // nothing was written
			}
			out.removeFiles()
			return nil, g.log.cleanedWriteError(err)
		}
		files[i] = f
	}
	out.adoptPinned(files)
	out.f = files[logFile]
	out.indexLoaded.Store(true)
	out.txns.cleaned = true
	out.ix.reset(g.cfg.IndexIntervalBytes)
	g.out = g.out[:0]
	return out, nil
}

// adoptPinned gives a new segment its open files and pins it.
func (s *LogSegment) adoptPinned(files [segmentFileCount]vfs.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pins++
	s.used = true
	for i, f := range files {
		first := s.openCountLocked() == 0
		s.files[i] = f
		s.pool.opened(s, first)
	}
}

// add appends a batch. The bytes are copied.
func (out *cleanedSegment) add(b recordbatch.Batch) error {
	if out.pos+int64(len(b)) > maxRelativeOffset {
		return fmt.Errorf("%w: %s.log: compacted batches do not fit a segment", ErrCorrupt, out.prefix())
	}
	at := batchAt{
		position: out.pos, size: int64(len(b)), base: b.BaseOffset(), last: b.LastOffset(), maxTimestamp: recordTimestamp(b),
	}
	if err := out.ix.add(out.LogSegment, at); err != nil {
		return out.g.log.cleanedWriteError(err)
	}
	out.pos = at.end()
	out.g.out = append(out.g.out, b...)
	if len(out.g.out) < out.g.settings.bufferBytes() {
		return nil
	}
	return out.flush()
}

// flush writes what add has gathered.
func (out *cleanedSegment) flush() error {
	b := out.g.out
	if len(b) == 0 {
		return nil
	}
	if err := out.g.step(len(b)); err != nil {
		return err
	}
	if _, err := out.f.WriteAt(b, out.pos-int64(len(b))); err != nil {
		return out.g.log.cleanedWriteError(err)
	}
	out.g.bytesWritten += uint64(len(b))
	out.g.out = b[:0]
	if cap(b) > 4*out.g.settings.bufferBytes() {
		out.g.out = nil
	}
	return nil
}

// finish makes the segment complete and durable under its temporary names. last is the newest of those it
// takes the place of; cold says that its pages need not stay in the page cache.
func (out *cleanedSegment) finish(last *LogSegment, cold bool) error {
	if len(out.tail) > 0 {
		if err := out.add(recordbatch.Batch(out.tail).Empty()); err != nil {
			return err
		}
	}
	if err := out.flush(); err != nil {
		return err
	}
	out.size.Store(out.pos)
	out.coldBefore = out.pos
	out.createdMs = last.createdMs
	out.maxTimestamp.Store(out.ix.maxTimestamp)
	out.offsetOfMaxTimestamp.Store(out.ix.offsetOfMax)
	out.sealed.Store(true)
	return out.g.log.cleanedWriteError(out.makeDurable(cold))
}

func (out *cleanedSegment) makeDurable(cold bool) error {
	fsys := out.g.log.m.cfg.FS
	if err := errors.Join(out.ix.seal(out.LogSegment), out.flushIndexes()); err != nil {
		return err
	}
	for i := range segmentFileCount {
		f, err := out.file(i, false)
		if err == nil && !planted(bugSwapNotSynced) {
			err = f.Sync()
		}
		if err != nil {
			return err
		}
	}
	if len(out.aborted) > 0 {
		if err := out.txns.replace(fsys, out.aborted); err != nil {
			return err
		}
		t := syncTarget{path: out.txns.path()}
		if err := t.sync(fsys); err != nil {
			return err
		}
	}
	if fd := out.f.Fd(); cold && fd >= 0 {
		_ = pagecache.Drop(fd, 0, out.pos) // a hint
	}
	return fsys.SyncDir(out.g.log.path)
}

// discard gives up the segment, before it was swapped in.
func (out *cleanedSegment) discard() {
	out.abandon()
	out.release()
	out.removeFiles()
}

// removeFiles removes the temporary files. What cannot be removed is at the next start.
func (out *cleanedSegment) removeFiles() {
	fsys := out.g.log.m.cfg.FS
	for _, suffix := range cleanedFiles {
		path := out.prefix() + suffix + cleanedSuffix
		if err := fsys.Remove(path); err != nil && !isNotExist(err) {
			out.g.log.m.logger.Warn("could not remove a file of a compaction", "path", path, "err", err)
		}
	}
}
