package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func str(s string) *string { return &s }

// alter changes one setting incrementally and returns the answer, "" for success.
func alter(t *testing.T, cl *kgo.Client, kind kmsg.ConfigResourceType, name, key string, value *string) string {
	t.Helper()
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kind, name
	rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	rc.Name, rc.Value = key, value
	if value == nil {
		rc.Op = kmsg.IncrementalAlterConfigOpDelete
	}
	rr.Configs = append(rr.Configs, rc)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, rr)
	resp, err := req.RequestWith(testContext(t), cl)
	if err != nil {
		t.Fatal(err)
	}
	r := resp.Resources[0]
	if r.ErrorCode == 0 {
		return ""
	}
	message := ""
	if r.ErrorMessage != nil {
		message = *r.ErrorMessage
	}
	return fmt.Sprint(r.ErrorCode, " ", message)
}

// described is a setting's value and source, as "value/source".
func described(t *testing.T, cl *kgo.Client, kind kmsg.ConfigResourceType, name, key string) string {
	t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: []string{key}}}
	for _, shard := range cl.RequestSharded(testContext(t), req) {
		if shard.Err != nil {
			t.Fatal(shard.Err)
		}
		for _, c := range shard.Resp.(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
			if c.Value != nil {
				return fmt.Sprintf("%s/%d", *c.Value, c.Source)
			}
		}
	}
	return "null"
}

