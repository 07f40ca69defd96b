package interop

import (
	"testing"
)

// TestToolTopics creates, lists, describes, widens and deletes topics with kafka-topics, and reads what
// it says of what is refused.
func TestToolTopics(t *testing.T) {
	t.Parallel()
	topic := uniqueName(t)
	topics := func(args ...string) string {
		t.Helper()
		return tool(t, classTopics, args...)
	}
	refused := func(expression string, args ...string) {
		t.Helper()
		wantLines(t, "refusal", toolSays(t, classTopics, args...), expression)
	}
	// Right after the change, Apache Kafka may say that there is no such topic.
	describe := func() string { return toolSays(t, classTopics, "--describe", "--topic", topic) }

	wantLines(t, "create", topics("--create", "--topic", topic, "--partitions", "2", "--replication-factor", "1", "--config", "retention.ms=5000000"),
		`^Created topic `+topic)
	eventuallyLines(t, "list", func() string { return topics("--list", "--exclude-internal") }, "^"+topic+"$")
	eventuallyLines(t, "describe", describe,
		`Topic: `+topic+`\s+TopicId: [\w-]{22}\s+PartitionCount: 2\s+ReplicationFactor: 1\s+Configs: .*retention.ms=5000000`,
		`Partition: 1\s+Leader: (\d+)\s+Replicas: \d+\s+Isr: \d+`)
	eventuallyLines(t, "overrides", func() string { return toolSays(t, classTopics, "--describe", "--topics-with-overrides") }, `Topic: `+topic)
	wantLines(t, "at min ISR", topics("--describe", "--at-min-isr-partitions", "--topic", topic), `Topic: `+topic+`\s+Partition: 1`)
	for _, view := range []string{"--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"} {
		if out := topics("--describe", view, "--topic", topic); out != "" {
			t.Errorf("%s shows %s", view, out)
		}
	}

	refused(`Topic '`+topic+`' already exists`, "--create", "--topic", topic)
	topics("--create", "--topic", topic, "--if-not-exists")
	refused(`replication factor`, "--create", "--topic", topic+"-wide", "--replication-factor", "3")
	refused(`contains one or more characters other than ASCII alphanumerics`, "--create", "--topic", topic+" blank")
	refused(`Invalid value soon for configuration retention.ms: Not a number of type LONG`, "--create", "--topic", topic+"-bad", "--config", "retention.ms=soon")
	refused(`Unknown topic config name: nope`, "--create", "--topic", topic+"-bad", "--config", "nope=1")

	topics("--alter", "--topic", topic, "--partitions", "3")
	eventuallyLines(t, "three partitions", describe, `PartitionCount: 3`)
	refused(`2 would not be an increase`, "--alter", "--topic", topic, "--partitions", "2")
	refused(`does not exist as expected`, "--alter", "--topic", topic+"-absent", "--partitions", "2")
	refused(`does not exist as expected`, "--describe", "--topic", topic+"-absent")
	topics("--describe", "--topic", topic+"-absent", "--if-exists")

	topics("--delete", "--topic", topic)
	eventually(t, "the topic is gone", func() error {
		return wantNoText(topics("--list"), topic)
	})
	refused(`does not exist as expected`, "--delete", "--topic", topic)
}

// TestToolTopicAssignment places replicas by hand.
func TestToolTopicAssignment(t *testing.T) {
	t.Parallel()
	topic, id := uniqueName(t), brokerID(t)
	tool(t, classTopics, "--create", "--topic", topic, "--replica-assignment", id+","+id+","+id)
	eventuallyLines(t, "describe", func() string { return toolSays(t, classTopics, "--describe", "--topic", topic) },
		`PartitionCount: 3`, `Partition: 2\s+Leader: `+id)
	wantLines(t, "refusal", toolSays(t, classTopics, "--create", "--topic", topic+"-bad", "--replica-assignment", "77"), `includes broker 77, but no such broker is registered`)
	tool(t, classTopics, "--delete", "--topic", topic)
}
