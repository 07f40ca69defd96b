package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kserver/engine/vfs"
)

// LogManager owns the logs of all log directories. All methods are safe for concurrent use.
//
// Lock order: a directory's checkpointMu, then a log's locks, then mu, the committer's and the janitor's.
type LogManager struct {
	cfg     Config
	logger  *slog.Logger
	dirs    []*logDir
	pool    *handlePool
	janitor *janitor
	cleaner *logCleaner
	scrub   *scrubber

	createMu sync.Mutex // one Create or Delete at a time
	mu       sync.RWMutex
	logs     map[TopicPartition]*Log
	closed   bool // guarded by createMu

	producerExpiry atomic.Int64 // a time.Duration
	lastConfig     atomic.Pointer[LogConfig]
}

// OpenLogManager locks the directories, reads their checkpoints and finds the logs in them. Logs are read when they
// are first used. After an unclean stop that recovers them, and the background recovers all others, see recoverer.
// A directory that cannot be used is left offline if another one can.
//
// Errors: ErrLocked, a mismatch of node or cluster id, ErrStorage.
func OpenLogManager(cfg Config) (*LogManager, error) {
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := &LogManager{
		cfg: cfg, logger: cfg.Logger, logs: make(map[TopicPartition]*Log),
		pool:    &handlePool{fs: cfg.FS, limit: cfg.MaxOpenFiles},
		janitor: newJanitor(cfg.Clock),
	}
	m.cleaner = newLogCleaner(m)
	m.scrub = newScrubber(m)
	m.SetProducerIDExpiration(cfg.ProducerIDExpiration)
	if err := m.openDirs(); err != nil {
		m.closeFiles()
		m.unlock()
		return nil, err
	}
	for _, d := range m.dirs {
		err := d.offline()
		if err == nil {
			if !cfg.stepped {
				go d.committer.run()
				go d.keeper.run()
			}
			d.recoverer.start()
			continue
		}
		close(d.committer.done)
		close(d.keeper.done)
		for _, l := range d.logs() { // found before the directory failed
			l.fail(err)
		}
	}
	if cfg.stepped || cfg.ScrubInterval < 0 {
		close(m.scrub.done)
	} else {
		go m.scrub.run()
	}
	if cfg.stepped {
		close(m.janitor.done)
	} else {
		go m.janitor.run()
		m.cleaner.start()
	}
	m.janitor.every(cfg.CheckpointInterval, func() { m.logCheckpointError(m.Checkpoint()) })
	m.janitor.every(cfg.RetentionCheckInterval, func() { m.logCheckpointError(m.RunRetention()) })
	m.janitor.every(cfg.ProducerIDExpirationCheckInterval, m.expireProducers)
	m.janitor.every(spaceCheckInterval, m.checkSpace)
	return m, nil
}

func (m *LogManager) openDirs() error {
	var errs []error
	online := 0
	for _, path := range m.cfg.Dirs {
		d := &logDir{m: m, path: path}
		d.recoverer = &recoverer{d: d}
		d.committer = newCommitter(d, newRoundSyncer(&m.cfg))
		d.journal, d.keeper = newCommitJournal(d), newJournalKeeper(d)
		m.dirs = append(m.dirs, d)
		err := d.open()
		if errors.Is(err, ErrLocked) || errors.Is(err, errWrongOwner) {
			return err
		}
		if err != nil {
			errs = append(errs, d.fail(err))
			continue
		}
		online++
	}
	if online == 0 {
		return errors.Join(errs...)
	}
	if err := m.settleClusterID(); err != nil {
		return err
	}
	for _, d := range m.dirs {
		if d.offline() != nil {
			continue
		}
		if err := d.openLogs(); err != nil {
			if d.offline() == nil {
				return err
			}
			errs = append(errs, err)
			online--
		}
	}
	if online == 0 {
		return errors.Join(errs...)
	}
	return nil
}

// errWrongOwner: a log directory belongs to another node or cluster.
var errWrongOwner = errors.New("log directory belongs to another node or cluster")

