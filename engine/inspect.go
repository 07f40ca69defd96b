package engine

import (
	"fmt"
	"path/filepath"
	"strings"

	"kserver/engine/vfs"
)

// InspectOptions say how closely InspectDir looks.
type InspectOptions struct {
	// Verify reads every batch, compares its checksum, and compares every index entry with the batch it names.
	// Without it only what a start would read is read: the indexes, and the batches behind the recovery point.
	Verify bool
	// Wants selects the partitions to look at; nil wants all.
	Wants func(TopicPartition) bool
	// Threads reading partitions at the same time; 0 is 1.
	Threads int
}

// Severity says what becomes of a Problem.
type Severity string

const (
	// Repairable: the next start or the first use puts it right and nothing acknowledged is missing.
	Repairable Severity = "repairable"
	// Damage: acknowledged records cannot be read, or the directory cannot be opened.
	Damage Severity = "damage"
)

// Problem is something found in a file that should not be so.
type Problem struct {
	File     string   `json:"file"`     // its name, below the directory or partition it was found in
	Position int64    `json:"position"` // in bytes, -1 for the file as a whole
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
}

// DirInspection describes a log directory as it lies on disk.
type DirInspection struct {
	Path        string `json:"path"`
	NodeID      int32  `json:"node_id"` // -1 if meta.properties does not say
	ClusterID   string `json:"cluster_id"`
	DirectoryID string `json:"directory_id"`
	// Clean: the last stop was, and the next start recovers nothing.
	Clean      bool                  `json:"clean"`
	Problems   []Problem             `json:"problems"`
	Partitions []PartitionInspection `json:"partitions"`
	// Journal is what a crash has left of the commit journal: the next start writes it to the segments before anything
	// else, so until then they may lack records. nil if there is none.
	Journal *JournalInspection `json:"journal,omitempty"`
	// SetAside are directories of deleted and stray partitions and unfinished moves.
	SetAside []string `json:"set_aside"`
}

// Damaged reports whether anything in the directory is Damage.
func (d *DirInspection) Damaged() bool {
	if damaged(d.Problems) {
		return true
	}
	for i := range d.Partitions {
		if damaged(d.Partitions[i].Problems) {
			return true
		}
	}
	return false
}

func damaged(problems []Problem) bool {
	for _, p := range problems {
		if p.Severity == Damage {
			return true
		}
	}
	return false
}

// InspectDir describes the log directory at path, which may be Kafka's. It opens files for reading only and takes
// no lock: while a broker uses the directory, what it is writing may look torn.
//
// An error means that the directory cannot be read at all; whatever is wrong inside is a Problem.
func InspectDir(fsys vfs.FS, path string, o InspectOptions) (*DirInspection, error) {
	entries, err := fsys.List(path)
	if err != nil {
		return nil, err
	}
	d := &DirInspection{Path: path, Problems: []Problem{}, Partitions: []PartitionInspection{}, SetAside: []string{}}
	d.identify(fsys)
	_, err = fsys.Stat(filepath.Join(path, cleanShutdownFile))
	if err != nil && !isNotExist(err) {
		return nil, err
	}
	d.Clean = err == nil
	offsets := d.checkpoints(fsys)
	for _, e := range entries {
		if !e.Dir {
			continue
		}
		tp, ok := parsePartitionDir(e.Name)
		switch {
		case ok && (o.Wants == nil || o.Wants(tp)):
			d.Partitions = append(d.Partitions, PartitionInspection{Topic: tp.Topic, Partition: tp.Partition})
		case e.Name == journalDirName:
			d.inspectJournal(fsys)
		case !ok && strings.Contains(e.Name, "-"):
			d.SetAside = append(d.SetAside, e.Name)
		}
	}
	err = inParallel(len(d.Partitions), max(o.Threads, 1), func(i int) error {
		p := &d.Partitions[i]
		tp := TopicPartition{p.Topic, p.Partition}
		inspector{fsys: fsys, dir: filepath.Join(path, tp.String()), verify: o.Verify, clean: d.Clean}.inspect(p, offsets(tp))
		return nil
	})
	return d, err
}

// JournalInspection describes a commit journal.
type JournalInspection struct {
	Frames int   `json:"frames"` // to be replayed
	Bytes  int64 `json:"bytes"`  // of records in them
}

// inspectJournal reads the commit journal as a start would.
func (d *DirInspection) inspectJournal(fsys vfs.FS) {
	j, err := readJournal(fsys, d.Path)
	switch {
	case err != nil:
		d.problem(journalDirName, Damage, err.Error())
		return
	case d.Clean:
		d.problem(journalDirName, Damage, "left by a crash before the last clean stop, which somebody else must have made: no start uses the directory before it is moved away")
	case j.torn > 0:
		d.problem(journalDirName, Repairable, fmt.Sprintf("frame %d, the newest, is not whole: a crash has cut it short", j.torn))
	}
	d.Journal = &JournalInspection{Frames: len(j.frames)}
	for i := range j.frames {
		d.Journal.Bytes += j.frames[i].payload
	}
}

// identify reads meta.properties.
func (d *DirInspection) identify(fsys vfs.FS) {
	meta, found, err := readMetaProperties(fsys, d.Path)
	switch {
	case err != nil:
		d.problem(metaPropertiesFile, Damage, err.Error())
	case !found:
		d.problem(metaPropertiesFile, Repairable, "missing: the next start makes a new one")
	}
	if !found {
		d.NodeID = -1
		return
	}
	d.NodeID, d.ClusterID, d.DirectoryID = meta.nodeID, meta.clusterID, uuidText(meta.directoryID)
}

// checkpoints reads the offset checkpoints; the function returned looks a partition up.
func (d *DirInspection) checkpoints(fsys vfs.FS) func(TopicPartition) checkpointedOffsets {
	read := func(name string) map[TopicPartition]int64 {
		offsets, err := readOffsetCheckpoint(fsys, filepath.Join(d.Path, name))
		if err != nil {
			d.problem(name, Repairable, fmt.Sprintf("%v: the next start recovers every log without it", err))
			d.Clean = false
		}
		return offsets
	}
	recovery, starts, watermarks := read(recoveryPointFile), read(logStartFile), read(highWatermarkFile)
	return func(tp TopicPartition) checkpointedOffsets {
		return checkpointedOffsets{recovery[tp], starts[tp], watermarks[tp]}
	}
}

func (d *DirInspection) problem(file string, s Severity, text string) {
	d.Problems = append(d.Problems, Problem{file, -1, s, text})
}
