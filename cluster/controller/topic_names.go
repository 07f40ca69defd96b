package controller

import (
	"fmt"
	"strings"
)

// Names of the topics the broker keeps for itself.
const (
	// MetadataTopic is the topic of the metadata log. It is not in the image.
	MetadataTopic = "__cluster_metadata"
	// OffsetsTopic holds groups and their committed offsets.
	OffsetsTopic = "__consumer_offsets"
	// TransactionTopic holds the state of transactional producers.
	TransactionTopic = "__transaction_state"
	// ShareStateTopic holds the state of share groups.
	ShareStateTopic = "__share_group_state"
)

// maxTopicName is the longest topic name, in bytes: with "-" and a partition it
// still is a file name.
const maxTopicName = 249

// IsInternal reports whether the topic belongs to the broker (Kafka's
// Topic.isInternal).
func IsInternal(name string) bool {
	return name == OffsetsTopic || name == TransactionTopic || name == ShareStateTopic
}

// CheckTopicName returns why a topic cannot have this name, in Kafka's words, ""
// when it can.
func CheckTopicName(name string) string {
	switch {
	case name == "":
		return "Topic name is invalid: the empty string is not allowed"
	case name == "." || name == "..":
		return fmt.Sprintf("Topic name is invalid: '%s' is not allowed", name)
	case len(name) > maxTopicName:
		return fmt.Sprintf("Topic name is invalid: the length of '%s' is longer than the max allowed length %d", name, maxTopicName)
	}
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' {
			continue
		}
		return fmt.Sprintf("Topic name is invalid: '%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
	}
	return ""
}

// hasCollisionChars reports whether another name could differ from this one only
// in '.' for '_'.
func hasCollisionChars(name string) bool { return strings.ContainsAny(name, "._") }

// unifyName makes colliding names equal.
func unifyName(name string) string { return strings.ReplaceAll(name, ".", "_") }

// collisionKey orders topics by unified name and keeps colliding ones, which one
// request can create together, apart. The separator sorts before every character
// of a name.
func collisionKey(name string) string { return unifyName(name) + "\x00" + name }
