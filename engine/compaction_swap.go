package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"kserver/engine/vfs"
)

// swapSuffix ends the names of the files of a compacted segment that takes the place of others: from the
// moment its log file durably has this name, recovery completes the exchange.
const swapSuffix = ".swap"

// cleanedFiles are the files a compacted segment may have, its log last: it is renamed last.
var cleanedFiles = []string{".index", ".timeindex", txnIndexSuffix, ".log"}

// swapIn puts a compacted segment in the place of old ones, neighbours, durably. Readers that hold a Range of
// those read on, everybody else finds the new one. The segment must be durable under its temporary names; it
// is discarded if the exchange is refused: errCleaningAborted if the log was truncated or deleted since aborts
// were counted, or has lost one of the old segments; ErrStorage.
//
// Names change in this order, each step durable before the next, so that a crash at any point leaves either
// all of the old or all of the new (see completeSwaps):
//
//	new.cleaned -> new.swap      the exchange is decided
//	old         -> old.deleted   all but those of the new one's name, if there are others
//	new.swap    -> new           and the old one of that name goes
func (l *Log) swapIn(out *cleanedSegment, old []*LogSegment, aborts int64) error {
	back, err := l.leaveJournal()
	if err != nil {
		out.discard()
		return err
	}
	defer back()
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	at, err := l.swappable(old, aborts)
	if err == nil {
		err = l.decideSwap(out)
	}
	if err != nil {
		out.discard()
		return err
	}
	defer out.release()
	s := out.LogSegment
	s.txns.mu.Lock() // its file has no final name yet
	defer s.txns.mu.Unlock()
	l.viewMu.Lock()
	l.segments = slices.Concat(l.segments[:at], []*LogSegment{s}, l.segments[at+len(old):])
	l.recent.clear() // they may lie in the old ones
	l.viewMu.Unlock()
	for _, o := range old {
		o.abandon() // nobody looks for files of these names any more
	}
	gone, err := l.renameSwapped(s, old)
	if err != nil {
		return l.dir.fail(fmt.Errorf("compaction of %s: %w", l.tp, err))
	}
	s.txns.cleaned = false
	l.removeFilesLater(gone)
	return nil
}

// swappable finds the old segments among those of the log. appendMu is held.
func (l *Log) swappable(old []*LogSegment, aborts int64) (at int, err error) {
	if err := l.usableLocked(); err != nil {
		return 0, err
	}
	at = slices.Index(l.segments, old[0])
	if l.cleanAborts.Load() != aborts || at < 0 || at+len(old) >= len(l.segments) || !slices.Equal(l.segments[at:at+len(old)], old) {
		return 0, errCleaningAborted
	}
	return at, nil
}

// decideSwap renames the files of a compacted segment so that recovery takes it. If the disk is full that is
// undone; any other error is final for the directory.
func (l *Log) decideSwap(out *cleanedSegment) error {
	fsys := l.m.cfg.FS
	var err error
	var renamed []string
	for _, suffix := range cleanedFiles {
		path := out.prefix() + suffix
		if err = fsys.Rename(path+cleanedSuffix, path+swapSuffix); isNotExist(err) && suffix == txnIndexSuffix {
			err = nil
			continue
		}
		if err != nil {
			break
		}
		renamed = append(renamed, path)
	}
	if err == nil {
		err = fsys.SyncDir(l.path)
	}
	if isDiskFull(err) {
		var undo error
		for _, path := range slices.Backward(renamed) {
			undo = errors.Join(undo, fsys.Remove(path+swapSuffix))
		}
		if undo = errors.Join(undo, fsys.SyncDir(l.path)); undo != nil {
			err = undo
		}
	}
	return l.cleanedWriteError(err)
}

