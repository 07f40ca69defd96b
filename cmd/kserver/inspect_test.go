package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kserver/engine"
	"kserver/protocol/recordbatch"
)

// inspectedDir makes a log directory with a partition of two records.
func inspectedDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	m, err := engine.OpenLogManager(engine.Config{Dirs: []string{dir}, DiskReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	l, err := m.Create(engine.TopicPartition{Topic: "orders", Partition: 3}, [16]byte{1}, engine.DefaultLogConfig())
	if err != nil {
		t.Fatal(err)
	}
	b := recordbatch.NewBuilder(recordbatch.BuilderConfig{PartitionLeaderEpoch: -1})
	b.Append(1, nil, []byte("first"))
	b.Append(2, nil, []byte("second"))
	batch, err := b.Build()
	if err == nil {
		_, err = l.AppendAsLeader(batch, engine.AppendOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestInspectCommand(t *testing.T) {
	dir := inspectedDir(t)
	for _, test := range []struct {
		args []string
		code int
		want string // in the output or the message
	}{
		{[]string{dir}, exitOK, "orders  3          1"},
		{[]string{dir, "orders", "--verify"}, exitOK, "offsets         0 to 2"},
		{[]string{dir, "orders-3", "-o", "json"}, exitOK, `"log_end_offset": 2`},
		{[]string{dir, "orders-4"}, exitFailed, "holds no partition orders-4"},
		{[]string{filepath.Join(dir, "nowhere")}, exitFailed, "no such file or directory"},
		{nil, exitUsage, "give the log directory"},
		{[]string{dir, "-o", "xml"}, exitUsage, "give table or json"},
	} {
		var out, errs bytes.Buffer
		code := run(append([]string{"inspect"}, test.args...), nil, &out, &errs)
		if code != test.code || !strings.Contains(out.String()+errs.String(), test.want) {
			t.Errorf("inspect %q: exit code %d\n%s%s", test.args, code, &out, &errs)
		}
	}
}

func TestInspectCommandFindsDamage(t *testing.T) {
	dir := inspectedDir(t)
	path := filepath.Join(dir, "orders-3", "00000000000000000000.log")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"inspect", dir, "--verify", "-o", "json"}, nil, &out, &errs); code != exitFailed {
		t.Errorf("exit code %d: %s", code, &errs)
	}
	var d engine.DirInspection
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if !d.Damaged() || len(d.Partitions) != 1 || d.Partitions[0].Problems[0].Severity != engine.Damage {
		t.Errorf("%+v", d)
	}
	out.Reset()
	if run([]string{"inspect", dir, "--verify"}, nil, &out, &errs); !strings.Contains(out.String(), "damage    orders-3") {
		t.Errorf("the table does not tell:\n%s", &out)
	}
}
