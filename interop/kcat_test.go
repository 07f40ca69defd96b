package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kserver/interop/tools"
)

// kcat runs kcat to its end and returns its standard output.
func kcat(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	program, err := tools.Unpacked("usr/bin/kcat")
	available(t, err)
	cmd := program.Command(append([]string{"-b", suite.endpoint, "-X", "broker.address.family=v4"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := runWithin(testContext(t), cmd); err != nil {
		t.Fatalf("kcat %q: %v\n%s", args, err, stderr.String())
	}
	return stdout.Bytes()
}

// runWithin runs a command that ends with the context at the latest.
func runWithin(ctx context.Context, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	return cmd.Wait()
}

// kcatHeaders are the headers of all records kcat writes: it takes them once per run.
var kcatHeaders = []header{{"h", []byte("v")}, {"twice", []byte("1")}, {"twice", []byte("2")}}

// kcatWrite writes by one kcat per codec. Times are kcat's own, and with -Z what is empty becomes null.
func kcatWrite(t *testing.T, topics map[string]string, records []record) []record {
	t.Helper()
	const keyEnd, recordEnd = "<key>", "<record>"
	var stdin []byte
	want := slices.Clone(records)
	for i, r := range records {
		stdin = append(append(append(append(stdin, r.Key...), keyEnd...), r.Value...), recordEnd...)
		want[i].Timestamp, want[i].Headers = anyTime, kcatHeaders
		if len(r.Key) == 0 {
			want[i].Key = nil
		}
		if len(r.Value) == 0 {
			want[i].Value = nil
		}
	}
	for codec, topic := range topics {
		args := []string{"-P", "-t", topic, "-p", "0", "-z", codec, "-K", keyEnd, "-D", recordEnd, "-Z"}
		for _, h := range kcatHeaders {
			args = append(args, "-H", h.Key+"="+string(h.Value))
		}
		kcat(t, stdin, args...)
	}
	return want
}

// kcatFormat gives the lengths of key and value before them, -1 for null, and ends with the headers.
const kcatFormat, kcatEnd = `%t\t%p\t%o\t%T\t%K\t%S\n%k%s%h\x1e\n`, "\x1e\n"

// kcatRead reads all topics as the only member of a group, until the end of each.
func kcatRead(t *testing.T, topics []string, _ int) map[string][]record {
	t.Helper()
	out := kcat(t, nil, append([]string{"-G", uniqueName(t), "-e", "-q", "-X", "auto.offset.reset=earliest", "-f", kcatFormat}, topics...)...)
	got := make(map[string][]record)
	for _, m := range parseKcat(t, out) {
		got[m.topic] = append(got[m.topic], m.record)
	}
	return got
}

type kcatMessage struct {
	topic string
	record
}

// parseKcat reads what kcatFormat printed. The headers are one header without a name, as kcatSees has it.
func parseKcat(t *testing.T, out []byte) []kcatMessage {
	t.Helper()
	var messages []kcatMessage
	for len(out) > 0 {
		line, rest, _ := bytes.Cut(out, []byte("\n"))
		fields := strings.Split(string(line), "\t")
		if len(fields) != 6 {
			t.Fatalf("kcat printed %q", line)
		}
		var numbers [5]int64
		for i, f := range fields[1:] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				t.Fatalf("kcat printed %q: %v", line, err)
			}
			numbers[i] = n
		}
		take := func(n int64) []byte {
			if n < 0 {
				return nil
			}
			if n > int64(len(rest)) {
				t.Fatalf("kcat printed %q and then too little", line)
			}
			p := append([]byte{}, rest[:n]...)
			rest = rest[n:]
			return p
		}
		m := kcatMessage{fields[0], record{Partition: int32(numbers[0]), Offset: numbers[1], Timestamp: numbers[2]}}
		m.Key, m.Value = take(numbers[3]), take(numbers[4])
		headers, after, found := bytes.Cut(rest, []byte(kcatEnd))
		if !found {
			t.Fatalf("kcat printed %q and no end", line)
		}
		if len(headers) > 0 {
			m.Headers = []header{{Value: headers}}
		}
		messages, out = append(messages, m), after
	}
	return messages
}

// kcatSees is a record as kcat prints it: headers are text, each value up to its first zero byte.
func kcatSees(r record) record {
	if len(r.Headers) == 0 {
		return r
	}
	var text []string
	for _, h := range r.Headers {
		value, _, _ := bytes.Cut(h.Value, []byte{0})
		text = append(text, h.Key+"="+string(value))
	}
	r.Headers = []header{{Value: []byte(strings.Join(text, ","))}}
	return r
}

// TestKcatMetadata reads the list of a topic as text and as JSON.
func TestKcatMetadata(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 3)
	wantLines(t, "metadata", string(kcat(t, nil, "-L", "-t", topic)), `^ 1 brokers:$`, `^  topic "`+topic+`" with 3 partitions:$`,
		`^    partition 2, leader \d+, replicas: \d+, isrs: \d+$`)
	var list struct {
		Brokers []struct{ Name string }
		Topics  []struct {
			Topic      string
			Partitions []struct{ Partition, Leader int }
		}
	}
	if err := json.Unmarshal(kcat(t, nil, "-L", "-J"), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Brokers) != 1 || list.Brokers[0].Name != suite.endpoint {
		t.Errorf("brokers %+v", list.Brokers)
	}
	for _, listed := range list.Topics {
		if listed.Topic == topic && len(listed.Partitions) == 3 {
			return
		}
	}
	t.Errorf("%s is not in the list of all topics", topic)
}

