package interop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"kserver/interop/tools"
)

// System loggers write text: a line is a record's value, the program that logged it the key. The lines have
// the compressible record's length, so that each shrinks in a batch of its own.
func logLines(count int) (lines []string, want []record) {
	for i := range count {
		line := fmt.Sprintf("%d %s", i, strings.Repeat("compressible ", 60))
		line = strings.TrimSpace(line)
		lines = append(lines, line)
		want = append(want, record{Offset: int64(i), Timestamp: anyTime, Key: []byte("interop"), Value: []byte(line)})
	}
	return lines, want
}

// rsyslogWrite logs through rsyslog, whose omkafka sends every line to the topic of every codec.
func rsyslogWrite(t *testing.T, topics map[string]string, records []record) []record {
	t.Helper()
	program, err := tools.Unpacked("usr/sbin/rsyslogd")
	available(t, err)
	modules, err := program.Dir("usr/lib/*-linux-gnu/rsyslog")
	if err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	socket := filepath.Join(dir, "log")
	var config strings.Builder
	fmt.Fprintf(&config, `global(workDirectory="%s")
module(load="imuxsock" SysSock.Use="off")
module(load="omkafka")
input(type="imuxsock" Socket="%s" RateLimit.Interval="0")
template(name="line" type="string" string="%%msg:2:$%%")
`, dir, socket)
	for codec, topic := range topics {
		fmt.Fprintf(&config, `action(type="omkafka" broker=["%s"] topic="%s" key="interop" partitions.number="1" template="line" `+
			`resubmitOnFailure="on" confParam=["compression.codec=%s", "broker.address.family=v4"])`+"\n", suite.endpoint, topic, codec)
	}
	return logThrough(t, dir, socket, config.String(), topics, len(records), func(file string) *exec.Cmd {
		return program.Command("-n", "-f", file, "-i", filepath.Join(dir, "pid"), "-M", modules)
	})
}

// syslogNGWrite logs through syslog-ng and its kafka-c destination.
func syslogNGWrite(t *testing.T, topics map[string]string, records []record) []record {
	t.Helper()
	program, err := tools.Unpacked("usr/sbin/syslog-ng")
	available(t, err)
	modules, err := program.Dir("usr/lib/syslog-ng/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	socket := filepath.Join(dir, "log")
	version := regexp.MustCompile(`^\d+\.\d+`).FindString(filepath.Base(modules))
	var config strings.Builder
	fmt.Fprintf(&config, "@version: %s\nsource s { unix-dgram(\"%s\"); };\n", version, socket)
	for codec, topic := range topics {
		fmt.Fprintf(&config, `log { source(s); destination { kafka-c(bootstrap-servers("%s") topic("%s") key("$PROGRAM") message("$MSG") `+
			`config(compression.codec("%s") broker.address.family("v4"))); }; };`+"\n", suite.endpoint, topic, codec)
	}
	return logThrough(t, dir, socket, config.String(), topics, len(records), func(file string) *exec.Cmd {
		return program.Command("-F", "-f", file, "--no-caps", "--module-path", modules, "--persist-file", filepath.Join(dir, "persist"),
			"--pidfile", filepath.Join(dir, "pid"), "--control", filepath.Join(dir, "control"))
	})
}

// shortDir is a directory whose path leaves room for a socket's name in the 108 bytes of a socket address.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// logThrough starts a logger, logs count lines at its socket, waits until they are in every topic, and ends
// it. It returns the records that the lines are to be.
func logThrough(t *testing.T, dir, socket, config string, topics map[string]string, count int, command func(file string) *exec.Cmd) []record {
	t.Helper()
	ctx := testContext(t)
	file := filepath.Join(dir, "config")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := command(file)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	conn := dialLogger(t, socket, ended, &output)
	lines, want := logLines(count)
	for _, line := range lines {
		if _, err := fmt.Fprintf(conn, "<13>%s interop: %s", time.Now().Format(time.Stamp), line); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	for _, topic := range topics {
		franzConsume(t, consumeOptions{topic: topic, from: startOffset, count: count})
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil || !stop() {
		t.Errorf("the logger ended with %v: %s", err, output.Bytes())
	}
	return want
}

// dialLogger waits until a logger has bound its socket.
func dialLogger(t *testing.T, socket string, ended <-chan error, output *bytes.Buffer) net.Conn {
	t.Helper()
	var conn net.Conn
	eventually(t, socket, func() error {
		select {
		case err := <-ended:
			t.Fatalf("the logger ended with %v: %s", err, output.Bytes())
		default:
		}
		var err error
		conn, err = net.Dial("unixgram", socket)
		return err
	})
	return conn
}
