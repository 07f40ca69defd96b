package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// groupsTool runs kafka-consumer-groups.
func groupsTool(t *testing.T, args ...string) string {
	t.Helper()
	return tool(t, classConsumerGroups, args...)
}

// TestToolConsumerGroups lists and describes a group without and with a member, in every view.
func TestToolConsumerGroups(t *testing.T) {
	t.Parallel()
	topic, group := newTopic(t, 2), uniqueName(t)
	franzProduce(t, topic, produceOptions{}, plainRecords(0, 30, "v"))
	franzProduce(t, topic, produceOptions{}, plainRecords(1, 12, "v"))
	commitAt(t, suite.endpoint, group, topic, 10)
	describe := func(views ...string) string {
		t.Helper()
		return groupsTool(t, append([]string{"--describe", "--group", group}, views...)...)
	}
	wantLines(t, "offsets", describe(), group+`\s+`+topic+`\s+0\s+10\s+30\s+20\s+-\s+-\s+-`)
	wantLines(t, "offsets", describe("--offsets", "--verbose"), `LEADER-EPOCH`, group+`\s+`+topic+`\s+0\s+(0|-)\s+10\s+30\s+20\s`)
	wantLines(t, "members", describe("--members"), `^GROUP +CONSUMER-ID +HOST +CLIENT-ID +#PARTITIONS`)
	wantLines(t, "state", describe("--state"), group+`\s+127.0.0.1:\d+\s+\(\d+\)\s+-\s+Empty\s+0`)
	eventuallyLines(t, "state of all", func() string {
		return toolSays(t, classConsumerGroups, "--describe", "--all-groups", "--state")
	}, group+`\s.*Empty\s+0`)
	wantLines(t, "list", groupsTool(t, "--list"), "^"+group+"$")
	wantLines(t, "states", groupsTool(t, "--list", "--state"), "^"+group+`\s+Empty`)
	if err := wantNoText(groupsTool(t, "--list", "--state", "stable"), group); err != nil {
		t.Error(err)
	}
	wantLines(t, "types", groupsTool(t, "--list", "--type"), "^"+group+`\s+Classic`)
	wantLines(t, "classic ones", groupsTool(t, "--list", "--type", "classic"), "^"+group+`\s+Classic`)
	wantLines(t, "no such group", toolSays(t, classConsumerGroups, "--describe", "--group", group+"-absent"), `GroupIdNotFoundException`)

	book := newLedger()
	m := librdkafka.join(t, memberOptions{group: group, topic: topic, strategy: "range", ledger: book, name: "only"})
	book.awaitOwners(t, 2, "only")
	awaitGroupState(t, group, "Stable")
	wantLines(t, "members", describe("--members", "--verbose"), group+`\s.*interop-rd.*\s2\s+.*`+topic+`[(:]`)
	wantLines(t, "owners", describe(), group+`\s+`+topic+`\s+1\s.*\sinterop-rd\S*\s+/127.0.0.1\s`)
	wantLines(t, "state", describe("--state"), group+`\s.*\srange\s+Stable\s+1`)
	wantLines(t, "not of a running group", toolSays(t, classConsumerGroups, "--reset-offsets", "--group", group, "--to-earliest", "--topic", topic, "--execute"),
		`Assignments can only be reset if the group '`+group+`' is inactive, but the current state is Stable`)
	wantLines(t, "not of a running group", toolSays(t, classConsumerGroups, "--delete-offsets", "--group", group, "--topic", topic),
		topic+`\s+0\s+Error: org.apache.kafka.common.errors.GroupSubscribedToTopicException`)
	wantLines(t, "not a running group", toolSays(t, classConsumerGroups, "--delete", "--group", group), `GroupNotEmptyException`)
	m.close()
}

