package cluster

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterBroker sets a key of broker 1 on a connection that is open already.
func (c *rawConn) alterBroker(key, value string) {
	c.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version = 1
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
	r.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Value: &value}}
	req.Resources = append(req.Resources, r)
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	c.send(1, req)
	c.receive(1, resp)
	if e := resp.Resources[0]; e.ErrorCode != 0 {
		c.t.Fatalf("%s=%s: code %d, %s", key, value, e.ErrorCode, *e.ErrorMessage)
	}
}

// dialFrom connects from an address of its own and reports whether the broker
// answers, or closes.
func dialFrom(t *testing.T, b *Broker, ip string) (answered bool) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c, err := d.DialContext(testContext(t), "tcp", b.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// ApiVersions v0 without a client id.
	if _, err := c.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff}); err != nil {
		return false
	}
	n, err := c.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("neither an answer nor an end")
	}
	return n == 1
}

// The limits of connections change while the broker runs: above max.connections
// new ones wait, above that of their address they are closed.
func TestConnectionLimits(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		admin := dialRaw(t, b)
		admin.alterBroker("max.connections", "1")
		waiting := dialRaw(t, b)
		versions := kmsg.NewPtrApiVersionsRequest()
		waiting.send(1, versions)
		waitFor(t, "a connection waits", func() bool { return b.Stats().AcceptsFull > 0 })
		if n := b.Stats().Connections; n != 1 {
			t.Errorf("%d connections", n)
		}
		admin.alterBroker("max.connections", "100")
		waiting.receive(1, versions.ResponseKind())

		admin.alterBroker("max.connections.per.ip.overrides", "127.0.0.9:1")
		if !dialFrom(t, b, "127.0.0.9") || dialFrom(t, b, "127.0.0.9") || !dialFrom(t, b, "127.0.0.8") {
			t.Error("the limit of one address is not kept")
		}
		admin.alterBroker("max.connections.per.ip.overrides", "")
		if !dialFrom(t, b, "127.0.0.9") {
			t.Error("the limit is still in force")
		}
	})
}

// An address that connects too fast is turned away, others are not.
func TestConnectionCreationRate(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		cl := client(t, b)
		entry := kmsg.NewAlterClientQuotasRequestEntry()
		entry.Entity = []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "ip", Name: str("127.0.0.9")}}
		entry.Ops = []kmsg.AlterClientQuotasRequestEntryOp{{Key: "connection_creation_rate", Value: 1}}
		req := kmsg.NewPtrAlterClientQuotasRequest()
		req.Entries = append(req.Entries, entry)
		resp, err := req.RequestWith(testContext(t), cl)
		if err != nil || resp.Entries[0].ErrorCode != 0 {
			t.Fatalf("%v, %+v", err, resp)
		}
		if n := quotas(t, cl); n != 1 {
			t.Fatalf("%d quotas described", n)
		}
		turnedAway := func() bool { return !dialFrom(t, b, "127.0.0.9") }
		waitFor(t, "a connection is turned away", turnedAway)
		if !dialFrom(t, b, "127.0.0.8") {
			t.Error("another address is turned away")
		}
		if b.Stats().RejectedRate == 0 {
			t.Error("nothing was counted")
		}
	})
}

// A client above controller_mutation_rate is refused, or, with an old version, told
// to pause.
func TestMutationQuota(t *testing.T) {
	b := startBroker(t, "epoll", t.TempDir())
	defer stopBroker(t, b)
	cl := client(t, b)
	setQuota(t, cl, "controller_mutation_rate", 0.001)
	create := func(version int16, name string) (code int16, pause int32) {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Version, req.TimeoutMillis = version, 20_000
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 3, 1
		req.Topics = append(req.Topics, topic)
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		c := dialRaw(t, b) // not paused yet
		c.send(1, req)
		c.receive(1, resp)
		return resp.Topics[0].ErrorCode, resp.ThrottleMillis
	}
	const exceeded = 89
	if code, pause := create(7, "a"); code != 0 || pause != 0 {
		t.Errorf("the first: code %d, pause %d ms", code, pause)
	}
	if code, pause := create(7, "b"); code != exceeded || pause < 60_000 {
		t.Errorf("the second: code %d, pause %d ms", code, pause)
	}
	if code, pause := create(5, "c"); code != 0 || pause < 60_000 {
		t.Errorf("of an old client: code %d, pause %d ms", code, pause)
	}
	name := "c"
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis, req.TopicNames = 5, 20_000, []string{name}
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	c := dialRaw(t, b)
	c.send(1, req)
	c.receive(1, resp)
	if resp.Topics[0].ErrorCode != exceeded || resp.ThrottleMillis < 60_000 {
		t.Errorf("%+v", resp)
	}
	setQuota(t, cl, "controller_mutation_rate", 0)
	if code, pause := create(7, "b"); code != 0 || pause != 0 {
		t.Errorf("without the quota: code %d, pause %d ms", code, pause)
	}
}
