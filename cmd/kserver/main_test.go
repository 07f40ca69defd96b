package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"kserver/cluster/configs"
	"kserver/engine"
)

// fakeNode is a node whose steps a test decides.
type fakeNode struct {
	startErr error
	started  func()
	stop     func(ctx context.Context) error
	failed   chan error
}

func (n *fakeNode) Start() error {
	if n.startErr == nil && n.started != nil {
		n.started()
	}
	return n.startErr
}
func (n *fakeNode) Listening() []string       { return []string{"PLAINTEXT://127.0.0.1:1234"} }
func (n *fakeNode) Metrics() []string         { return nil }
func (n *fakeNode) Failed() <-chan error      { return n.failed }
func (n *fakeNode) Backend() (string, string) { return "epoll", "io_uring is not allowed here" }
func (n *fakeNode) Stop(ctx context.Context) error {
	if n.stop == nil {
		return nil
	}
	return n.stop(ctx)
}

// withNode makes serve use n, or fail with err, until the test ends.
func withNode(t *testing.T, n node, err error) {
	t.Helper()
	before := compose
	t.Cleanup(func() { compose = before })
	compose = func(*configs.Broker, *slog.Logger) (node, error) { return n, err }
}

// execute runs the program in an empty directory and returns its exit code and output.
func execute(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir())
	var out, errOut bytes.Buffer
	code = run(args, environ, &out, &errOut)
	return code, out.String(), errOut.String()
}

func interrupt(sig syscall.Signal) func() {
	return func() {
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			panic(err)
		}
	}
}

func TestServeUntilSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		stopped := false
		withNode(t, &fakeNode{started: interrupt(sig), stop: func(ctx context.Context) error {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("the stop has no bound")
			}
			stopped = true
			return nil
		}}, nil)
		code, stdout, stderr := execute(t, nil)
		if code != exitOK || !stopped {
			t.Errorf("%v: exit code %d, stopped %t: %s", sig, code, stopped, stderr)
		}
		for _, want := range []string{"kserver ", "listening   PLAINTEXT://127.0.0.1:1234\n", "/kserver-data\n", "epoll (io_uring is not allowed here)", "durability  acknowledged records are on stable storage\n"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%v: no %q in\n%s", sig, want, stdout)
			}
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	withNode(t, &fakeNode{started: interrupt(syscall.SIGINT), stop: func(context.Context) error {
		interrupt(syscall.SIGTERM)()
		<-release
		return nil
	}}, nil)
	if code, _, stderr := execute(t, nil); code != 128+int(syscall.SIGTERM) || !strings.Contains(stderr, "second signal") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestUncleanStop(t *testing.T) {
	withNode(t, &fakeNode{started: interrupt(syscall.SIGTERM), stop: func(context.Context) error { return errors.New("sync failed") }}, nil)
	if code, _, stderr := execute(t, nil); code != exitFailed || !strings.Contains(stderr, "stopped, but not cleanly: sync failed") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestRelaxedDurabilityIsSaid(t *testing.T) {
	withNode(t, &fakeNode{started: interrupt(syscall.SIGTERM)}, nil)
	if _, stdout, _ := execute(t, nil, "--log.flush.interval.messages", "1000"); !strings.Contains(stdout, "a crash of the machine may lose them (log.flush.interval.messages=1000)") {
		t.Error(stdout)
	}
}

func TestStartErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err  error
		args []string
		want string
	}{
		{fmt.Errorf("kserver-data: %w", engine.ErrLocked), nil, "kserver-data: log directory is locked by another process; stop that process, or choose another directory with --log.dirs"},
		{fmt.Errorf("listen tcp 127.0.0.1:9092: %w", syscall.EADDRINUSE), nil, "another program listens there: stop it, or choose another address with --listeners PLAINTEXT://127.0.0.1:9093"},
		{syscall.EADDRNOTAVAIL, nil, "this machine has no such address"},
		{syscall.EACCES, []string{"--listeners", "PLAINTEXT://:80"}, "ports below 1024 need a privilege"},
		{syscall.EMFILE, nil, "raise the hard limit of open files"},
		{syscall.ENOSPC, nil, "make room"},
		{errors.New("plain"), nil, "kserver: plain\n"},
	} {
		for _, at := range []string{"compose", "start"} {
			if at == "compose" {
				withNode(t, nil, c.err)
			} else {
				withNode(t, &fakeNode{startErr: c.err}, nil)
			}
			code, stdout, stderr := execute(t, nil, c.args...)
			if code != exitFailed || stdout != "" || !strings.Contains(stderr, c.want) {
				t.Errorf("%v at %s: exit code %d, %q, %q", c.err, at, code, stdout, stderr)
			}
		}
	}
}

