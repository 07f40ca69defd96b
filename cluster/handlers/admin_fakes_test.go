package handlers

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/configs"
	"kserver/cluster/controller"
	"kserver/engine"
	"kserver/protocol"
)

// adminQuorum commits at once, in memory.
type adminQuorum struct {
	apply func(controller.Committed) error
	next  int64
	first []controller.Record // replayed at start
}

func (q *adminQuorum) Start(apply func(controller.Committed) error) error {
	q.apply = apply
	if len(q.first) == 0 {
		return nil
	}
	return q.commit(q.first)
}

func (q *adminQuorum) commit(records []controller.Record) error {
	c := controller.Committed{BaseOffset: q.next, LastOffset: q.next + int64(len(records)) - 1, Records: records}
	q.next = c.LastOffset + 1
	return q.apply(c)
}

func (q *adminQuorum) Propose(batches [][]controller.Record) []error {
	errs := make([]error, len(batches))
	for i, records := range batches {
		errs[i] = q.commit(records)
	}
	return errs
}

func (q *adminQuorum) Close() error { return nil }

// liveSettings puts what is set for brokers in force, and publishes nothing else.
type liveSettings struct{ live *configs.Live }

func (p liveSettings) Publish(_ *controller.Delta, image *controller.MetadataImage) error {
	p.live.Update(image.Configs(controller.ConfigResource{Type: controller.ResourceBroker}),
		image.Configs(controller.ConfigResource{Type: controller.ResourceBroker, Name: "1"}))
	return nil
}

// anySettings lets everything be set, and takes every key for a list.
type anySettings struct{}

func (anySettings) ListDefault(controller.ResourceType, string, controller.ConfigOp) (string, error) {
	return "", nil
}

func (anySettings) Check(*controller.MetadataImage, controller.ConfigResource, map[string]string) error {
	return nil
}

// adminBroker is a broker with a controller and configuration, and nothing that
// holds data. first are records its metadata begins with.
func newAdminBroker(t *testing.T, change func(*controller.Config), first ...controller.Record) *Broker {
	t.Helper()
	cfg, err := configs.ParseBroker(configs.FlagSetting("node.id", "1"), configs.FlagSetting("num.partitions", "4"),
		configs.FlagSetting("max.request.partition.size.limit", "6"))
	if err != nil {
		t.Fatal(err)
	}
	live := configs.NewLive(cfg)
	rack := "r1"
	cc := controller.Config{
		Quorum: &adminQuorum{first: first}, Publisher: liveSettings{live}, NodeID: 1, ClusterID: "some-cluster", Rack: &rack,
		Endpoints: []controller.Endpoint{{Name: "PLAINTEXT", Host: "one", Port: 9092}}, LogDirs: []controller.UUID{{7}},
		NumPartitions: 4, ValidateTopic: configs.ValidateTopic, Settings: anySettings{},
	}
	if change != nil {
		change(&cc)
	}
	c, err := controller.Open(cc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Broker{NodeID: 1, ClusterID: "some-cluster", Configs: cfg, Live: live, Controller: c, Workers: func(_ int64, f func()) { go f() }}
}

// adminResponder takes one answer; its loop is whatever goroutine posts.
type adminResponder struct {
	bytes []byte
	done  chan error
}

func (r *adminResponder) Post(f func())                       { f() }
func (r *adminResponder) Await(time.Duration, func(), func()) { panic("no timers here") }
func (r *adminResponder) Due()                                { panic("no timers here") }
func (r *adminResponder) Write(p []byte)                      { r.bytes = append(r.bytes, p...) }
func (r *adminResponder) File(*engine.Range)                  { panic("no files here") }
func (r *adminResponder) Send()                               { r.done <- nil }
func (r *adminResponder) NoResponse()                         { r.done <- errors.New("no response") }
func (r *adminResponder) Close(err error)                     { r.done <- err }
func (r *adminResponder) ChargeMemory(int64)                  {}
func (r *adminResponder) Affords(int64) bool                  { return true }
func (r *adminResponder) Hold(body []byte) []byte             { return body }
func (r *adminResponder) Proceed()                            {}

// ask sends a request through the table, as the connection front does, and
// returns the answer as a client reads it.
func ask[R kmsg.Response](t *testing.T, b *Broker, req kmsg.Request, version int16) R {
	t.Helper()
	req.SetVersion(version)
	api := Lookup(req.Key())
	if api == nil || !api.Serves(version) {
		t.Fatalf("key %d version %d is not served", req.Key(), version)
	}
	w := &adminResponder{done: make(chan error, 1)}
	h := protocol.RequestHeader{Key: req.Key(), Version: version, CorrelationID: 5}
	body := req.AppendTo(nil)
	api.Handle(b, NewRequest(h, body, &Client{Listener: "PLAINTEXT", Host: "/127.0.0.1"}, w, slog.New(slog.DiscardHandler)))
	if err := <-w.done; err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = 0xee // the connection uses its memory again
	}
	resp := req.ResponseKind()
	resp.SetVersion(version)
	head := len(protocol.AppendResponseHeader(nil, req.Key(), version, 5))
	if err := resp.ReadFrom(w.bytes[head:]); err != nil {
		t.Fatalf("key %d version %d: %v", req.Key(), version, err)
	}
	return resp.(R)
}

func str(s string) *string { return &s }

// makeTopic creates a topic through its handler.
func makeTopic(t *testing.T, b *Broker, name string, partitions int32, settings ...string) [16]byte {
	t.Helper()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, -1
	for i := 0; i < len(settings); i += 2 {
		rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: settings[i], Value: &settings[i+1]})
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.Topics = 10000, append(req.Topics, rt)
	resp := ask[*kmsg.CreateTopicsResponse](t, b, req, 7)
	if resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("create %s: %d", name, resp.Topics[0].ErrorCode)
	}
	return resp.Topics[0].TopicID
}
