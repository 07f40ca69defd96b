package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/configs"
	"kserver/protocol"
)

// onBothBackends runs a test on every back-end this machine has.
func onBothBackends(t *testing.T, test func(t *testing.T, backend string)) {
	for _, backend := range []string{"io_uring", "epoll"} {
		t.Run(backend, func(t *testing.T) { test(t, backend) })
	}
}

// startBroker starts a broker on a free port with its data in dir.
func startBroker(t *testing.T, backend, dir string, settings ...string) *Broker {
	t.Helper()
	all := append([]string{
		"listeners", "PLAINTEXT://127.0.0.1:0", "log.dirs", dir, "io.backend", backend, "num.network.threads", "2",
		"group.initial.rebalance.delay.ms", "0",
	}, settings...)
	var list []configs.Setting
	for i := 0; i < len(all); i += 2 {
		list = append(list, configs.FlagSetting(all[i], all[i+1]))
	}
	cfg, err := configs.ParseBroker(list...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{Broker: cfg, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		if backend == "io_uring" && strings.Contains(err.Error(), "io_uring") {
			t.Skipf("io_uring is not available here: %v", err)
		}
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	return b
}

func stopBroker(t *testing.T, b *Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func (b *Broker) address() string {
	_, addr, _ := strings.Cut(b.Listening()[0], "://")
	return addr
}

func client(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.address())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func createTopic(t *testing.T, cl *kgo.Client, topic string, partitions int32, overrides map[string]*string) {
	t.Helper()
	resp, err := kadm.NewClient(cl).CreateTopic(testContext(t), partitions, 1, overrides, topic)
	if err != nil || resp.Err != nil {
		t.Fatalf("create %s: %v, %v", topic, err, resp.Err)
	}
}

// consume reads n records from the beginning.
func consume(t *testing.T, b *Broker, topic string, n int) []*kgo.Record {
	t.Helper()
	cl := client(t, b, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var out []*kgo.Record
	for ctx := testContext(t); len(out) < n; {
		f := cl.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(out), n, err)
		}
		out = append(out, f.Records()...)
	}
	return out
}

// What is produced is read back identically, and again after a restart.
func TestProduceConsumeRestart(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		dir := t.TempDir()
		b := startBroker(t, backend, dir)
		cl := client(t, b, kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()))
		createTopic(t, cl, "t", 3, nil)
		const n = 500
		want := map[string]string{}
		var records []*kgo.Record
		for i := range n {
			r := &kgo.Record{Key: fmt.Appendf(nil, "key-%d", i), Value: bytes.Repeat([]byte{byte(i)}, i*20), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}
			want[string(r.Key)] = string(r.Value)
			records = append(records, r)
		}
		if err := cl.ProduceSync(testContext(t), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		check := func(b *Broker) {
			seen := map[string]bool{}
			for _, r := range consume(t, b, "t", n) {
				if want[string(r.Key)] != string(r.Value) || len(r.Headers) != 1 || seen[string(r.Key)] {
					t.Fatalf("record %s of %s-%d@%d came back different or twice", r.Key, r.Topic, r.Partition, r.Offset)
				}
				seen[string(r.Key)] = true
			}
		}
		check(b)
		stopBroker(t, b)
		b = startBroker(t, backend, dir)
		check(b)
		stopBroker(t, b)
	})
}

// A fetch that waits is answered by the append, not by its deadline.
func TestFetchWakesOnAppend(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		cl := client(t, b, kgo.ConsumeTopics("t"), kgo.FetchMaxWait(25*time.Second), kgo.DefaultProduceTopic("t"))
		createTopic(t, cl, "t", 1, nil)
		got := make(chan error, 1)
		ctx := testContext(t)
		go func() { got <- cl.PollFetches(ctx).Err0() }()
		for b.Stats().Frames < 4 { // the consumer has begun to look around
			time.Sleep(time.Millisecond)
		}
		start := time.Now()
		if err := cl.ProduceSync(ctx, &kgo.Record{Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Fatalf("the record took %v", d)
		}
	})
}

// A group's offsets survive a restart.
func TestGroupOffsetsSurvive(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		dir := t.TempDir()
		b := startBroker(t, backend, dir)
		cl := client(t, b, kgo.DefaultProduceTopic("t"))
		createTopic(t, cl, "t", 1, nil)
		if err := cl.ProduceSync(testContext(t), &kgo.Record{Value: []byte("a")}, &kgo.Record{Value: []byte("b")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		g := client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
		for n := 0; n < 2; {
			f := g.PollFetches(testContext(t))
			if err := f.Err0(); err != nil {
				t.Fatal(err)
			}
			n += f.NumRecords()
		}
		if err := g.CommitUncommittedOffsets(testContext(t)); err != nil {
			t.Fatal(err)
		}
		g.Close()
		stopBroker(t, b)
		b = startBroker(t, backend, dir)
		defer stopBroker(t, b)
		offsets, err := kadm.NewClient(client(t, b)).FetchOffsets(testContext(t), "g")
		if err != nil {
			t.Fatal(err)
		}
		if o, ok := offsets.Lookup("t", 0); !ok || o.At != 2 {
			t.Fatalf("committed offset %+v, want 2", o)
		}
	})
}

