package interop

import (
	"testing"
)

// TestToolPerf runs both performance tools on one topic. What they measure is not looked at, only what
// they counted.
func TestToolPerf(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 3)
	wantLines(t, "producer", tool(t, classProducerPerf, "--topic", topic, "--num-records", "20000", "--record-size", "200", "--throughput", "-1",
		"--command-property", "acks=all", "compression.type=lz4"),
		`^20000 records sent, [\d.]+ records/sec \([\d.]+ MB/sec\), [\d.]+ ms avg latency, `)
	wantLines(t, "consumer", tool(t, classConsumerPerf, "--topic", topic, "--num-records", "20000", "--timeout", "60000"),
		`^start.time, end.time, data.consumed.in.MB`, `^\d{4}-.*, 3\.8147, [\d.]+, 20000, `)
}

// TestToolEndToEndLatency sends records one by one and awaits each at a consumer.
func TestToolEndToEndLatency(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	out := runTool(t, "", classEndToEndLatency, "--bootstrap-server", suite.endpoint, "--topic", topic, "--num-records", "1001", "--producer-acks", "all", "--record-size", "100")
	wantLines(t, "latency", out, `^Avg latency: [\d.]+ ms`, `^Percentiles: 50th = \d+, 99th = \d+, 99.9th = \d+`)
	wantLines(t, "records", tool(t, classGetOffsets, "--topic", topic), topic+`:0:1001`)
}

// TestToolCompatibility runs Kafka's own check of what a client finds in a broker.
func TestToolCompatibility(t *testing.T) {
	t.Parallel()
	has := func(key int16) string {
		if served(t, key) {
			return "True"
		}
		return "False"
	}
	out := tool(t, classCompatibility, "--topic", newTopic(t, 1), "--offsets-for-times-supported", "True", "--cluster-id-supported", "True",
		"--expect-record-too-large-exception", "False", "--num-cluster-nodes", "1", "--create-topics-supported", "True",
		"--describe-acls-supported", has(29), "--describe-configs-supported", "True", "--idempotent-producer-supported", "True")
	wantLines(t, "compatibility", out, `SUCCESS`)
}
