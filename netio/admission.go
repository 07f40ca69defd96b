package netio

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Admission decides which accepted sockets become connections. The server calls
// one method at a time, on any loop, and none may block.
//
//	accept --Arrive--> rest --Enter--> Entered: a connection, until Leave
//	                    ^        |---> Full: the listener waits for a Leave
//	                    +--------+---> TooMany, TooFast: closed
type Admission interface {
	// Arrive is told of each accepted socket and returns how long its listener
	// rests, accepting nothing, before the socket may enter.
	Arrive(listener string, now time.Time) (rest time.Duration)
	// Enter takes a place for a socket that arrived, or says why not. wait is for
	// TooFast: how long the socket is kept before it is closed.
	Enter(listener string, from netip.Addr, now time.Time) (e Entrance, wait time.Duration)
	// Leave gives back the place of a connection that had entered.
	Leave(listener string, from netip.Addr)
}

// Entrance is what becomes of a socket.
type Entrance uint8

const (
	// Entered makes it a connection.
	Entered Entrance = iota
	// EnteredOver makes it one too; the connection of another listener that is
	// silent longest is closed for it.
	EnteredOver
	// Full has it wait, and its listener with it, until a connection has left or
	// Server.Readmit is called.
	Full
	// TooMany closes it: too many connections of its address are open.
	TooMany
	// TooFast closes it after a while: connections of its address come too fast,
	// and would come again at once.
	TooFast
)

// ErrCrowdedOut closes a connection in favour of one of another listener.
var ErrCrowdedOut = errors.New("netio: too many connections, another listener needs the place")

// maxLingering bounds the sockets of a listener that are kept before they are
// closed; one more is closed at once.
const maxLingering = 256

// everybody admits all.
type everybody struct{}

func (everybody) Arrive(string, time.Time) time.Duration { return 0 }
func (everybody) Enter(string, netip.Addr, time.Time) (Entrance, time.Duration) {
	return Entered, 0
}
func (everybody) Leave(string, netip.Addr) {}

// arrival is an accepted socket that has not entered yet.
type arrival struct {
	fd            int
	remote, local netip.AddrPort
}

// arrive takes an accepted socket.
func (l *Loop) arrive(ln *listener, fd int) {
	defer l.stats.accepted.Add(1)
	remote, local, err := addrsOf(fd)
	if err != nil {
		closeSocket(l, fd) // already reset
		return
	}
	a := arrival{fd, remote, local}
	rest := l.srv.arrive(ln)
	if rest <= 0 {
		l.enter(ln, a)
		return
	}
	l.stats.acceptRests.Add(1)
	l.srv.warn.log(l.log, l.now, "connections come too fast, accepting rests", "listener", ln.name, "rest", rest)
	l.hold(ln, a)
	ln.resting = l.After(rest, func() {
		ln.resting = nil
		l.readmit(ln)
	})
}

// hold has the listener accept nothing before a has entered: what waits besides a
// does so in the kernel's backlog.
func (l *Loop) hold(ln *listener, a arrival) {
	ln.accepting = false
	ln.held = &a
}

// readmit lets the socket that the listener holds try again.
func (l *Loop) readmit(ln *listener) {
	if ln.held == nil || ln.resting != nil || ln.closing {
		return
	}
	a := *ln.held
	ln.held = nil
	l.enter(ln, a)
	if ln.held == nil {
		l.relisten(ln)
	}
}

// enter asks for a place and hands the socket to the loop that will serve it.
func (l *Loop) enter(ln *listener, a arrival) {
	s := l.srv
	e, wait := s.enter(ln, a.remote.Addr(), l.now)
	switch e {
	case Full:
		l.stats.acceptsFull.Add(1)
		s.warn.log(l.log, l.now, "too many connections, new ones wait", "listener", ln.name)
		l.hold(ln, a)
		return
	case TooMany:
		l.stats.rejectedPerIP.Add(1)
		s.warn.log(l.log, l.now, "too many connections of one address, closing a new one", "remote", a.remote)
		closeSocket(l, a.fd)
		return
	case TooFast:
		l.stats.rejectedRate.Add(1)
		s.warn.log(l.log, l.now, "connections of one address come too fast, closing a new one", "remote", a.remote, "after", wait)
		l.linger(ln, a.fd, wait)
		return
	case EnteredOver:
		s.makeRoom(ln, 0)
	}
	to := s.leastLoaded(l)
	to.open.Add(1)
	if to == l {
		l.adopt(ln, a.fd, a.remote, a.local)
		return
	}
	if !to.post(func() { to.adopt(ln, a.fd, a.remote, a.local) }) {
		to.open.Add(-1)
		s.leave(ln, a.remote.Addr())
		closeSocket(l, a.fd)
	}
}

// linger closes a socket after a while, if there is room to keep it.
func (l *Loop) linger(ln *listener, fd int, wait time.Duration) {
	if len(ln.lingering) >= maxLingering {
		closeSocket(l, fd)
		return
	}
	if ln.lingering == nil {
		ln.lingering = make(map[int]*Timer)
	}
	ln.lingering[fd] = l.After(wait, func() {
		delete(ln.lingering, fd)
		closeSocket(l, fd)
	})
}

// turnAway closes the sockets of a closing listener that have not entered.
func (l *Loop) turnAway(ln *listener) {
	if ln.resting != nil {
		ln.resting.Stop()
	}
	if ln.held != nil {
		closeSocket(l, ln.held.fd)
		ln.held = nil
	}
	for fd, timer := range ln.lingering {
		timer.Stop()
		closeSocket(l, fd)
	}
	ln.lingering = nil
}

func closeSocket(l *Loop, fd int) {
	if err := unix.Close(fd); err != nil {
		l.log.Error("closing a socket", "err", err)
	}
}

func (s *Server) arrive(ln *listener) time.Duration {
	s.doorMu.Lock()
	defer s.doorMu.Unlock()
	return s.cfg.Admission.Arrive(ln.name, ln.loop.now)
}

// enter asks for a place; a listener that is told Full is woken when there may be
// one.
func (s *Server) enter(ln *listener, from netip.Addr, now time.Time) (Entrance, time.Duration) {
	s.doorMu.Lock()
	defer s.doorMu.Unlock()
	e, wait := s.cfg.Admission.Enter(ln.name, from, now)
	if e == Full {
		s.full = append(s.full, ln)
	}
	return e, wait
}

// leave gives a place back. Any goroutine may call it.
func (s *Server) leave(ln *listener, from netip.Addr) {
	s.doorMu.Lock()
	s.cfg.Admission.Leave(ln.name, from)
	s.doorMu.Unlock()
	s.Readmit()
}

// Readmit lets the listeners that wait for a place try again. Call it when the
// Admission has become more generous. Any goroutine may call it.
func (s *Server) Readmit() {
	s.doorMu.Lock()
	full := s.full
	s.full = nil // each comes back when there is still no place for it
	s.doorMu.Unlock()
	for _, ln := range full {
		ln.loop.Post(func() { ln.loop.readmit(ln) })
	}
}

// makeRoom closes one connection of another listener than ln: the one that is
// silent longest on the first loop, from the i-th on, that has any.
func (s *Server) makeRoom(ln *listener, i int) {
	if i == len(s.loops) {
		return
	}
	l := s.loops[i]
	l.Post(func() {
		for c := l.idle.head; c != nil; c = c.links[listIdle].next {
			if c.ln != ln && c.state == connOpen {
				l.stats.crowdedOut.Add(1)
				c.Close(ErrCrowdedOut)
				return
			}
		}
		s.makeRoom(ln, i+1)
	})
}
