package limits

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kserver/cmd/kbench/wire"
)

// Answers is what the barest server can do that answers requests from the page cache: one thread, epoll, and for each
// answer a few bytes and a sendfile(2), with the sockets as the kernel makes them. Its clients are those of the raw
// driver: they drop the bytes in the kernel and ask again. So a broker's CPU per GB can be set against it.
type Answers struct {
	Connections int `json:"connections"`
	Bytes       int `json:"bytes"` // of one answer
	// BytesPerSecond is the rate over all connections.
	BytesPerSecond float64 `json:"bytes_per_second"`
	// CPUPerGB is processor time of the server's thread per 10^9 bytes, in seconds.
	CPUPerGB float64 `json:"cpu_seconds_per_gb"`
}

// answerKinds are what is measured: a large fetch and one of 300 KB, by one client and by many.
var answerKinds = []Answers{
	{Connections: 1, Bytes: 1 << 20}, {Connections: 1, Bytes: 300_000}, {Connections: 16, Bytes: 1 << 20}, {Connections: 16, Bytes: 300_000},
}

const (
	answerRequestBytes = 100 // about a fetch request
	answerHeadBytes    = 120 // about what a fetch answer has before its records
)

func (l *Limits) sendfileAnswers(ctx context.Context, dir string, each time.Duration) error {
	return withFile(dir, func(f *os.File) error {
		if _, err := f.Write(make([]byte, fileBytes)); err != nil {
			return err
		}
		for _, a := range answerKinds {
			if err := a.measure(ctx, f, each); err != nil {
				return err
			}
			l.SendfileAnswers = append(l.SendfileAnswers, a)
		}
		return nil
	})
}

// measure runs server and clients for the given time and fills in the rates.
func (a *Answers) measure(ctx context.Context, f *os.File, each time.Duration) error {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close() // nothing is lost with it
	s := answerServer{file: int(f.Fd()), bytes: a.Bytes}
	defer s.close()
	var clients []*net.TCPConn
	defer func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}()
	for range a.Connections {
		c, err := net.Dial("tcp4", ln.Addr().String())
		if err != nil {
			return err
		}
		clients = append(clients, c.(*net.TCPConn))
		if err := s.accept(ln); err != nil {
			return err
		}
	}
	served := make(chan error, 1)
	go func() { served <- s.run() }()
	ctx, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	var wg sync.WaitGroup
	var got atomic.Int64
	errs := make([]error, len(clients))
	start := time.Now()
	for i, c := range clients {
		wg.Go(func() {
			errs[i] = askAnswers(ctx, c, answerHeadBytes+a.Bytes, &got)
			_ = c.CloseWrite() // a client that has failed ends its side as well
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(append(errs, <-served)...); err != nil {
		return err
	}
	a.BytesPerSecond = float64(got.Load()) / elapsed.Seconds()
	a.CPUPerGB = s.cpu.Seconds() / (float64(got.Load()) / 1e9)
	return nil
}

// askAnswers asks and drops answers of n bytes, one after another, until ctx ends; one at the least, since a rate of
// none says nothing.
func askAnswers(ctx context.Context, c *net.TCPConn, n int, got *atomic.Int64) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	request, buf := make([]byte, answerRequestBytes), make([]byte, streamBlockBytes)
	for first := true; first || ctx.Err() == nil; first = false {
		if _, err := c.Write(request); err != nil {
			return err
		}
		if _, err := wire.Drop(raw, buf, n); err != nil {
			return err
		}
		got.Add(int64(n - answerHeadBytes))
	}
	return nil
}

// answerServer is one thread with an epoll set.
type answerServer struct {
	file, bytes int
	epoll       int
	conns       []*answerConn
	cpu         time.Duration // of the thread in run
}

// answerConn is a connection with at most one answer under way.
type answerConn struct {
	fd   int
	in   int   // bytes of the request read
	head int   // bytes of the head left
	off  int64 // of the file
	left int   // bytes of the file left
}

// accept takes the next connection over.
func (s *answerServer) accept(ln net.Listener) error {
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	file, err := c.(*net.TCPConn).File()
	if err = errors.Join(err, c.Close()); err != nil {
		return err
	}
	defer file.Close() // the copy below lives on
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var fd int
	if controlErr := raw.Control(func(p uintptr) { fd, err = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) }); controlErr != nil || err != nil {
		return errors.Join(controlErr, err)
	}
	s.conns = append(s.conns, &answerConn{fd: fd, off: int64(len(s.conns)) << 20 % fileBytes})
	return unix.SetNonblock(fd, true)
}

func (s *answerServer) close() {
	for _, c := range s.conns {
		_ = unix.Close(c.fd)
	}
}

// run serves until every client has ended its side.
func (s *answerServer) run() (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := threadTime()
	if err != nil {
		return err
	}
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll_create1: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(s.epoll)) }()
	for i, c := range s.conns {
		ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | 1<<31, Fd: int32(i)}
		if err := unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, c.fd, &ev); err != nil {
			return fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	events := make([]unix.EpollEvent, 64)
	for open := len(s.conns); open > 0; {
		n, err := unix.EpollWait(s.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, ev := range events[:max(n, 0)] {
			ended, err := s.serve(s.conns[ev.Fd])
			if err != nil {
				return err
			}
			if ended {
				open--
			}
		}
	}
	after, err := threadTime()
	s.cpu = after - before
	return err
}

var answerHead [answerHeadBytes]byte

// serve reads and sends what the socket has and takes. ended is told once.
func (s *answerServer) serve(c *answerConn) (ended bool, err error) {
	var request [4 * answerRequestBytes]byte
	for {
		switch {
		case c.head > 0:
			n, err := unix.SendmsgN(c.fd, answerHead[:c.head], nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			if err != nil {
				return false, retry(err, "send")
			}
			c.head -= n
		case c.left > 0:
			n, err := unix.Sendfile(c.fd, s.file, &c.off, c.left)
			if err != nil {
				return false, retry(err, "sendfile")
			}
			c.left -= n
		default:
			n, err := unix.Read(c.fd, request[:])
			if err != nil {
				return false, retry(err, "read")
			}
			if n == 0 {
				return true, nil
			}
			if c.in += n; c.in >= answerRequestBytes {
				c.in -= answerRequestBytes
				c.head, c.left = answerHeadBytes, s.bytes
				if c.off+int64(c.left) > fileBytes {
					c.off = 0
				}
			}
		}
	}
}

// retry takes EAGAIN for no error: the next event goes on.
func retry(err error, call string) error {
	if err == unix.EAGAIN || err == unix.EINTR {
		return nil
	}
	return fmt.Errorf("%s: %w", call, err)
}

// threadTime is the processor time of the calling thread.
func threadTime() (time.Duration, error) {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &ru); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano()), nil
}