// open locks the directory and reads meta.properties and the checkpoints.
func (d *logDir) open() error {
	fsys := d.m.cfg.FS
	if err := makeDirDurably(fsys, d.path); err != nil {
		return err
	}
	lock, err := fsys.Lock(filepath.Join(d.path, lockFile))
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("%w: %s", ErrLocked, d.path)
	}
	if err != nil {
		return err
	}
	d.lock = lock
	meta, found, err := readMetaProperties(fsys, d.path)
	if err != nil {
		return err
	}
	if found {
		if meta.nodeID != d.m.cfg.NodeID {
			return fmt.Errorf("%w: %s has node.id %d, not %d", errWrongOwner, d.path, meta.nodeID, d.m.cfg.NodeID)
		}
		if d.m.cfg.ClusterID == "" {
			d.m.cfg.ClusterID = meta.clusterID
		}
		if meta.clusterID != d.m.cfg.ClusterID {
			return fmt.Errorf("%w: %s has cluster.id %s, not %s", errWrongOwner, d.path, meta.clusterID, d.m.cfg.ClusterID)
		}
	}
	d.meta, d.fresh = meta, !found
	_, err = fsys.Stat(filepath.Join(d.path, cleanShutdownFile))
	if err != nil && !isNotExist(err) {
		return err
	}
	d.unclean = err != nil
	if err := d.readCheckpoints(); err != nil {
		return err
	}
	d.checkSpace()
	return nil
}

