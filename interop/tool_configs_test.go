package interop

import (
	"testing"
)

// configsTool runs kafka-configs on one kind of entity.
type configsTool struct {
	t      *testing.T
	entity []string
}

// describe returns what the tool prints, in a mistake, too: while it describes all topics, another test's
// topic may vanish.
func (c configsTool) describe(args ...string) string {
	c.t.Helper()
	return toolSays(c.t, classConfigs, append(append([]string{"--describe"}, c.entity...), args...)...)
}

func (c configsTool) alter(args ...string) {
	c.t.Helper()
	wantLines(c.t, "alter", tool(c.t, classConfigs, append(append([]string{"--alter"}, c.entity...), args...)...), `^Completed updating `)
}

func (c configsTool) refused(expression string, args ...string) {
	c.t.Helper()
	wantLines(c.t, "refusal", toolSays(c.t, classConfigs, append(append([]string{"--alter"}, c.entity...), args...)...), expression)
}

// shows waits until the description matches every expression.
func (c configsTool) shows(expressions ...string) {
	c.t.Helper()
	eventuallyLines(c.t, "describe", func() string { return c.describe() }, expressions...)
}

// lacks waits until the description does not contain a text.
func (c configsTool) lacks(text string) {
	c.t.Helper()
	eventually(c.t, "describe", func() error { return wantNoText(c.describe(), text) })
}

// TestToolConfigsTopics sets, extends and removes a topic's configs.
func TestToolConfigsTopics(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1, "max.message.bytes=77777")
	c := configsTool{t, []string{"--entity-type", "topics", "--entity-name", topic}}
	c.shows(`max.message.bytes=77777.*synonyms=\{DYNAMIC_TOPIC_CONFIG:max.message.bytes=77777, DEFAULT_CONFIG:message.max.bytes=1048588\}`)
	c.alter("--add-config", "retention.ms=4444444,cleanup.policy=[compact,delete]")
	c.shows(`retention.ms=4444444 `, `cleanup.policy=compact,delete `, `max.message.bytes=77777 `)
	c.alter("--delete-config", "retention.ms,cleanup.policy")
	c.lacks("retention.ms=4444444")
	wantLines(t, "all", c.describe("--all"), `^  retention.ms=604800000 sensitive=false synonyms=\{.*\}$`, `^  cleanup.policy=delete `, `^  segment.bytes=1073741824 `)
	c.refused(`Unknown topic config name: nope`, "--add-config", "nope=1")
	c.refused(`Invalid value soon for configuration retention.ms: Not a number of type LONG`, "--add-config", "retention.ms=soon")
	absent := configsTool{t, []string{"--topic", topic + "-absent"}}
	absent.refused(`UnknownTopicOrPartitionException`, "--add-config", "retention.ms=1000")
	wantLines(t, "absent", absent.describe(), `doesn't exist and doesn't have dynamic config`)
	configsTool{t, []string{"--entity-type", "topics"}}.shows(`^Dynamic configs for topic ` + topic + ` are:`)
}

// TestToolConfigsBrokers changes settings of the broker and of all brokers. The keys are such that no
// other test minds.
func TestToolConfigsBrokers(t *testing.T) {
	t.Parallel()
	c := configsTool{t, []string{"--entity-type", "brokers", "--entity-name", brokerID(t)}}
	c.alter("--add-config", "log.cleaner.delete.retention.ms=87400000")
	c.shows(`log.cleaner.delete.retention.ms=87400000 sensitive=false synonyms=\{DYNAMIC_BROKER_CONFIG:log.cleaner.delete.retention.ms=87400000`)
	all := configsTool{t, []string{"--entity-type", "brokers", "--entity-default"}}
	all.alter("--add-config", "log.cleaner.delete.retention.ms=88400000")
	all.shows(`log.cleaner.delete.retention.ms=88400000 sensitive=false synonyms=\{DYNAMIC_DEFAULT_BROKER_CONFIG:log.cleaner.delete.retention.ms=88400000\}`)
	topic := newTopic(t, 1)
	wantLines(t, "a topic", configsTool{t, []string{"--topic", topic}}.describe("--all"),
		`delete.retention.ms=87400000 .*DYNAMIC_BROKER_CONFIG:log.cleaner.delete.retention.ms=87400000, DYNAMIC_DEFAULT_BROKER_CONFIG:log.cleaner.delete.retention.ms=88400000`)
	c.alter("--delete-config", "log.cleaner.delete.retention.ms")
	all.alter("--delete-config", "log.cleaner.delete.retention.ms")
	c.lacks("87400000")
	all.lacks("88400000")
	wantLines(t, "all", c.describe("--all"), `^  log.retention.hours=168 `, `^  num.network.threads=`)
	c.refused(`Cannot update these configs dynamically: \[num.partitions\]`, "--add-config", "num.partitions=9")
	c.refused(`Invalid value x for configuration log.retention.ms: Not a number of type LONG`, "--add-config", "log.retention.ms=x")
	wantLines(t, "absent", configsTool{t, []string{"--broker", "77"}}.describe(), `doesn't exist and doesn't have dynamic config`)
}

