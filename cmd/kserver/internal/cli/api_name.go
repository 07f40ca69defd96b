package cli

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaSpelling turns the schema library's spelling of a name into Kafka's,
// which writes acronyms like words and has one other verb.
var kafkaSpelling = strings.NewReplacer(
	"ACL", "Acl", "SASL", "Sasl", "SCRAM", "Scram", "ID", "Id",
	"AlterPartitionAssignments", "AlterPartitionReassignments",
)

// apiName returns Kafka's name for an API key, as its message definitions
// spell it.
func apiName(key int16) string { return kafkaSpelling.Replace(kmsg.NameForKey(key)) }
