package protocol

import "strings"

// MaxTopicNameLength is the largest length of a topic name in bytes.
const MaxTopicNameLength = 249

// The topics a broker keeps for itself (org.apache.kafka.common.internals.Topic).
const (
	ConsumerOffsetsTopic  = "__consumer_offsets"
	TransactionStateTopic = "__transaction_state"
	ShareGroupStateTopic  = "__share_group_state"
	ClusterMetadataTopic  = "__cluster_metadata"
)

const invalidTopicNamePrefix = "Topic name is invalid: "

// IsInternalTopic reports whether clients must not write to the topic.
// ClusterMetadataTopic is not among them: clients do not see it at all.
func IsInternalTopic(name string) bool {
	return name == ConsumerOffsetsTopic || name == TransactionStateTopic || name == ShareGroupStateTopic
}

// ValidateTopicName returns nil or an *Error with InvalidTopicException and
// Kafka's message for the first rule the name breaks: it must not be empty, "."
// or "..", not be longer than MaxTopicNameLength, and consist of ASCII letters,
// digits, '.', '_' and '-'.
func ValidateTopicName(name string) error {
	switch {
	case name == "":
		return Errorf(InvalidTopicException, invalidTopicNamePrefix+"the empty string is not allowed")
	case name == "." || name == "..":
		return Errorf(InvalidTopicException, invalidTopicNamePrefix+"'%s' is not allowed", name)
	case javaLength(name) > MaxTopicNameLength:
		return Errorf(InvalidTopicException,
			invalidTopicNamePrefix+"the length of '%s' is longer than the max allowed length %d", name, MaxTopicNameLength)
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return Errorf(InvalidTopicException, invalidTopicNamePrefix+
				"'%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
		}
	}
	return nil
}

// TopicNamesCollide reports whether the names are the same once '.' is read as
// '_': metrics are named that way, so Kafka refuses a topic that collides with
// an existing one. Equal names collide.
func TopicNamesCollide(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if unified(a[i]) != unified(b[i]) {
			return false
		}
	}
	return true
}

// CollisionKey returns the form of a topic name that is the same for all names
// that collide with it, to find collisions in a map.
func CollisionKey(name string) string { return strings.ReplaceAll(name, ".", "_") }

func unified(c byte) byte {
	if c == '.' {
		return '_'
	}
	return c
}
