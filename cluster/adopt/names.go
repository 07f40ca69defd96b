package adopt

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"kserver/engine"
	"kserver/engine/vfs"
)

// Names in a log directory. See the table in the package's comment.
const (
	// keptDir is where Kafka's metadata lies while the directory is kserver's.
	keptDir = "kafka-metadata"
	// scratchDir, within the directory of Kafka's metadata, is where kserver's is made, and where it goes: nothing in it
	// is needed.
	scratchDir = "kserver-adopt.tmp"
	// quorumStateFile is Kafka's; in a log of kserver it is the guard.
	quorumStateFile   = "quorum-state"
	lockFile          = ".lock"
	cleanShutdownFile = ".kafka_cleanshutdown"
	// journalDir is kserver's commit journal, which a clean stop removes, under the second name first.
	journalDir     = "commit-journal"
	goneJournalDir = "commit-journal-delete"
)

// guard is the quorum-state of an adopted directory. Kafka reads that file before it writes anything, and does not start
// with a version it does not know.
const guard = `{"data_version":32767,"clusterId":"","leaderId":-1,"leaderEpoch":0,"votedId":-1,"appliedOffset":0,"currentVoters":[],` +
	`"owner":"kserver","note":"kserver adopt --back returns this directory to Kafka"}`

// maxQuorumStateBytes bounds the file read: a line with the voters.
const maxQuorumStateBytes = 1 << 20

// ownership says whose a node's directories are.
type ownership int

const (
	unused      ownership = iota // no metadata anywhere
	kafkas                       // Kafka's metadata is in its place
	adopted                      // kserver's is, and Kafka's is kept
	kservers                     // kserver's is, and Kafka never had any
	interrupted                  // Kafka's is kept, and nothing in its place: between the renames
)

// errAmbiguous says that it cannot be told whose the directories are.
var errAmbiguous = errors.New("adopt: more than one metadata log")

// ownerOf finds out whose the directories are, and which of them has the metadata.
func ownerOf(fsys vfs.FS, dirs []string) (owner ownership, metaDir string, err error) {
	for _, dir := range dirs {
		inPlace, err1 := exists(fsys, filepath.Join(dir, metadataDir))
		kept, err2 := exists(fsys, filepath.Join(dir, keptDir))
		if err := errors.Join(err1, err2); err != nil {
			return unused, "", err
		}
		if !inPlace && !kept {
			continue
		}
		if metaDir != "" {
			return unused, "", fmt.Errorf("%w: both %s and %s have metadata of a cluster", errAmbiguous, metaDir, dir)
		}
		metaDir = dir
		guarded, written, err := guarded(fsys, dir)
		switch {
		case err != nil:
			return unused, "", err
		case !inPlace:
			owner = interrupted
		case kept && guarded:
			owner = adopted
		case kept:
			return unused, "", fmt.Errorf("%w: %s has Kafka's metadata twice, in %s and %s", errAmbiguous, dir, metadataDir, keptDir)
		case written || !guarded && kraftFiles(fsys, filepath.Join(dir, metadataDir)):
			owner = kafkas
		default:
			owner = kservers
		}
	}
	return owner, metaDir, nil
}

// guarded reads the quorum-state of a directory's metadata: whether it is the guard, or else written by Kafka.
func guarded(fsys vfs.FS, dir string) (guarded, written bool, err error) {
	b, err := vfs.ReadFile(fsys, filepath.Join(dir, metadataDir, quorumStateFile), maxQuorumStateBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	guarded = string(b) == guard
	return guarded, !guarded, nil
}

// kraftFiles reports whether a metadata log has a snapshot, which kserver makes none of.
func kraftFiles(fsys vfs.FS, dir string) bool {
	entries, err := fsys.List(dir)
	return err == nil && slices.ContainsFunc(entries, func(e vfs.Entry) bool { return strings.HasSuffix(e.Name, snapshotSuffix) })
}

// ErrKafkas says that the directories were last used by Kafka, or are between the two.
var ErrKafkas = errors.New("last used by Apache Kafka")

// CheckStart refuses to start kserver on directories that are Kafka's: it would not see Kafka's snapshots, and take
// partitions for strays. A directory that cannot be read is left to who opens it.
func CheckStart(fsys vfs.FS, dirs []string) error {
	readable := slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool {
		_, err := exists(fsys, filepath.Join(dir, metadataDir))
		return err != nil
	})
	owner, metaDir, err := ownerOf(fsys, readable)
	switch {
	case err != nil && !errors.Is(err, errAmbiguous):
		return nil
	case err != nil:
		return err
	case owner == kafkas:
		return fmt.Errorf("%s was %w: kserver adopt %s shows what taking it over means", metaDir, ErrKafkas, strings.Join(dirs, " "))
	case owner == interrupted:
		return fmt.Errorf("%s was %w, and taking it over or giving it back was interrupted: run kserver adopt again", metaDir, ErrKafkas)
	}
	return nil
}

func exists(fsys vfs.FS, path string) (bool, error) {
	_, err := fsys.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// locks are held while the directories are changed.
type locks []io.Closer

// lockDirs keeps both brokers off the directories.
func lockDirs(fsys vfs.FS, dirs []string) (held locks, err error) {
	for _, dir := range dirs {
		l, err := fsys.Lock(filepath.Join(dir, lockFile))
		if errors.Is(err, vfs.ErrLocked) {
			err = fmt.Errorf("%s is in use by a broker: %w", dir, err)
		}
		if err != nil {
			return nil, errors.Join(err, held.release())
		}
		held = append(held, l)
	}
	return held, nil
}

func (held locks) release() error {
	var errs []error
	for _, l := range held {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// settle ends what an interrupted handover has left: the name of Kafka's metadata is put back, from where either
// direction begins.
func settle(fsys vfs.FS, dir string) error {
	if err := fsys.Rename(filepath.Join(dir, keptDir), filepath.Join(dir, metadataDir)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

func sortedPartitions(found map[engine.TopicPartition]foundPartition) []engine.TopicPartition {
	return slices.SortedFunc(maps.Keys(found), func(a, b engine.TopicPartition) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
}
