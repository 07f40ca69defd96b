package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"kserver/interop/tools"
)

// Main classes of Kafka's command line tools.
const (
	classTopics             = "org.apache.kafka.tools.TopicCommand"
	classGetOffsets         = "org.apache.kafka.tools.GetOffsetShell"
	classGroups             = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	classConfigs            = "kafka.admin.ConfigCommand"
	classAPIVersions        = "org.apache.kafka.tools.BrokerApiVersionsCommand"
	classConsoleProducer    = "org.apache.kafka.tools.ConsoleProducer"
	classConsoleConsumer    = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	classVerifiableProducer = "org.apache.kafka.tools.VerifiableProducer"
	classVerifiableConsumer = "org.apache.kafka.tools.VerifiableConsumer"
	classDumpLog            = "org.apache.kafka.tools.DumpLogSegments"
)

// runTool runs a tool to its end and returns what it printed.
func runTool(t *testing.T, stdin, class string, args ...string) string {
	t.Helper()
	out, err := javaTools(t).Run(testContext(t), stdin, class, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantLines checks that the output matches every expression.
func wantLines(t *testing.T, what, out string, expressions ...string) {
	t.Helper()
	for _, e := range expressions {
		if !regexp.MustCompile("(?m)" + e).MatchString(out) {
			t.Errorf("%s: nothing matches %s in\n%s", what, e, out)
		}
	}
}

// TestToolTopics creates, lists, describes, widens and deletes a topic with kafka-topics.
func TestToolTopics(t *testing.T) {
	t.Parallel()
	topic := uniqueName(t)
	tool := func(args ...string) string {
		t.Helper()
		return runTool(t, "", classTopics, append([]string{"--bootstrap-server", suite.endpoint}, args...)...)
	}
	wantLines(t, "create", tool("--create", "--topic", topic, "--partitions", "2", "--replication-factor", "1", "--config", "retention.ms=5000000"),
		`^Created topic `+topic)
	wantLines(t, "list", tool("--list"), "^"+topic+"$")
	wantLines(t, "describe", tool("--describe", "--topic", topic),
		`Topic: `+topic+`\s+TopicId: [\w-]{22}\s+PartitionCount: 2\s+ReplicationFactor: 1\s+Configs: .*retention.ms=5000000`,
		`Partition: 1\s+Leader: (\d+)\s+Replicas: \d+\s+Isr: \d+`)
	tool("--alter", "--topic", topic, "--partitions", "3")
	eventually(t, "three partitions", func() error {
		if out := tool("--describe", "--topic", topic); !strings.Contains(out, "PartitionCount: 3") {
			return fmt.Errorf("described: %s", out)
		}
		return nil
	})
	tool("--delete", "--topic", topic)
}

// TestToolConsole sends lines through the console producer and reads them by the console consumer.
func TestToolConsole(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	runTool(t, "k1:first\nk2:second\nk3:NULL\n", classConsoleProducer, "--bootstrap-server", suite.endpoint, "--topic", topic,
		"--reader-property", "parse.key=true", "--reader-property", "key.separator=:", "--reader-property", "null.marker=NULL",
		"--compression-codec", "lz4")
	out := runTool(t, "", classConsoleConsumer, "--bootstrap-server", suite.endpoint, "--topic", topic, "--from-beginning",
		"--max-messages", "3", "--timeout-ms", "60000", "--formatter-property", "print.key=true", "--formatter-property", "print.offset=true")
	if want := "Offset:0\tk1\tfirst\nOffset:1\tk2\tsecond\nOffset:2\tk3\tnull\n"; out != want {
		t.Errorf("console consumer printed %q, want %q", out, want)
	}
	records := franzConsume(t, consumeOptions{topic: topic, from: startOffset, count: 3})
	if records[2].Value != nil || string(records[1].Value) != "second" || string(records[0].Key) != "k1" {
		t.Errorf("franz-go reads %+v", records)
	}
}

// TestToolOffsetsAndGroups compares kafka-get-offsets and kafka-consumer-groups with what was
// produced and committed.
func TestToolOffsetsAndGroups(t *testing.T) {
	t.Parallel()
	topic, group := newTopic(t, 2), uniqueName(t)
	franzProduce(t, topic, produceOptions{}, plainRecords(0, 30, "v"))
	franzProduce(t, topic, produceOptions{}, plainRecords(1, 12, "v"))
	commitAt(t, suite.endpoint, group, topic, 10)
	for special, want := range map[string]string{"latest": topic + ":0:30\n" + topic + ":1:12\n", "earliest": topic + ":0:0\n" + topic + ":1:0\n", "max-timestamp": topic + ":0:29\n" + topic + ":1:11\n"} {
		out := runTool(t, "", classGetOffsets, "--bootstrap-server", suite.endpoint, "--topic", topic, "--time", special)
		if out != want {
			t.Errorf("kafka-get-offsets %s printed %q, want %q", special, out, want)
		}
	}
	tool := func(args ...string) string {
		t.Helper()
		return runTool(t, "", classGroups, append([]string{"--bootstrap-server", suite.endpoint}, args...)...)
	}
	wantLines(t, "describe", tool("--describe", "--group", group), group+`\s+`+topic+`\s+0\s+10\s+30\s+20\s`)
	wantLines(t, "state", tool("--describe", "--group", group, "--state"), group+`\s.*Empty`)
	wantLines(t, "list", tool("--list"), "^"+group+"$")

	book := newLedger()
	m := librdkafka.join(t, memberOptions{group: group, topic: topic, strategy: "range", ledger: book, name: "only"})
	book.awaitOwners(t, 2, "only")
	awaitGroupState(t, group, "Stable")
	wantLines(t, "describe with a member", tool("--describe", "--group", group, "--members", "--verbose"), group+`\s.*interop-rd.*\s2\s+.*`+topic+`[(:]`)
	m.close()
}

// TestToolConfigs describes and, where it is served, changes a topic's configs with kafka-configs.
func TestToolConfigs(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1, "max.message.bytes=77777")
	base := []string{"--bootstrap-server", suite.endpoint, "--entity-type", "topics", "--entity-name", topic}
	wantLines(t, "describe", runTool(t, "", classConfigs, append(base, "--describe")...), `max.message.bytes=77777.*synonyms=\{DYNAMIC_TOPIC_CONFIG`)
	if !served(t, 44) {
		return
	}
	runTool(t, "", classConfigs, append(base, "--alter", "--add-config", "retention.ms=4444444")...)
	eventually(t, "the changed config", func() error {
		if out := runTool(t, "", classConfigs, append(base, "--describe")...); !strings.Contains(out, "retention.ms=4444444") {
			return fmt.Errorf("described: %s", out)
		}
		return nil
	})
}

// TestToolAPIVersions lets kafka-broker-api-versions read the list; it marks what it cannot use.
func TestToolAPIVersions(t *testing.T) {
	t.Parallel()
	out := runTool(t, "", classAPIVersions, "--bootstrap-server", suite.endpoint)
	wantLines(t, "api versions", out, `Produce\(0\): 0 to \d+ \[usable: \d+\]`, `Fetch\(1\): \d+ to \d+ \[usable: \d+\]`, `Metadata\(3\): `, `ApiVersions\(18\): 0 to \d`)
	for key := range mustAdvertise(t) {
		if !strings.Contains(out, fmt.Sprintf("(%d): ", key)) {
			t.Errorf("API %d is advertised and not shown", key)
		}
	}
}

func mustAdvertise(t *testing.T) map[int16]struct{} {
	t.Helper()
	keys, err := advertised()
	if err != nil {
		t.Fatal(err)
	}
	set := make(map[int16]struct{})
	for k := range keys {
		set[k] = struct{}{}
	}
	return set
}

// event is a line of the verifiable clients.
type event struct {
	Name       string `json:"name"`
	Partition  int32  `json:"partition"`
	Offset     int64  `json:"offset"`
	Value      string `json:"value"`
	Success    bool   `json:"success"`
	Acked      int    `json:"acked"`
	Sent       int    `json:"sent"`
	Count      int    `json:"count"`
	Partitions []struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		MinOffset int64  `json:"minOffset"`
		MaxOffset int64  `json:"maxOffset"`
		Count     int    `json:"count"`
	} `json:"partitions"`
	Offsets []struct {
		Partition int32 `json:"partition"`
		Offset    int64 `json:"offset"`
	} `json:"offsets"`
}

