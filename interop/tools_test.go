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
	classConfigs            = "kafka.admin.ConfigCommand"
	classConsumerGroups     = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	classGroups             = "org.apache.kafka.tools.GroupsCommand"
	classGetOffsets         = "org.apache.kafka.tools.GetOffsetShell"
	classDeleteRecords      = "org.apache.kafka.tools.DeleteRecordsCommand"
	classLogDirs            = "org.apache.kafka.tools.LogDirsCommand"
	classAPIVersions        = "org.apache.kafka.tools.BrokerApiVersionsCommand"
	classLeaderElection     = "org.apache.kafka.tools.LeaderElectionCommand"
	classReassign           = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
	classMetadataQuorum     = "org.apache.kafka.tools.MetadataQuorumCommand"
	classFeatures           = "org.apache.kafka.tools.FeatureCommand"
	classCluster            = "org.apache.kafka.tools.ClusterTool"
	classClientMetrics      = "org.apache.kafka.tools.ClientMetricsCommand"
	classConsoleProducer    = "org.apache.kafka.tools.ConsoleProducer"
	classConsoleConsumer    = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	classVerifiableProducer = "org.apache.kafka.tools.VerifiableProducer"
	classVerifiableConsumer = "org.apache.kafka.tools.VerifiableConsumer"
	classProducerPerf       = "org.apache.kafka.tools.ProducerPerformance"
	classConsumerPerf       = "org.apache.kafka.tools.ConsumerPerformance"
	classEndToEndLatency    = "org.apache.kafka.tools.EndToEndLatency"
	classCompatibility      = "org.apache.kafka.tools.ClientCompatibilityTest"
	classDumpLog            = "org.apache.kafka.tools.DumpLogSegments"
)

// runDriver runs a tool in the suite's JVM and returns how it ended.
func runDriver(t *testing.T, stdin, class string, args ...string) tools.Result {
	t.Helper()
	java := javaTools(t)
	toolDriver.once.Do(func() { toolDriver.driver = java.Driver() })
	result, err := toolDriver.driver.Run(func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(t.Context(), testTimeout)
	}, stdin, class, args...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// runTool runs a tool that has to succeed and returns its standard output.
func runTool(t *testing.T, stdin, class string, args ...string) string {
	t.Helper()
	r := runDriver(t, stdin, class, args...)
	if r.Status != 0 {
		t.Fatalf("%s %s: exit status %d\n%s%s", class, strings.Join(args, " "), r.Status, r.Out, r.Err)
	}
	return r.Out
}

// atBroker adds the broker's address to a tool's arguments, before a subcommand except where it is the
// subcommand's own option.
func atBroker(class string, args []string) []string {
	address := []string{"--bootstrap-server", suite.endpoint}
	if class == classCluster {
		return slices.Concat(args, address)
	}
	return slices.Concat(address, args)
}

// tool runs a tool on the broker under test; it has to succeed. It returns the standard output.
func tool(t *testing.T, class string, args ...string) string {
	t.Helper()
	return runTool(t, "", class, atBroker(class, args)...)
}

// toolSays runs a tool on the broker under test and returns all it printed, for refusals: some tools
// then exit with 1, some with 0.
func toolSays(t *testing.T, class string, args ...string) string {
	t.Helper()
	r := runDriver(t, "", class, atBroker(class, args)...)
	return r.Out + r.Err
}

// eventuallyLines repeats a tool until its output matches every expression: Apache Kafka answers a change
// before all its caches show it.
func eventuallyLines(t *testing.T, what string, run func() string, expressions ...string) {
	t.Helper()
	eventually(t, what, func() error {
		out := run()
		for _, e := range expressions {
			if !regexp.MustCompile("(?m)" + e).MatchString(out) {
				return fmt.Errorf("nothing matches %s in\n%s", e, out)
			}
		}
		return nil
	})
}

// wantNoText says what should not be in a tool's output.
func wantNoText(out, text string) error {
	if strings.Contains(out, text) {
		return fmt.Errorf("%q is in\n%s", text, out)
	}
	return nil
}

// writeFile makes a file for a tool to read.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// brokerID is the node id of the broker under test, a cluster of one.
func brokerID(t *testing.T) string {
	t.Helper()
	brokers, err := newAdmin(t).ListBrokers(testContext(t))
	if err != nil || len(brokers) != 1 {
		t.Fatalf("brokers %v: %v", brokers, err)
	}
	return strconv.Itoa(int(brokers[0].NodeID))
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

	// It prints acknowledgements and sums up while its JVM ends.
	out, err := java.Run(testContext(t), "", classVerifiableProducer, "--bootstrap-server", suite.endpoint, "--topic", topic,
		"--max-messages", strconv.Itoa(total), "--throughput", "-1", "--acks", "-1")
	if err != nil {
		t.Fatal(err)
	}
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
