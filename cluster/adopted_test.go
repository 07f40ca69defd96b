package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/cluster/adopt"
	"kserver/cluster/adopt/adopttest"
)

// kafkaDirectory unpacks the log directory of an Apache Kafka 4.3.1 that was stopped cleanly, and what it served last,
// line by line (interop/adopt_test.go describes it, the records as its Java consumer saw them).
func kafkaDirectory(t *testing.T) (dir string, served []string) {
	t.Helper()
	root := t.TempDir()
	if err := adopttest.Unpack("adopt/testdata/kafka-4.3.1.tar.gz", root); err != nil {
		t.Fatal(err)
	}
	text, err := os.Open(filepath.Join(root, "served.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	for s := bufio.NewScanner(text); s.Scan(); {
		served = append(served, s.Text())
	}
	return filepath.Join(root, "data"), served
}

// A directory written by Kafka serves after its adoption what Kafka served: every record, in both isolations, with its
// offset, leader epoch, time and headers, the offsets of partitions and groups, and producer states.
func TestAdoptedDirectoryServesWhatKafkaServed(t *testing.T) {
	dir, served := kafkaDirectory(t)
	if p, err := adopt.Adopt(adopt.Options{Dirs: []string{dir}}); err != nil || !p.Done {
		t.Fatalf("%v: %+v", err, p)
	}
	b := startBroker(t, "epoll", dir, "node.id", "1")
	defer stopBroker(t, b)
	ctx := testContext(t)
	admin := kadm.NewClient(client(t, b))
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, name := range topics.Names() {
		got = append(got, fmt.Sprintf("topic %s %s: %d partitions", name, topics[name].ID, len(topics[name].Partitions)))
	}
	got = append(got, listedOffsets(t, ctx, admin, topics.Names())...)
	producers, err := admin.DescribeProducers(ctx, topics.TopicsSet())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range producers.SortedProducers() {
		got = append(got, fmt.Sprintf("producer %d of %s-%d: epoch %d, sequence %d, at %d, coordinator %d, transaction from %d", p.ProducerID, p.Topic, p.Partition,
			p.ProducerEpoch, p.LastSequence, p.LastTimestamp, p.CoordinatorEpoch, p.CurrentTxnStartOffset))
	}
	for _, group := range []string{"readers", "txn-readers"} {
		offsets, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range offsets.Sorted() {
			got = append(got, fmt.Sprintf("group %s at %d of %s-%d, epoch %d, %q", group, o.At, o.Topic, o.Partition, o.LeaderEpoch, o.Metadata))
		}
	}
	compareServed(t, "metadata", got, linesBefore(served, "read_uncommitted"))

	all, committed := slices.Index(served, "read_uncommitted"), slices.Index(served, "read_committed")
	for i, isolation := range []kgo.IsolationLevel{kgo.ReadUncommitted(), kgo.ReadCommitted()} {
		want := served[all+1 : committed]
		if i == 1 {
			want = served[committed+1:]
		}
		want = slices.DeleteFunc(slices.Clone(want), func(line string) bool { return strings.Contains(line, " ends at ") })
		compareServed(t, fmt.Sprint("isolation ", i), recordLines(t, b, topics.Names(), isolation, len(want)), want)
	}
}

// linesBefore are the lines up to one, without those of settings and epochs.
func linesBefore(lines []string, end string) (out []string) {
	for _, line := range lines[:slices.Index(lines, end)] {
		if !strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "epoch ") {
			out = append(out, line)
		}
	}
	return out
}

func listedOffsets(t *testing.T, ctx context.Context, admin *kadm.Client, names []string) (lines []string) {
	t.Helper()
	for _, list := range []struct {
		what string
		ask  func(context.Context, ...string) (kadm.ListedOffsets, error)
	}{{"start", admin.ListStartOffsets}, {"end", admin.ListEndOffsets}, {"stable", admin.ListCommittedOffsets}} {
		offsets, err := list.ask(ctx, names...)
		if err != nil || offsets.Error() != nil {
			t.Fatal(err, offsets.Error())
		}
		offsets.Each(func(o kadm.ListedOffset) {
			lines = append(lines, fmt.Sprintf("%s of %s-%d: %d", list.what, o.Topic, o.Partition, o.Offset))
		})
	}
	return lines
}

// recordLines reads so many records and describes each as TopicDump does.
func recordLines(t *testing.T, b *Broker, topics []string, isolation kgo.IsolationLevel, n int) (lines []string) {
	t.Helper()
	cl := client(t, b, kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(isolation))
	hex := func(p []byte) string {
		if p == nil {
			return "-"
		}
		return fmt.Sprintf("'%x'", p)
	}
	for ctx := testContext(t); len(lines) < n; {
		f := cl.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(lines), n, err)
		}
		f.EachRecord(func(r *kgo.Record) {
			kind := "CreateTime"
			if r.Attrs.TimestampType() == 1 {
				kind = "LogAppendTime"
			}
			line := fmt.Sprintf("%s-%d %d epoch %d %s %d %s %s", r.Topic, r.Partition, r.Offset, r.LeaderEpoch, kind, r.Timestamp.UnixMilli(), hex(r.Key), hex(r.Value))
			for _, h := range r.Headers {
				line += fmt.Sprintf(" %s=%s", h.Key, hex(h.Value))
			}
			lines = append(lines, line)
		})
	}
	return lines
}

// compareServed compares lines in any order.
func compareServed(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	sort.Strings(got)
	sort.Strings(want)
	if slices.Equal(got, want) {
		return
	}
	shown := 0
	for _, line := range got {
		if _, found := slices.BinarySearch(want, line); !found && shown < 10 {
			t.Errorf("%s: kserver serves %.200s", what, line)
			shown++
		}
	}
	for _, line := range want {
		if _, found := slices.BinarySearch(got, line); !found && shown < 20 {
			t.Errorf("%s: Kafka served   %.200s", what, line)
			shown++
		}
	}
	if shown == 0 {
		t.Errorf("%s: %d lines, want %d", what, len(got), len(want))
	}
}