// rawConn speaks frames, for what clients do not do.
type rawConn struct {
	net.Conn
	t *testing.T
}

func dialRaw(t *testing.T, b *Broker) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", b.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &rawConn{c, t}
}

func (c *rawConn) send(correlation int32, req kmsg.Request) {
	c.t.Helper()
	if _, err := c.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw")).AppendRequest(nil, req, correlation)); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads one answer and checks its correlation id.
func (c *rawConn) receive(correlation int32, resp kmsg.Response) {
	c.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		c.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, body); err != nil {
		c.t.Fatal(err)
	}
	if got := int32(binary.BigEndian.Uint32(body)); got != correlation {
		c.t.Fatalf("answer to request %d, want %d", got, correlation)
	}
	body = body[4:]
	if resp.IsFlexible() && resp.Key() != protocol.KeyApiVersions {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		c.t.Fatal(err)
	}
}

// Requests that are not served end the connection; a newer ApiVersions does not.
func TestUnservedRequests(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)

		c := dialRaw(t, b)
		if _, err := c.Write([]byte{0, 0, 0, 10, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff}); err != nil {
			t.Fatal(err)
		}
		resp := kmsg.NewPtrApiVersionsResponse()
		c.receive(7, resp)
		if resp.ErrorCode != 35 || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 {
			t.Fatalf("ApiVersions 99: %+v", resp)
		}
		// The connection goes on.
		c.send(8, kmsg.NewPtrApiVersionsRequest())
		c.receive(8, kmsg.NewPtrApiVersionsResponse())

		for name, frame := range map[string][]byte{
			"unknown key":     {0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
			"negative key":    {0, 0, 0, 10, 0xff, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
			"produce 2":       {0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff},
			"short frame":     {0, 0, 0, 1, 0},
			"broken metadata": {0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff},
		} {
			c := dialRaw(t, b)
			if _, err := c.Write(frame); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(fmt.Sprint(err), "reset") {
				t.Errorf("%s: read %d bytes, %v; want a closed connection", name, n, err)
			}
		}
	})
}

// Answers leave in the order of the requests, and each request sees what the
// ones before it did.
func TestPipelining(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		c := dialRaw(t, b)
		create := kmsg.NewPtrCreateTopicsRequest()
		create.Version, create.TimeoutMillis = 7, 5000
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "t", 1, 1
		create.Topics = append(create.Topics, topic)
		meta := kmsg.NewPtrMetadataRequest()
		meta.Version = 9
		mt := kmsg.NewMetadataRequestTopic()
		mt.Topic = kmsg.StringPtr("t")
		meta.Topics = append(meta.Topics, mt)
		list := kmsg.NewPtrListOffsetsRequest()
		list.Version = 7
		lt := kmsg.NewListOffsetsRequestTopic()
		lt.Topic = "t"
		lp := kmsg.NewListOffsetsRequestTopicPartition()
		lp.Timestamp = -1
		lt.Partitions = append(lt.Partitions, lp)
		list.Topics = append(list.Topics, lt)
		c.send(1, create)
		c.send(2, meta)
		c.send(3, list)
		created, metadata, listed := create.ResponseKind(), meta.ResponseKind().(*kmsg.MetadataResponse), list.ResponseKind().(*kmsg.ListOffsetsResponse)
		c.receive(1, created)
		c.receive(2, metadata)
		c.receive(3, listed)
		if metadata.Topics[0].ErrorCode != 0 || listed.Topics[0].Partitions[0].Offset != 0 {
			t.Fatalf("the topic was not there for the next request: %+v, %+v", metadata.Topics, listed.Topics)
		}
	})
}

// waitingFetch sends a fetch of partition 0 of topics that would wait for ever.
func (c *rawConn) waitingFetch(topics ...string) *kmsg.FetchRequest {
	c.t.Helper()
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes, fetch.SessionEpoch = 11, 1<<30, 1, 1<<20, -1
	for _, topic := range topics {
		ft := kmsg.NewFetchRequestTopic()
		ft.Topic = topic
		fp := kmsg.NewFetchRequestTopicPartition()
		fp.PartitionMaxBytes = 1 << 20
		ft.Partitions = append(ft.Partitions, fp)
		fetch.Topics = append(fetch.Topics, ft)
	}
	c.send(1, fetch)
	return fetch
}

func watching(t *testing.T, b *Broker, topic string, n int) {
	t.Helper()
	p, err := b.replicas.Partition(topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, fmt.Sprintf("%d waiting fetches", n), func() bool { return p.Watching() == n })
}

// A client that goes away while its fetch waits leaves nothing behind.
func TestClosedConnectionLeavesPurgatory(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		createTopic(t, client(t, b), "t", 1, nil)
		var conns []*rawConn
		for range 20 {
			c := dialRaw(t, b)
			c.waitingFetch("t")
			conns = append(conns, c)
		}
		watching(t, b, "t", 20)
		for _, c := range conns {
			if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil { // a reset, not half a close
				t.Fatal(err)
			}
			c.Close()
		}
		watching(t, b, "t", 0)
	})
}

