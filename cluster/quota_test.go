package cluster

import (
	"maps"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol/recordbatch"
)

// setQuota gives the connections of dialRaw a quota; 0 takes it back.
func setQuota(t *testing.T, cl *kgo.Client, key string, value float64) {
	t.Helper()
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	entry.Entity = []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "client-id", Name: str("raw")}}
	entry.Ops = []kmsg.AlterClientQuotasRequestEntryOp{{Key: key, Value: value, Remove: value == 0}}
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Entries = append(req.Entries, entry)
	resp, err := req.RequestWith(testContext(t), cl)
	if err != nil || resp.Entries[0].ErrorCode != 0 {
		t.Fatalf("%s=%v: %v, %+v", key, value, err, resp)
	}
}

// quotas counts the quotas that are described.
func quotas(t *testing.T, cl *kgo.Client) (n int) {
	t.Helper()
	resp, err := kmsg.NewPtrDescribeClientQuotasRequest().RequestWith(testContext(t), cl)
	if err != nil || resp.ErrorCode != 0 {
		t.Fatalf("%v, %+v", err, resp)
	}
	for _, e := range resp.Entries {
		n += len(e.Values)
	}
	return n
}

// produceOf makes a produce request with one record of n bytes for t-0.
func produceOf(t *testing.T, acks int16, n int) *kmsg.ProduceRequest {
	t.Helper()
	builder := recordbatch.NewBuilder(recordbatch.BuilderConfig{})
	builder.Append(time.Now().UnixMilli(), nil, make([]byte, n))
	batch, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, 5000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch}}}}
	return req
}

// milliseconds after which a pause must not have ended, with room for two clocks
// that are read at different places.
func shortly(ms int32) time.Duration { return time.Duration(ms)*time.Millisecond - 5*time.Millisecond }

// A client over its quota is answered at once and told how long to pause; its next
// request waits that long, and others do not.
func TestQuotaPausesConnection(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		dir := t.TempDir()
		b := startBroker(t, backend, dir)
		cl := client(t, b)
		createTopic(t, cl, "t", 1, nil)
		setQuota(t, cl, "producer_byte_rate", 10_000)
		stopBroker(t, b)
		b = startBroker(t, backend, dir) // quotas survive
		defer stopBroker(t, b)
		cl = client(t, b)
		if n := quotas(t, cl); n != 1 {
			t.Fatalf("%d quotas after a restart", n)
		}
		c, other := dialRaw(t, b), dialRaw(t, b)
		versions := kmsg.NewPtrApiVersionsRequest()
		produce := func(acks int16, n int) (pause int32) {
			req := produceOf(t, acks, n)
			c.send(1, req)
			if acks != 0 {
				resp := req.ResponseKind().(*kmsg.ProduceResponse)
				c.receive(1, resp)
				if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
					t.Fatalf("code %d", code)
				}
				return resp.ThrottleMillis
			}
			return 0
		}
		next := func(c *rawConn) {
			c.send(2, versions)
			c.receive(2, versions.ResponseKind())
		}
		if pause := produce(1, 1000); pause != 0 {
			t.Fatalf("pause %d ms below the quota", pause)
		}
		// Some 20,000 bytes above ten windows, which are 2 s, less what has passed.
		began := time.Now()
		pause := produce(1, 119_000)
		if pause <= 0 || pause > 5000 {
			t.Fatalf("pause %d ms", pause)
		}
		// A connection of its own is not paused before it asks for too much.
		asked := time.Now()
		next(other)
		if took := time.Since(asked); took >= shortly(pause) {
			t.Errorf("another connection waited %v", took)
		}
		next(c)
		if took := time.Since(began); took < shortly(pause) { // it begins with the answer, so not before
			t.Errorf("the next request was answered after %v, pause %d ms", took, pause)
		}
		// Without an answer the pause is the same: 10,000 bytes are 1 s.
		sent := time.Now()
		produce(0, 10_000)
		next(c)
		if took := time.Since(sent); took < shortly(100) {
			t.Errorf("after acks=0 the next request was answered after %v", took)
		}
		setQuota(t, cl, "producer_byte_rate", 0)
		if pause := produce(1, 200_000); pause != 0 || quotas(t, cl) != 0 {
			t.Errorf("pause %d ms and %d quotas after the quota was taken back", pause, quotas(t, cl))
		}
	})
}

// A fetch over the quota is answered empty; a stop waits for no pause, nor does a
// connection that goes away in one leave anything.
func TestQuotaEmptiesFetch(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		cl := client(t, b, kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.NoCompression()))
		createTopic(t, cl, "t", 1, nil)
		if err := cl.ProduceSync(testContext(t), kgo.SliceRecord(make([]byte, 10_000))).FirstErr(); err != nil {
			t.Fatal(err)
		}
		setQuota(t, cl, "consumer_byte_rate", 50)
		c := dialRaw(t, b)
		fetch := func(c *rawConn) *kmsg.FetchResponse {
			resp := c.waitingFetch("t").ResponseKind().(*kmsg.FetchResponse)
			c.receive(1, resp)
			return resp
		}
		first := fetch(c) // alone over the bound
		if len(first.Topics) != 1 || len(first.Topics[0].Partitions[0].RecordBatches) < 10_000 || first.ThrottleMillis < 100_000 {
			t.Fatalf("throttle %d ms, topics %d", first.ThrottleMillis, len(first.Topics))
		}
		second := fetch(dialRaw(t, b))
		if len(second.Topics) != 0 || second.ErrorCode != 0 || second.ThrottleMillis < first.ThrottleMillis-10_000 {
			t.Errorf("code %d, %d topics, throttle %d ms, after %d ms", second.ErrorCode, len(second.Topics), second.ThrottleMillis, first.ThrottleMillis)
		}
		versions := kmsg.NewPtrApiVersionsRequest()
		gone := dialRaw(t, b)
		fetch(gone)
		gone.send(2, versions)
		c.send(2, versions)
		paused := func() (n int) {
			b.front.mu.Lock()
			conns := maps.Clone(b.front.conns)
			b.front.mu.Unlock() // a loop that closes a connection takes it
			for nc, k := range conns {
				waits := make(chan bool, 1)
				nc.Loop().Post(func() { waits <- k.pause.next != nil })
				if <-waits {
					n++
				}
			}
			return n
		}
		waitFor(t, "two requests in a pause", func() bool { return paused() == 2 })
		if err := gone.Conn.(*net.TCPConn).SetLinger(0); err != nil { // a reset, not half a close
			t.Fatal(err)
		}
		gone.Close()
		waitFor(t, "one request in a pause", func() bool { return paused() == 1 })
		began := time.Now()
		stopBroker(t, b)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the stop took %v", took)
		}
		c.receive(2, versions.ResponseKind())
	})
}
