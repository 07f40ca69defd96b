package engine

import (
	"fmt"
	"strconv"
	"strings"
)

// TopicPartition names one partition of one topic, and so one Log.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String is Kafka's notation and the name of the partition's directory: topic-partition.
func (tp TopicPartition) String() string {
	return tp.Topic + "-" + strconv.Itoa(int(tp.Partition))
}

// maxTopicLength is the longest topic name Kafka allows, in bytes.
const maxTopicLength = 249

// Suffixes Kafka gives to directories and files that are about to go.
const (
	deleteDirSuffix   = "-delete"
	futureDirSuffix   = "-future"
	strayDirSuffix    = "-stray"
	deletedFileSuffix = ".deleted"
	tmpSuffix         = ".tmp"
)

// parsePartitionDir reads a directory name of the form topic-partition. ok is false for every name that
// is not the directory of a live partition.
func parsePartitionDir(name string) (tp TopicPartition, ok bool) {
	if strings.HasSuffix(name, deleteDirSuffix) || strings.HasSuffix(name, futureDirSuffix) ||
		strings.HasSuffix(name, strayDirSuffix) {
		return TopicPartition{}, false
	}
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return TopicPartition{}, false
	}
	partition, err := strconv.ParseInt(name[i+1:], 10, 32)
	if err != nil || partition < 0 || name[i+1] == '+' {
		return TopicPartition{}, false
	}
	tp = TopicPartition{Topic: name[:i], Partition: int32(partition)}
	return tp, tp.validate() == nil && tp.String() == name
}

// validate refuses what must never become part of a path. The rules are those of Kafka's Topic class.
func (tp TopicPartition) validate() error {
	if tp.Partition < 0 {
		return fmt.Errorf("engine: partition %d is negative", tp.Partition)
	}
	if tp.Topic == "" || tp.Topic == "." || tp.Topic == ".." || len(tp.Topic) > maxTopicLength {
		return fmt.Errorf("engine: topic name %q is not allowed", tp.Topic)
	}
	for i := 0; i < len(tp.Topic); i++ {
		c := tp.Topic[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' {
			continue
		}
		return fmt.Errorf("engine: topic name %q is not allowed", tp.Topic)
	}
	return nil
}
