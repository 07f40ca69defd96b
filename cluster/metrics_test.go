package cluster

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// scrape reads the broker's metrics.
func scrape(t *testing.T, b *Broker, accept string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(testContext(t), http.MethodGet, b.Metrics()[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v\n%s", resp.Status, err, text)
	}
	return string(text)
}

// has reports the lines that are missing.
func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line) {
			t.Errorf("no line begins with %q", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// What goes through a broker is in its metrics, in a form that Prometheus' own checks like.
func TestMetrics(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		dir := t.TempDir()
		b := startBroker(t, backend, dir, "metrics.listeners", "http://127.0.0.1:0")
		defer func() { stopBroker(t, b) }()
		cl := client(t, b, kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.NoCompression()))
		createTopic(t, cl, "t", 1, nil)
		if err := cl.ProduceSync(testContext(t), kgo.StringRecord("a"), kgo.StringRecord("b")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if got := consume(t, b, "t", 2); len(got) != 2 {
			t.Fatal(len(got))
		}
		group := client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if f := group.PollFetches(testContext(t)); f.Err() != nil {
			t.Fatal(f.Err())
		}
		missing := kmsg.NewPtrDeleteTopicsRequest()
		missing.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: kmsg.StringPtr("none")}}
		if _, err := missing.RequestWith(testContext(t), cl); err != nil {
			t.Fatal(err)
		}

		text := scrape(t, b, "text/plain")
		has(t, text,
			`kserver_broker_info{cluster_id="`+b.logs.ClusterID()+`",go_version="go`,
			`kserver_network_connections `, `kserver_network_connections_closed_total{reason="idle"} 0`, `kserver_network_sent_bytes_total{path="sendfile"} `,
			`kserver_request_duration_seconds_count{api="Produce"} 1`, `kserver_request_errors_total{api="DeleteTopics",error="UNKNOWN_TOPIC_OR_PARTITION"} 1`,
			`kserver_request_purgatory_size{api="Fetch"} `,
			`kserver_topic_received_messages_total{topic="t"} 2`, `kserver_topic_received_messages_total{topic=""} 0`, `kserver_topic_sent_bytes_total{topic="t"} `,
			`kserver_replica_under_replicated_partitions 0`,
			`kserver_log_dir_online{dir="`+dir+`"} 1`, `kserver_log_commit_duration_seconds_bucket{dir="`+dir+`",le="0.000512"} `, `kserver_log_segments `,
			`kserver_group_groups{state="Stable"} 1`, `kserver_group_members 1`,
			`kserver_controller_topics 2`, `kserver_quota_throttles_total{quota="producer_byte_rate"} 0`,
			`kserver_telemetry_instances `,
			`go_goroutines `, `process_open_fds `,
		)
		problems, err := promlint.New(bytes.NewBufferString(text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, namespace) {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		}
		open := scrape(t, b, "application/openmetrics-text; version=1.0.0")
		if !strings.HasSuffix(open, "# EOF\n") {
			t.Error("no OpenMetrics")
		}
	})
}

const namespace = "kserver_"

// A stop ends the endpoint, also one that follows a failed start.
func TestMetricsEnd(t *testing.T) {
	b := startBroker(t, "epoll", t.TempDir(), "metrics.listeners", "http://127.0.0.1:0")
	url := b.Metrics()[0]
	stopBroker(t, b)
	if resp, err := http.Get(url); err == nil {
		resp.Body.Close()
		t.Error("answers after the stop")
	}
}