func TestUsageErrors(t *testing.T) {
	withNode(t, nil, errors.New("must not be reached"))
	for _, c := range []struct {
		args []string
		env  []string
		want string
	}{
		{[]string{"--num.partition", "3"}, nil, "kserver: unknown flag: --num.partition; did you mean --num.partitions?\n"},
		{[]string{"--nonsense"}, nil, "kserver: unknown flag: --nonsense; kserver --help and kserver keys list them\n"},
		{[]string{"--num.partitions", "x"}, nil, "kserver: --num.partitions: num.partitions=x: Not a number of type INT; give a value of type INT in [1,...], or delete the key for the default 1\n"},
		{nil, []string{"KSERVER_NUM_PARTITIONS=0"}, "kserver: KSERVER_NUM_PARTITIONS: num.partitions=0: Value must be at least 1;"},
		{[]string{"--config", "missing.properties"}, nil, "kserver: cannot read the file given by --config: open missing.properties: no such file or directory\n"},
		{[]string{"--override", "x"}, nil, "kserver: --override x: give it as key=value\n"},
		{[]string{"--override", "listener.name.plaintext.socket.request.max.bytes=3"}, nil, "set socket.request.max.bytes\n"},
		{[]string{"--log-level", "loud"}, nil, "kserver: --log-level loud: give debug, info, warn or error\n"},
		{[]string{"server.properties"}, nil, "kserver: server.properties: give the file as --config server.properties\n"},
		{[]string{"vresion"}, nil, "kserver: unknown command \"vresion\""},
	} {
		code, _, stderr := execute(t, c.env, c.args...)
		if code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("%v %v: exit code %d, %q", c.args, c.env, code, stderr)
		}
	}
}

func TestPrintConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, []byte("num.partitions=7\nlog.dirs=/file\nnum.io.threads=3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := execute(t, []string{"KSERVER_LOG_DIRS=/env", "KAFKA_NUM_IO_THREADS=5"},
		"--config", file, "--log.dirs", "/flag", "--print-config")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{
		"# --log.dirs\nlog.dirs=/flag\n", "# KAFKA_NUM_IO_THREADS\nnum.io.threads=5\n",
		"# " + file + ":1\nnum.partitions=7\n", "# default\nlog.flush.interval.messages=1\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}

func TestVersionAndKeys(t *testing.T) {
	if code, stdout, _ := execute(t, nil, "version"); code != exitOK || !strings.HasPrefix(stdout, "kserver ") {
		t.Errorf("exit code %d: %q", code, stdout)
	}
	if code, stdout, _ := execute(t, nil, "keys"); code != exitOK || !strings.Contains(stdout, "log.flush.interval.messages (LONG, default \"1\", values [1,...])\n") {
		t.Errorf("exit code %d: %q", code, stdout)
	}
	if code, stdout, _ := execute(t, nil, "keys", "--topics"); code != exitOK || !strings.Contains(stdout, "cleanup.policy (LIST") {
		t.Errorf("exit code %d: %q", code, stdout)
	}
}

func TestDataDirectoryMustBeWritable(t *testing.T) {
	withNode(t, nil, errors.New("must not be reached"))
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := execute(t, nil, "--log.dirs", filepath.Join(file, "data"))
	if code != exitFailed || !strings.Contains(stderr, "cannot make the data directory") || !strings.Contains(stderr, "--log.dirs") {
		t.Errorf("exit code %d: %q", code, stderr)
	}
	if os.Getuid() != 0 {
		readOnly := filepath.Join(dir, "read-only")
		if err := os.Mkdir(readOnly, 0o555); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := execute(t, nil, "--log.dirs", readOnly)
		if code != exitFailed || !strings.Contains(stderr, "cannot write to the data directory "+readOnly+": permission denied;") {
			t.Errorf("exit code %d: %q", code, stderr)
		}
	}
}

func TestFileSystemWarnings(t *testing.T) {
	for magic, want := range map[int64]string{
		unix.TMPFS_MAGIC: "in memory", unix.NFS_SUPER_MAGIC: "network", unix.FUSE_SUPER_MAGIC: "FUSE",
		unix.OVERLAYFS_SUPER_MAGIC: "container", unix.EXT4_SUPER_MAGIC: "", unix.XFS_SUPER_MAGIC: "",
	} {
		if got := warningFor(magic, "/d"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%x: %q", magic, got)
		}
	}
	if _, err := fileSystemWarning(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("no error for a missing directory")
	}
}

func TestOpenFilesWarning(t *testing.T) {
	if got := openFilesWarning(1024); !strings.Contains(got, "only 1024 files") {
		t.Error(got)
	}
	if got := openFilesWarning(leastOpenFiles); got != "" {
		t.Error(got)
	}
}

func TestServeEndsWithTheBroker(t *testing.T) {
	failed := make(chan error, 1)
	failed <- errors.New("the disk of the metadata is gone")
	stopped := false
	withNode(t, &fakeNode{failed: failed, stop: func(context.Context) error { stopped = true; return nil }}, nil)
	if code, _, stderr := execute(t, nil); code != exitFailed || !strings.Contains(stderr, "the disk of the metadata is gone") || !stopped {
		t.Fatalf("exit code %d, stopped %v, %q", code, stopped, stderr)
	}
}

// A directory that cannot be used ends the start only if it is the first.
func TestPrepareDirs(t *testing.T) {
	good, bad := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(bad, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	if err := prepareDirs([]string{good, bad}, logger); err != nil {
		t.Fatal(err)
	}
	if err := prepareDirs([]string{bad, good}, logger); err == nil {
		t.Fatal("started without the directory of the metadata")
	}
}