// An unknown partition beside a good one does not end the wait for the good one.
func TestFetchWaitsBesideAnUnknownPartition(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		cl := client(t, b, kgo.DefaultProduceTopic("t"))
		createTopic(t, cl, "t", 1, nil)
		c := dialRaw(t, b)
		fetch := c.waitingFetch("t", "unknown")
		watching(t, b, "t", 1)
		if err := cl.ProduceSync(testContext(t), &kgo.Record{Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		resp := fetch.ResponseKind().(*kmsg.FetchResponse)
		c.receive(1, resp)
		if good, bad := resp.Topics[0].Partitions[0], resp.Topics[1].Partitions[0]; len(good.RecordBatches) == 0 ||
			protocol.ErrorCode(bad.ErrorCode) != protocol.UnknownTopicOrPartition {
			t.Fatalf("answer %+v", resp)
		}
	})
}

// A reader beyond the end of the log is told where its epoch ends, if it says
// what it has read last (KIP-320).
func TestFetchBeyondTheEndTellsDivergence(t *testing.T) {
	b := startBroker(t, "epoll", t.TempDir())
	defer stopBroker(t, b)
	cl := client(t, b, kgo.DefaultProduceTopic("t"))
	createTopic(t, cl, "t", 1, nil)
	if err := cl.ProduceSync(testContext(t), &kgo.Record{Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c := dialRaw(t, b)
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxBytes, fetch.SessionEpoch = 12, 1<<20, -1
	ft := kmsg.NewFetchRequestTopic()
	ft.Topic = "t"
	fp := kmsg.NewFetchRequestTopicPartition()
	fp.FetchOffset, fp.LastFetchedEpoch, fp.PartitionMaxBytes = 100, 0, 1<<20
	ft.Partitions = append(ft.Partitions, fp)
	fetch.Topics = append(fetch.Topics, ft)
	c.send(1, fetch)
	resp := fetch.ResponseKind().(*kmsg.FetchResponse)
	c.receive(1, resp)
	if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.DivergingEpoch.Epoch != 0 || p.DivergingEpoch.EndOffset != 1 {
		t.Fatalf("answer %+v, want epoch 0 to end at 1", p)
	}
}

// A stopping broker answers what waits, whatever its deadline.
func TestStopAnswersWaitingFetches(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		createTopic(t, client(t, b), "t", 1, nil)
		c := dialRaw(t, b)
		fetch := c.waitingFetch("t")
		watching(t, b, "t", 1)
		stopBroker(t, b)
		resp := fetch.ResponseKind().(*kmsg.FetchResponse)
		c.receive(1, resp)
		if len(resp.Topics) != 1 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("answer %+v", resp)
		}
	})
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
	}
}

func TestLogLimit(t *testing.T) {
	var l logLimit
	now := time.Unix(100, 0)
	if _, ok := l.Allow(now); !ok {
		t.Fatal("the first line was refused")
	}
	for range 5 {
		if _, ok := l.Allow(now); ok {
			t.Fatal("a second line in the same second")
		}
	}
	if dropped, ok := l.Allow(now.Add(time.Second)); !ok || dropped != 5 {
		t.Fatalf("dropped %d, %v; want 5", dropped, ok)
	}
}

// Logs that the metadata does not know are kept, out of the way: a deletion
// whose rename a crash undid, and a topic of the same name made since.
func TestStrayLogsAreSetAside(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, "epoll", dir)
	cl := client(t, b, kgo.DefaultProduceTopic("t"))
	createTopic(t, cl, "t", 1, nil)
	if err := cl.ProduceSync(testContext(t), &kgo.Record{Value: []byte("old")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	stopBroker(t, b)
	for _, name := range []string{"t-0", "unknown-3"} {
		if err := os.CopyFS(filepath.Join(dir, "saved", name), os.DirFS(filepath.Join(dir, "t-0"))); err != nil {
			t.Fatal(err)
		}
	}
	b = startBroker(t, "epoll", dir)
	adm := kadm.NewClient(client(t, b))
	if _, err := adm.DeleteTopics(testContext(t), "t"); err != nil {
		t.Fatal(err)
	}
	createTopic(t, client(t, b), "t", 1, nil)
	stopBroker(t, b)
	if err := os.RemoveAll(filepath.Join(dir, "t-0")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"t-0", "unknown-3"} {
		if err := os.Rename(filepath.Join(dir, "saved", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	b = startBroker(t, "epoll", dir)
	defer stopBroker(t, b)
	cl = client(t, b, kgo.DefaultProduceTopic("t"))
	if err := cl.ProduceSync(testContext(t), &kgo.Record{Value: []byte("new")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := consume(t, b, "t", 1); string(got[0].Value) != "new" || got[0].Offset != 0 {
		t.Fatalf("read %q at %d", got[0].Value, got[0].Offset)
	}
	if stray, err := filepath.Glob(filepath.Join(dir, "*-stray")); err != nil || len(stray) != 2 {
		t.Fatalf("set aside: %v, %v; want two directories", stray, err)
	}
}