// A setting is in force, and described, when its change is answered: for a topic,
// for the broker and all its topics, and after a restart.
func TestSettingsTakeEffect(t *testing.T) {
	const topic, broker, group = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeGroupConfig
	dir := t.TempDir()
	b := startBroker(t, "epoll", dir)
	cl := client(t, b, kgo.DefaultProduceTopic("t"), kgo.MaxBufferedRecords(1), kgo.ProducerBatchMaxBytes(900_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	createTopic(t, cl, "t", 1, nil)
	createTopic(t, cl, "u", 1, map[string]*string{"max.message.bytes": str("800000")})
	produce := func(topic string, n int) error {
		return cl.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Value: make([]byte, n)}).FirstErr()
	}
	expect := func(what string, err error, tooLarge bool) {
		t.Helper()
		if tooLarge != errors.Is(err, kerr.MessageTooLarge) || !tooLarge && err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	set := func(kind kmsg.ConfigResourceType, name, key string, value *string) {
		t.Helper()
		if got := alter(t, cl, kind, name, key, value); got != "" {
			t.Fatalf("%s %s: %s", name, key, got)
		}
	}
	expect("default", produce("t", 10_000), false)
	set(topic, "t", "max.message.bytes", str("5000"))
	expect("topic's own", produce("t", 10_000), true)
	set(topic, "t", "max.message.bytes", nil)
	expect("taken back", produce("t", 10_000), false)

	set(broker, "", "message.max.bytes", str("4000"))
	expect("of all brokers", produce("t", 10_000), true)
	set(broker, "1", "message.max.bytes", str("20000"))
	expect("of this broker", produce("t", 10_000), false)
	expect("of this broker, larger", produce("t", 30_000), true)
	expect("beside the topic's own", produce("u", 30_000), false)
	createTopic(t, cl, "v", 1, nil)
	expect("of a new topic", produce("v", 30_000), true)
	set(group, "g", "consumer.session.timeout.ms", str("50000"))

	for _, refused := range []struct {
		kind             kmsg.ConfigResourceType
		name, key, value string
		want             string
	}{
		{topic, "absent", "retention.ms", "1", "3 The topic 'absent' does not exist."},
		{topic, "", "retention.ms", "1", "42 Default topic resources are not allowed."},
		{topic, "t", "nope", "1", "40 Unknown topic config name: nope"},
		{broker, "1", "num.partitions", "9", "42 Cannot update these configs dynamically: [num.partitions]"},
		{broker, "1", "num.network.threads", "9", "40 num.network.threads cannot be changed while the broker runs: set it in the broker's own configuration and restart the broker"},
		{group, "", "consumer.session.timeout.ms", "50000", "42 Default group resources are not allowed."},
		{group, "g", "consumer.session.timeout.ms", "1", "40 consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"},
		{kmsg.ConfigResourceTypeClientMetrics, "m", "interval.ms", "1", "42 Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)"},
	} {
		if got := alter(t, cl, refused.kind, refused.name, refused.key, &refused.value); got != refused.want {
			t.Errorf("%q %s=%s: %s", refused.name, refused.key, refused.value, got)
		}
	}

	stopBroker(t, b)
	b = startBroker(t, "epoll", dir)
	defer stopBroker(t, b)
	cl = client(t, b, kgo.MaxBufferedRecords(1), kgo.ProducerBatchMaxBytes(900_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	expect("after a restart", produce("t", 30_000), true)
	for _, want := range []struct {
		kind             kmsg.ConfigResourceType
		name, key, value string
	}{
		{topic, "t", "max.message.bytes", "20000/2"},
		{topic, "u", "max.message.bytes", "800000/1"},
		{broker, "1", "message.max.bytes", "20000/2"},
		{broker, "", "message.max.bytes", "4000/3"},
		{group, "g", "consumer.session.timeout.ms", "50000/8"},
	} {
		if got := described(t, cl, want.kind, want.name, want.key); got != want.value {
			t.Errorf("%q %s: %s, want %s", want.name, want.key, got, want.value)
		}
	}
	set(broker, "1", "message.max.bytes", nil)
	set(broker, "", "message.max.bytes", nil)
	expect("all taken back", produce("t", 30_000), false)
}

// Deleted records stay deleted, and the directory's description says what is left.
func TestDeleteRecords(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, "epoll", dir)
	cl := client(t, b, kgo.DefaultProduceTopic("t"))
	admin := kadm.NewClient(cl)
	createTopic(t, cl, "t", 1, nil)
	createTopic(t, cl, "compacted", 1, map[string]*string{"cleanup.policy": str("compact")})
	for i := range 10 {
		if err := cl.ProduceSync(testContext(t), kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(ctx context.Context, topic string, partition int32, offset int64) string {
		var o kadm.Offsets
		o.AddOffset(topic, partition, offset, -1)
		got, err := admin.DeleteRecords(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := got.Lookup(topic, partition)
		if r.Err != nil {
			return r.Err.Error()[:strings.Index(r.Err.Error(), ":")]
		}
		return fmt.Sprint(r.LowWatermark)
	}
	for _, step := range []struct {
		topic     string
		partition int32
		offset    int64
		want      string
	}{
		{"t", 0, 4, "4"},
		{"t", 0, 2, "4"}, // gone already
		{"t", 0, 11, "OFFSET_OUT_OF_RANGE"},
		{"t", 0, -2, "OFFSET_OUT_OF_RANGE"},
		{"compacted", 0, 0, "POLICY_VIOLATION"},
		{"t", 0, 7, "7"},
	} {
		if got := remove(testContext(t), step.topic, step.partition, step.offset); got != step.want {
			t.Errorf("%s-%d to %d: %s, want %s", step.topic, step.partition, step.offset, got, step.want)
		}
	}
	if got := consume(t, b, "t", 3); string(got[0].Value) != "7" {
		t.Errorf("first record left: %s", got[0].Value)
	}
	stopBroker(t, b)
	b = startBroker(t, "epoll", dir)
	defer stopBroker(t, b)
	if got := consume(t, b, "t", 3); string(got[0].Value) != "7" {
		t.Errorf("first record left after a restart: %s", got[0].Value)
	}
	admin = kadm.NewClient(client(t, b))
	if got := remove(testContext(t), "t", 0, -1); got != "10" {
		t.Errorf("to the high watermark: %s", got)
	}

	dirs, err := admin.DescribeBrokerLogDirs(testContext(t), 1, nil)
	if err != nil || len(dirs) != 1 {
		t.Fatal(dirs, err)
	}
	for _, d := range dirs {
		p, ok := d.Topics.Lookup("t", 0)
		if !ok || d.Dir != dir || p.Size <= 0 || p.OffsetLag != 0 || p.IsFuture {
			t.Errorf("%s: %+v", d.Dir, p)
		}
		for topic := range d.Topics {
			if topic == metadataTopic {
				t.Error("the metadata log is listed")
			}
		}
	}
}

// Groups are deleted with their offsets, and the sequences of producers described.
func TestDescribeProducersAndDeleteGroups(t *testing.T) {
	b := startBroker(t, "epoll", t.TempDir())
	defer stopBroker(t, b)
	cl := client(t, b, kgo.DefaultProduceTopic("t"))
	admin, ctx := kadm.NewClient(cl), testContext(t)
	createTopic(t, cl, "t", 1, nil)
	for range 3 {
		if err := cl.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	producers, err := admin.DescribeProducers(ctx, kadm.TopicsSet{"t": {0: {}}})
	if err != nil {
		t.Fatal(err)
	}
	list := producers.SortedProducers()
	if len(list) != 1 || list[0].LastSequence != 2 || list[0].CurrentTxnStartOffset != -1 {
		t.Errorf("%+v", list)
	}

	var offsets kadm.Offsets
	offsets.AddOffset("t", 0, 2, -1)
	if err := admin.CommitAllOffsets(ctx, "g", offsets); err != nil {
		t.Fatal(err)
	}
	deleted, err := admin.DeleteGroups(ctx, "g", "absent")
	if err != nil || deleted["g"].Err != nil || !errors.Is(deleted["absent"].Err, kerr.GroupIDNotFound) {
		t.Errorf("%+v, %v", deleted, err)
	}
	left, err := admin.FetchOffsets(ctx, "g")
	if err != nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
}

// With two directories a replica is told to stay where it is, or refused to move.
func TestAlterReplicaLogDirs(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	b := startBroker(t, "epoll", first+","+second)
	defer stopBroker(t, b)
	cl := client(t, b)
	createTopic(t, cl, "t", 2, nil)
	long := strings.Repeat("l", 240)
	createTopic(t, cl, long, 1, nil)
	at := map[int32]string{}
	dirs, err := kadm.NewClient(cl).DescribeBrokerLogDirs(testContext(t), 1, nil)
	if err != nil || len(dirs) != 2 {
		t.Fatal(dirs, err)
	}
	for _, d := range dirs {
		for p := range d.Topics["t"] {
			at[p] = d.Dir
		}
	}
	if len(at) != 2 || at[0] == at[1] {
		t.Fatalf("partitions in %v", at)
	}
	move := func(topic string, p int32, dir string) int16 {
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: dir, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: topic, Partitions: []int32{p}}}}}
		resp, err := cl.Broker(1).Request(testContext(t), req)
		if err != nil {
			t.Fatal(err)
		}
		return resp.(*kmsg.AlterReplicaLogDirsResponse).Topics[0].Partitions[0].ErrorCode
	}
	for _, test := range []struct {
		topic string
		p     int32
		dir   string
		want  *kerr.Error
	}{
		{"t", 0, at[0], nil},
		{"t", 1, at[1], nil},
		{"t", 0, at[1], kerr.InvalidReplicaAssignment},
		{"t", 0, "/nowhere", kerr.LogDirNotFound},
		{"t", 7, at[0], kerr.UnknownTopicOrPartition},
		{"nope", 0, at[0], kerr.UnknownTopicOrPartition},
		{long, 0, at[0], kerr.InvalidTopicException},
	} {
		want := int16(0)
		if test.want != nil {
			want = test.want.Code
		}
		if got := move(test.topic, test.p, test.dir); got != want {
			t.Errorf("%.10s-%d to %s: %d, want %d", test.topic, test.p, test.dir, got, want)
		}
	}
}
