package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// StartTimeout bounds how long a broker may take until it accepts a connection.
const StartTimeout = 90 * time.Second

// StopTimeout bounds how long a broker may take to end after SIGTERM.
const StopTimeout = 60 * time.Second

// Kind is a broker implementation.
type Kind string

// The brokers that can be started.
const (
	Kserver Kind = "kserver"
	Apache  Kind = "apache"
)

// Spec says what to start.
type Spec struct {
	Kind Kind
	// Binary is the kserver program; unused for Apache.
	Binary string
	// Backend is kserver's --io.backend, empty for its own choice; unused for Apache.
	Backend string
	// Dir holds data, log file and pid file. It is created when missing.
	Dir string
	// Settings are further broker properties, by Kafka's names.
	Settings map[string]string
}

// Broker is a broker process and its directory.
type Broker struct {
	spec Spec
	port int
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and exit is set
	exit error
}

// Start starts a broker on a free port of the loopback and waits until it answers.
func Start(ctx context.Context, spec Spec) (*Broker, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	b := &Broker{spec: spec, port: port}
	if err := os.MkdirAll(spec.Dir, 0o755); err != nil {
		return nil, err
	}
	if spec.Kind == Apache {
		if err := b.formatApache(ctx); err != nil {
			return nil, err
		}
	}
	return b, b.Run(ctx)
}

// freePort asks the kernel for a port nobody listens on. Another process may take it before the
// broker does; the start then fails with a clear message.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Addr is the broker's address as host:port.
func (b *Broker) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)) }

// DataDir is the broker's log directory (Kafka's log.dirs).
func (b *Broker) DataDir() string { return filepath.Join(b.spec.Dir, "data") }

// LogFile is where the broker's own output goes.
func (b *Broker) LogFile() string { return filepath.Join(b.spec.Dir, "server.log") }

// Run starts the process of a broker that is not running and waits until it accepts connections.
func (b *Broker) Run(ctx context.Context) error {
	argv, err := b.command()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(b.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = b.spec.Dir
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: an interrupt typed at the test run does not reach the broker first.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	b.cmd, b.done = cmd, make(chan struct{})
	go func() {
		b.exit = cmd.Wait()
		close(b.done)
	}()
	pid := strconv.Itoa(cmd.Process.Pid)
	if err := os.WriteFile(filepath.Join(b.spec.Dir, "pid"), []byte(pid), 0o644); err != nil {
		return errors.Join(err, b.Kill())
	}
	if err := b.awaitAccept(ctx); err != nil {
		return errors.Join(err, b.Kill())
	}
	return nil
}

func (b *Broker) awaitAccept(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		nc, err := net.DialTimeout("tcp", b.Addr(), time.Second)
		if err == nil {
			return nc.Close()
		}
		select {
		case <-tick.C:
		case <-b.done:
			return fmt.Errorf("the broker ended at start (%v), see %s", b.exit, b.LogFile())
		case <-ctx.Done():
			return fmt.Errorf("the broker does not accept connections, see %s: %w", b.LogFile(), ctx.Err())
		}
	}
}

// Terminate sends SIGTERM and waits for the end. A kserver must exit with status 0; Apache
// Kafka's JVM reports the signal as 143.
func (b *Broker) Terminate() error {
	if err := b.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-b.done:
	case <-time.After(StopTimeout):
		return errors.Join(fmt.Errorf("still running %v after SIGTERM", StopTimeout), b.Kill())
	}
	var status *exec.ExitError
	if errors.As(b.exit, &status) && b.spec.Kind == Apache && status.ExitCode() == 143 {
		return nil
	}
	return b.exit
}

// Kill ends the process with SIGKILL, as a crash would.
func (b *Broker) Kill() error {
	if err := b.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-b.done
	return nil
}

// Running says whether the process is alive.
func (b *Broker) Running() bool {
	if b.cmd == nil {
		return false
	}
	select {
	case <-b.done:
		return false
	default:
		return true
	}
}

func (b *Broker) signal(sig syscall.Signal) error {
	if b.cmd == nil {
		return errors.New("the broker was never started")
	}
	if err := b.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