// makeDirDurably makes a directory with its missing parents, and their names durable.
func makeDirDurably(fsys vfs.FS, path string) error {
	_, err := fsys.Stat(path)
	if !isNotExist(err) {
		return err
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := makeDirDurably(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(path); err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

// settleClusterID completes meta.properties of directories that are new.
func (m *LogManager) settleClusterID() error {
	if m.cfg.ClusterID == "" {
		m.cfg.ClusterID = uuidText(newUUID())
	}
	for _, d := range m.dirs {
		if d.offline() != nil || !d.fresh && d.meta.directoryID != [16]byte{} {
			continue
		}
		d.meta = metaProperties{m.cfg.NodeID, m.cfg.ClusterID, newUUID()}
		if err := d.meta.write(m.cfg.FS, d.path); err != nil {
			return d.fail(err)
		}
	}
	return nil
}

// openLogs finds the partitions of the directory. Nothing of them is read, but what a commit journal holds for them is
// written first.
func (d *logDir) openLogs() error {
	if err := d.replayJournal(); err != nil {
		return d.fail(err)
	}
	entries, err := d.m.cfg.FS.List(d.path)
	if err != nil {
		return d.fail(err)
	}
	for _, e := range entries {
		path := filepath.Join(d.path, e.Name)
		if e.Dir && strings.HasSuffix(e.Name, deleteDirSuffix) {
			d.m.removeLater(path, 0)
			continue
		}
		tp, ok := parsePartitionDir(e.Name)
		if !e.Dir || !ok {
			continue
		}
		l := d.newLog(tp, path, DefaultLogConfig())
		l.unrecovered.Store(d.unclean)
		if other, found := d.m.logs[tp]; found {
			return fmt.Errorf("engine: %s is in both %s and %s", tp, other.dir.path, d.path)
		}
		d.m.logs[tp] = l
	}
	if d.unclean {
		d.recoverer.logs = sortedLogs(d.logs())
		return nil
	}
	// From here on a crash is one.
	if err := d.m.cfg.FS.Remove(filepath.Join(d.path, cleanShutdownFile)); err != nil {
		return d.fail(err)
	}
	if err := d.m.cfg.FS.SyncDir(d.path); err != nil {
		return d.fail(err)
	}
	return nil
}

// newLog makes the Log of a partition's directory; nothing is read yet.
func (d *logDir) newLog(tp TopicPartition, path string, cfg LogConfig) *Log {
	l := &Log{tp: tp, m: d.m, dir: d, path: path, openTxn: noOffset, roundFloor: noOffset}
	l.behind.kept = &d.journal.kept
	l.cfg.Store(d.m.shareConfig(cfg))
	return l
}

// shareConfig returns cfg in a place that is shared with the log before, if its settings are the same: those of a topic
// are set one after the other, and there may be thousands.
func (m *LogManager) shareConfig(cfg LogConfig) *LogConfig {
	if last := m.lastConfig.Load(); last != nil && *last == cfg {
		return last
	}
	shared := new(cfg)
	m.lastConfig.Store(shared)
	return shared
}

// Log finds a partition's log.
func (m *LogManager) Log(tp TopicPartition) (*Log, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	l, ok := m.logs[tp]
	return l, ok
}

// Logs lists all logs, in no order, those of offline directories included.
func (m *LogManager) Logs() []*Log {
	m.mu.RLock()
	defer m.mu.RUnlock()
	logs := make([]*Log, 0, len(m.logs))
	for _, l := range m.logs {
		logs = append(logs, l)
	}
	return logs
}

// ClusterID is the cluster id of meta.properties: the configured one, the one found, or a new one.
func (m *LogManager) ClusterID() string { return m.cfg.ClusterID }

// DirInfo describes a log directory.
type DirInfo struct {
	Path string
	ID   [16]byte // directory.id of meta.properties
	// Err is why the directory is offline, nil if it is not.
	Err     error
	Commits CommitStats
	// AppendedBytes were written to logs since the start.
	AppendedBytes int64
	// RecoveredLogs were recovered since the start, because the stop before was unclean; UnrecoveredLogs still have
	// to be, by their first use or in the background, which has taken RecoveryTime when it has gone through all.
	RecoveredLogs, UnrecoveredLogs int
	RecoveryTime                   time.Duration
	// Full says that less than the reserve is free, so that clients' appends are refused; RefusedAppends counts
	// those that were, for that reason or because a write found no space.
	Full           bool
	RefusedAppends uint64
}

// Dirs describes the log directories, in configured order.
func (m *LogManager) Dirs() []DirInfo {
	infos := make([]DirInfo, len(m.dirs))
	for i, d := range m.dirs {
		infos[i] = DirInfo{
			Path: d.path, ID: d.meta.directoryID, Err: d.offline(), Commits: d.committer.stats(),
			AppendedBytes: d.written.Load(), RecoveredLogs: int(d.recovered.Load()),
			UnrecoveredLogs: d.unrecovered(), RecoveryTime: d.recoverer.recoveryTime(),
			Full: d.space.full.Load(), RefusedAppends: d.space.refused.Load(),
		}
	}
	return infos
}

// OpenFiles is how many segment and index files are open.
func (m *LogManager) OpenFiles() int { return m.pool.openFiles() }

// Delete removes a partition's log: its directory is renamed to <topic>-<partition>.<id>-delete at once and
// removed after file.delete.delay.ms. Ranges stay readable until released; everything else gets ErrLogClosed.
// The rename is not synced: whoever decides about partitions deletes a directory that comes back again. A log
// in an offline directory is only forgotten; that directory, too, may come back.
//
// Errors: ErrLogClosed if there is no such log or the manager is being closed, ErrStorage.
func (m *LogManager) Delete(tp TopicPartition) error {
	l, err := m.retire(tp, deleteDirSuffix)
	if err == nil && l.dir.offline() == nil {
		m.removeLater(l.path, l.cfg.Load().FileDeleteDelayMs)
	}
	return err
}

// SetAside takes a log that no metadata knows out of service and keeps its files: its directory is renamed to
// <topic>-<partition>.<id>-stray, which no start looks into, and returned.
//
// Errors: as Delete's.
func (m *LogManager) SetAside(tp TopicPartition) (dir string, err error) {
	l, err := m.retire(tp, strayDirSuffix)
	if err != nil {
		return "", err
	}
	return l.path, nil
}

// retire closes a log for good and renames its directory.
func (m *LogManager) retire(tp TopicPartition, suffix string) (*Log, error) {
	m.createMu.Lock()
	defer m.createMu.Unlock()
	if m.closed { // the files are being written out, under their names
		return nil, fmt.Errorf("%w: %s", ErrLogClosed, tp)
	}
	l, ok := m.Log(tp)
	if !ok {
		return nil, fmt.Errorf("%w: %s does not exist", ErrLogClosed, tp)
	}
	l.appendMu.Lock()
	l.closed, l.deleted = true, true
	l.cleanAborts.Add(1)
	l.appendMu.Unlock()
	// Readers and waiters first: nobody may look for the files under their old names.
	l.fail(fmt.Errorf("%w: %s was deleted", ErrLogClosed, tp))
	m.mu.Lock()
	delete(m.logs, tp)
	m.mu.Unlock()

	if l.unborn.Swap(false) || l.dir.offline() != nil {
		return l, nil // there is no directory, or nobody can reach it
	}
	l.dir.journal.noteDeleted(tp)
	gone := filepath.Join(l.dir.path, retiredDirName(tp, newUUID(), suffix))
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	for _, s := range l.segments {
		s.abandon()
	}
	if err := m.cfg.FS.Rename(l.path, gone); err != nil {
		return nil, l.dir.fail(fmt.Errorf("rename %s: %w", tp, err))
	}
	l.path = gone
	return l, nil
}

// retiredDirName is Kafka's name for the directory of a deleted or stray partition, at most 255 bytes long.
func retiredDirName(tp TopicPartition, id [16]byte, suffix string) string {
	tail := fmt.Sprintf(".%x%s", id, suffix)
	name := tp.String()
	return name[:min(len(name), 255-len(tail))] + tail
}

func (m *LogManager) removeLater(path string, delayMs int64) {
	m.janitor.after(msDuration(delayMs), func() {
		if err := m.cfg.FS.RemoveAll(path); err != nil {
			m.logger.Warn("could not remove a deleted partition", "path", path, "err", err)
		}
	})
}

// Checkpoint writes the recovery points, log start offsets and high watermarks of all directories.
func (m *LogManager) Checkpoint() error {
	var errs []error
	for _, d := range m.dirs {
		if d.offline() == nil {
			errs = append(errs, d.checkpoint(false))
		}
	}
	return errors.Join(errs...)
}

// backgroundLoads is how many logs that nobody has used yet one round of retention, or one look for something to
// compact, may load: thousands at once would take the disk from those who wait for it. Such a log gets nothing
// appended, so what it has to delete grows by time alone.
const backgroundLoads = 500

// loadForBackground loads a log on behalf of a round that may load so many more; false if it cannot be used now.
// A log that is to be recovered is left to those who do that.
func (l *Log) loadForBackground(left *int) bool {
	if l.loaded.Load() {
		return true
	}
	if *left == 0 || l.unrecovered.Load() && !l.dir.recoverer.over.Load() || l.load() != nil {
		return false
	}
	*left--
	return true
}

// RunRetention deletes what the topics' retention settings no longer keep. Of the logs that nobody has used since the
// start it looks at some hundreds each time.
func (m *LogManager) RunRetention() error {
	var errs []error
	loads := backgroundLoads
	for _, l := range sortedLogs(m.Logs()) {
		if l.dir.offline() != nil || !l.loadForBackground(&loads) {
			continue
		}
		if err := l.applyRetention(); err != nil && !errors.Is(err, ErrLogClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (m *LogManager) checkSpace() {
	for _, d := range m.dirs {
		if d.offline() == nil {
			d.checkSpace()
		}
	}
}

// SetProducerIDExpiration changes how long an idle producer's sequence state is
// kept, from the next check on.
func (m *LogManager) SetProducerIDExpiration(d time.Duration) { m.producerExpiry.Store(int64(d)) }

func (m *LogManager) expireProducers() {
	before := m.cfg.Clock.Now().Add(-time.Duration(m.producerExpiry.Load())).UnixMilli()
	for _, l := range m.Logs() {
		if l.loaded.Load() {
			l.expireProducers(before)
		}
	}
}

func (m *LogManager) logCheckpointError(err error) {
	if err != nil {
		m.logger.Error("background work of the logs failed", "err", err)
	}
}

// Close syncs and closes all logs so that the next start needs no recovery, and gives the directories back.
// Appends and deletions get ErrLogClosed from its beginning on. A directory that cannot be closed cleanly, or has logs
// that were not recovered yet, is recovered after the next start. Call it once.
func (m *LogManager) Close() error {
	m.createMu.Lock()
	m.closed = true
	m.createMu.Unlock()
	for _, d := range m.dirs {
		d.recoverer.stop()
	}
	m.scrub.stop()
	m.cleaner.stop()
	m.janitor.stop()
	var errs []error
	for _, d := range m.dirs {
		d.keeper.stop()
		if d.offline() == nil {
			errs = append(errs, d.close())
		}
		d.committer.stop()
		d.journal.abandon()
	}
	m.closeFiles()
	m.unlock()
	return errors.Join(errs...)
}

// close writes out one directory.
func (d *logDir) close() error {
	for _, l := range d.logs() {
		l.appendMu.Lock()
		l.closed = true
		l.appendMu.Unlock()
		if l.loaded.Load() {
			d.committer.request(l)
		}
	}
	d.committer.stop()
	if err := d.offline(); err != nil {
		return err
	}
	if err := d.checkpoint(true); err != nil {
		return err
	}
	if err := d.journal.release(); err != nil {
		return d.fail(fmt.Errorf("removal of the commit journal: %w", err))
	}
	if n := d.unrecovered(); n > 0 {
		// Their recovery points stand; the others' are at their ends, and cost the next start nothing.
		d.m.logger.Warn("stopped before all logs were recovered: the next start counts as one after a crash", "dir", d.path, "logs", n)
		return nil
	}
	path := filepath.Join(d.path, cleanShutdownFile)
	return vfs.ReplaceFileDurably(d.m.cfg.FS, d.path, path, []byte(`{"version":0,"brokerEpoch":-1}`))
}

// closeFiles ends the use of all logs; files that ranges pin are closed with the last of those.
func (m *LogManager) closeFiles() {
	for _, l := range m.Logs() {
		l.fail(fmt.Errorf("%w: %s", ErrLogClosed, l.tp))
		l.appendMu.Lock() // a load may be under way
		l.closed = true
		for _, s := range l.segments {
			s.abandon()
		}
		l.appendMu.Unlock()
	}
}

// unlock gives the directories back.
func (m *LogManager) unlock() {
	for _, d := range m.dirs {
		if d.lock != nil {
			_ = d.lock.Close() // the lock goes with the descriptor, whatever close says
			d.lock = nil
		}
	}
}