// parseEvents reads the lines of a verifiable client and passes them on; other lines are left out.
func parseEvents(t *testing.T, r io.Reader, each func(event)) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var e event
		if json.Unmarshal(scanner.Bytes(), &e) == nil && e.Name != "" {
			each(e)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Error(err)
	}
}

// TestVerifiableClients runs Kafka's verifiable producer and two verifiable consumers in one group:
// everything sent is acknowledged with an offset, and the consumers count every record once.
func TestVerifiableClients(t *testing.T) {
	t.Parallel()
	const total = 3000
	java := javaTools(t)
	topic, group := newTopic(t, 4), uniqueName(t)

	out := runTool(t, "", classVerifiableProducer, "--bootstrap-server", suite.endpoint, "--topic", topic,
		"--max-messages", strconv.Itoa(total), "--throughput", "-1", "--acks", "-1")
	next := make(map[int32]int64)
	acked := 0
	parseEvents(t, strings.NewReader(out), func(e event) {
		switch e.Name {
		case "producer_send_success":
			if e.Offset != next[e.Partition] {
				t.Errorf("partition %d: offset %d after %d", e.Partition, e.Offset, next[e.Partition]-1)
			}
			next[e.Partition]++
			acked++
		case "producer_send_error":
			t.Errorf("send error: %+v", e)
		case "tool_data":
			if e.Sent != total || e.Acked != total {
				t.Errorf("the producer sent %d and had %d acknowledged, want %d", e.Sent, e.Acked, total)
			}
		}
	})
	if acked != total {
		t.Fatalf("%d acknowledgements, want %d", acked, total)
	}

	consumed := verifiableConsumers(t, java, topic, group, 2, total)
	for p, end := range next {
		if consumed[p] != end {
			t.Errorf("partition %d: %d records consumed, want %d", p, consumed[p], end)
		}
	}
	wantCommitted(t, group, topic, total)
}

