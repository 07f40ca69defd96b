package engine

import (
	"fmt"
	"path/filepath"
)

// journalBytesPerSync is how many bytes a round writes twice, to the journal and later to their segment, rather than
// sync that segment now. A sync of a grown file costs the file system a write of metadata and the device a flush, as
// much as writing this: of 32, 128 and 512 KiB, 4 partitions fed by 16 KiB batches took 228, 315 and 305 MB/s, 100
// partitions 257, 382 and 342 MB/s.
const journalBytesPerSync = 128 << 10

// journalLoneBytes is up to how many bytes of one file go to the journal although no sync is saved. A sync of blocks that
// were written before changes no metadata: of 4 KiB it took 0.19 ms where that of a growing file took 0.29 ms.
const journalLoneBytes = 32 << 10

// departure is a log, or a deleted log's name, that leaves the commit journal.
type departure struct {
	log  *Log // nil: it was deleted
	tp   TopicPartition
	done chan error // capacity 1
}

func tell(leaving []departure, err error) {
	for _, d := range leaving {
		d.done <- err
	}
}

// leave waits for a round that makes the log durable in its segments, and voids the partition's entries in the journal.
// l is nil if only that is wanted. Errors: ErrStorage, ErrLogClosed.
func (c *committer) leave(l *Log, tp TopicPartition) error {
	d := departure{l, tp, make(chan error, 1)}
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		if err := c.dir.offline(); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s", ErrLogClosed, tp)
	}
	c.leaving = append(c.leaving, d)
	c.mu.Unlock()
	if l != nil {
		c.request(l)
	}
	c.poke()
	if c.dir.m.cfg.stepped {
		c.turn()
	}
	return <-d.done
}

// makeDurable makes the captured commits durable, each in its segments or by the journal. It returns how many files it
// synced.
func (c *committer) makeDurable(commits []commit) (files int, err error) {
	frame, file, err := c.writeJournal(commits)
	if err != nil {
		return 0, err
	}
	targets, names, fresh := c.targets[:0], 0, false
	for i := range commits {
		m := &commits[i]
		if m.journaled {
			continue
		}
		m.direct()
		targets = m.targets(targets)
		fresh = fresh || m.syncParent
		if m.syncNames {
			names++
		}
	}
	if fresh {
		targets = append(targets, syncTarget{dir: c.dir.path})
	}
	if file != nil {
		targets = append(targets, syncTarget{file: file.f})
	}
	err = c.sync(targets, names)
	files = len(targets)
	clear(targets)
	c.targets = targets
	if err != nil {
		return files, err
	}
	if file != nil {
		// Before the frame counts: a flush that finds it counted must find these logs.
		for i := range commits {
			if commits[i].journaled {
				commits[i].noteJournaled(frame.seq)
			}
		}
		c.dir.journal.written(frame, file)
	}
	if _, make, flush := c.dir.journal.due(); make || flush {
		c.dir.keeper.poke()
	}
	return files, nil
}

// writeJournal writes the frame of a round, which is not durable yet. file is nil if nothing goes to the journal.
func (c *committer) writeJournal(commits []commit) (frame *journalFrame, file *journalFile, err error) {
	frame, file, off := c.chooseJournal(commits)
	if file == nil {
		return nil, nil, nil
	}
	err = c.dir.journal.write(frame, file, off)
	if err == nil {
		return frame, file, nil
	}
	if isDiskFull(err) { // where written blocks get a new place; what was written is over with the next frame
		for i := range commits {
			commits[i].journaled = false
		}
		return nil, nil, nil
	}
	return nil, nil, fmt.Errorf("commit journal: %w", err)
}

// sync makes the targets of a round durable, among them the names in so many directories.
func (c *committer) sync(targets []syncTarget, names int) error {
	if len(targets) == 0 {
		return nil
	}
	if names > bulkSyncs { // thousands of new partitions at once
		return c.dir.m.cfg.FS.SyncAll(c.dir.path)
	}
	err := c.syncer.syncRound(targets)
	if err != nil && planted(bugSyncRetried) {
		err = c.syncer.syncRound(targets)
	}
	return err
}

