package interop

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// wordCount is a running WordCount.java.
type wordCount struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
	stderr *strings.Builder
}

// startWordCount starts the application with an empty directory, so that its store comes back from the
// changelog, and waits until it runs.
func startWordCount(t *testing.T, app, input, output string) *wordCount {
	t.Helper()
	argv := append(javaTools(t).Command("WordCount", "256m"), suite.endpoint, app, input, output, t.TempDir())
	w := &wordCount{cmd: exec.CommandContext(testContext(t), argv[0], argv[1:]...), stderr: new(strings.Builder)}
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.stdin, w.stdout, w.cmd.Stderr = stdin, bufio.NewReader(stdout), w.stderr
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.expect(t, "running")
	return w
}

func (w *wordCount) expect(t *testing.T, want string) {
	t.Helper()
	if line, err := w.stdout.ReadString('\n'); err != nil || strings.TrimSpace(line) != want {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait() // what it said matters more
		t.Fatalf("the application said %q, want %q: %v\n%s", line, want, err, w.stderr)
	}
}

func (w *wordCount) close(t *testing.T) {
	t.Helper()
	if err := w.stdin.Close(); err != nil {
		t.Error(err)
	}
	w.expect(t, "closed")
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, w.stderr)
	}
}

// TestStreams counts words with Kafka Streams, stops the application, and lets it go on with its store
// restored from the changelog: no word may be missing.
func TestStreams(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	input, output, app := newTopic(t, 3), newTopic(t, 1), uniqueName(t)
	changelog, repartition := app+"-counts-changelog", app+"-words-repartition"
	admin := newAdmin(t)
	t.Cleanup(func() { _, _ = admin.DeleteTopics(suiteContext, changelog, repartition) })

	const words, rounds = 40, 50
	line := func() string {
		var b strings.Builder
		for i := range words {
			fmt.Fprintf(&b, "word%d ", i)
		}
		return strings.TrimSpace(b.String())
	}()
	write := func() {
		t.Helper()
		for p := range int32(3) {
			records := plainRecords(p, rounds, "")
			for i := range records {
				records[i].Value = []byte(line)
			}
			franzProduce(t, input, produceOptions{}, records)
		}
	}
	counts := newCounts(t, output)
	for run := range int64(2) {
		app := startWordCount(t, app, input, output)
		write()
		counts.await(t, ctx, words, 3*rounds*(run+1))
		if run == 1 {
			eventually(t, "the repartition topic is purged", func() error {
				starts, err := admin.ListStartOffsets(ctx, repartition)
				if err != nil {
					return err
				}
				var sum int64
				starts.Each(func(o kadm.ListedOffset) { sum += o.Offset })
				if sum != words*3*rounds*2 {
					return fmt.Errorf("the starts add up to %d, want %d", sum, words*3*rounds*2)
				}
				return nil
			})
		}
		app.close(t)
	}
	wantTopicConfigs(t, changelog, 3, map[string]string{"cleanup.policy": "compact"})
	wantTopicConfigs(t, repartition, 3, map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "segment.bytes": "52428800", "message.timestamp.type": "CreateTime"})
}

// wantTopicConfigs checks a topic that a client made for itself.
func wantTopicConfigs(t *testing.T, topic string, partitions int, want map[string]string) {
	t.Helper()
	admin := newAdmin(t)
	details, err := admin.ListTopics(testContext(t), topic)
	if err != nil || len(details[topic].Partitions) != partitions {
		t.Errorf("topic %s: %d partitions, want %d: %v", topic, len(details[topic].Partitions), partitions, err)
	}
	configs, err := admin.DescribeTopicConfigs(testContext(t), topic)
	if err != nil || len(configs) != 1 {
		t.Fatalf("configs of %s: %v", topic, err)
	}
	for key, value := range want {
		if got := configValue(configs, key); got != value {
			t.Errorf("topic %s: %s is %q, want %q", topic, key, got, value)
		}
	}
}

// counts follows the output of WordCount.
type counts struct {
	client *kgo.Client
	last   map[string]int64
}

func newCounts(t *testing.T, topic string) *counts {
	t.Helper()
	return &counts{client: newKgo(t, kgo.ConsumeTopics(topic)), last: make(map[string]int64)}
}

// await reads until each of n words is counted total times; at least once means no fewer.
func (c *counts) await(t *testing.T, ctx context.Context, n int, total int64) {
	t.Helper()
	for {
		complete := 0
		for _, count := range c.last {
			if count >= total {
				complete++
			}
		}
		if complete == n {
			return
		}
		fetches := c.client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d words of %d counted %d times: %v: %v", complete, n, total, c.last, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { c.last[string(r.Key)] = int64(binary.BigEndian.Uint64(r.Value)) })
	}
}
