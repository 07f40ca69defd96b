package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"kserver/interop/broker"
)

const classCompactionTester = "org.apache.kafka.tools.LogCompactionTester"

// TestKafkaLogCompactionTester lets Kafka's own test of compaction write keys again and again, wait, and read
// back what is left, against a broker that compacts all the time. Then Kafka's tool reads the
// compacted segments and their indexes.
func TestKafkaLogCompactionTester(t *testing.T) {
	javaTools(t)
	if suite.spec.Kind != broker.Kserver {
		t.Skip("the broker under test is not ours to configure")
	}
	b := startWith(t, map[string]string{
		"log.roll.ms": "100", "log.cleaner.backoff.ms": "50", "log.cleaner.min.cleanable.ratio": "0.01", "log.cleaner.threads": "2",
	})
	rows := regexp.MustCompile(`(\d+) rows of data produced, (\d+) rows of data consumed`)
	for _, codec := range []string{"none", "lz4", "zstd"} {
		out := runTool(t, "", classCompactionTester, "--bootstrap-server", b.Addr(), "--messages", "20000",
			"--duplicates", "10", "--percent-deletes", "10", "--sleep", "1" /* seconds */, "--compression-type", codec)
		m := rows.FindStringSubmatch(out)
		if m == nil || !strings.Contains(out, " 0 mismatches") || !strings.Contains(out, "Data verification is completed") {
			t.Fatalf("%s: the tester said\n%s", codec, out)
		}
		produced, _ := strconv.Atoi(m[1])
		consumed, _ := strconv.Atoi(m[2])
		t.Logf("%s: %d rows produced, %d consumed", codec, produced, consumed)
	}
	log, err := os.ReadFile(b.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "compacted a log"); n < 3 {
		t.Errorf("the broker compacted %d logs", n)
	}
	if strings.Contains(string(log), "cannot be compacted") {
		t.Errorf("the broker found a log it cannot compact, see %s", b.LogFile())
	}
	if err := b.Terminate(); err != nil {
		t.Fatal(err)
	}
	checkSegments(t, b.DataDir())
}

// checkSegments has Kafka's DumpLogSegments read the segments of the tester's topics.
func checkSegments(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "log-cleaner-test-*", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no segments in %s: %v", dir, err)
	}
	out := runTool(t, "", classDumpLog, "--deep-iteration", "--files", strings.Join(logs, ","))
	if strings.Contains(out, "isvalid: false") || !strings.Contains(out, "baseOffset:") {
		t.Errorf("DumpLogSegments of the logs:\n%.2000s", out)
	}
	var indexes []string
	for _, suffix := range []string{".index", ".timeindex"} {
		for _, log := range logs {
			path := strings.TrimSuffix(log, ".log") + suffix
			if _, err := os.Stat(path); err == nil {
				indexes = append(indexes, path)
			}
		}
	}
	out = runTool(t, "", classDumpLog, "--index-sanity-check", "--files", strings.Join(indexes, ","))
	for _, complaint := range []string{"Mismatches", "not sorted", "non-zero", "corrupt", "Exception"} {
		if strings.Contains(out, complaint) {
			t.Errorf("DumpLogSegments of the indexes:\n%.2000s", out)
		}
	}
}

// TestGroupOffsetsAreCompacted commits offsets until segments of __consumer_offsets have been compacted, deletes
// a group, and finds after a restart what was committed last, and nothing of the deleted group.
func TestGroupOffsetsAreCompacted(t *testing.T) {
	t.Parallel()
	if suite.spec.Kind != broker.Kserver {
		t.Skip("the broker under test is not ours to configure")
	}
	b := startWith(t, map[string]string{
		"offsets.topic.num.partitions": "1", "log.roll.ms": "200", "log.cleaner.backoff.ms": "50",
		"log.cleaner.min.cleanable.ratio": "0.01", "log.cleaner.delete.retention.ms": "0",
	})
	const topic = "committed"
	newTopicAt(t, b.Addr(), topic, 1)
	commitAt(t, b.Addr(), "gone", topic, 7)
	ctx := testContext(t)
	admin := kadm.NewClient(newKgoAt(t, b.Addr()))
	deleted := false
	commits := 0
	eventually(t, "the offsets are compacted", func() error {
		for range 20 {
			commits++
			commitAt(t, b.Addr(), "kept", topic, int64(commits))
		}
		if !deleted {
			if _, err := admin.DeleteGroups(ctx, "gone"); err != nil {
				return err
			}
			deleted = true
		}
		text, err := os.ReadFile(b.LogFile())
		if err != nil {
			return err
		}
		if n := strings.Count(string(text), `"compacted a log" topic=__consumer_offsets`); n < 4 {
			return fmt.Errorf("compacted %d times", n)
		}
		return nil
	})
	size := int64(0)
	logs, err := filepath.Glob(filepath.Join(b.DataDir(), "__consumer_offsets-0", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range logs {
		info, err := os.Stat(name)
		if err == nil {
			size += info.Size()
		}
	}
	t.Logf("%d commits lie in %d bytes", commits, size)
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(ctx); err != nil {
		t.Fatal(err)
	}
	admin = kadm.NewClient(newKgoAt(t, b.Addr()))
	for group, want := range map[string]int64{"kept": int64(commits), "gone": -1} {
		offsets, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			t.Fatal(err)
		}
		got := int64(-1)
		if o, ok := offsets.Lookup(topic, 0); ok {
			got = o.At
		}
		if got != want {
			t.Errorf("group %s is at %d, want %d", group, got, want)
		}
	}
}

// startWith starts a broker of its own for a test, with settings.
func startWith(t *testing.T, settings map[string]string) *broker.Broker {
	t.Helper()
	spec := suite.spec
	spec.Dir = filepath.Join(suite.work, uniqueName(t))
	spec.Settings = settings
	b, err := broker.Start(testContext(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.Running() {
			_ = b.Kill()
		}
		if !t.Failed() {
			os.RemoveAll(spec.Dir)
		}
	})
	return b
}
