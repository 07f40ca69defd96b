package interop

import (
	"fmt"
	"regexp"
	"testing"
)

// TestToolAPIVersions lets kafka-broker-api-versions read the list; it marks what it cannot use.
func TestToolAPIVersions(t *testing.T) {
	t.Parallel()
	out := tool(t, classAPIVersions)
	wantLines(t, "api versions", out, `^127.0.0.1:\d+ \(id: `+brokerID(t)+` rack: null isFenced: false\) -> \($`,
		`Produce\(0\): 0 to \d+ \[usable: \d+\]`, `Fetch\(1\): \d+ to \d+ \[usable: \d+\]`, `Metadata\(3\): `, `ApiVersions\(18\): 0 to \d`)
	keys, err := advertised()
	if err != nil {
		t.Fatal(err)
	}
	for key := range keys {
		if !regexp.MustCompile(fmt.Sprintf(`\(%d\): \d`, key)).MatchString(out) {
			t.Errorf("API %d is advertised and not shown", key)
		}
	}
}

// TestToolLeaderElection elects leaders where the only replica leads already.
func TestToolLeaderElection(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 2)
	elect := func(kind string, args ...string) string {
		t.Helper()
		return toolSays(t, classLeaderElection, append([]string{"--election-type", kind}, args...)...)
	}
	file := writeFile(t, "election.json", fmt.Sprintf(`{"partitions":[{"topic":%q,"partition":0},{"topic":%[1]q,"partition":1}]}`, topic))
	for _, kind := range []string{"preferred", "unclean"} {
		wantLines(t, kind, elect(kind, "--topic", topic, "--partition", "0"), `^Valid replica already elected for partitions `+topic+`-0`)
		wantLines(t, kind, elect(kind, "--path-to-json-file", file), `^Valid replica already elected for partitions .*`+topic+`-1`)
		wantLines(t, kind, elect(kind, "--topic", topic+"-absent", "--partition", "0"), `UnknownTopicOrPartitionException`, `^1 replica\(s\) could not be elected`)
	}
	eventually(t, "all partitions", func() error {
		r := runDriver(t, "", classLeaderElection, atBroker(classLeaderElection, []string{"--election-type", "preferred", "--all-topic-partitions"})...)
		if r.Status != 0 {
			return fmt.Errorf("exit status %d\n%s%s", r.Status, r.Out, r.Err)
		}
		return nil
	})
}

// TestToolReassignPartitions goes through the steps of a reassignment on the only broker.
func TestToolReassignPartitions(t *testing.T) {
	t.Parallel()
	topic, id := newTopic(t, 2), brokerID(t)
	reassign := func(args ...string) string {
		t.Helper()
		return tool(t, classReassign, args...)
	}
	topics := writeFile(t, "topics.json", fmt.Sprintf(`{"topics":[{"topic":%q}],"version":1}`, topic))
	out := reassign("--generate", "--topics-to-move-json-file", topics, "--broker-list", id)
	wantLines(t, "generate", out, `^Current partition replica assignment$`, `^Proposed partition reassignment configuration$`)
	plans := regexp.MustCompile(`(?m)^\{"version":1.*\}$`).FindAllString(out, -1)
	if len(plans) != 2 {
		t.Fatalf("%d plans in %s", len(plans), out)
	}
	plan := writeFile(t, "plan.json", plans[1])
	wantLines(t, "execute", reassign("--execute", "--reassignment-json-file", plan), `^Successfully started partition reassignments? for .*`+topic+`-1`)
	eventuallyLines(t, "verify", func() string { return reassign("--verify", "--preserve-throttles", "--reassignment-json-file", plan) },
		`^Reassignment of partition `+topic+`-0 is completed`, `^Reassignment of partition `+topic+`-1 is completed`)
	wantLines(t, "cancel", reassign("--cancel", "--preserve-throttles", "--reassignment-json-file", plan), `^None of the specified partition reassignments are active`)
	wantLines(t, "list", reassign("--list"), `^No partition reassignments found`)
	beyond := writeFile(t, "beyond.json", fmt.Sprintf(`{"version":1,"partitions":[{"topic":%q,"partition":0,"replicas":[%s,77]}]}`, topic, id))
	wantLines(t, "refusal", toolSays(t, classReassign, "--execute", "--reassignment-json-file", beyond), `^Error: Unknown broker id 77`)
}

