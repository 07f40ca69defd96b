package interop

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestToolDumpLog stops a broker that stored batches of every codec and lets kafka-dump-log look at
// all its segments, indexes and snapshots.
func TestToolDumpLog(t *testing.T) {
	t.Parallel()
	b := restartable(t)
	topic := uniqueName(t)
	newTopicAt(t, b.Addr(), topic, 1, "segment.bytes=1048576", "index.interval.bytes=1024")
	total := 0
	for _, codec := range codecs {
		records := oddRecords(0, 700) // some 190 KB a codec uncompressed, so that segments roll
		franzProduce(t, topic, produceOptions{addr: b.Addr(), codec: codec, idempotent: true}, records)
		total += len(records)
	}
	big := plainRecords(0, 3, "big")
	for i := range big {
		big[i].Value = make([]byte, 700_000)
	}
	franzProduce(t, topic, produceOptions{addr: b.Addr()}, big)
	total += len(big)
	commitAt(t, b.Addr(), "dumped", topic, 5)
	if err := b.Terminate(); err != nil {
		t.Fatal(err)
	}

	dir := filepath.Join(b.DataDir(), topic+"-0")
	names := filesOf(t, dir, ".log", ".index", ".timeindex", ".snapshot")
	if segments := filesOf(t, dir, ".log"); len(segments) < 2 {
		t.Errorf("%d segments, want several", len(segments))
	}
	out := runTool(t, "", classDumpLog, "--deep-iteration", "--print-data-log", "--files", strings.Join(names, ","))
	for _, bad := range []string{"Exception", "isvalid: false", "Index mismatch", "Mismatches in", "Non-consecutive", "Found timestamp mismatch", "Found out of order", "corrupt"} {
		if strings.Contains(out, bad) {
			t.Errorf("kafka-dump-log says %q:\n%s", bad, around(out, bad))
		}
	}
	found := regexp.MustCompile(`(?m)^\| offset: (\d+)`).FindAllStringSubmatch(out, -1)
	offsets := make([]int, 0, len(found))
	for _, f := range found {
		n, _ := strconv.Atoi(f[1])
		offsets = append(offsets, n)
	}
	slices.Sort(offsets)
	if len(offsets) != total || offsets[0] != 0 || offsets[len(offsets)-1] != total-1 {
		t.Errorf("%d records dumped, want %d", len(offsets), total)
	}
	for _, codec := range codecs {
		if !strings.Contains(strings.ToLower(out), "compresscodec: "+codec) {
			t.Errorf("no batch of codec %s", codec)
		}
	}

	indexes := filesOf(t, dir, ".index", ".timeindex")
	out = runTool(t, "", classDumpLog, "--index-sanity-check", "--files", strings.Join(indexes, ","))
	if n := strings.Count(out, " passed sanity check."); n != len(indexes) || n < 4 {
		t.Errorf("%d of %d indexes passed:\n%s", n, len(indexes), out)
	}
	out = runTool(t, "", classDumpLog, "--verify-index-only", "--files", strings.Join(indexes, ","))
	if strings.Contains(out, "ismatch") {
		t.Errorf("indexes do not fit:\n%s", out)
	}

	// The committed offset is in Kafka's format.
	var offsetLogs []string
	partitions, err := filepath.Glob(filepath.Join(b.DataDir(), "__consumer_offsets-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range partitions {
		offsetLogs = append(offsetLogs, filesOf(t, p, ".log")...)
	}
	out = runTool(t, "", classDumpLog, "--offsets-decoder", "--files", strings.Join(offsetLogs, ","))
	wantLines(t, "offsets", out, `"group":"dumped","topic":"`+topic+`","partition":0`, `"offset":5`)

	metadata := filesOf(t, filepath.Join(b.DataDir(), "__cluster_metadata-0"), ".log")
	out = runTool(t, "", classDumpLog, "--cluster-metadata-decoder", "--files", strings.Join(metadata, ","))
	wantLines(t, "metadata", out, `payload: \{"type":"TOPIC_RECORD","version":\d+,"data":\{"name":"`+topic+`"`,
		`payload: \{"type":"PARTITION_RECORD",.*"partitionId":0,`, `payload: \{"type":"CONFIG_RECORD",.*"name":"segment.bytes","value":"1048576"`,
		`payload: \{"type":"REGISTER_BROKER_RECORD",`, `payload: \{"type":"FEATURE_LEVEL_RECORD",.*"name":"metadata.version"`)
	for _, bad := range []string{"isvalid: false", "Could not decode", "Error at", "skip"} {
		if strings.Contains(out, bad) {
			t.Errorf("kafka-dump-log says %q of the metadata:\n%s", bad, around(out, bad))
		}
	}
}

// filesOf lists the non-empty files of a directory with these endings, in order.
func filesOf(t *testing.T, dir string, endings ...string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Size() > 0 && slices.Contains(endings, filepath.Ext(e.Name())) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names
}

func around(text, what string) string {
	at := strings.Index(text, what)
	return text[max(0, at-400):min(len(text), at+400)]
}