// TestToolResetOffsets resets a group in every mode, planned and executed.
func TestToolResetOffsets(t *testing.T) {
	t.Parallel()
	const base = 1_700_000_000_000 // 2023-11-14T22:13:20Z
	topic, group := newTopic(t, 2, "retention.ms=-1"), uniqueName(t)
	for p := range int32(2) {
		records := plainRecords(p, 20, "v")
		for i := range records {
			records[i].Timestamp = base + int64(i)*1000
		}
		franzProduce(t, topic, produceOptions{}, records)
	}
	reset := func(args ...string) string {
		t.Helper()
		return groupsTool(t, append([]string{"--reset-offsets", "--group", group}, args...)...)
	}
	want := func(mode string, p0, p1 int) {
		t.Helper()
		wantLines(t, mode, groupsTool(t, "--describe", "--group", group),
			fmt.Sprintf(`%s\s+0\s+%d\s+20\s`, topic, p0), fmt.Sprintf(`%s\s+1\s+%d\s+20\s`, topic, p1))
	}
	reset("--to-latest", "--topic", topic, "--execute") // makes the group
	want("to latest", 20, 20)
	for _, dry := range [][]string{{"--dry-run"}, nil} {
		wantLines(t, "plan", reset(append([]string{"--to-earliest", "--topic", topic}, dry...)...), group+`\s+`+topic+`\s+1\s+0`)
	}
	want("planned only", 20, 20)
	reset("--to-earliest", "--all-topics", "--execute")
	want("to earliest", 0, 0)
	reset("--to-offset", "7", "--topic", topic+":0", "--execute")
	want("to an offset", 7, 0)
	reset("--shift-by", "3", "--topic", topic, "--execute")
	want("shifted", 10, 3)
	reset("--shift-by", "-1000", "--topic", topic+":1", "--execute")
	want("shifted to the start", 10, 0)
	reset("--shift-by", "1000", "--topic", topic+":1", "--execute")
	want("shifted to the end", 10, 20)
	reset("--to-current", "--topic", topic, "--execute")
	want("to current", 10, 20)
	reset("--to-datetime", "2023-11-14T22:13:25.500", "--topic", topic, "--execute")
	want("to a time", 6, 6)
	reset("--to-datetime", "2123-11-14T22:13:25.500", "--topic", topic+":0", "--execute")
	want("to a time to come", 20, 6)
	age := time.Since(time.UnixMilli(base)) + time.Hour
	reset("--by-duration", fmt.Sprintf("PT%dS", int(age.Seconds())), "--topic", topic+":0", "--execute")
	want("by a duration", 0, 6)
	exported := reset("--to-offset", "9", "--topic", topic, "--dry-run", "--export")
	wantLines(t, "export", exported, `^"?`+topic+`"?,0,9$`, `^"?`+topic+`"?,1,9$`)
	reset("--from-file", writeFile(t, "reset.csv", strings.TrimSpace(exported)+"\n"), "--topic", topic, "--execute")
	want("from a file", 9, 9)
	wantLines(t, "absent", toolSays(t, classConsumerGroups, "--reset-offsets", "--group", group, "--to-earliest", "--topic", topic+"-absent", "--execute"),
		`UnknownTopicOrPartitionException`)

	wantLines(t, "delete offsets", groupsTool(t, "--delete-offsets", "--group", group, "--topic", topic+":0"), topic+`\s+0\s+Successful`)
	if err := wantNoText(groupsTool(t, "--describe", "--group", group), topic+" 0 "); err != nil {
		t.Error(err)
	}
	wantLines(t, "the other partition", groupsTool(t, "--describe", "--group", group), topic+`\s+1\s+9\s`)
	wantLines(t, "delete", groupsTool(t, "--delete", "--group", group), `Deletion of requested consumer groups \('`+group+`'\) was successful`)
	wantLines(t, "delete again", toolSays(t, classConsumerGroups, "--delete", "--group", group), `GroupIdNotFoundException`)
	wantLines(t, "absent", toolSays(t, classConsumerGroups, "--delete-offsets", "--group", group, "--topic", topic), `GroupIdNotFoundException`)
	if err := wantNoText(groupsTool(t, "--list"), group); err != nil {
		t.Error(err)
	}
}

// TestToolGroups lists groups of all types with kafka-groups.
func TestToolGroups(t *testing.T) {
	t.Parallel()
	topic, group := newTopic(t, 1), uniqueName(t)
	commitAt(t, suite.endpoint, group, topic, 0)
	wantLines(t, "list", tool(t, classGroups, "--list"), `^GROUP +TYPE +PROTOCOL`, "^"+group+` +Classic`)
	wantLines(t, "classic ones", tool(t, classGroups, "--list", "--group-type", "classic"), "^"+group+` +Classic`)
	if err := wantNoText(tool(t, classGroups, "--list", "--share"), group); err != nil {
		t.Error(err)
	}
}
