package engine

import (
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"path/filepath"
	"slices"

	"kserver/engine/vfs"
)

// foundFrame is a frame read from a journal's file.
type foundFrame struct {
	journalFrame
	file string
	off  int64
}

// where is the position of the first byte of the payload.
func (f *foundFrame) where() int64 { return f.off + journalHeaderBytes + int64(f.table) }

// foundJournal is what a directory's journal files hold.
type foundJournal struct {
	dir    string // of the files
	found  bool
	frames []foundFrame // those that are needed, by sequence number, none missing
	// torn is the number of the newest frame if that is not whole: its round never ended, unless the file was damaged.
	torn uint64
}

// readJournal reads the journal of a log directory; there may be none. A round is written when the one before it is durable, so only the
// newest frame can be torn by a crash. If another one that is needed is not there or does not check, that is ErrCorrupt.
// Payloads are read once, to check them.
func readJournal(fsys vfs.FS, logDir string) (j foundJournal, err error) {
	dir := filepath.Join(logDir, journalDirName)
	j.dir = dir
	if _, err := fsys.Stat(dir); err != nil {
		if isNotExist(err) {
			err = nil
		}
		return j, err
	}
	j.found = true
	var all []foundFrame
	for i := range journalFiles {
		name := journalFileName(i)
		f, err := fsys.Open(filepath.Join(dir, name))
		if isNotExist(err) {
			continue
		}
		if err != nil {
			return j, err
		}
		found, err := scanJournalFile(f, name)
		if err = errors.Join(err, f.Close()); err != nil {
			return j, err
		}
		all = append(all, found...)
	}
	slices.SortFunc(all, func(a, b foundFrame) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	if len(all) == 0 {
		return j, nil
	}
	newest := &all[len(all)-1]
	if whole, err := newest.whole(fsys, dir); err != nil {
		return j, err
	} else if !whole {
		j.torn = newest.seq
		if all = all[:len(all)-1]; len(all) == 0 {
			if newest.seq > 1 {
				return j, fmt.Errorf("%w: %s has no whole frame before number %d", ErrCorrupt, filepath.Join(dir, newest.file), newest.seq)
			}
			return j, nil
		}
		newest = &all[len(all)-1]
	}
	j.frames, err = neededFrames(fsys, dir, all, newest)
	if err == nil && j.torn > newest.seq+1 {
		err = fmt.Errorf("%w: frame %d of %s is missing", ErrCorrupt, newest.seq+1, dir)
	}
	return j, err
}

// neededFrames picks the frames from the newest one's tail on, and checks that all are there and whole.
func neededFrames(fsys vfs.FS, dir string, all []foundFrame, newest *foundFrame) (frames []foundFrame, err error) {
	want := min(newest.tail, newest.seq)
	for i := range all {
		f := &all[i]
		if f.seq < newest.tail && f.seq != newest.seq {
			continue
		}
		if f.seq != want || f.id != newest.id {
			return nil, fmt.Errorf("%w: frame %d of %s is missing", ErrCorrupt, want, dir)
		}
		if f.seq != newest.seq { // that one was checked
			whole, err := f.whole(fsys, dir)
			if err != nil {
				return nil, err
			}
			if !whole {
				return nil, fmt.Errorf("%w: %s: frame %d at position %d does not check", ErrCorrupt, filepath.Join(dir, f.file), f.seq, f.off)
			}
		}
		frames = append(frames, *f)
		want++
	}
	return frames, nil
}

// scanJournalFile finds the frames of one file: the new ones from its begin on, and behind them what is left of older
// ones, which begin at some block.
func scanJournalFile(f vfs.File, name string) (frames []foundFrame, err error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	for off := int64(0); off+journalBlock <= size; {
		frame, err := readJournalFrame(f, off, size)
		switch {
		case errors.Is(err, errNoFrame):
			off += journalBlock
		case err != nil:
			return nil, err
		default:
			frames = append(frames, foundFrame{frame, name, off})
			off += frame.size()
		}
	}
	return frames, nil
}

// whole reports whether the payload has the checksums of the table.
func (f *foundFrame) whole(fsys vfs.FS, dir string) (ok bool, err error) {
	ok = true
	err = f.eachWrite(fsys, dir, func(e *journalEntry, b []byte) error {
		if crc32.Checksum(b, castagnoli) != e.crc && !planted(bugJournalUnchecked) {
			ok = false
		}
		return nil
	})
	return ok, err
}

// eachWrite visits the entries that are to be written, with their bytes.
func (f *foundFrame) eachWrite(fsys vfs.FS, dir string, visit func(e *journalEntry, b []byte) error) error {
	file, err := fsys.Open(filepath.Join(dir, f.file))
	if err != nil {
		return err
	}
	var buf []byte
	at := f.where()
	for i := range f.entries {
		e := &f.entries[i]
		if e.kind != journalWrite {
			continue
		}
		if int64(cap(buf)) < e.length {
			buf = make([]byte, e.length)
		}
		b := buf[:e.length]
		if err = readFull(file, b, at, false); err != nil {
			break
		}
		if err = visit(e, b); err != nil {
			break
		}
		at += e.length
	}
	return errors.Join(err, file.Close())
}

// replayJournal writes what the directory's commit journal holds to the segments it belongs to, durably, and removes
// the journal. Everything it holds was acknowledged, or is of a round that had nothing to fear, so a journal that is
// damaged is an error: the directory stays offline rather than lose records silently. A crash on the way begins anew.
//
// After a clean stop there is no journal. If there is one, somebody else has served the directory since, and its replay
// would write over what they wrote: that is an error too.
func (d *logDir) replayJournal() error {
	fsys := d.m.cfg.FS
	j, err := readJournal(fsys, d.path)
	if !j.found && err == nil {
		return nil
	}
	if !d.unclean {
		return fmt.Errorf("engine: %s is there although the directory was cleanly stopped: somebody else has served it after a "+
			"crash, without the records in it; move it away to go on without them", j.dir)
	}
	if err != nil {
		return fmt.Errorf("commit journal: %w", err)
	}
	if j.torn > 0 {
		d.m.logger.Warn("the last round of the commit journal is not whole and was not acknowledged", "dir", d.path, "frame", j.torn)
	}
	r := journalReplay{d: d, from: j.dir, durable: make(map[string]logPosition), forgets: make(map[string]uint64), dirs: make(map[string]bool), files: make(map[string]vfs.File)}
	if err := errors.Join(r.run(j.frames), r.close()); err != nil {
		return fmt.Errorf("replay of the commit journal: %w", err)
	}
	d.recoverer.durable = r.durable
	if r.writes > 0 {
		d.m.logger.Info("replayed the commit journal", "dir", d.path, "frames", len(j.frames), "writes", r.writes, "bytes", r.bytes)
	}
	return removeJournal(fsys, d.path)
}

// journalReplay is one replay under way.
type journalReplay struct {
	d       *logDir
	from    string                 // the journal's directory
	forgets map[string]uint64      // by directory name, the newest frame that voids those before it
	durable map[string]logPosition // by directory name, the end of the newest bytes
	dirs    map[string]bool        // by directory name: false if its log was deleted
	files   map[string]vfs.File    // written and not synced yet
	made    bool                   // names are not synced yet
	writes  int
	bytes   int64
}

// maxReplayFiles bounds the files a replay has open.
const maxReplayFiles = 512

func (r *journalReplay) run(frames []foundFrame) error {
	for i := range frames {
		for _, e := range frames[i].entries {
			if e.kind == journalForget {
				r.forgets[e.name] = frames[i].seq
			}
		}
	}
	for i := range frames {
		seq := frames[i].seq
		err := frames[i].eachWrite(r.d.m.cfg.FS, r.from, func(e *journalEntry, b []byte) error {
			if seq < r.forgets[e.name] {
				return nil
			}
			return r.write(e, b)
		})
		if err != nil {
			return err
		}
	}
	if planted(bugReplayNotSynced) {
		return nil
	}
	return r.sync()
}

// write puts the bytes of an entry into their segment.
func (r *journalReplay) write(e *journalEntry, b []byte) error {
	there, err := r.partition(e)
	if err != nil || !there {
		return err
	}
	path := filepath.Join(r.d.path, e.name, offsetFileName(e.base)+segmentSuffix[logFile])
	f, err := r.open(path, e.position == 0)
	if isNotExist(err) {
		return fmt.Errorf("%w: %s is missing, and the journal continues it at position %d", ErrCorrupt, path, e.position)
	}
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size < e.position {
		return fmt.Errorf("%w: %s has %d bytes, and the journal continues it at position %d", ErrCorrupt, path, size, e.position)
	}
	if _, err := f.WriteAt(b, e.position); err != nil {
		return err
	}
	r.durable[e.name] = logPosition{e.base, e.position + e.length}
	r.writes++
	r.bytes += e.length
	return nil
}

// partition makes sure that the entry's partition has its directory; false if it was deleted. A log has its first bytes
// in the journal, or its names were synced before the journal got any. So without a directory, what begins at a later
// position is of a log that was deleted. And a directory of another topic is the older one: before a name is used again
// the journal forgets it, so its entries are those of the newer.
func (r *journalReplay) partition(e *journalEntry) (there bool, err error) {
	if there, known := r.dirs[e.name]; known {
		return there, nil
	}
	fsys := r.d.m.cfg.FS
	path := filepath.Join(r.d.path, e.name)
	_, err = fsys.Stat(path)
	found := err == nil
	if err != nil && !isNotExist(err) {
		return false, err
	}
	if found && e.topicID != [16]byte{} {
		id, ok, err := readTopicID(fsys, path)
		if err != nil {
			return false, err
		}
		if ok && id != e.topicID {
			tp, _ := parsePartitionDir(e.name)
			if err := fsys.Rename(path, filepath.Join(r.d.path, retiredDirName(tp, newUUID(), deleteDirSuffix))); err != nil {
				return false, err
			}
			found = false
		}
	}
	if !found && e.position > 0 {
		r.d.m.logger.Info("the commit journal has records of a deleted partition", "dir", path)
		r.dirs[e.name] = false
		return false, nil
	}
	if err := fsys.MkdirAll(path); err != nil {
		return false, err
	}
	if e.topicID != [16]byte{} { // even if it is there: after a failed sync that may be in memory only
		if err := writeTopicID(fsys, path, e.topicID); err != nil {
			return false, err
		}
	}
	r.dirs[e.name], r.made = true, true
	return true, nil
}

// open opens a segment's log file, making it if the journal has its first byte.
func (r *journalReplay) open(path string, create bool) (vfs.File, error) {
	if f := r.files[path]; f != nil {
		return f, nil
	}
	if len(r.files) == maxReplayFiles {
		if err := r.sync(); err != nil {
			return nil, err
		}
	}
	f, err := r.d.m.cfg.FS.OpenReadWrite(path, create)
	if err == nil {
		r.files[path] = f
	}
	return f, err
}

// sync makes everything written so far durable, and closes the files.
func (r *journalReplay) sync() error {
	fsys := r.d.m.cfg.FS
	var targets []syncTarget
	for _, path := range slices.Sorted(maps.Keys(r.files)) {
		targets = append(targets, syncTarget{file: r.files[path]})
	}
	if r.made {
		for _, name := range slices.Sorted(maps.Keys(r.dirs)) {
			if r.dirs[name] {
				targets = namesTargets(targets, filepath.Join(r.d.path, name), true, true)
			}
		}
		targets = append(targets, syncTarget{dir: r.d.path})
	}
	if len(targets) > bulkSyncs {
		return errors.Join(fsys.SyncAll(r.d.path), r.close())
	}
	for i := range targets {
		if err := targets[i].sync(fsys); err != nil {
			return err
		}
	}
	return r.close()
}

func (r *journalReplay) close() error {
	var errs []error
	for path, f := range r.files {
		errs = append(errs, f.Close())
		delete(r.files, path)
	}
	return errors.Join(errs...)
}
