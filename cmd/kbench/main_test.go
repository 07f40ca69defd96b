package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kserver/cmd/kbench/internal/report"
)

// execute runs kbench in this process.
func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestWrongUsage(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"produce", "--no-such-flag"}, "unknown flag"},
		{[]string{"produce", "extra"}, "unknown command"},
		{[]string{"produce", "--acks", "2"}, "--acks must be"},
		{[]string{"produce", "--codec", "brotli"}, "brotli"},
		{[]string{"produce", "--driver", "java"}, "--driver must be"},
		{[]string{"produce", "--verify", "--acks", "0", "--idempotence", "false"}, "--verify needs acknowledgements"},
		{[]string{"produce", "--verify", "--record-size", "20"}, "need --record-size"},
		{[]string{"produce", "--driver", "raw", "--idempotence", "true", "--pipeline", "9"}, "5 requests in flight"},
		{[]string{"produce", "--idempotence", "true", "--acks", "1"}, "--idempotence needs --acks all"},
		{[]string{"produce", "--driver", "raw", "--verify", "--codec", "zstd"}, "only with --codec none"},
		{[]string{"produce", "--duration", "0s", "--rate", "-1"}, "--duration must be positive; --rate must not"},
		{[]string{"produce", "--record-size", "lots"}, "record-size"},
		{[]string{"consume", "--at-end", "never"}, "--at-end must be"},
		{[]string{"consume", "--manifest", "x"}, "--manifest needs --verify"},
		{[]string{"e2e", "--consumers", "0"}, "--consumers must be"},
		{[]string{"limits", "--limits-time", "0s"}, "--limits-time"},
		{[]string{"produce", "--batch-records", "2"}, "--batch-records needs --driver raw"},
		{[]string{"produce", "--driver", "raw", "--batch-records", "100000"}, "a batch of --batch-records"},
		{[]string{"consume", "--broker-cpus", "0"}, "--broker-cpus needs --broker-pid"},
		{[]string{"consume", "--cpus", "0,-1"}, "--cpus and --broker-cpus must be"},
		{[]string{"compare", "x.scenario"}, "--system or --systems is missing"},
		{[]string{"compare", "--system", "a=h:1"}, "arg"},
		{[]string{"compare", "--system", "a", "x.scenario"}, "neither address nor program"},
		{[]string{"compare", "--system", "a=h:1", "--rounds", "0", "x.scenario"}, "--rounds must be"},
		{[]string{"compare", "--system", "a=h:1", "missing.scenario"}, "missing.scenario"},
		{[]string{"report"}, "arg"},
	}
	for _, tt := range tests {
		_, err := execute(t, tt.args...)
		if exitCode(err) != exitUsage || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: exit code %d, %v; want %q", tt.args, exitCode(err), err, tt.want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for err, want := range map[error]int{
		nil: 0, errors.New("x"): exitFailed, fmt.Errorf("a: %w", errUsage): exitUsage, errIntegrity: exitIntegrity,
		errInterrupted: exitInterrupted, context.Canceled: exitInterrupted,
	} {
		if got := exitCode(err); got != want {
			t.Errorf("exitCode(%v) = %d, want %d", err, got, want)
		}
	}
}

func TestBytesFlag(t *testing.T) {
	for text, want := range map[string]bytesFlag{"100": 100, "16KiB": 16384, "1MB": 1e6} {
		var b bytesFlag
		if err := b.Set(text); err != nil || b != want {
			t.Errorf("%s: %d, %v", text, b, err)
		}
	}
	var b bytesFlag
	if err := b.Set("3GiB"); err == nil {
		t.Error("3GiB was accepted")
	}
}

func TestLimitsCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limits.json")
	out, err := execute(t, "limits", "--limits-dir", t.TempDir(), "--limits-time", "2ms", "--json", file)
	if err != nil || !strings.Contains(out, "sendfile over loopback") {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// TestEndpoint runs the commands against a real broker: KBENCH_ENDPOINT=host:port go test ./cmd/kbench
func TestEndpoint(t *testing.T) {
	endpoint := os.Getenv("KBENCH_ENDPOINT")
	if endpoint == "" {
		t.Skip("KBENCH_ENDPOINT names no broker to test against")
	}
	dir := t.TempDir()
	topic := fmt.Sprintf("kbench-test-%x", newRun())
	manifest, result := filepath.Join(dir, "manifest.json"), filepath.Join(dir, "result.json")
	base := []string{"-b", endpoint, "-t", topic, "--warm-up", "100ms", "-d", "500ms", "-p", "3"}
	for _, args := range [][]string{
		{"produce", "--verify", "--rate", "2000", "--manifest", manifest, "--json", result, "--label", "system=x,scenario=y"},
		{"consume", "--verify", "--manifest", manifest, "--driver", "raw", "--consumers", "2"},
		{"produce", "--driver", "raw", "--idempotence", "true", "--verify"},
		{"produce", "--driver", "raw", "--acks", "0"},
		{"produce", "--codec", "zstd", "--in-flight", "10", "--round-robin"},
		{"consume", "--consumers", "2"},
		{"consume", "--driver", "raw", "--fan-out", "--consumers", "2", "--pipeline", "3"},
		{"consume", "--driver", "raw", "--cpus", "0"},
		{"e2e", "--driver", "raw", "--rate", "200", "--verify"},
		{"e2e", "--rate", "200", "--verify"},
	} {
		out, err := execute(t, append(args, base...)...)
		if err != nil {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	b, err := os.ReadFile(result)
	if err != nil {
		t.Fatal(err)
	}
	r := new(report.Result)
	if err := json.Unmarshal(b, r); err != nil {
		t.Fatal(err)
	}
	if r.Produce.Records == 0 || r.Integrity == nil || !r.Integrity.OK() || r.Labels["system"] != "x" || r.Endpoint.Partitions != 3 {
		t.Errorf("result %+v", r)
	}
	_, err = execute(t, append([]string{"produce", "--topic-config", "flush.messages=1"}, base...)...)
	if err == nil || !strings.Contains(err.Error(), "not 1") {
		t.Errorf("another configuration: %v", err)
	}
	_, err = execute(t, append([]string{"produce"}, "-b", endpoint, "-t", topic, "-p", "4")...)
	if err == nil || !strings.Contains(err.Error(), "exists with 3 partitions") {
		t.Errorf("wrong number of partitions: %v", err)
	}
}
