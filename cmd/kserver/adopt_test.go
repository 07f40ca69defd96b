package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kserver/cluster/adopt"
	"kserver/cluster/adopt/adopttest"
)

// kafkaDirectory unpacks the directory of a stopped Kafka.
func kafkaDirectory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := adopttest.Unpack("../../cluster/adopt/testdata/kafka-4.3.1.tar.gz", dir); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

func TestAdoptCommand(t *testing.T) {
	dir := kafkaDirectory(t)
	for _, test := range []struct {
		args []string
		code int
		want string // in the output or the message
	}{
		{nil, exitUsage, "give the log directories"},
		{[]string{dir, "-o", "xml"}, exitUsage, "give table or json"},
		{[]string{filepath.Join(dir, "nowhere")}, exitFailed, "no such file or directory"},
		{[]string{dir, "--back"}, exitFailed, "is Kafka's already"},
		{[]string{dir}, exitOK, "Nothing was changed; --yes carries this out."},
		{[]string{dir, "--verify"}, exitOK, "compacted"},
		{[]string{dir, "--yes"}, exitOK, "Done. Start kserver with log.dirs=" + dir + " and node.id=1"},
		{[]string{dir, "--yes"}, exitFailed, "Refused; nothing was changed."},
		{[]string{dir, "--back"}, exitOK, "records to Kafka's metadata"},
		{[]string{dir, "--back", "--yes"}, exitOK, "Done. Kafka can start again, with log.dirs=" + dir + " and node.id=1."},
	} {
		var out, errs bytes.Buffer
		code := run(append([]string{"adopt"}, test.args...), nil, &out, &errs)
		if code != test.code || !strings.Contains(out.String()+errs.String(), test.want) {
			t.Errorf("adopt %v: exit code %d, want %d and %q:\n%s%s", test.args, code, test.code, test.want, &out, &errs)
		}
	}
}

func TestAdoptCommandJSON(t *testing.T) {
	dir := kafkaDirectory(t)
	if err := os.Remove(filepath.Join(dir, ".kafka_cleanshutdown")); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run([]string{"adopt", dir, "--yes", "-o", "json"}, nil, &out, &errs)
	var p adopt.Plan
	if err := json.Unmarshal(out.Bytes(), &p); err != nil || code != exitFailed || !p.Refused() || p.Done || p.NodeID != 1 || len(p.Topics) == 0 {
		t.Errorf("exit code %d, %v, %+v\n%s", code, err, p, &errs)
	}
}

// A start on a directory that is still Kafka's says what to do.
func TestStartOnKafkasDirectory(t *testing.T) {
	dir := kafkaDirectory(t)
	var out, errs bytes.Buffer
	code := run([]string{"--log.dirs", dir, "--listeners", "PLAINTEXT://127.0.0.1:0"}, nil, &out, &errs)
	if code != exitFailed || !strings.Contains(errs.String(), "last used by Apache Kafka: kserver adopt "+dir) {
		t.Errorf("exit code %d:\n%s", code, &errs)
	}
}
