package interop

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestToolGetOffsets asks kafka-get-offsets for every special time that a single node can answer.
func TestToolGetOffsets(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 2, "retention.ms=-1")
	const base = 1_700_000_000_000
	for p, n := range []int{30, 12} {
		records := plainRecords(int32(p), n, "v")
		for i := range records {
			records[i].Timestamp = base + int64(i)
		}
		records[5].Timestamp = base + 10_000
		franzProduce(t, topic, produceOptions{}, records)
	}
	const nothing = ""
	both := func(p0, p1 int) string { return fmt.Sprintf("%s:0:%d\n%[1]s:1:%[3]d\n", topic, p0, p1) }
	for time, want := range map[string]string{
		"-1": both(30, 12), "latest": both(30, 12),
		"-2": both(0, 0), "earliest": both(0, 0),
		"-3": both(5, 5), "max-timestamp": both(5, 5),
		"-4": both(0, 0), "earliest-local": both(0, 0),
		"-5": nothing, "latest-tiered": nothing, // no tiered storage
		"-6":                         nothing,
		fmt.Sprint(base + 8):         both(5, 5),
		fmt.Sprint(base + 10_001):    nothing,
		fmt.Sprint(base + 1 + 1<<40): nothing,
	} {
		if out := tool(t, classGetOffsets, "--topic", topic, "--time", time); out != want {
			t.Errorf("time %s: %q, want %q", time, out, want)
		}
	}
	if out, want := tool(t, classGetOffsets, "--topic-partitions", topic+":1"), topic+":1:12\n"; out != want {
		t.Errorf("one partition: %q, want %q", out, want)
	}
	wantLines(t, "no such topic", toolSays(t, classGetOffsets, "--topic", topic+"-absent"), `Could not match any topic-partitions`)
}

// TestToolDeleteRecords cuts partitions at an offset and at the end with kafka-delete-records.
func TestToolDeleteRecords(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 2)
	franzProduce(t, topic, produceOptions{}, plainRecords(0, 30, "v"))
	franzProduce(t, topic, produceOptions{}, plainRecords(1, 12, "v"))
	run := func(p0, p1 int) string {
		t.Helper()
		text := fmt.Sprintf(`{"partitions":[{"topic":%q,"partition":0,"offset":%d},{"topic":%[1]q,"partition":1,"offset":%[3]d}],"version":1}`, topic, p0, p1)
		return toolSays(t, classDeleteRecords, "--offset-json-file", writeFile(t, "offsets.json", text))
	}
	for range 2 { // again is no mistake
		wantLines(t, "delete", run(13, -1), `partition: `+topic+`-0\s+low_watermark: 13$`, `partition: `+topic+`-1\s+low_watermark: 12$`)
	}
	for time, want := range map[string]string{"earliest": ":0:13\n:1:12\n", "earliest-local": ":0:13\n:1:12\n", "latest": ":0:30\n:1:12\n"} {
		out := tool(t, classGetOffsets, "--topic", topic, "--time", time)
		if out = strings.ReplaceAll(out, topic, ""); out != want {
			t.Errorf("%s: %q, want %q", time, out, want)
		}
	}
	wantLines(t, "refusal", run(31, 12), topic+`-0\s+error: org.apache.kafka.common.errors.OffsetOutOfRangeException`, topic+`-1\s+low_watermark: 12`)
	if got := franzConsume(t, consumeOptions{topic: topic, from: startOffset, count: 17}); got[0].Offset != 13 {
		t.Errorf("the first record has offset %d", got[0].Offset)
	}
}

// TestToolLogDirs reads sizes of replicas with kafka-log-dirs.
func TestToolLogDirs(t *testing.T) {
	t.Parallel()
	topic, id := newTopic(t, 2), brokerID(t)
	franzProduce(t, topic, produceOptions{}, plainRecords(1, 12, "v"))
	describe := func(args ...string) (sizes map[string]int64) {
		t.Helper()
		out := tool(t, classLogDirs, append([]string{"--describe"}, args...)...)
		wantLines(t, "brokers", out, `^Received log directory information from brokers `+id+`$`)
		var answer struct {
			Brokers []struct {
				Broker  int32
				LogDirs []struct {
					LogDir     string
					Error      *string
					Partitions []struct {
						Partition string
						Size      int64
						OffsetLag int64
						IsFuture  bool
					}
				}
			}
		}
		line := out[strings.Index(out, "{"):]
		if err := json.Unmarshal([]byte(line), &answer); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		sizes = make(map[string]int64)
		for _, b := range answer.Brokers {
			for _, d := range b.LogDirs {
				if d.Error != nil || d.LogDir == "" {
					t.Errorf("directory %q: error %v", d.LogDir, d.Error)
				}
				for _, p := range d.Partitions {
					sizes[p.Partition] = p.Size
					if p.OffsetLag != 0 || p.IsFuture {
						t.Errorf("%+v", p)
					}
				}
			}
		}
		return sizes
	}
	sizes := describe("--topic-list", topic)
	if len(sizes) != 2 || sizes[topic+"-0"] != 0 || sizes[topic+"-1"] < 12*10 {
		t.Errorf("sizes %v", sizes)
	}
	if all := describe("--broker-list", id); all[topic+"-1"] != sizes[topic+"-1"] {
		t.Errorf("sizes of all topics %v", all)
	}
	if absent := describe("--topic-list", topic+"-absent"); len(absent) != 0 {
		t.Errorf("an absent topic has %v", absent)
	}
	wantLines(t, "no such broker", toolSays(t, classLogDirs, "--describe", "--broker-list", "77"), `The given brokers do not exist from --broker-list: 77`)
}