// verifiableConsumers runs n verifiable consumers until they have consumed total records, stops them by
// SIGTERM, and returns the records counted by partition.
func verifiableConsumers(t *testing.T, java *tools.Java, topic, group string, n, total int) map[int32]int64 {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	type line struct {
		from  int
		event event
	}
	events := make(chan line)
	ended := make(chan struct{})
	for i := range n {
		cmd := java.Start(ctx, classVerifiableConsumer, "--bootstrap-server", suite.endpoint, "--topic", topic,
			"--group-id", group, "--reset-policy", "earliest", "--session-timeout", "30000")
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			parseEvents(t, stdout, func(e event) { events <- line{i, e} })
			_ = cmd.Wait() // ended by our signal
			ended <- struct{}{}
		}()
	}
	consumed := make(map[int32]int64)
	sum, running, closing, said := 0, n, 0, make(map[string]int)
	for running > 0 {
		select {
		case l := <-events:
			said[l.event.Name]++
			if l.event.Name != "records_consumed" {
				continue
			}
			for _, p := range l.event.Partitions {
				if p.MinOffset != consumed[p.Partition] || p.MaxOffset != p.MinOffset+int64(p.Count)-1 {
					t.Errorf("consumer %d: partition %d has offsets %d to %d (%d records) after %d", l.from, p.Partition, p.MinOffset, p.MaxOffset, p.Count, consumed[p.Partition])
				}
				consumed[p.Partition] = p.MaxOffset + 1
				sum += p.Count
			}
			if sum >= total && closing == 0 {
				closing++
				cancel()
			}
		case <-ended:
			running--
			if closing == 0 {
				t.Fatalf("a verifiable consumer ended after %d records of %d: %v", sum, total, said)
			}
		case <-ctx.Done():
			if closing == 0 {
				t.Errorf("%d records of %d: %v", sum, total, said)
				closing++
			}
			ctx = context.WithoutCancel(ctx) // what remains is the orderly end
		}
	}
	return consumed
}

