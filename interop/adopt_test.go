package interop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/broker"
)

// goldenKafka makes the directory that cluster/adopt is tested with: see TestWriteAdoptionGolden.
var goldenKafka = flag.String("adopt.golden", "", "write the data directory of a filled Kafka to this `file`, a tar.gz")

// TestWriteAdoptionGolden makes cluster/adopt/testdata/kafka-4.3.1.tar.gz when it is asked to; make.sh beside that file
// does.
func TestWriteAdoptionGolden(t *testing.T) {
	if *goldenKafka == "" {
		t.Skip("-adopt.golden names no file")
	}
	name, err := filepath.Abs(*goldenKafka)
	if err != nil {
		t.Fatal(err)
	}
	kafka := startForAdoption(t, t.TempDir())
	fillForAdoption(t, kafka)
	text := allServed(t, kafka.Addr())
	if err := kafka.Terminate(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(kafka.DataDir(), "..", "served.txt"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf", name, "-C", filepath.Dir(kafka.DataDir()), "data", "served.txt")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestAdopt takes a directory from Kafka to kserver and back, twice, with changes made by both: whoever has it serves
// the same records at the same offsets and epochs, producer states, committed offsets, topics and settings, and Kafka's
// own tool finds nothing wrong with any file.
func TestAdopt(t *testing.T) {
	t.Parallel()
	if suite.spec.Kind != broker.Kserver {
		t.Skip("kserver is not what is tested")
	}
	dir := t.TempDir()
	kafka := startForAdoption(t, dir)
	fillForAdoption(t, kafka)
	want := allServed(t, kafka.Addr())
	stop(t, kafka)

	adoptCommand(t, kafka.DataDir())
	adoptCommand(t, kafka.DataDir(), "--yes")
	if err := kafka.Run(testContext(t)); err == nil {
		t.Fatal("Kafka starts on an adopted directory")
	}
	ours := startAdopted(t, dir)
	same(t, "kserver, adopted", allServed(t, ours.Addr()), want)
	stop(t, ours)
	dumpAll(t, kafka.DataDir())
	adoptCommand(t, kafka.DataDir(), "--back", "--yes")
	run(t, kafka)
	same(t, "Kafka, with nothing changed", allServed(t, kafka.Addr()), want)
	stop(t, kafka)

	adoptCommand(t, kafka.DataDir(), "--yes")
	run(t, ours)
	changeWhileAway(t, ours.Addr(), "kserver")
	want = allServed(t, ours.Addr())
	stop(t, ours)
	dumpAll(t, kafka.DataDir())
	adoptCommand(t, kafka.DataDir(), "--back", "--yes")
	run(t, kafka)
	same(t, "Kafka, after kserver's changes", allServed(t, kafka.Addr()), want)
	changeWhileAway(t, kafka.Addr(), "kafka")
	want = allServed(t, kafka.Addr())
	stop(t, kafka)

	adoptCommand(t, kafka.DataDir(), "--yes")
	run(t, ours)
	same(t, "kserver, after Kafka's changes", allServed(t, ours.Addr()), want)
	stop(t, ours)
	dumpAll(t, kafka.DataDir())
}

func stop(t *testing.T, b *broker.Broker) {
	t.Helper()
	if err := b.Terminate(); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, b *broker.Broker) {
	t.Helper()
	if err := b.Run(testContext(t)); err != nil {
		t.Fatal(err)
	}
	awaitTopic(t, b, adoptCodecs, 2)
}

// startAdopted starts a kserver on the data directory in dir.
func startAdopted(t *testing.T, dir string) *broker.Broker {
	t.Helper()
	spec := suite.spec
	spec.Dir, spec.Settings = dir, map[string]string{"node.id": "1"}
	b, err := broker.Start(testContext(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.Running() {
			if err := b.Kill(); err != nil {
				t.Error(err)
			}
		}
	})
	return b
}

// adoptCommand runs kserver adopt, which has to succeed.
func adoptCommand(t *testing.T, dir string, flags ...string) {
	t.Helper()
	cmd := exec.Command(suite.spec.Binary, append([]string{"adopt", dir}, flags...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	t.Logf("%s", out)
}

// changeWhileAway changes what the other one has to hear of.
func changeWhileAway(t *testing.T, addr, by string) {
	t.Helper()
	ctx := testContext(t)
	admin := kadm.NewClient(newKgoAt(t, addr))
	created := "made-by-" + by
	createForAdoption(t, addr, created, 2, "retention.ms=-1")
	eventually(t, "new topic", func() error {
		ends, err := admin.ListEndOffsets(ctx, created)
		return errors.Join(err, ends.Error())
	})
	franzProduce(t, created, produceOptions{addr: addr, codec: "zstd", idempotent: true}, oddRecords(1, 30))
	franzProduce(t, adoptCodecs, produceOptions{addr: addr, codec: "lz4", idempotent: true}, oddRecords(0, 30))
	franzProduce(t, adoptCompacted, produceOptions{addr: addr}, []record{{Key: []byte("key-1"), Value: []byte(by), Timestamp: 1_700_000_001_000}})
	commitAt(t, addr, adoptGroup, adoptCodecs, 40)
	commitAt(t, addr, "group-of-"+by, created, 3)
	value := "1234567"
	for _, change := range []func() error{
		func() error { _, err := admin.CreatePartitions(ctx, 1, adoptDeleted); return err },
		func() error {
			_, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, adoptDeleted)
			return err
		},
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
	}
	if by == "kserver" {
		if _, err := admin.DeleteTopics(ctx, adoptTxns); err != nil {
			t.Fatal(err)
		}
	}
}

// allServed describes all that a broker serves, as text: records as the Java consumer sees them in both isolations,
// offsets, where leader epochs end, producer states, committed offsets, topics with ids and settings.
func allServed(t *testing.T, addr string) string {
	t.Helper()
	ctx := testContext(t)
	client := newKgoAt(t, addr)
	admin := kadm.NewClient(client)
	var topics kadm.TopicDetails
	eventually(t, "all partitions have a leader", func() error {
		var err error
		if topics, err = admin.ListTopics(ctx); err != nil {
			return err
		}
		_, err = admin.ListEndOffsets(ctx, topics.Names()...)
		for _, d := range topics {
			for _, p := range d.Partitions {
				if p.Err != nil || p.Leader < 0 {
					err = fmt.Errorf("%s-%d: %v, leader %d", d.Topic, p.Partition, p.Err, p.Leader)
				}
			}
		}
		return err
	})
	names := topics.Names()
	var out strings.Builder
	describeTopics(t, ctx, admin, topics, &out)
	describeOffsets(t, ctx, admin, names, &out)
	describeEpochs(t, ctx, client, topics, &out)
	describeProducers(t, ctx, admin, names, &out)
	describeGroups(t, ctx, admin, &out)
	for _, isolation := range []string{"read_uncommitted", "read_committed"} {
		fmt.Fprintf(&out, "%s\n%s", isolation, runTool(t, "", "TopicDump", append([]string{addr, isolation}, names...)...))
	}
	return out.String()
}

func describeTopics(t *testing.T, ctx context.Context, admin *kadm.Client, topics kadm.TopicDetails, out *strings.Builder) {
	t.Helper()
	names := topics.Names()
	settings, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		fmt.Fprintf(out, "topic %s %s: %d partitions\n", name, topics[name].ID, len(topics[name].Partitions))
		resource, err := settings.On(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		sort.Slice(resource.Configs, func(i, j int) bool { return resource.Configs[i].Key < resource.Configs[j].Key })
		for _, c := range resource.Configs {
			// Kafka shows settings of tests, kserver does not.
			if c.Source == kmsg.ConfigSourceDynamicTopicConfig && !strings.HasPrefix(c.Key, "internal.") {
				fmt.Fprintf(out, "  %s=%s\n", c.Key, c.MaybeValue())
			}
		}
	}
}

func describeOffsets(t *testing.T, ctx context.Context, admin *kadm.Client, names []string, out *strings.Builder) {
	t.Helper()
	for _, list := range []struct {
		what string
		ask  func(context.Context, ...string) (kadm.ListedOffsets, error)
	}{{"start", admin.ListStartOffsets}, {"end", admin.ListEndOffsets}, {"stable", admin.ListCommittedOffsets}} {
		offsets, err := list.ask(ctx, names...)
		if err != nil || offsets.Error() != nil {
			t.Fatal(err, offsets.Error())
		}
		for _, o := range sorted(offsets) {
			fmt.Fprintf(out, "%s of %s-%d: %d\n", list.what, o.Topic, o.Partition, o.Offset)
		}
	}
}

func sorted(offsets kadm.ListedOffsets) (list []kadm.ListedOffset) {
	offsets.Each(func(o kadm.ListedOffset) { list = append(list, o) })
	sort.Slice(list, func(i, j int) bool {
		return fmt.Sprint(list[i].Topic, list[i].Partition) < fmt.Sprint(list[j].Topic, list[j].Partition)
	})
	return list
}

// describeEpochs asks where each old leader epoch ends.
func describeEpochs(t *testing.T, ctx context.Context, client *kgo.Client, topics kadm.TopicDetails, out *strings.Builder) {
	t.Helper()
	for _, name := range topics.Names() {
		ends := make(map[int32]int64) // by partition, of the epoch before
		for epoch := range int32(60) {
			req := at(kmsg.NewPtrOffsetForLeaderEpochRequest(), 4)
			req.ReplicaID = -1
			rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
			rt.Topic = name
			for i := range int32(len(topics[name].Partitions)) {
				rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				rp.Partition, rp.CurrentLeaderEpoch, rp.LeaderEpoch = i, -1, epoch
				rt.Partitions = append(rt.Partitions, rp)
			}
			req.Topics = append(req.Topics, rt)
			resp, err := req.RequestWith(ctx, client)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range resp.Topics[0].Partitions {
				// The newest epoch, which each start raises, may have no records yet.
				if p.LeaderEpoch == epoch && p.EndOffset > ends[p.Partition] {
					ends[p.Partition] = p.EndOffset
					fmt.Fprintf(out, "epoch %d of %s-%d ends at %d\n", epoch, name, p.Partition, p.EndOffset)
				}
			}
		}
	}
}

func describeProducers(t *testing.T, ctx context.Context, admin *kadm.Client, names []string, out *strings.Builder) {
	t.Helper()
	var set kadm.TopicsSet
	set.Add("__none") // an empty set asks for all
	delete(set, "__none")
	starts, err := admin.ListStartOffsets(ctx, names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range sorted(starts) {
		set.Add(o.Topic, o.Partition)
	}
	producers, err := admin.DescribeProducers(ctx, set)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range producers.SortedProducers() {
		fmt.Fprintf(out, "producer %d of %s-%d: epoch %d, sequence %d, at %d, coordinator %d, transaction from %d\n", p.ProducerID, p.Topic, p.Partition,
			p.ProducerEpoch, p.LastSequence, p.LastTimestamp, p.CoordinatorEpoch, p.CurrentTxnStartOffset)
	}
}

func describeGroups(t *testing.T, ctx context.Context, admin *kadm.Client, out *strings.Builder) {
	t.Helper()
	for _, group := range []string{adoptGroup, adoptTxnGroup, "group-of-kserver", "group-of-kafka"} {
		var offsets kadm.OffsetResponses
		eventually(t, "offsets of "+group, func() (err error) {
			offsets, err = admin.FetchOffsets(ctx, group)
			return err
		})
		for _, o := range offsets.Sorted() {
			fmt.Fprintf(out, "group %s at %d of %s-%d, epoch %d, %q\n", group, o.At, o.Topic, o.Partition, o.LeaderEpoch, o.Metadata)
		}
	}
}

// same compares two descriptions and shows where they differ.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	inWant, inGot := make(map[string]bool), make(map[string]bool)
	for _, line := range w {
		inWant[line] = true
	}
	for _, line := range g {
		inGot[line] = true
	}
	shown := 0
	for _, side := range []struct {
		sign  string
		lines []string
		other map[string]bool
	}{{"+", g, inWant}, {"-", w, inGot}} {
		for _, line := range side.lines {
			if !side.other[line] && shown < 60 {
				t.Errorf("%s: %s %.200s", what, side.sign, line)
				shown++
			}
		}
	}
	if shown == 0 {
		t.Errorf("%s: the same lines in another order", what)
	}
}

// dumpAll lets Kafka's tool look at every file of every partition.
func dumpAll(t *testing.T, data string) {
	t.Helper()
	entries, err := os.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	logs := map[string][]string{} // by decoder
	var indexes []string
	for _, e := range entries {
		decoder := "--deep-iteration"
		switch {
		case !e.IsDir():
			continue
		case strings.HasPrefix(e.Name(), "__consumer_offsets-"):
			decoder = "--offsets-decoder"
		case strings.HasPrefix(e.Name(), "__transaction_state-"):
			decoder = "--transaction-log-decoder"
		case e.Name() == "kafka-metadata", strings.HasPrefix(e.Name(), "__cluster_metadata"):
			decoder = "--cluster-metadata-decoder"
		}
		dir := filepath.Join(data, e.Name())
		logs[decoder] = append(logs[decoder], filesOf(t, dir, ".log", ".snapshot", ".txnindex")...)
		if e.Name() != "kafka-metadata" {
			indexes = append(indexes, filesOf(t, dir, ".index", ".timeindex")...)
		}
	}
	for _, decoder := range slices.Sorted(maps.Keys(logs)) {
		args := []string{"--deep-iteration", "--print-data-log", "--files", strings.Join(logs[decoder], ",")}
		if decoder != "--deep-iteration" {
			args = append(args, decoder)
		}
		out := runTool(t, "", classDumpLog, args...)
		for _, bad := range []string{"Exception", "isvalid: false", "Index mismatch", "Mismatches in", "Non-consecutive", "Found timestamp mismatch",
			"Found out of order", "corrupt", "Could not decode", "Error at"} {
			if strings.Contains(out, bad) {
				t.Errorf("kafka-dump-log %s says %q:\n%s", decoder, bad, around(out, bad))
			}
		}
	}
	out := runTool(t, "", classDumpLog, "--index-sanity-check", "--files", strings.Join(indexes, ","))
	if n := strings.Count(out, " passed sanity check."); n != len(indexes) || n == 0 {
		t.Errorf("%d of %d indexes passed:\n%s", n, len(indexes), out)
	}
}
