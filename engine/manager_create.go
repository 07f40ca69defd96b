package engine

import (
	"errors"
	"fmt"
	"path/filepath"
)

// Create makes the log of a new partition, in the online directory with the fewest logs, or returns the
// existing one if it has the same topic id. Nothing is synced: the names become durable with the log's first
// durable append, and a missing or damaged partition.metadata is written again here. On a full disk the log is
// there all the same and makes its directory when there is room: its appends are refused until then.
//
// Errors: ErrTopicIDMismatch, ErrStorage, ErrLogClosed, an invalid name or configuration.
func (m *LogManager) Create(tp TopicPartition, topicID [16]byte, cfg LogConfig) (*Log, error) {
	return m.create(tp, topicID, cfg, m.emptiestDir)
}

// Reopen is Create for a partition that existed before this start. If no online directory has it while another
// one is offline, it is taken to be in that one: the log returned answers everything with ErrStorage. (Making
// an empty one would give its offsets out a second time.)
//
// Errors: as Create's.
func (m *LogManager) Reopen(tp TopicPartition, topicID [16]byte, cfg LogConfig) (*Log, error) {
	if l, ok := m.Log(tp); ok && l.dir.offline() != nil {
		return l, nil
	}
	return m.create(tp, topicID, cfg, func() *logDir {
		if d := m.offlineDir(); d != nil && !planted(bugLogBegunAnew) {
			return d
		}
		return m.emptiestDir()
	})
}

// CreateFirst is Create for the log on which all others depend, the cluster's metadata: it lives in the first
// directory. If it is not found while a directory that may hold it is offline, that is an error.
//
// Errors: as Create's.
func (m *LogManager) CreateFirst(tp TopicPartition, topicID [16]byte, cfg LogConfig) (*Log, error) {
	if _, found := m.Log(tp); !found {
		used := false
		for _, d := range m.dirs {
			used = used || d.offline() == nil && !d.fresh
		}
		if d := m.offlineDir(); d != nil && (used || d == m.dirs[0]) {
			return nil, fmt.Errorf("%s is not in the directories that work: %w", tp, d.offline())
		}
	}
	return m.create(tp, topicID, cfg, func() *logDir { return m.dirs[0] })
}

func (m *LogManager) create(tp TopicPartition, topicID [16]byte, cfg LogConfig, place func() *logDir) (*Log, error) {
	if err := errors.Join(tp.validate(), cfg.Validate()); err != nil {
		return nil, err
	}
	m.createMu.Lock()
	defer m.createMu.Unlock()
	if m.closed {
		return nil, fmt.Errorf("%w: %s", ErrLogClosed, tp)
	}
	if l, ok := m.Log(tp); ok {
		if err := l.adoptID(topicID, cfg); err != nil {
			return nil, err
		}
		return l, nil
	}
	d := place()
	if d == nil {
		return nil, m.dirs[0].offline()
	}
	l := d.newLog(tp, filepath.Join(d.path, tp.String()), cfg)
	l.topicID.Store(&topicID)
	l.topicIDRead.Store(true)
	if err := d.offline(); err != nil {
		l.fail(err)
	} else {
		l.unborn.Store(true)
		if err := l.makeDirLocked(); err != nil && !errors.Is(err, ErrDiskFull) {
			return nil, err
		}
	}
	m.mu.Lock()
	m.logs[tp] = l
	m.mu.Unlock()
	return l, nil
}

// makeDir makes the log's directory if a full disk has prevented that so far.
func (l *Log) makeDir() error {
	if !l.unborn.Load() {
		return nil
	}
	l.m.createMu.Lock()
	defer l.m.createMu.Unlock()
	if !l.unborn.Load() { // made meanwhile, or deleted
		return nil
	}
	if l.m.closed {
		return fmt.Errorf("%w: %s", ErrLogClosed, l.tp)
	}
	return l.makeDirLocked()
}

// makeDirLocked makes the log's directory with partition.metadata. createMu is held.
func (l *Log) makeDirLocked() error {
	if err := l.dir.offline(); err != nil {
		return err
	}
	// What the checkpoints and the journal say of an earlier log of this name must not be believed of this one.
	if planted(bugOldPointsKept) {
	} else if err := l.dir.forget(l.tp); err != nil {
		return err
	}
	if l.dir.journal.holdsDeleted(l.tp) && !planted(bugJournalNotLeft) {
		if err := l.dir.committer.leave(nil, l.tp); err != nil {
			return err
		}
	}
	err := l.m.cfg.FS.MkdirAll(l.path)
	if err == nil {
		err = writeTopicID(l.m.cfg.FS, l.path, *l.topicID.Load())
	}
	switch {
	case isDiskFull(err):
		return l.dir.refuse(l.tp, err)
	case err != nil:
		return l.dir.fail(fmt.Errorf("create %s: %w", l.tp, err))
	}
	l.viewMu.Lock()
	l.freshDir = true
	l.viewMu.Unlock()
	l.unborn.Store(false)
	return nil
}

// adoptID checks that an existing log belongs to the topic, completing partition.metadata if need be.
func (l *Log) adoptID(topicID [16]byte, cfg LogConfig) error {
	if err := l.dir.offline(); err != nil {
		return err
	}
	id, ok := l.TopicID()
	if ok && id != topicID {
		return fmt.Errorf("%w: %s is of topic %s, not %s", ErrTopicIDMismatch, l.tp, uuidText(id), uuidText(topicID))
	}
	if !ok {
		l.appendMu.Lock()
		defer l.appendMu.Unlock()
		// Without room for the file it is written again at the next start: the metadata knows the id.
		if err := writeTopicID(l.m.cfg.FS, l.path, topicID); err != nil && !isDiskFull(err) {
			return l.writeFailed(nil, 0, err)
		}
		l.topicID.Store(&topicID)
		l.viewMu.Lock()
		l.freshDir = true
		l.viewMu.Unlock()
	}
	l.SetConfig(cfg)
	return nil
}

// emptiestDir is the online directory with the fewest logs, nil if all are offline.
func (m *LogManager) emptiestDir() *logDir {
	if d := m.dirs[0]; len(m.dirs) == 1 && d.offline() == nil {
		return d
	}
	var best *logDir
	fewest := 0
	for _, d := range m.dirs {
		if d.offline() != nil {
			continue
		}
		if n := len(d.logs()); best == nil || n < fewest {
			best, fewest = d, n
		}
	}
	return best
}

// offlineDir is the first directory that is offline, nil if none is.
func (m *LogManager) offlineDir() *logDir {
	for _, d := range m.dirs {
		if d.offline() != nil {
			return d
		}
	}
	return nil
}