// TestToolDumpLog stops a broker that stored batches of every codec and lets kafka-dump-log look at
// all its segments, indexes and snapshots.
func TestToolDumpLog(t *testing.T) {
	t.Parallel()
	java := javaTools(t)
	b := restartable(t)
	topic := uniqueName(t)
	newTopicAt(t, b.Addr(), topic, 1, "segment.bytes=1048576", "index.interval.bytes=1024")
	total := 0
	for _, codec := range codecs {
		records := oddRecords(0, 700) // some 190 KB a codec uncompressed, so that segments roll
		franzProduce(t, topic, produceOptions{addr: b.Addr(), codec: codec, idempotent: true}, records)
		total += len(records)
	}
	big := plainRecords(0, 3, "big")
	for i := range big {
		big[i].Value = make([]byte, 700_000)
	}
	franzProduce(t, topic, produceOptions{addr: b.Addr()}, big)
	total += len(big)
	commitAt(t, b.Addr(), "dumped", topic, 5)
	if err := b.Terminate(); err != nil {
		t.Fatal(err)
	}

	dir := filepath.Join(b.DataDir(), topic+"-0")
	names := filesOf(t, dir, ".log", ".index", ".timeindex", ".snapshot")
	if segments := filesOf(t, dir, ".log"); len(segments) < 2 {
		t.Errorf("%d segments, want several", len(segments))
	}
	out, err := java.Run(testContext(t), "", classDumpLog, "--deep-iteration", "--print-data-log", "--files", strings.Join(names, ","))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"Exception", "isvalid: false", "Index mismatch", "Mismatches in", "Non-consecutive", "Found timestamp mismatch", "Found out of order", "corrupt"} {
		if strings.Contains(out, bad) {
			t.Errorf("kafka-dump-log says %q:\n%s", bad, around(out, bad))
		}
	}
	found := regexp.MustCompile(`(?m)^\| offset: (\d+)`).FindAllStringSubmatch(out, -1)
	offsets := make([]int, 0, len(found))
	for _, f := range found {
		n, _ := strconv.Atoi(f[1])
		offsets = append(offsets, n)
	}
	slices.Sort(offsets)
	if len(offsets) != total || offsets[0] != 0 || offsets[len(offsets)-1] != total-1 {
		t.Errorf("%d records dumped, want %d", len(offsets), total)
	}
	for _, codec := range codecs {
		if !strings.Contains(strings.ToLower(out), "compresscodec: "+codec) {
			t.Errorf("no batch of codec %s", codec)
		}
	}

	// The committed offset is in Kafka's format.
	var offsetLogs []string
	partitions, err := filepath.Glob(filepath.Join(b.DataDir(), "__consumer_offsets-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range partitions {
		offsetLogs = append(offsetLogs, filesOf(t, p, ".log")...)
	}
	out, err = java.Run(testContext(t), "", classDumpLog, "--offsets-decoder", "--files", strings.Join(offsetLogs, ","))
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, "offsets", out, `"group":"dumped","topic":"`+topic+`","partition":0`, `"offset":5`)
}

// filesOf lists the non-empty files of a directory with these endings, in order.
func filesOf(t *testing.T, dir string, endings ...string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Size() > 0 && slices.Contains(endings, filepath.Ext(e.Name())) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names
}

func around(text, what string) string {
	at := strings.Index(text, what)
	return text[max(0, at-400):min(len(text), at+400)]
}
