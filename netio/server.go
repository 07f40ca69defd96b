package netio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Server owns the listeners and the loops. Its methods may be called from any
// goroutine but a loop's.
//
// The process should run with GOMAXPROCS >= 2 (the caller sees to it): a loop
// that sleeps in the kernel keeps its P until the scheduler notices.
type Server struct {
	cfg     Config
	handler Handler
	loops   []*Loop
	budget  inputBudget
	nextID  atomic.Uint64
	warn    throttle

	doorMu sync.Mutex  // held for every call of cfg.Admission
	full   []*listener // guarded by doorMu; wait for a place

	mu        sync.Mutex
	state     serverState // guarded by mu
	backend   Backend     // guarded by mu
	reason    string      // guarded by mu
	listeners []*listener // guarded by mu; a copy, the loops own them once started
}

type serverState uint8

const (
	serverNew serverState = iota
	serverStarted
	serverClosed
)

// New makes a server that calls h. cfg is completed with defaults and checked;
// the back-end is chosen here, by trying it. Close must be called even if Start
// never is.
func New(cfg Config, h Handler) (*Server, error) {
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, handler: h}
	s.budget.limit = cfg.InputBudgetBytes
	var err error
	if s.backend, s.reason, err = chooseBackend(cfg.Backend); err != nil {
		return nil, err
	}
	for i := range cfg.Loops {
		l, err := newLoop(s, i)
		if err != nil {
			return nil, errors.Join(err, s.closeMailboxes())
		}
		s.loops = append(s.loops, l)
	}
	return s, nil
}

// chooseBackend resolves auto and says why.
func chooseBackend(want Backend) (Backend, string, error) {
	if want == BackendEpoll {
		return BackendEpoll, "forced by configuration", nil
	}
	err := uringUsable()
	switch {
	case err == nil && want == BackendUring:
		return BackendUring, "forced by configuration", nil
	case err == nil:
		return BackendUring, "available", nil
	case want == BackendUring:
		return "", "", fmt.Errorf("netio: io_uring is not available: %w", err)
	}
	return BackendEpoll, "io_uring is not available: " + err.Error(), nil
}

// Listen binds addr ("host:port"; ":0" picks a port) on network "tcp", "tcp4"
// or "tcp6" and returns the bound address. Connections carry name. A port that
// another socket listens on is an error that is unix.EADDRINUSE. Listen comes
// before Start; the kernel queues connections from here on.
func (s *Server) Listen(network, addr, name string) (net.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serverNew {
		return nil, fmt.Errorf("netio: listen on %s: %w", addr, errNotNew(s.state))
	}
	ln, err := bindListener(&s.cfg, network, addr, name)
	if err != nil {
		return nil, err
	}
	ln.loop = s.loops[len(s.listeners)%len(s.loops)]
	s.listeners = append(s.listeners, ln)
	return ln.addr, nil
}

var errStarted = errors.New("netio: server already started")

func errNotNew(st serverState) error {
	if st == serverClosed {
		return ErrServerClosed
	}
	return errStarted
}

// Start starts the loops and begins to accept. When the chosen io_uring cannot
// be set up after all (memory, descriptors) and the configuration says auto, it
// goes on with epoll.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serverNew {
		return fmt.Errorf("netio: start: %w", errNotNew(s.state))
	}
	err := s.startLoops()
	if err != nil && s.backend == BackendUring && s.cfg.Backend == BackendAuto {
		s.backend, s.reason = BackendEpoll, "io_uring failed to start: "+err.Error()
		err = s.startLoops()
	}
	if err != nil {
		return err
	}
	s.state = serverStarted
	for _, ln := range s.listeners {
		ln.loop.Post(func() { ln.loop.addListener(ln) })
	}
	s.cfg.Logger.Info("event loops started", "backend", s.backend, "reason", s.reason, "loops", len(s.loops))
	return nil
}

// startLoops starts every loop, or none.
func (s *Server) startLoops() error {
	opened, proceed := make(chan error, len(s.loops)), make(chan bool, len(s.loops))
	for _, l := range s.loops {
		l.done = make(chan struct{})
		go l.run(s.backend, opened, proceed)
	}
	var errs []error
	for range s.loops {
		if err := <-opened; err != nil {
			errs = append(errs, err)
		}
	}
	for range len(s.loops) - len(errs) {
		proceed <- errs == nil
	}
	if errs == nil {
		return nil
	}
	for _, l := range s.loops {
		<-l.done
	}
	return fmt.Errorf("netio: starting %d of %d loops on %s: %w", len(errs), len(s.loops), s.backend, errs[0])
}

// Backend is the back-end in use and why it was chosen.
func (s *Server) Backend() (backend Backend, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backend, s.reason
}

// Loops returns the event loops. They exist from New on and must not be changed.
func (s *Server) Loops() []*Loop { return s.loops }

// Drain stops accepting, delivers no further frame, lets every request that was
// delivered be answered and sent, closes each connection as it becomes quiet,
// and returns when none is left, or with ctx's error when that comes first.
// Call Close afterwards.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	if s.state != serverStarted {
		s.mu.Unlock()
		return nil
	}
	for _, l := range s.loops {
		l.Post(l.drain)
	}
	s.mu.Unlock()
	for _, l := range s.loops {
		select {
		case <-l.quiet:
		case <-l.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close closes listeners and connections at once, waits for the loops to end
// and releases everything. Unanswered requests may still be answered before
// their connection's Closed returns; functions posted later are dropped. It
// must not be called on a loop.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case serverClosed:
		return nil
	case serverStarted:
		for _, l := range s.loops {
			l.Post(func() { l.stop(ErrServerClosed) })
		}
		for _, l := range s.loops {
			<-l.done
		}
		s.state = serverClosed
		var errs []error
		for _, l := range s.loops {
			errs = append(errs, l.failed)
		}
		return errors.Join(errs...)
	}
	s.state = serverClosed
	var errs []error
	for _, ln := range s.listeners {
		errs = append(errs, unix.Close(ln.fd))
	}
	return errors.Join(append(errs, s.closeMailboxes())...)
}

func (s *Server) closeMailboxes() error {
	var errs []error
	for _, l := range s.loops {
		errs = append(errs, l.mail.close())
	}
	return errors.Join(errs...)
}

// leastLoaded is the loop with the fewest connections, l when it is one of
// them: handing over costs a wake-up.
func (s *Server) leastLoaded(l *Loop) *Loop {
	best, n := l, l.open.Load()
	for _, o := range s.loops {
		if k := o.open.Load(); k < n && !o.lost.Load() {
			best, n = o, k
		}
	}
	return best
}
