package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kserver/cluster/configs"
	"kserver/cmd/kserver/internal/cli"
)

// startBroker runs a broker in this process until the test ends and returns its address.
func startBroker(t *testing.T) string {
	t.Helper()
	settings := []configs.Setting{
		configs.FlagSetting("listeners", "PLAINTEXT://127.0.0.1:0"),
		configs.FlagSetting("log.dirs", t.TempDir()),
		configs.FlagSetting("group.initial.rebalance.delay.ms", "0"),
		configs.FlagSetting("log.flush.interval.messages", "1000"), // nothing here outlives the process
	}
	b, err := configs.ParseBroker(settings...)
	if err != nil {
		t.Fatal(err)
	}
	n, err := composeCluster(b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	_, address, _ := strings.Cut(n.Listening()[0], "://")
	if _, _, err := net.SplitHostPort(address); err != nil {
		t.Fatal(err)
	}
	return address
}

// user runs command lines against a broker.
type user struct {
	t       *testing.T
	environ []string
}

// run runs a command line and returns what it printed. It has to end with the code.
func (u user) run(code int, args ...string) (stdout, stderr string) {
	u.t.Helper()
	got, stdout, stderr := execute(u.t, u.environ, args...)
	if got != code {
		u.t.Errorf("kserver %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	return stdout, stderr
}

// prints runs a command line that has to print want.
func (u user) prints(want string, args ...string) {
	u.t.Helper()
	if got, stderr := u.run(exitOK, args...); got != want {
		u.t.Errorf("kserver %s:\n%s%swant\n%s", strings.Join(args, " "), got, stderr, want)
	}
}

// fails runs a command line that has to end with a code and a message that holds want.
func (u user) fails(code int, want string, args ...string) {
	u.t.Helper()
	if _, stderr := u.run(code, args...); !strings.Contains(stderr, want) {
		u.t.Errorf("kserver %s: %q, want %q", strings.Join(args, " "), stderr, want)
	}
}

func (u user) file(text string) string {
	u.t.Helper()
	name := filepath.Join(u.t.TempDir(), "input")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		u.t.Fatal(err)
	}
	return name
}

func TestTopicCommands(t *testing.T) {
	u := user{t, []string{cli.EnvBootstrap + "=" + startBroker(t)}}
	u.prints("[]\n", "topic", "list", "-o", "json")
	u.prints("topic orders created, 3 partitions, 1 replica each\n", "topic", "create", "orders", "-p", "3", "-c", "retention.ms=3600000")
	u.prints("topic dry could be created, 1 partition, 1 replica each\n", "topic", "create", "dry", "--dry-run")
	u.fails(cli.ExitFailed, "TOPIC_ALREADY_EXISTS", "topic", "create", "orders")
	u.prints("topic orders exists already\n", "topic", "create", "orders", "--if-not-exists")
	u.prints("TOPIC   PARTITIONS  REPLICAS  HEALTH\norders  3           1         ok\n", "topic", "list", "ord*")
	u.prints("topic orders altered\n", "topic", "alter", "orders", "--partitions", "4")
	u.fails(cli.ExitNotFound, "there is no topic nope", "topic", "describe", "orders", "nope")
	u.prints("3600000\n", "config", "get", "topic", "orders", "retention.ms")

	text, _ := u.run(exitOK, "topic", "describe", "orders", "-o", "json")
	var described []struct {
		Name       string
		Configs    map[string]string
		Partitions []struct{ Leader int32 } `json:"partition_details"`
	}
	if err := json.Unmarshal([]byte(text), &described); err != nil || len(described) != 1 || len(described[0].Partitions) != 4 || described[0].Configs["retention.ms"] != "3600000" {
		t.Errorf("%v: %s", err, text)
	}
	u.prints("topic orders deleted\ntopic nope does not exist\n", "topic", "delete", "orders", "nope", "--if-exists")
	u.fails(cli.ExitNotFound, "there is no topic orders", "topic", "delete", "orders")
}

func TestProduceAndConsume(t *testing.T) {
	u := user{t, []string{cli.EnvBootstrap + "=" + startBroker(t)}}
	u.run(exitOK, "topic", "create", "t", "-p", "2")
	u.prints("t\t0\t0\nt\t0\t1\n", "produce", "t", "-p", "0", "-K", ":", "--null", "-", "-H", "h=1", "-o", "text", "--file", u.file("a:1\nb:-\n"))
	u.run(exitOK, "produce", "t", "-p", "1", "-i", "json", "--file", u.file(`{"key":"c","value":{"x":1},"timestamp":1700000000000}`+"\n"+`{"value_base64":"/w=="}`))
	u.run(exitOK, "produce", "t", "-p", "1", "-v", "last", "-z", "zstd", "-a", "1")
	u.prints("0 a=1 h=1\n1 b=NULL h=1\n", "consume", "t", "-p", "0", "-e", "--null", "NULL", "-f", `%o %k=%s %h\n`)
	u.prints("2\tlast\n", "consume", "t", "-p", "1", "--from", "-1", "-n", "1", "-c", "offset,value")
	u.prints("{\"x\":1}\n", "consume", "t", "-p", "1", "--until", "1")
	text, _ := u.run(exitOK, "consume", "t", "-p", "1", "-e", "-o", "json")
	u.run(exitOK, "produce", "copy", "-i", "json", "--file", u.file(text))
	copied, _ := u.run(exitOK, "consume", "copy", "-e", "-o", "json")
	if got := strings.ReplaceAll(copied, `"topic":"copy","partition":0`, `"topic":"t","partition":1`); got != text {
		t.Errorf("a copy differs:\n%swant\n%s", got, text)
	}
	if _, stderr := u.run(exitOK, "consume", "t", "-p", "0", "--from", "7", "-e"); !strings.Contains(stderr, "t/0 holds offsets 0 to 1; beginning at 2") {
		t.Error(stderr)
	}
	u.fails(cli.ExitNotFound, "no partition 2, only 0 to 1", "produce", "t", "-p", "2", "-v", "x")
	u.fails(cli.ExitNotFound, "no partition 2, only 0 to 1", "consume", "t", "-p", "2")
	u.fails(cli.ExitNotFound, "there is no topic nope", "consume", "nope")
	u.fails(cli.ExitFailed, "input: record 1: no key", "produce", "t", "-K", ":", "--file", u.file("x"))
	u.fails(cli.ExitFailed, "max.message.bytes", "produce", "t", "--whole", "--max-message-bytes", "4000000", "--file", u.file(strings.Repeat("x", 3000000)))
	u.fails(cli.ExitFailed, "no such file", "produce", "t", "--file", "missing")
}

// TestConsumeUntilInterrupted: whoever follows a topic ends it by a signal, with code 0.
func TestConsumeUntilInterrupted(t *testing.T) {
	u := user{t, []string{cli.EnvBootstrap + "=" + startBroker(t)}}
	u.run(exitOK, "produce", "t", "-v", "first")
	out := make(lines, 16)
	done := make(chan int, 1)
	go func() { done <- run([]string{"consume", "t"}, u.environ, out, out) }()
	for _, want := range []string{"first\n", "second\n"} {
		select {
		case got := <-out:
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no %q", want)
		}
		if want == "first\n" {
			u.run(exitOK, "produce", "t", "-v", "second")
		}
	}
	interrupt(syscall.SIGINT)()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// lines takes output piece by piece.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func TestGroupCommands(t *testing.T) {
	u := user{t, []string{cli.EnvBootstrap + "=" + startBroker(t)}}
	u.run(exitOK, "produce", "t", "--file", u.file("1\n2\n3\n4\n5\n"))
	u.prints("1\n2\n3\n", "consume", "t", "-g", "g", "-n", "3")
	u.prints("4\n5\n", "consume", "t", "-g", "g", "-e")
	u.prints("", "consume", "t", "-g", "g", "-e")
	u.prints("GROUP  TYPE     STATE  PROTOCOL\ng      classic  Empty  consumer\n", "group", "list")

	plan := "TOPIC  PARTITION  COMMITTED  NEW\nt      0          5          %d\n"
	u.prints(fmt.Sprintf(plan, 3), "group", "reset-offsets", "g", "--topic", "t", "--shift-by", "-2")
	u.prints("", "consume", "t", "-g", "g", "-e") // that was the plan only
	u.prints(fmt.Sprintf(plan, 3), "group", "reset-offsets", "g", "--all-topics", "--shift-by", "-2", "--execute")
	if text, _ := u.run(exitOK, "group", "describe", "g"); !strings.Contains(text, "lag          2\n") || !strings.Contains(text, "t      0          3          5    2") {
		t.Error(text)
	}
	u.prints("4\n5\n", "consume", "t", "-g", "g", "-e")
	u.fails(cli.ExitNotFound, "there is no group nope", "group", "describe", "nope")
	u.fails(cli.ExitNotFound, "no partition 3", "group", "reset", "g", "--topic", "t:3", "--to-latest")
	u.fails(cli.ExitNotFound, "group nope has no offsets", "group", "reset", "nope", "--all-topics", "--to-latest")
}

func TestClusterCommands(t *testing.T) {
	address := startBroker(t)
	u := user{t, nil}
	text, _ := u.run(exitOK, "cluster", "-b", address)
	host, port, _ := net.SplitHostPort(address)
	if !strings.Contains(text, "controller  broker 1\n") || !strings.Contains(text, host+"  "+port) {
		t.Error(text)
	}
	if text, _ := u.run(exitOK, "cluster", "apis", "-b", address); !strings.Contains(text, "Produce") {
		t.Error(text)
	}
	if text, _ := u.run(exitOK, "cluster", "features", "-b", address); !strings.Contains(text, "metadata.version") {
		t.Error(text)
	}
	u.fails(cli.ExitNotFound, "there is no broker 7; the cluster has 1", "config", "get", "broker", "7", "-b", address)
	u.fails(cli.ExitNotFound, "there is no topic nope", "config", "get", "topic", "nope", "-b", address)
}

// TestCompletion: a shell gets the names of topics, and nothing at all when no broker answers.
func TestCompletion(t *testing.T) {
	u := user{t, []string{cli.EnvBootstrap + "=" + startBroker(t)}}
	u.run(exitOK, "topic", "create", "orders")
	if text, _ := u.run(exitOK, "__complete", "consume", "o"); text != "orders\n:4\n" {
		t.Errorf("%q", text)
	}
	u.environ = []string{cli.EnvBootstrap + "=127.0.0.1:1"}
	if text, _ := u.run(exitOK, "__complete", "consume", "o"); text != ":4\n" {
		t.Errorf("%q", text)
	}
}

// TestCommandVariables: a broker does not take the commands' variables for settings, and the commands are there for
// whoever does not just serve.
func TestCommandVariables(t *testing.T) {
	withNode(t, &fakeNode{started: interrupt(syscall.SIGTERM)}, nil)
	if code, _, stderr := execute(t, []string{cli.EnvBootstrap + "=x:1", cli.EnvPassword + "=secret"}); code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for args, want := range map[string]bool{"": true, "--config x": true, "--help": false, "--log.dirs x -h": false, "topic": false, "help": false} {
		if got := serves(strings.Fields(args)); got != want {
			t.Errorf("serves(%s) = %t", args, got)
		}
	}
	if _, stdout, _ := execute(t, nil, "--help"); !strings.Contains(stdout, "Commands for any Kafka cluster:") {
		t.Error(stdout)
	}
}
