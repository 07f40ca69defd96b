package engine

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"kserver/engine/vfs"
)

// Kafka's names of the files of a log directory.
const (
	recoveryPointFile  = "recovery-point-offset-checkpoint"
	logStartFile       = "log-start-offset-checkpoint"
	highWatermarkFile  = "replication-offset-checkpoint"
	cleanShutdownFile  = ".kafka_cleanshutdown"
	metaPropertiesFile = "meta.properties"
	lockFile           = ".lock"
)

// maxCheckpointBytes bounds a checkpoint file: some hundred thousand partitions.
const maxCheckpointBytes = 64 << 20

// checkpointLines splits a checkpoint file of version 0 into its entries: a line with the version, one with
// the count, then the entries.
func checkpointLines(b []byte) ([]string, error) {
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(lines) < 2 || lines[0] != "0" {
		return nil, fmt.Errorf("%w: checkpoint without version 0", ErrCorrupt)
	}
	n, err := strconv.Atoi(lines[1])
	if err != nil || n != len(lines)-2 {
		return nil, fmt.Errorf("%w: checkpoint of %s entries has %d", ErrCorrupt, lines[1], len(lines)-2)
	}
	return lines[2:], nil
}

// checksumLine is the topic of the line, of partition -1, whose offset is the CRC-32C of the lines above it. The
// format has no checksum, and a flipped bit makes another good number; to Kafka the line is a partition that does
// not exist, and it writes none.
const checksumLine = "__kserver_checksum"

// checksumOf covers the lines of a checkpoint in their order.
func checksumOf(lines []string) int64 {
	crc := crc32.New(castagnoli)
	for _, line := range lines {
		_, _ = io.WriteString(crc, line+"\n") // never fails
	}
	return int64(crc.Sum32())
}

// readOffsetCheckpoint reads a file of "topic partition offset" lines. A missing file is an empty one.
func readOffsetCheckpoint(fsys vfs.FS, path string) (map[TopicPartition]int64, error) {
	b, err := vfs.ReadFile(fsys, path, maxCheckpointBytes)
	if isNotExist(err) {
		return map[TopicPartition]int64{}, nil
	}
	if err != nil {
		return nil, err
	}
	lines, err := checkpointLines(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	offsets := make(map[TopicPartition]int64, len(lines))
	for i, line := range lines {
		f := strings.Split(line, " ")
		if len(f) != 3 {
			return nil, fmt.Errorf("%w: %s: line %q", ErrCorrupt, path, line)
		}
		partition, err1 := strconv.ParseInt(f[1], 10, 32)
		offset, err2 := strconv.ParseInt(f[2], 10, 64)
		if err := errors.Join(err1, err2); err != nil || offset < 0 {
			return nil, fmt.Errorf("%w: %s: line %q", ErrCorrupt, path, line)
		}
		if partition < 0 {
			if f[0] != checksumLine || i != len(lines)-1 || offset != checksumOf(lines[:i]) && !planted(bugChecksumIgnored) {
				return nil, fmt.Errorf("%w: %s: the checksum does not match", ErrCorrupt, path)
			}
			break
		}
		offsets[TopicPartition{f[0], int32(partition)}] = offset
	}
	return offsets, nil
}

// writeOffsetCheckpoint replaces the file durably; entries are sorted, so that equal states make equal files.
func writeOffsetCheckpoint(fsys vfs.FS, dir, name string, offsets map[TopicPartition]int64) error {
	tps := make([]TopicPartition, 0, len(offsets))
	for tp := range offsets {
		tps = append(tps, tp)
	}
	sort.Slice(tps, func(i, j int) bool {
		if tps[i].Topic != tps[j].Topic {
			return tps[i].Topic < tps[j].Topic
		}
		return tps[i].Partition < tps[j].Partition
	})
	var b bytes.Buffer
	lines := make([]string, len(tps), len(tps)+1)
	for i, tp := range tps {
		lines[i] = fmt.Sprintf("%s %d %d", tp.Topic, tp.Partition, offsets[tp])
	}
	lines = append(lines, fmt.Sprintf("%s -1 %d", checksumLine, checksumOf(lines)))
	fmt.Fprintf(&b, "0\n%d\n", len(lines))
	for _, line := range lines {
		fmt.Fprintln(&b, line)
	}
	path := filepath.Join(dir, name)
	if planted(bugRenameBeforeSync) {
		return errors.Join(vfs.WriteFile(fsys, path+tmpSuffix, b.Bytes()), fsys.Rename(path+tmpSuffix, path), fsys.SyncDir(dir))
	}
	return vfs.ReplaceFileDurably(fsys, dir, path, b.Bytes())
}
