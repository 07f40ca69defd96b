package cluster

import (
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/configs"
	"kserver/engine/vfs"
	"kserver/protocol"
)

// newOn composes a broker whose data is in directories of fs.
func newOn(t *testing.T, fs vfs.FS, dirs string, settings ...string) (*Broker, error) {
	t.Helper()
	list := []configs.Setting{
		configs.FlagSetting("listeners", "PLAINTEXT://127.0.0.1:0"), configs.FlagSetting("log.dirs", dirs),
		configs.FlagSetting("io.backend", "epoll"), configs.FlagSetting("group.initial.rebalance.delay.ms", "0"),
	}
	for i := 0; i < len(settings); i += 2 {
		list = append(list, configs.FlagSetting(settings[i], settings[i+1]))
	}
	cfg, err := configs.ParseBroker(list...)
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Broker: cfg, FS: fs, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
}

func serveOn(t *testing.T, fs vfs.FS, dirs string, settings ...string) *Broker {
	t.Helper()
	b, err := newOn(t, fs, dirs, settings...)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	return b
}

// produceCode produces one record to a partition of t and returns the code and message of the answer.
func produceCode(t *testing.T, b *Broker, partition int32) (protocol.ErrorCode, string) {
	t.Helper()
	c := dialRaw(t, b)
	req := produceRequest(t, "t", -1, 20*time.Second, "x")
	req.Topics[0].Partitions[0].Partition = partition
	c.send(1, req)
	part := c.produced(1, req)
	message := ""
	if part.ErrorMessage != nil {
		message = *part.ErrorMessage
	}
	return protocol.ErrorCode(part.ErrorCode), message
}

