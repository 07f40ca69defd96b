// Package launch starts a broker's executable for the programs under bench, waits until it answers, and ends it,
// gently or not.
//
// The command line is a template, so that any broker can be tried: words separated by spaces, in which {binary},
// {dir}, {port}, {metrics} and {backend} are replaced.
//
// Concurrency: a Process may be used by many goroutines.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kserver/cmd/kbench/wire"
)

// DefaultCommand starts kserver.
const DefaultCommand = "{binary} --listeners PLAINTEXT://127.0.0.1:{port} --log.dirs {dir} --io.backend {backend}"

// metricsPlaceholder stands for the port of the metrics.
const metricsPlaceholder = "{metrics}"

// pollInterval is the time between two attempts to connect to a broker that is starting.
const pollInterval = 200 * time.Microsecond

// dialTimeout bounds one attempt.
const dialTimeout = 5 * time.Second

// Spec says how to start a broker.
type Spec struct {
	Command string // template
	Binary  string
	Dir     string
	Port    int
	Metrics int // port of the broker's metrics, 0 for none
	Backend string
	Output  io.Writer // of the broker, both streams; nil drops it
}

// Args returns the words of the command with the placeholders replaced. A word may hold spaces only through a
// placeholder.
func (s *Spec) Args() ([]string, error) {
	r := strings.NewReplacer("{binary}", s.Binary, "{dir}", s.Dir, "{port}", strconv.Itoa(s.Port),
		metricsPlaceholder, strconv.Itoa(s.Metrics), "{backend}", s.Backend)
	words := strings.Fields(s.Command)
	if len(words) == 0 {
		return nil, errors.New("the command is empty")
	}
	for i := range words {
		words[i] = r.Replace(words[i])
	}
	return words, nil
}

// Addr is where the broker listens.
func (s *Spec) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Process is a running broker.
type Process struct {
	Started time.Time // just before exec
	cmd     *exec.Cmd
	exited  chan struct{}
	err     error // of Wait, after exited is closed
}

// Start executes the broker in a process group of its own.
func (s *Spec) Start() (*Process, error) {
	args, err := s.Args()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = s.Output, s.Output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{Started: time.Now(), cmd: cmd, exited: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(args, " "), err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// PID is the broker's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the broker has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err says how the broker ended, once Exited is closed; nil when its exit code was 0.
func (p *Process) Err() error { return p.err }

// Kill sends SIGKILL to the broker's process group and waits until it is gone.
func (p *Process) Kill() error {
	err := p.signal(syscall.SIGKILL)
	<-p.exited
	return err
}

// Terminate sends SIGTERM and waits until the broker is gone, at most for timeout; then it kills and says so.
func (p *Process) Terminate(timeout time.Duration) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(timeout):
		return errors.Join(fmt.Errorf("still running %v after SIGTERM", timeout), p.Kill())
	}
}

func (p *Process) signal(sig syscall.Signal) error {
	err := syscall.Kill(-p.PID(), sig)
	if errors.Is(err, syscall.ESRCH) {
		return nil // gone already
	}
	return err
}

// Connect polls addr closely until the broker answers a request for its API versions. It fails when the broker ends
// or timeout has passed since its start.
func (p *Process) Connect(ctx context.Context, addr string, timeout time.Duration) (*wire.Conn, error) {
	var conn *wire.Conn
	err := p.Until(ctx, timeout, func() (err error) {
		conn, err = wire.Dial(ctx, addr, "bench", dialTimeout)
		return err
	})
	return conn, err
}

// Until calls try closely until it succeeds, and fails with its last error when the broker ends or timeout has passed
// since the broker's start.
func (p *Process) Until(ctx context.Context, timeout time.Duration, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("the broker ended (%v): %w", p.err, err)
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if time.Since(p.Started) > timeout {
			return fmt.Errorf("not ready after %v: %w", timeout, err)
		}
		nap(pollInterval)
	}
}

// nap sleeps with the kernel's precision; Go's timers round up to a millisecond in an idle process.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // a signal may end it early, which does not matter
}

// Ports for brokers under test: below the range the kernel takes outgoing ports
// from. A client that polls a port of that range while nobody listens may be
// given that very port for its own end, connect to itself, and hold the port
// against the broker.
const firstPort, lastPort = 12000, 32000

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on now.
func FreePort() (int, error) {
	var err error
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		var ln net.Listener
		if ln, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, ln.Close()
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d: %w", firstPort, lastPort, err)
}

// Tail returns the end of a log file, for error messages.
func Tail(name string, bytes int64) string {
	f, err := os.Open(name)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > bytes {
		if _, err := f.Seek(-bytes, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