// syncsSaved is how many syncs the round is spared if the commit goes to the journal, 0 if it should not go there, and
// the bytes that it has then.
func (c *commit) syncsSaved() (syncs int, bytes int64) {
	if c.err != nil || len(c.ranges) == 0 || c.log.outside.Load() > 0 || len(filepath.Base(c.dir)) > maxJournalName {
		return 0, 0
	}
	for _, r := range c.ranges {
		bytes += r.to - r.from
	}
	syncs = len(c.ranges)
	if c.syncNames {
		syncs++
	}
	if c.syncParent {
		syncs++
	}
	if bytes > int64(syncs)*journalBytesPerSync {
		return 0, 0
	}
	return syncs, bytes
}

// chooseJournal decides which commits of a round the journal takes, and prepares the frame for them. file is nil when
// it takes none: because no sync would be saved, because it has no room, or because there is no journal yet, for which
// such rounds are counted.
func (c *committer) chooseJournal(commits []commit) (frame *journalFrame, file *journalFile, off int64) {
	j := c.dir.journal
	if !j.enabled() {
		return nil, nil, 0
	}
	ready := j.ready.Load() // before a log says whether it may go there: see leaveJournal
	saved, bytes := 0, int64(0)
	for i := range commits {
		var n int64
		commits[i].saves, n = commits[i].syncsSaved()
		saved, bytes = saved+commits[i].saves, bytes+n
	}
	if saved == 0 || saved == 1 && bytes > journalLoneBytes { // one is the journal's own
		return nil, nil, 0
	}
	if !ready {
		if j.worth++; j.worth >= c.dir.m.cfg.journalAfter {
			j.worth = 0
			j.want(2)
		}
		return nil, nil, 0
	}
	j.begin()
	for i := range commits {
		if m := &commits[i]; m.saves > 0 && !m.addTo(j) {
			return nil, nil, 0 // the descriptors are short: makeDurable will say so
		}
	}
	frame, ok := j.frame()
	if ok {
		file, off, ok = c.placeInJournal(frame.size())
	}
	if !ok {
		j.refused.Add(1)
		return nil, nil, 0
	}
	for i := range commits {
		commits[i].journaled = commits[i].saves > 0
	}
	return frame, file, off
}

// placeInJournal finds room for a frame of n bytes, moving the tail if that gives some.
func (c *committer) placeInJournal(n int64) (file *journalFile, off int64, ok bool) {
	j := c.dir.journal
	if file, off, ok = j.room(n); ok {
		return file, off, ok
	}
	if err := j.moveTail(); err != nil {
		if !isDiskFull(err) {
			c.dir.fail(fmt.Errorf("commit journal: %w", err))
		}
		return nil, 0, false
	}
	return j.room(n)
}

// addTo adds what was captured to the journal's next frame; false if a file cannot be had.
func (c *commit) addTo(j *commitJournal) bool {
	id, _ := c.log.TopicID() // zeros if it is not known
	for _, r := range c.ranges {
		if r.to <= r.from { // a truncation has cut it, and synced it
			continue
		}
		f, err := r.s.file(logFile, false)
		if err != nil {
			return false
		}
		j.add(filepath.Base(c.dir), id, r.s.base, f, r.from, r.to)
	}
	return true
}

// forget voids what the journal may hold of those who leave it. Their segments are durable, and the round holds none of
// their locks any more.
func (c *committer) forget(leaving []departure) error {
	j := c.dir.journal
	if len(leaving) == 0 || !j.ready.Load() {
		return nil
	}
	j.begin()
	for _, d := range leaving {
		if name := d.tp.String(); len(name) <= maxJournalName && j.mayHold(d) {
			j.forget(name)
		}
	}
	if len(j.table) == 0 {
		return nil
	}
	frame, ok := j.frame()
	var file *journalFile
	var off int64
	if ok {
		file, off, ok = c.placeInJournal(frame.size())
	}
	if !ok { // it is full: empty it
		if err := c.dir.flushJournal(); err != nil {
			return err
		}
		return c.orWithout(j.moveTail())
	}
	err := j.write(frame, file, off)
	if err == nil {
		err = file.f.Sync()
	}
	if err != nil {
		return c.orWithout(err)
	}
	j.written(frame, file)
	return nil
}

// orWithout goes on without a journal after an error of it that means that the disk is full. Retention must go on then,
// and it could not.
func (c *committer) orWithout(err error) error {
	if isDiskFull(err) {
		if err = c.dir.flushJournal(); err == nil {
			err = c.dir.journal.remove()
		}
	}
	if err != nil {
		return fmt.Errorf("commit journal: %w", err)
	}
	return nil
}
