package interop

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/broker"
)

// TestTelemetry has clients push their metrics, as they do by themselves when a subscription asks for it
// (KIP-714), and finds them at the broker's metrics endpoint: counters that grow, and nothing once the
// client has ended.
func TestTelemetry(t *testing.T) {
	t.Parallel()
	addr, metrics := telemetryBroker(t)
	newTopicAt(t, addr, "t", 1)
	// Not *, which is all for Java and librdkafka but the beginning of a name for franz-go.
	subscribe(t, addr, "all", "metrics", "org.apache.kafka.", "interval.ms", "200")

	t.Run("librdkafka", func(t *testing.T) {
		t.Parallel()
		producer, err := kafka.NewProducer(rdConfig(addr, "client.id", "telemetry-rd"))
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		go func() { // until Close
			for range producer.Events() {
			}
		}()
		topic := "t"
		awaitMetrics(t, metrics, func() error {
			return producer.Produce(&kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic}, Value: []byte("v")}, nil)
		}, `(?m)^kafka_client_producer_node_request_latency_max\{client_id="telemetry-rd",.*node_id="`,
			`(?m)^kserver_telemetry_client_info\{.*client_id="telemetry-rd",.*client_software_name="confluent-kafka-go"`)
	})
	t.Run("franz-go", func(t *testing.T) {
		t.Parallel()
		client := newKgoAt(t, addr, kgo.ClientID("telemetry-franz"), kgo.DefaultProduceTopic("t"))
		ctx := testContext(t)
		awaitMetrics(t, metrics, func() error {
			return client.ProduceSync(ctx, kgo.StringRecord("v")).FirstErr()
		}, `(?m)^kafka_client_\w+\{client_id="telemetry-franz",`)
	})
	t.Run("Java", func(t *testing.T) {
		t.Parallel()
		java := javaTools(t)
		config := filepath.Join(t.TempDir(), "producer.properties")
		if err := os.WriteFile(config, []byte("client.id=telemetry-java\ncompression.type=lz4\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		cmd := java.Start(ctx, classVerifiableProducer, "--bootstrap-server", addr, "--topic", "t", "--throughput", "100", "--command-config", config)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		sent := `(?m)^kafka_client_producer_record_send_total\{client_id="telemetry-java",.*\} ([0-9.e+]+)$`
		first := number(t, awaitMetrics(t, metrics, nil, sent), sent)
		eventually(t, "a counter that grows", func() error {
			if n := number(t, awaitMetrics(t, metrics, nil, sent), sent); n <= first {
				return fmt.Errorf("%v records sent, then %v", first, n)
			}
			return nil
		})
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		cmd.Wait() // ends by the signal
		eventually(t, "no metrics of a client that has ended", func() error {
			return wantNoText(readMetrics(t, metrics), `client_id="telemetry-java"`)
		})
	})
}

// TestToolClientMetricsTelemetry has Kafka's own tool make a subscription for one of two clients.
func TestToolClientMetricsTelemetry(t *testing.T) {
	t.Parallel()
	addr, metrics := telemetryBroker(t)
	runTool(t, "", classClientMetrics, "--bootstrap-server", addr, "--alter", "--name", "s", "--metrics", "*", "--interval", "200", "--match", "client_id=yes-.*")
	for _, id := range []string{"yes-1", "no-1"} {
		producer, err := kafka.NewProducer(rdConfig(addr, "client.id", id))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(producer.Close)
	}
	text := awaitMetrics(t, metrics, nil, `(?m)^kafka_client_\w+\{client_id="yes-1",`)
	if err := wantNoText(text, `client_id="no-1"`); err != nil {
		t.Error(err)
	}
}

// telemetryBroker starts a kserver with a metrics endpoint and returns its address and that of the metrics.
func telemetryBroker(t *testing.T) (addr, metrics string) {
	t.Helper()
	if suite.spec.Kind != broker.Kserver {
		t.Skip("the broker under test is no kserver that was started here")
	}
	port, err := broker.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	metrics = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	spec := suite.spec
	spec.Settings = map[string]string{"metrics.listeners": metrics}
	for key, value := range suite.spec.Settings {
		spec.Settings[key] = value
	}
	spec.Dir = filepath.Join(suite.work, uniqueName(t))
	b, err := broker.Start(testContext(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Terminate(); err != nil {
			t.Error(err)
		}
		if !t.Failed() {
			os.RemoveAll(spec.Dir)
		}
	})
	return b.Addr(), metrics + "/metrics"
}

// subscribe makes a client metrics subscription of pairs of key and value.
func subscribe(t *testing.T, addr, name string, pairs ...string) {
	t.Helper()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeClientMetrics, name
	for i := 0; i < len(pairs); i += 2 {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = pairs[i], &pairs[i+1]
		resource.Configs = append(resource.Configs, c)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, resource)
	resp, err := req.RequestWith(testContext(t), newKgoAt(t, addr))
	if err == nil {
		err = kerr.ErrorForCode(resp.Resources[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// readMetrics is what the endpoint shows now.
func readMetrics(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", resp.Status, err, text)
	}
	return string(text)
}

// awaitMetrics reads the metrics until they match all expressions; between two reads it does some work.
func awaitMetrics(t *testing.T, url string, work func() error, expressions ...string) (text string) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); ; time.Sleep(50 * time.Millisecond) {
		if work != nil {
			if err := work(); err != nil {
				t.Fatal(err)
			}
		}
		text = readMetrics(t, url)
		missing := ""
		for _, e := range expressions {
			if !regexp.MustCompile(e).MatchString(text) {
				missing = e
			}
		}
		if missing == "" {
			return text
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing matches %s in\n%s", missing, text)
		}
	}
}

// number is the first group of an expression.
func number(t *testing.T, text, expression string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(regexp.MustCompile(expression).FindStringSubmatch(text)[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