// TestToolConfigsQuotas sets quotas of users, clients and pairs of them, which no connection of this
// suite has.
func TestToolConfigsQuotas(t *testing.T) {
	t.Parallel()
	user, client := "alice-"+uniqueName(t), "app-"+uniqueName(t)
	u := configsTool{t, []string{"--entity-type", "users", "--entity-name", user}}
	u.alter("--add-config", "producer_byte_rate=1048576,consumer_byte_rate=2097152")
	// The tool asks for the user's SCRAM credentials, too.
	u.shows(`Quota configs for user-principal '` + user + `' are consumer_byte_rate=2097152.0, producer_byte_rate=1048576.0`)
	pair := configsTool{t, []string{"--user", user, "--client", client}}
	pair.alter("--add-config", "request_percentage=50")
	pair.shows(`Quota configs for user-principal '` + user + `', client-id '` + client + `' are request_percentage=50.0`)
	c := configsTool{t, []string{"--entity-type", "clients", "--entity-name", client}}
	c.alter("--add-config", "producer_byte_rate=77777777")
	configsTool{t, []string{"--entity-type", "clients"}}.shows(`Quota configs for client-id '` + client + `' are producer_byte_rate=7.7777777E7`)
	u.alter("--delete-config", "producer_byte_rate,consumer_byte_rate")
	pair.alter("--delete-config", "request_percentage")
	c.alter("--delete-config", "producer_byte_rate")
	configsTool{t, []string{"--entity-type", "users"}}.lacks(user)
	c.lacks("producer_byte_rate")
}

// TestToolConfigsRates sets the quotas on connections and on changes of the metadata.
func TestToolConfigsRates(t *testing.T) {
	t.Parallel()
	ip := configsTool{t, []string{"--entity-type", "ips", "--entity-name", "127.0.0.77"}}
	ip.alter("--add-config", "connection_creation_rate=1000")
	ip.shows(`Quota configs for ip '127.0.0.77' are connection_creation_rate=1000.0`)
	ip.alter("--delete-config", "connection_creation_rate")
	user := configsTool{t, []string{"--user", "mutator-" + uniqueName(t)}}
	user.alter("--add-config", "controller_mutation_rate=1000")
	user.shows(`controller_mutation_rate=1000.0`)
	user.alter("--delete-config", "controller_mutation_rate")
}

// TestToolConfigsGroups changes the settings of a group.
func TestToolConfigsGroups(t *testing.T) {
	t.Parallel()
	c := configsTool{t, []string{"--entity-type", "groups", "--entity-name", uniqueName(t)}}
	c.alter("--add-config", "consumer.session.timeout.ms=50000")
	c.shows(`consumer.session.timeout.ms=50000 .*DYNAMIC_GROUP_CONFIG`)
	c.refused(`Invalid(Configuration|Request)Exception`, "--add-config", "consumer.session.timeout.ms=1")
	c.refused(`Unknown group config name: nope`, "--add-config", "nope=1")
	c.alter("--delete-config", "consumer.session.timeout.ms")
	c.lacks("50000")
}

// TestToolClientMetrics keeps a subscription to clients' metrics by kafka-configs and by
// kafka-client-metrics.
func TestToolClientMetrics(t *testing.T) {
	t.Parallel()
	name := uniqueName(t)
	c := configsTool{t, []string{"--entity-type", "client-metrics", "--entity-name", name}}
	c.alter("--add-config", "interval.ms=700000,metrics=[org.apache.kafka.consumer.],match=[client_id=nobody]")
	c.shows(`interval.ms=700000 `, `metrics=org.apache.kafka.consumer. `, `match=client_id=nobody `)
	c.refused(`InvalidRequestException|InvalidConfigurationException`, "--add-config", "interval.ms=1")
	c.refused(`InvalidRequestException|InvalidConfigurationException`, "--add-config", "match=[nope=1]")
	metrics := func(args ...string) string {
		t.Helper()
		return tool(t, classClientMetrics, args...)
	}
	wantLines(t, "list", metrics("--list"), "^"+name+"$")
	wantLines(t, "alter", metrics("--alter", "--name", name, "--interval", "800000"), `^Altered client metrics config for `+name)
	eventuallyLines(t, "describe", func() string { return metrics("--describe", "--name", name) }, `^  interval.ms=800000`, `^  match=client_id=nobody`)
	wantLines(t, "delete", metrics("--delete", "--name", name), `^Deleted client metrics config for `+name)
	eventually(t, "the subscription is gone", func() error { return wantNoText(metrics("--list"), name) })
}
