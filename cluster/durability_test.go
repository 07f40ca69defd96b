package cluster

import (
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/configs"
	"kserver/engine/vfs"
	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// gateFS holds back the syncs of files under a name while its gate is shut.
type gateFS struct {
	vfs.FS
	under string

	mu   sync.Mutex
	open *sync.Cond
	shut bool
}

func newGateFS(fs vfs.FS, under string) *gateFS {
	g := &gateFS{FS: fs, under: under}
	g.open = sync.NewCond(&g.mu)
	return g
}

func (g *gateFS) setShut(shut bool) {
	g.mu.Lock()
	g.shut = shut
	g.open.Broadcast()
	g.mu.Unlock()
}

func (g *gateFS) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.shut {
		g.open.Wait()
	}
}

func (g *gateFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.Contains(name, g.under) {
		return f, err
	}
	return gateFile{f, g}, nil
}

func (g *gateFS) Create(name string) (vfs.File, error) {
	f, err := g.FS.Create(name)
	return g.wrap(name, f, err)
}

func (g *gateFS) Open(name string) (vfs.File, error) {
	f, err := g.FS.Open(name)
	return g.wrap(name, f, err)
}

func (g *gateFS) OpenReadWrite(name string, create bool) (vfs.File, error) {
	f, err := g.FS.OpenReadWrite(name, create)
	return g.wrap(name, f, err)
}

type gateFile struct {
	vfs.File
	g *gateFS
}

func (f gateFile) Sync() error {
	f.g.wait()
	return f.File.Sync()
}

// startOn starts a broker whose data is in fs.
func startOn(t *testing.T, fs vfs.FS, more ...configs.Setting) *Broker {
	t.Helper()
	cfg, err := configs.ParseBroker(append(more,
		configs.FlagSetting("listeners", "PLAINTEXT://127.0.0.1:0"), configs.FlagSetting("log.dirs", "/data"),
		configs.FlagSetting("io.backend", "epoll"))...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{Broker: cfg, FS: fs, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	return b
}

// produceRequest makes a produce request of one record for partition 0.
func produceRequest(t *testing.T, topic string, acks int16, timeout time.Duration, value string) *kmsg.ProduceRequest {
	t.Helper()
	b := recordbatch.NewBuilder(recordbatch.BuilderConfig{})
	b.Append(time.Now().UnixMilli(), nil, []byte(value))
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, int32(timeout.Milliseconds())
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = batch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func (c *rawConn) produced(correlation int32, req *kmsg.ProduceRequest) kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	c.receive(correlation, resp)
	return resp.Topics[0].Partitions[0]
}

// D2: an acknowledgement, of acks=1 and of acks=all, waits for the disk, and so
// does what consumers see.
func TestD2AcknowledgedAfterSync(t *testing.T) {
	for _, acks := range []int16{1, -1} {
		gate := newGateFS(vfs.NewMem(), "/t-0/")
		b := startOn(t, gate)
		createTopic(t, client(t, b), "t", 1, nil)
		p, perr := b.replicas.Partition("t", 0)
		if perr != nil {
			t.Fatal(perr)
		}
		gate.setShut(true)
		c := dialRaw(t, b)
		req := produceRequest(t, "t", acks, 20*time.Second, "x")
		c.send(1, req)
		waitFor(t, "the append", func() bool { return p.Log().LogEndOffset() == 1 })
		if hw := p.HighWatermark(); hw != 0 {
			t.Fatalf("acks=%d: high watermark %d before the sync", acks, hw)
		}
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatalf("acks=%d: %d bytes of an answer before the sync", acks, n)
		}
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		gate.setShut(false)
		if part := c.produced(1, req); part.ErrorCode != 0 || part.BaseOffset != 0 {
			t.Fatalf("acks=%d: answer %+v", acks, part)
		}
		stopBroker(t, b)
	}
}

// A produce that is not acknowledged in its time is answered with
// REQUEST_TIMED_OUT, and its record stands.
func TestProduceTimesOut(t *testing.T) {
	gate := newGateFS(vfs.NewMem(), "/t-0/")
	b := startOn(t, gate)
	defer stopBroker(t, b)
	createTopic(t, client(t, b), "t", 1, nil)
	gate.setShut(true)
	c := dialRaw(t, b)
	req := produceRequest(t, "t", -1, 20*time.Millisecond, "late")
	c.send(1, req)
	if part := c.produced(1, req); protocol.ErrorCode(part.ErrorCode) != protocol.RequestTimedOut || part.BaseOffset != -1 {
		t.Fatalf("answer %+v, want REQUEST_TIMED_OUT", part)
	}
	gate.setShut(false)
	if got := consume(t, b, "t", 1); string(got[0].Value) != "late" {
		t.Fatalf("read %q", got[0].Value)
	}
}

// F1: what waits for a sync that fails gets KAFKA_STORAGE_ERROR, and so does
// what comes after.
func TestF1FailedSyncFailsProduce(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	b := startOn(t, fault)
	defer stopBroker(t, b)
	createTopic(t, client(t, b), "t", 1, nil)
	fault.AddRule(vfs.Rule{Op: vfs.OpSync, Glob: "/data/t-0/*", Nth: 1, Count: 1, Err: syscall.EIO})
	c := dialRaw(t, b)
	for i := range int32(2) {
		req := produceRequest(t, "t", 1, 10*time.Second, "x")
		c.send(i, req)
		if part := c.produced(i, req); protocol.ErrorCode(part.ErrorCode) != protocol.KafkaStorageError {
			t.Fatalf("produce %d: answer %+v, want KAFKA_STORAGE_ERROR", i, part)
		}
	}
}

// acks=0 has no answer; an error ends the connection.
func TestAcksZero(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		createTopic(t, client(t, b), "t", 1, nil)
		c := dialRaw(t, b)
		c.send(1, produceRequest(t, "t", 0, time.Second, "silent"))
		c.send(2, kmsg.NewPtrApiVersionsRequest())
		c.receive(2, kmsg.NewPtrApiVersionsResponse()) // the first answer is that of the second request
		if got := consume(t, b, "t", 1); string(got[0].Value) != "silent" {
			t.Fatalf("read %q", got[0].Value)
		}
		c.send(3, produceRequest(t, "nowhere", 0, time.Second, "lost"))
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatalf("%d bytes of an answer to a failed acks=0", n)
		}
	})
}

// With flush.messages above 1 an acknowledgement does not wait for the disk.
func TestRelaxedDurability(t *testing.T) {
	gate := newGateFS(vfs.NewMem(), "/t-0/")
	b := startOn(t, gate)
	defer stopBroker(t, b)
	createTopic(t, client(t, b), "t", 1, map[string]*string{"flush.messages": kmsg.StringPtr("1000")})
	gate.setShut(true)
	defer gate.setShut(false)
	c := dialRaw(t, b)
	req := produceRequest(t, "t", -1, 20*time.Second, "x")
	c.send(1, req)
	if part := c.produced(1, req); part.ErrorCode != 0 {
		t.Fatalf("answer %+v", part)
	}
}
