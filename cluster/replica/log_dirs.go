package replica

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"kserver/engine"
	"kserver/protocol"
)

// LogDir is one log directory with the replicas in it.
type LogDir struct {
	Path string // absolute
	// Err is set when the directory is offline; the rest is empty then.
	Err *protocol.Error
	// Free and Total are the bytes of its file system, -1 when they are not known.
	Free, Total int64
	// Replicas, by topic and partition.
	Replicas []ReplicaSize
}

// ReplicaSize is one replica and the bytes of its segments.
type ReplicaSize struct {
	engine.TopicPartition
	Size int64
}

// LogDirs describes the log directories, in configured order, with the replicas
// that wanted selects. It asks the file system.
func (m *Manager) LogDirs(wanted func(engine.TopicPartition) bool) []LogDir {
	byDir := map[string][]ReplicaSize{}
	for _, p := range m.selected(wanted) {
		dir := p.log.Dir()
		byDir[dir] = append(byDir[dir], ReplicaSize{p.TopicPartition, p.log.Size()})
	}
	var out []LogDir
	for _, d := range m.cfg.Logs.Dirs() {
		dir := LogDir{Path: absolute(d.Path), Free: -1, Total: -1}
		if d.Err != nil {
			dir.Err = KafkaError(d.Err)
			out = append(out, dir)
			continue
		}
		if m.cfg.Space != nil {
			free, total, err := m.cfg.Space(d.Path)
			if err != nil {
				m.cfg.Logger.Warn("size of file system not known", "dir", d.Path, "err", err)
			} else {
				dir.Free, dir.Total = free, total
			}
		}
		dir.Replicas = byDir[d.Path]
		slices.SortFunc(dir.Replicas, func(a, b ReplicaSize) int {
			return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
		out = append(out, dir)
	}
	return out
}

// selected lists the partitions hosted here that wanted selects, in no order.
func (m *Manager) selected(wanted func(engine.TopicPartition) bool) (out []*Partition) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, t := range m.byName {
		for _, p := range t.Partitions {
			if p != nil && wanted(p.TopicPartition) {
				out = append(out, p)
			}
		}
	}
	return out
}

// maxDirName is the longest directory name Kafka makes for a replica on its way
// to another directory: topic-partition.<32 digits>-future in 255 bytes.
const (
	maxDirName   = 255
	futureSuffix = 1 + 32 + len("-future")
)

// CheckMove says whether a replica is in the log directory at path, as Kafka's
// AlterReplicaLogDirs is answered when it has nothing to do. Replicas do not move
// between directories: another one of this broker's is refused like one that
// takes no new replicas.
func (m *Manager) CheckMove(tp engine.TopicPartition, path string) *protocol.Error {
	if len(tp.String())+futureSuffix > maxDirName {
		return protocol.Errorf(protocol.InvalidTopicException, "The topic name is too long.")
	}
	dirs := m.cfg.Logs.Dirs()
	at := slices.IndexFunc(dirs, func(d engine.DirInfo) bool { return absolute(d.Path) == path })
	switch {
	case at < 0:
		return protocol.Errorf(protocol.LogDirNotFound, "Log dir %s is not found in the config.", path)
	case dirs[at].Err != nil:
		return protocol.Errorf(protocol.KafkaStorageError, "Log directory %s is offline", path)
	}
	p, err := m.Partition(tp.Topic, tp.Partition)
	switch {
	case err != nil:
		return err
	case p.log.Dir() != dirs[at].Path:
		return protocol.Errorf(protocol.InvalidReplicaAssignment, "Log directory %s takes no replicas of other directories", path)
	}
	return nil
}

// absolute is a directory as clients name it.
func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil { // the working directory is gone
		return path
	}
	return abs
}