// TestKcatOffsets asks for offsets and starts reading at the end, at offsets from both ends, and by time.
func TestKcatOffsets(t *testing.T) {
	t.Parallel()
	topic, base := timedTopic(t)
	for _, query := range []struct {
		timestamp, want int64
	}{{-1, 100}, {-2, 0}, {base, 0}, {base + 405, 41}, {base + 6000, -1}} {
		out := string(kcat(t, nil, "-Q", "-t", fmt.Sprintf("%s:0:%d", topic, query.timestamp)))
		if want := fmt.Sprintf("%s [0] offset %d\n", topic, query.want); out != want {
			t.Errorf("query for %d printed %q, want %q", query.timestamp, out, want)
		}
	}
	for from, want := range map[string]string{
		"beginning": "0 1 ", "-3": "97 98 ", "95": "95 96 ", fmt.Sprintf("s@%d", base+300): "30 31 ",
	} {
		if out := string(kcat(t, nil, "-C", "-t", topic, "-p", "0", "-q", "-o", from, "-c", "2", "-f", "%o ")); out != want {
			t.Errorf("from %s kcat read %q, want %q", from, out, want)
		}
	}
	between := kcat(t, nil, "-C", "-t", topic, "-p", "0", "-q", "-e", "-o", fmt.Sprintf("s@%d", base+100), "-o", fmt.Sprintf("e@%d", base+120), "-f", "%o ")
	if string(between) != "10 11 " {
		t.Errorf("between two times kcat read %q", between)
	}
}

// TestKcatGroup reads a topic in two sittings of a group.
func TestKcatGroup(t *testing.T) {
	t.Parallel()
	topic, group := newTopic(t, 1), uniqueName(t)
	var lines strings.Builder
	for i := range 100 {
		fmt.Fprintf(&lines, "k%d:v%d\n", i, i)
	}
	kcat(t, []byte(lines.String()), "-P", "-t", topic, "-K:", "-z", "lz4", "-X", "enable.idempotence=true")
	for from := 0; from < 100; from += 50 {
		out := kcat(t, nil, "-G", group, "-c", "50", "-q", "-X", "auto.offset.reset=earliest", "-f", "%o %k %s\n", topic)
		var want strings.Builder
		for i := from; i < from+50; i++ {
			fmt.Fprintf(&want, "%d k%d v%d\n", i, i, i)
		}
		if string(out) != want.String() {
			t.Fatalf("from %d kcat read %s", from, out)
		}
		wantCommitted(t, group, topic, from+50)
	}
}
