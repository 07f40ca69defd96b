package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
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
	port, err := FreePort()
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

// FreePort finds a port nobody listens on, below the range from which the kernel takes the ports of
// outgoing connections: from there, a client that reconnects to a stopped broker may be given the
// broker's own port and connect to itself.
func FreePort() (int, error) {
	const first, beyond, attempts = 12000, 32000, 100
	var err error
	for range attempts {
		port := first + rand.IntN(beyond-first)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port: %w", err)
}

// Addr is the broker's address as host:port.
func (b *Broker) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)) }

// DataDir is the broker's log directory (Kafka's log.dirs).
func (b *Broker) DataDir() string { return filepath.Join(b.spec.Dir, "data") }

// LogFile is where the broker's own output goes.
func (b *Broker) LogFile() string { return filepath.Join(b.spec.Dir, "server.log") }

// Run starts the process of a broker that is not running and waits until it answers.
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
	// kserver takes KSERVER_ and KAFKA_ variables for settings; those here steer the tests.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "KSERVER_") || strings.HasPrefix(v, "KAFKA_")
	})
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
	if err := b.awaitAnswer(ctx); err != nil {
		return errors.Join(err, b.Kill())
	}
	return nil
}

// awaitAnswer waits for the answer to a request. That something accepts connections is not enough:
// it could be what the kernel still keeps of an earlier process.
func (b *Broker) awaitAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := b.probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-b.done:
			return fmt.Errorf("the broker ended at start (%v), see %s", b.exit, b.LogFile())
		case <-ctx.Done():
			return fmt.Errorf("the broker does not answer (%v), see %s: %w", err, b.LogFile(), ctx.Err())
		}
	}
}

// probe asks for the API versions.
func (b *Broker) probe(ctx context.Context) error {
	conn, err := wire.Dial(ctx, b.Addr(), "interop-probe")
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetTimeout(time.Second)
	_, err = conn.Do(kmsg.NewPtrApiVersionsRequest())
	return err
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
