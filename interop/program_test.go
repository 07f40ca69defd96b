package interop

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kserver/interop/tools"
)

// The programs in python/ and node/, and JavaRecords.java but for its first verb, take a verb, the broker's address, and
//
//	group TOPIC GROUP         writes 50 records with each codec, reads them back as a member of a group,
//	                          and commits
//	write CODEC=TOPIC...      writes the records on standard input to partition 0 of each topic with its codec
//	read COUNT TOPIC...       prints COUNT records from the start of partition 0 of each topic
//
// and print "ok <number of records>" at the end, or exit with another status than 0. A record is a line of
// topic, offset, time in ms, key, value, and name and value of each header, with tabs between, bytes in
// hexadecimal, "-" for null.

// available skips the test for a client that is not installed, unless INTEROP_REQUIRE_ALL is set.
func available(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, tools.ErrUnavailable) && os.Getenv("INTEROP_REQUIRE_ALL") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// launcher returns the argv of a program, without verb and arguments.
type launcher func() ([]string, error)

func pythonProgram(name string) launcher {
	return func() ([]string, error) { return tools.Python(name) }
}

func nodeProgram(name string) launcher {
	return func() ([]string, error) { return tools.Node(name) }
}

// javaRecords is JavaRecords.java with the client of a version.
func javaRecords(version string) launcher {
	return func() ([]string, error) {
		java, err := tools.LocateClient(version, javaVersions[0])
		if err != nil {
			return nil, err
		}
		return java.Command("JavaRecords", "256m"), nil
	}
}

// run runs a program to its end and returns what it printed before its "ok", and the number there.
func (l launcher) run(t *testing.T, stdin []byte, args ...string) (lines []string, total int) {
	t.Helper()
	argv, err := l()
	available(t, err)
	cmd := exec.CommandContext(testContext(t), argv[0], append(argv[1:], args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	err = cmd.Run()
	scanner := bufio.NewScanner(&stdout)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if n, found := strings.CutPrefix(scanner.Text(), "ok "); found {
			total, err = strconv.Atoi(n)
			continue
		}
		lines = append(lines, scanner.Text())
	}
	if err = errors.Join(err, scanner.Err()); err != nil {
		t.Fatalf("%v: %v after %d lines\n%s", args, err, len(lines), stderr.String())
	}
	return lines, total
}

// programClient makes a matrix client of a program.
func programClient(name string, l launcher) matrixClient {
	return matrixClient{
		name: name,
		write: func(t *testing.T, topics map[string]string, records []record) []record {
			args := []string{"write", suite.endpoint}
			for codec, topic := range topics {
				args = append(args, codec+"="+topic)
			}
			var stdin []byte
			for _, r := range records {
				stdin = append(stdin, formatRecord("", r)...)
			}
			if _, total := l.run(t, stdin, args...); total != len(records)*len(topics) {
				t.Fatalf("%d records were written", total)
			}
			return records
		},
		read: func(t *testing.T, topics []string, count int) map[string][]record {
			lines, total := l.run(t, nil, append([]string{"read", suite.endpoint, strconv.Itoa(count)}, topics...)...)
			if total != count*len(topics) {
				t.Errorf("%d records were read", total)
			}
			got := make(map[string][]record)
			for _, line := range lines {
				topic, r, err := parseRecord(line)
				if err != nil {
					t.Fatalf("%v in %.200q", err, line)
				}
				got[topic] = append(got[topic], r)
			}
			return got
		},
	}
}

func formatRecord(topic string, r record) string {
	fields := []string{topic, strconv.FormatInt(r.Offset, 10), strconv.FormatInt(r.Timestamp, 10), formatBytes(r.Key), formatBytes(r.Value)}
	for _, h := range r.Headers {
		fields = append(fields, formatBytes([]byte(h.Key)), formatBytes(h.Value))
	}
	return strings.Join(fields, "\t") + "\n"
}

func formatBytes(p []byte) string {
	if p == nil {
		return "-"
	}
	return hex.EncodeToString(p)
}

func parseRecord(line string) (topic string, r record, err error) {
	fields := strings.Split(line, "\t")
	if len(fields) < 5 || len(fields)%2 == 0 {
		return "", r, fmt.Errorf("%d fields", len(fields))
	}
	offset, err1 := strconv.ParseInt(fields[1], 10, 64)
	timestamp, err2 := strconv.ParseInt(fields[2], 10, 64)
	bytesOf := make([][]byte, 0, len(fields)-3)
	for _, f := range fields[3:] {
		if f == "-" {
			bytesOf = append(bytesOf, nil)
			continue
		}
		p, err3 := hex.DecodeString(f)
		err = errors.Join(err, err3)
		bytesOf = append(bytesOf, append([]byte{}, p...)) // not nil when empty
	}
	r = record{Offset: offset, Timestamp: timestamp, Key: bytesOf[0], Value: bytesOf[1]}
	for pair := range slices.Chunk(bytesOf[2:], 2) {
		r.Headers = append(r.Headers, header{string(pair[0]), pair[1]})
	}
	return fields[0], r, errors.Join(err, err1, err2)
}

// TestPythonGroup and TestNodeGroup let a program write, read back as a group, and commit.
func TestPythonGroup(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"confluent_kafka", "kafka_python", "aiokafka"} {
		programGroup(t, client, pythonProgram(client+"_client.py"))
	}
}

func TestNodeGroup(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"kafkajs", "platformatic"} {
		programGroup(t, client, nodeProgram(client+"_client.js"))
	}
}

func programGroup(t *testing.T, client string, l launcher) {
	t.Run(client, func(t *testing.T) {
		t.Parallel()
		argv, err := l()
		available(t, err)
		program(t, uniqueName(t), newTopic(t, 1), append(argv, "group")...)
	})
}

// program runs a client program in another language: it writes records with each codec, reads them
// back as a group, commits, and prints "ok <number of records>".
func program(t *testing.T, group, topic string, argv ...string) {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), argv[0], append(argv[1:], suite.endpoint, topic, group)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var total int
	for line := range strings.Lines(string(out)) {
		if _, err := fmt.Sscanf(line, "ok %d", &total); err == nil {
			break
		}
	}
	if total == 0 {
		t.Fatalf("the program did not say ok:\n%s", out)
	}
	wantCommitted(t, group, topic, total)
	if got := franzConsume(t, consumeOptions{topic: topic, from: startOffset, count: total}); string(got[0].Key) != "0" {
		t.Errorf("first key %q", got[0].Key)
	}
}