// renameSwapped makes the old names go and the new ones final. It returns the files to remove later.
func (l *Log) renameSwapped(s *LogSegment, old []*LogSegment) (gone []string, err error) {
	fsys := l.m.cfg.FS
	for _, o := range old {
		for _, suffix := range cleanedFiles {
			path := o.prefix() + suffix
			err := fsys.Rename(path, path+deletedFileSuffix)
			if isDiskFull(err) { // the longer name found no place: no delay then
				err = fsys.Remove(path)
			}
			if err != nil && !isNotExist(err) {
				return nil, err
			}
			gone = append(gone, path+deletedFileSuffix)
		}
	}
	if len(old) > 1 {
		if err := fsys.SyncDir(l.path); err != nil {
			return nil, err
		}
	}
	return gone, finishSwap(fsys, l.path, s.prefix())
}

// finishSwap gives a segment's .swap files their final names, durably.
func finishSwap(fsys vfs.FS, dir, prefix string) error {
	for _, suffix := range cleanedFiles {
		path := prefix + suffix
		if err := fsys.Rename(path+swapSuffix, path); err != nil && !isNotExist(err) {
			return err
		}
	}
	return fsys.SyncDir(dir)
}

// completeSwaps finishes or undoes the exchanges a crash has interrupted. names are the files of the
// partition's directory; changed says that they are not the same any more. The log is being loaded.
//
// Renames that were not synced may have happened in any selection. A log file that still is .cleaned says that
// nothing was decided, and its siblings go; else everything under a temporary name belongs to a decided
// exchange. Then the segments that begin inside the range of the new one are old ones and go first.
func (l *Log) completeSwaps(names []string) (changed bool, err error) {
	fsys := l.m.cfg.FS
	found := make(map[int64]map[string]bool) // by base offset, the temporary files
	for _, name := range names {
		if !strings.HasSuffix(name, swapSuffix) && !strings.HasSuffix(name, cleanedSuffix) || len(name) < 20 {
			continue
		}
		base, ok := parseOffsetFileName(name[:20], "")
		if !ok {
			continue
		}
		if found[base] == nil {
			found[base] = make(map[string]bool)
		}
		found[base][name[20:]] = true
	}
	for base, files := range found {
		prefix := filepath.Join(l.path, offsetFileName(base))
		if files[".log"+cleanedSuffix] || !anySwap(files) {
			for suffix := range files {
				if err := fsys.Remove(prefix + suffix); err != nil && !isNotExist(err) {
					return true, err
				}
			}
			continue
		}
		if err := l.completeSwap(base, prefix, files); err != nil {
			return true, err
		}
	}
	return len(found) > 0, nil
}

func anySwap(files map[string]bool) bool {
	for suffix := range files {
		if strings.HasSuffix(suffix, swapSuffix) {
			return true
		}
	}
	return false
}

// completeSwap finishes a decided exchange.
func (l *Log) completeSwap(base int64, prefix string, files map[string]bool) error {
	fsys := l.m.cfg.FS
	l.m.logger.Info("completing an interrupted compaction", "topic", l.tp.Topic, "partition", l.tp.Partition, "baseOffset", base)
	for _, suffix := range cleanedFiles {
		if files[suffix+cleanedSuffix] {
			if err := fsys.Rename(prefix+suffix+cleanedSuffix, prefix+suffix+swapSuffix); err != nil {
				return err
			}
		}
	}
	if !files[".log"+swapSuffix] { // that was the last step
		return finishSwap(fsys, l.path, prefix)
	}
	end, err := endOfBatches(fsys, prefix+".log"+swapSuffix, base)
	if err != nil {
		return err
	}
	entries, err := fsys.List(l.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if len(e.Name) < 20 || !slices.Contains(cleanedFiles, e.Name[20:]) {
			continue
		}
		if at, ok := parseOffsetFileName(e.Name[:20], ""); ok && at >= base && at < max(end, base+1) {
			if err := fsys.Remove(filepath.Join(l.path, e.Name)); err != nil {
				return err
			}
		}
	}
	if err := fsys.SyncDir(l.path); err != nil {
		return err
	}
	return finishSwap(fsys, l.path, prefix)
}

// endOfBatches is the offset behind the last batch of a log file, base if it has none.
func endOfBatches(fsys vfs.FS, path string, base int64) (int64, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return 0, err
	}
	size, err := f.Size()
	end := base
	if err == nil {
		err = eachHeader(f, 0, size, func(b batchAt) { end = b.last + 1 })
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return end, nil
}