// ask sends a request and returns the answer.
func ask[R kmsg.Response](t *testing.T, cl *kgo.Client, req kmsg.Request) R {
	t.Helper()
	resp, err := cl.Request(testContext(t), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(R)
}

// A subscription is found in the metadata, told to the clients it matches, followed when it changes, and what they push is
// shown.
func TestTelemetry(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		dir := t.TempDir()
		b := startBroker(t, backend, dir, "metrics.listeners", "http://127.0.0.1:0")
		defer func() { stopBroker(t, b) }()
		// The client library pushes metrics of its own otherwise.
		cl := client(t, b, kgo.ClientID("app-1"), kgo.DisableClientMetrics(), kgo.SoftwareNameAndVersion("tester", "1"))
		get := func(id [16]byte) *kmsg.GetTelemetrySubscriptionsResponse {
			req := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
			req.ClientInstanceID = id
			return ask[*kmsg.GetTelemetrySubscriptionsResponse](t, cl, req)
		}
		push := func(s *kmsg.GetTelemetrySubscriptionsResponse, metrics string) protocol.ErrorCode {
			req := kmsg.NewPtrPushTelemetryRequest()
			req.ClientInstanceID, req.SubscriptionID, req.Metrics = s.ClientInstanceID, s.SubscriptionID, []byte(metrics)
			return protocol.ErrorCode(ask[*kmsg.PushTelemetryResponse](t, cl, req).ErrorCode)
		}
		none := get([16]byte{})
		if none.ErrorCode != 0 || none.ClientInstanceID == [16]byte{} || len(none.RequestedMetrics) != 0 || none.PushIntervalMillis != 300_000 ||
			none.TelemetryMaxBytes != 1<<20 || !none.DeltaTemporality || !bytes.Equal(int8s(none.AcceptedCompressionTypes), []byte{4, 3, 1, 2}) {
			t.Errorf("%+v", none)
		}
		set := func(key string, value *string) {
			if got := alter(t, cl, kmsg.ConfigResourceTypeClientMetrics, "s", key, value); got != "" {
				t.Fatal(got)
			}
		}
		set("metrics", str("*"))
		set("interval.ms", str("100"))
		set("match", str("client_id=app-.*,client_software_name=tester"))
		s := get(none.ClientInstanceID)
		if s.ErrorCode != 0 || s.SubscriptionID == none.SubscriptionID || s.PushIntervalMillis != 100 || len(s.RequestedMetrics) != 1 || s.RequestedMetrics[0] != "*" {
			t.Fatalf("%+v", s)
		}
		if code := push(s, pushed); code != protocol.None {
			t.Error(code)
		}
		has(t, scrape(t, b, "text/plain"), `kafka_client_g{client_id="app-1",client_instance_id="`, `kserver_telemetry_pushes_total{result="taken"} 1`, `kserver_telemetry_client_info{`)

		set("match", str("client_id=other")) // not this one any more
		if code := push(s, pushed); code != protocol.UnknownSubscriptionID {
			t.Error(code)
		}
		if again := get(s.ClientInstanceID); len(again.RequestedMetrics) != 0 {
			t.Errorf("%+v", again)
		}
		// The subscription outlives the broker.
		set("match", nil)
		stopBroker(t, b)
		b = startBroker(t, backend, dir, "metrics.listeners", "http://127.0.0.1:0")
		cl = client(t, b, kgo.DisableClientMetrics())
		if s := get([16]byte{}); s.PushIntervalMillis != 100 {
			t.Errorf("%+v", s)
		}
	})
}

// The end of a connection is the end of the instance on it.
func TestTelemetryDisconnect(t *testing.T) {
	b := startBroker(t, "epoll", t.TempDir())
	defer stopBroker(t, b)
	cl := client(t, b, kgo.DisableClientMetrics())
	ask[*kmsg.GetTelemetrySubscriptionsResponse](t, cl, kmsg.NewPtrGetTelemetrySubscriptionsRequest())
	if n := b.telemetry.Instances(); n != 1 {
		t.Fatalf("%d instances", n)
	}
	cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for b.telemetry.Instances() != 0 {
		if ctx.Err() != nil {
			t.Fatal("the instance is still there")
		}
		time.Sleep(time.Millisecond)
	}
}

func int8s(in []int8) (out []byte) {
	for _, v := range in {
		out = append(out, byte(v))
	}
	return out
}

// pushed is OTLP's MetricsData with the gauge org.apache.kafka.g, 1.
const pushed = "\x0a\x25\x12\x23\x12\x21\x0a\x12org.apache.kafka.g\x2a\x0b\x0a\x09\x21\x00\x00\x00\x00\x00\x00\xf0\x3f"