// TestToolThrottles sets and clears the throttles of a reassignment. They are settings of the broker and
// of the topic.
func TestToolThrottles(t *testing.T) {
	t.Parallel()
	topic, id := newTopic(t, 1), brokerID(t)
	plan := writeFile(t, "plan.json", fmt.Sprintf(`{"version":1,"partitions":[{"topic":%q,"partition":0,"replicas":[%s],"log_dirs":["any"]}]}`, topic, id))
	wantLines(t, "execute", tool(t, classReassign, "--execute", "--throttle", "100000000", "--reassignment-json-file", plan),
		`^The inter-broker throttle limit was set to 100000000 B/s`, `^Successfully started partition reassignment`)
	broker := configsTool{t, []string{"--entity-type", "brokers", "--entity-name", id}}
	broker.shows(`leader.replication.throttled.rate=100000000 `)
	eventuallyLines(t, "verify", func() string { return tool(t, classReassign, "--verify", "--reassignment-json-file", plan) },
		`^Clearing broker-level throttles on broker `+id, `^Clearing topic-level throttles on topic `+topic)
	broker.lacks("throttled")
}

// TestToolMetadataQuorum describes the quorum of the one controller.
func TestToolMetadataQuorum(t *testing.T) {
	t.Parallel()
	id := brokerID(t)
	wantLines(t, "status", tool(t, classMetadataQuorum, "describe", "--status"), `^ClusterId: +[\w-]{22}$`, `^LeaderId: +`+id+`$`, `^LeaderEpoch: +[1-9]\d*$`,
		`^HighWatermark: +[1-9]\d*$`, `^MaxFollowerLag: +0$`, `^CurrentVoters: +\[\{"id": `+id+`, .*"endpoints": \["\w+://127.0.0.1:\d+"\]\}\]$`, `^CurrentObservers: +\[\]$`)
	wantLines(t, "replication", tool(t, classMetadataQuorum, "describe", "--replication"), `^NodeId\s+DirectoryId\s+LogEndOffset`, `^`+id+`\s+[\w-]{22}\s+[1-9]\d*\s+0\s+\d+\s+\d+\s+Leader`)
	wantLines(t, "replication for people", tool(t, classMetadataQuorum, "describe", "--replication", "--human-readable"), `^`+id+`\s.*\d+ ms ago\s+\d+ ms ago\s+Leader`)
	wantLines(t, "refusal", toolSays(t, classMetadataQuorum, "remove-controller", "--controller-id", "77", "--controller-directory-id", "AAAAAAAAAAAAAAAAAAAAAQ"),
		`UnsupportedVersionException`)
}

// TestToolFeatures describes the features and tries changes without making them.
func TestToolFeatures(t *testing.T) {
	t.Parallel()
	wantLines(t, "describe", tool(t, classFeatures, "describe"), `^Feature: metadata.version\s+SupportedMinVersion: \S+\s+SupportedMaxVersion: 4\.3-IV0\s+FinalizedVersionLevel: 4\.3-IV0\s+Epoch: \d+`)
	wantLines(t, "upgrade", tool(t, classFeatures, "upgrade", "--feature", "metadata.version=30", "--dry-run"), `^metadata.version can be upgraded to 30\.`)
	wantLines(t, "refusal", toolSays(t, classFeatures, "upgrade", "--feature", "metadata.version=1", "--dry-run"),
		`^Can not upgrade metadata.version to 1\. .*Invalid update version 1 for feature metadata.version\. Local controller \d+ only supports versions \d+-30`)
	wantLines(t, "refusal", toolSays(t, classFeatures, "disable", "--feature", "nosuch", "--dry-run"), `Feature nosuch not found`)
	wantLines(t, "mapping", tool(t, classFeatures, "version-mapping", "--release-version", "4.0-IV3"), `^metadata.version=25 \(4.0-IV3\)`)
}

// TestToolCluster reads the cluster's id and its brokers.
func TestToolCluster(t *testing.T) {
	t.Parallel()
	id := brokerID(t)
	wantLines(t, "id", tool(t, classCluster, "cluster-id"), `^Cluster ID: [\w-]{22}$`)
	for _, args := range [][]string{{"list-endpoints"}, {"list-endpoints", "--include-fenced-brokers"}} {
		wantLines(t, "endpoints", tool(t, classCluster, args...), `^ID +HOST +PORT +RACK +STATE +ENDPOINT_TYPE`, `^`+id+` +127.0.0.1 +\d+ +null +unfenced +broker`)
	}
	wantLines(t, "a broker is no controller", func() string {
		r := runDriver(t, "", classCluster, "list-endpoints", "--bootstrap-controller", suite.endpoint)
		return r.Out + r.Err
	}(), `MismatchedEndpointTypeException`)
	wantLines(t, "unregister", toolSays(t, classCluster, "unregister", "--id", "77"), `BrokerIdNotRegisteredException: Broker ID 77 is not currently registered`)
}