// fetchCode fetches from the start of a partition of t.
func fetchCode(t *testing.T, b *Broker, partition int32) protocol.ErrorCode {
	t.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxBytes, req.SessionEpoch = 11, 1<<20, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = "t"
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.PartitionMaxBytes = partition, 1<<20
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	c := dialRaw(t, b)
	c.send(1, req)
	resp := req.ResponseKind().(*kmsg.FetchResponse)
	c.receive(1, resp)
	return protocol.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// dirOf is the log directory of a partition of t.
func dirOf(t *testing.T, b *Broker, partition int32) string {
	t.Helper()
	p, err := b.replicas.Partition("t", partition)
	if err != nil {
		t.Fatal(err)
	}
	return p.Log().Dir()
}

// split returns a partition of t in each of the two directories.
func split(t *testing.T, b *Broker) (inOne, inTwo int32) {
	t.Helper()
	inOne, inTwo = -1, -1
	for i := range int32(4) {
		if dirOf(t, b, i) == "/one" {
			inOne = i
		} else {
			inTwo = i
		}
	}
	if inOne < 0 || inTwo < 0 {
		t.Fatal("all partitions in one directory")
	}
	return inOne, inTwo
}

// checkDegraded makes sure that the partition of the dead directory fails as in Kafka, and the other serves.
func checkDegraded(t *testing.T, b *Broker, dead, alive int32) {
	t.Helper()
	if code, _ := produceCode(t, b, dead); code != protocol.KafkaStorageError {
		t.Errorf("produce to an offline partition: %v", code)
	}
	if code := fetchCode(t, b, dead); code != protocol.KafkaStorageError {
		t.Errorf("fetch of an offline partition: %v", code)
	}
	if code, _ := produceCode(t, b, alive); code != protocol.None {
		t.Errorf("produce to the other directory: %v", code)
	}
	if code := fetchCode(t, b, alive); code != protocol.None {
		t.Errorf("fetch from the other directory: %v", code)
	}
	admin := kadm.NewClient(client(t, b))
	m, err := admin.Metadata(testContext(t), "t")
	if err != nil {
		t.Fatal(err)
	}
	p := m.Topics["t"].Partitions[dead]
	if p.Leader != -1 || len(p.OfflineReplicas) != 1 || p.Err == nil {
		t.Errorf("metadata of an offline partition: %+v", p)
	}
	if p := m.Topics["t"].Partitions[alive]; p.Leader != 1 || len(p.OfflineReplicas) != 0 || p.Err != nil {
		t.Errorf("metadata of the other: %+v", p)
	}
	offsets, err := admin.ListEndOffsets(testContext(t), "t")
	if err == nil {
		if o, _ := offsets.Lookup("t", dead); o.Err == nil {
			t.Errorf("ListOffsets of an offline partition: %+v", o)
		}
	}
	dirs, err := admin.DescribeAllLogDirs(testContext(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	offline := 0
	dirs.Each(func(d kadm.DescribedLogDir) {
		if d.Err != nil {
			offline++
			if d.Dir != "/two" || len(d.Topics) != 0 {
				t.Errorf("offline directory %+v", d)
			}
		}
	})
	if offline != 1 {
		t.Errorf("%d directories are described as offline", offline)
	}
}

// F1: one of two directories dies under load, then the broker restarts without it, then with it again.
func TestF1DirectoryDies(t *testing.T) {
	mem := vfs.NewMem()
	fault := vfs.NewFault(mem)
	b := serveOn(t, fault, "/one,/two")
	cl := client(t, b)
	createTopic(t, cl, "t", 4, nil)
	inOne, inTwo := split(t, b)
	for i := range int32(4) {
		if code, message := produceCode(t, b, i); code != protocol.None {
			t.Fatal(code, message)
		}
	}
	fault.AddRule(vfs.Rule{Glob: "/two/*/*", Err: syscall.EIO})
	fault.AddRule(vfs.Rule{Glob: "/two/*", Err: syscall.EIO})
	fault.AddRule(vfs.Rule{Glob: "/two", Err: syscall.EIO})
	if code, _ := produceCode(t, b, inTwo); code != protocol.KafkaStorageError {
		t.Fatalf("produce to a dying disk: %v", code)
	}
	checkDegraded(t, b, inTwo, inOne)
	createTopic(t, cl, "late", 2, nil) // goes to the directory that works
	for i := range int32(2) {
		if p, err := b.replicas.Partition("late", i); err != nil || p.Log().Dir() != "/one" {
			t.Fatal("a new partition in an offline directory")
		}
	}
	select {
	case err := <-b.Failed():
		t.Fatalf("the broker gives up: %v", err)
	default:
	}
	stopBroker(t, b)

	b = serveOn(t, fault, "/one,/two")
	checkDegraded(t, b, inTwo, inOne)
	stopBroker(t, b)

	// The directory comes back with what was acknowledged.
	fault.ClearRules()
	b = serveOn(t, fault, "/one,/two")
	p, perr := b.replicas.Partition("t", inTwo)
	if perr != nil || p.Activate() != nil || p.HighWatermark() < 1 || fetchCode(t, b, inTwo) != protocol.None {
		t.Fatalf("records of the directory that came back: %v, high watermark %d", perr, p.HighWatermark())
	}
	stopBroker(t, b)
}

// F1: a topic with partitions in a dead directory can be deleted.
func TestF1DeleteOfAnOfflinePartition(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	b := serveOn(t, fault, "/one,/two")
	defer stopBroker(t, b)
	createTopic(t, client(t, b), "t", 4, nil)
	_, inTwo := split(t, b)
	fault.AddRule(vfs.Rule{Op: vfs.OpSync, Glob: "/two/*/*", Err: syscall.EIO})
	if code, _ := produceCode(t, b, inTwo); code != protocol.KafkaStorageError {
		t.Fatal(code)
	}
	admin := kadm.NewClient(client(t, b))
	resp, err := admin.DeleteTopics(testContext(t), "t")
	if err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
	createTopic(t, client(t, b), "t", 4, nil)
	for i := range int32(4) {
		if code, message := produceCode(t, b, i); code != protocol.None {
			t.Fatalf("partition %d of the new topic: %v %s", i, code, message)
		}
	}
}

// F1: without the directory of the metadata a broker ends, and does not start.
func TestF1MetadataDirectoryEndsTheBroker(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	b := serveOn(t, fault, "/one,/two")
	createTopic(t, client(t, b), "t", 4, nil)
	inOne, _ := split(t, b)
	fault.AddRule(vfs.Rule{Glob: "/one/*/*", Err: syscall.EIO})
	fault.AddRule(vfs.Rule{Glob: "/one/*", Err: syscall.EIO})
	if code, _ := produceCode(t, b, inOne); code != protocol.KafkaStorageError {
		t.Fatal(code)
	}
	select {
	case err := <-b.Failed():
		if !strings.Contains(err.Error(), "/one") {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the broker goes on without its metadata")
	}
	_ = b.Close() // reports what the dead directory says
	if b, err := newOn(t, fault, "/one,/two"); err == nil {
		stopBroker(t, b)
		t.Fatal("started without the metadata")
	}
	fault.ClearRules()
	b = serveOn(t, fault, "/one,/two")
	if _, err := b.replicas.Partition("t", inOne); err != nil {
		t.Fatal("the metadata was replaced")
	}
	stopBroker(t, b)
}

// F2: below the reserve produce is refused with a retriable error that says why; reads, commits, topics and
// deletions go on; with space back produce goes on, and a restart on the full disk works.
func TestF2DiskFull(t *testing.T) {
	mem := vfs.NewMem()
	b := serveOn(t, mem, "/data", "log.dir.reserve.bytes", "1000000")
	createTopic(t, client(t, b), "t", 2, nil)
	if code, message := produceCode(t, b, 0); code != protocol.None {
		t.Fatal(code, message)
	}
	stopBroker(t, b)
	free, _, err := mem.FreeBytes("/")
	if err != nil {
		t.Fatal(err)
	}
	mem.SetCapacity(1<<50 - free + 500_000)
	b = serveOn(t, mem, "/data", "log.dir.reserve.bytes", "1000000")
	for i := range int32(2) {
		code, message := produceCode(t, b, i)
		if code != protocol.KafkaStorageError || !strings.Contains(message, "no space left") {
			t.Fatalf("produce on a full disk: %v %q", code, message)
		}
	}
	if code := fetchCode(t, b, 0); code != protocol.None {
		t.Fatalf("fetch on a full disk: %v", code)
	}
	admin := kadm.NewClient(client(t, b))
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "t", Partition: 0, At: 1, LeaderEpoch: -1})
	if err := admin.CommitAllOffsets(testContext(t), "g", offsets); err != nil {
		t.Fatalf("commit on a full disk: %v", err)
	}
	createTopic(t, client(t, b), "more", 1, nil)
	if resp, err := admin.DeleteTopics(testContext(t), "more"); err != nil || resp.Error() != nil {
		t.Fatalf("delete on a full disk: %v %v", err, resp.Error())
	}
	if d := b.logs.Dirs()[0]; !d.Full || d.RefusedAppends < 2 || d.Err != nil {
		t.Fatalf("%+v", d)
	}
	mem.SetCapacity(0)
	cl := client(t, b, kgo.DefaultProduceTopic("t"))
	if err := cl.ProduceSync(testContext(t), &kgo.Record{Value: []byte("again")}).FirstErr(); err != nil {
		t.Fatalf("produce with space again: %v", err)
	}
	stopBroker(t, b)
}

// F2: a topic made while not a byte is free serves as soon as there is room, without a restart.
func TestF2TopicMadeOnAFullDisk(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	b := serveOn(t, fault, "/data")
	defer stopBroker(t, b)
	fault.AddRule(vfs.Rule{Op: vfs.OpMkdir, Err: syscall.ENOSPC})
	createTopic(t, client(t, b), "t", 1, nil)
	if code, message := produceCode(t, b, 0); code != protocol.KafkaStorageError || !strings.Contains(message, "no space left") {
		t.Fatal(code, message)
	}
	fault.ClearRules()
	if code, message := produceCode(t, b, 0); code != protocol.None {
		t.Fatal(code, message)
	}
}

// F2: the metadata log takes changes again when there is room.
func TestF2MetadataOnAFullDisk(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	b := serveOn(t, fault, "/data")
	defer stopBroker(t, b)
	fault.AddRule(vfs.Rule{Op: vfs.OpWrite, Glob: "/data/__cluster_metadata-0/*.log", Err: syscall.ENOSPC})
	admin := kadm.NewClient(client(t, b))
	if resp, err := admin.CreateTopic(testContext(t), 1, 1, nil, "t"); err == nil && resp.Err == nil {
		t.Fatal("created a topic without room for it")
	}
	fault.ClearRules()
	createTopic(t, client(t, b), "t", 1, nil)
	if code, message := produceCode(t, b, 0); code != protocol.None {
		t.Fatal(code, message)
	}
}
