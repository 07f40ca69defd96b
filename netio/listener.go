package netio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// acceptBackoff is how long a listener rests after accept has failed for lack
// of descriptors or memory.
const acceptBackoff = 100 * time.Millisecond

// A process that was killed while io_uring accepted for it keeps its port for
// some milliseconds more: the kernel tears the ring down, and lets go of the
// socket, after the process is gone. Who starts its successor at once must not
// be told that the port is in use; who really shares a port is told a little
// later.
const (
	bindPatience = time.Second
	bindRetry    = 2 * time.Millisecond
)

// listener is one listening socket. One loop accepts from it and hands the
// sockets out to the loop with the fewest connections: accepting is rare, every
// loop gets an equal share however the kernel wakes them, the limits are
// checked in one place, and, unlike with one SO_REUSEPORT socket per loop, a
// port that another process listens on is an error and stays ours once bound.
type listener struct {
	name string
	fd   int
	addr net.Addr
	loop *Loop

	// Owned by the loop's thread.
	index      int  // in loop.listeners, its name towards the kernel
	accepting  bool // the driver reports accepted sockets
	registered bool // known to epoll
	armed      bool // an accept of io_uring is under way
	queued     bool // epoll may have more to accept
	closing    bool
	resting    *Timer         // ends a rest
	held       *arrival       // waits to enter; nothing is accepted meanwhile
	lingering  map[int]*Timer // descriptors that will be closed
}

// bindListener opens a listening socket.
func bindListener(cfg *Config, network, addr, name string) (*listener, error) {
	tcp, err := net.ResolveTCPAddr(network, addr)
	if err != nil {
		return nil, fmt.Errorf("netio: listen on %s: %w", addr, err)
	}
	fd, err := bindSocket(cfg, network, tcp)
	for end := time.Now().Add(bindPatience); errors.Is(err, unix.EADDRINUSE) && time.Now().Before(end); {
		time.Sleep(bindRetry)
		fd, err = bindSocket(cfg, network, tcp)
	}
	if err != nil {
		return nil, fmt.Errorf("netio: listen on %s: %w", addr, err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("getsockname", err), unix.Close(fd))
	}
	return &listener{name: name, fd: fd, addr: net.TCPAddrFromAddrPort(addrPort(sa))}, nil
}

// bindSocket binds and listens. An unspecified address takes IPv6 and IPv4
// where the machine has IPv6, else IPv4.
func bindSocket(cfg *Config, network string, tcp *net.TCPAddr) (int, error) {
	ip, ok := netip.AddrFromSlice(tcp.IP)
	ip = ip.Unmap()
	if network == "tcp4" || ok && ip.Is4() && !(ip.IsUnspecified() && network == "tcp") {
		sa := &unix.SockaddrInet4{Port: tcp.Port}
		if ok {
			sa.Addr = ip.As4()
		}
		return listenOn(cfg, unix.AF_INET, sa, false)
	}
	sa := &unix.SockaddrInet6{Port: tcp.Port}
	if ok && ip.Is6() {
		sa.Addr = ip.As16()
		if tcp.Zone != "" {
			ifi, err := net.InterfaceByName(tcp.Zone)
			if err != nil {
				return -1, err
			}
			sa.ZoneId = uint32(ifi.Index)
		}
	}
	dual := network == "tcp" && (!ok || ip.IsUnspecified())
	fd, err := listenOn(cfg, unix.AF_INET6, sa, !dual)
	if dual && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
		return listenOn(cfg, unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port}, false)
	}
	return fd, err
}

// listenOn makes the socket. Accepted sockets inherit its options, so they need
// no call of their own.
func listenOn(cfg *Config, family int, sa unix.Sockaddr, v6only bool) (fd int, err error) {
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	type option struct{ level, name, value int }
	options := []option{
		// A restart may bind while connections of the last run linger. On
		// Linux this does not let two sockets listen on one port.
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	}
	if family == unix.AF_INET6 {
		only := 0
		if v6only {
			only = 1
		}
		options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only})
	}
	if cfg.SendBufferBytes > 0 {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_SNDBUF, cfg.SendBufferBytes})
	}
	if cfg.ReceiveBufferBytes > 0 {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_RCVBUF, cfg.ReceiveBufferBytes})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return -1, errors.Join(os.NewSyscallError("setsockopt", err), unix.Close(fd))
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return -1, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	if err := unix.Listen(fd, cfg.ListenBacklog); err != nil {
		return -1, errors.Join(os.NewSyscallError("listen", err), unix.Close(fd))
	}
	return fd, nil
}

// addListener begins to accept. Runs on the loop.
func (l *Loop) addListener(ln *listener) {
	ln.index = len(l.listeners)
	l.listeners = append(l.listeners, ln)
	if l.stopping || l.draining {
		l.closeListener(ln)
		return
	}
	ln.accepting = true
	l.drv.listen(ln)
}

func (l *Loop) closeListeners() {
	for _, ln := range append([]*listener(nil), l.listeners...) {
		if ln != nil {
			l.closeListener(ln)
		}
	}
}

func (l *Loop) closeListener(ln *listener) {
	if ln.closing {
		return
	}
	ln.closing = true
	l.turnAway(ln)
	l.drv.unlisten(ln)
}

// onUnlistened is the driver's word that the kernel has let go of a listener.
func (l *Loop) onUnlistened(ln *listener) {
	if err := unix.Close(ln.fd); err != nil {
		l.log.Error("closing a listener", "listener", ln.name, "err", err)
	}
	ln.fd = -1
	l.listeners[ln.index] = nil
	for _, o := range l.listeners {
		if o != nil {
			return
		}
	}
	l.listeners = nil
}

// onAccept takes what accept gave: a socket, or an error. After an error the
// driver waits to be told to listen again.
func (l *Loop) onAccept(ln *listener, fd int, err error) {
	switch {
	case err == nil && ln.closing:
		closeSocket(l, fd)
		return
	case err == nil:
		l.arrive(ln, fd)
		return
	case ln.closing:
		return
	}
	ln.accepting = false
	switch {
	case errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EINTR), errors.Is(err, unix.EPROTO):
		l.relisten(ln) // the client gave up first
	default:
		l.stats.acceptErrors.Add(1)
		l.srv.warn.log(l.log, l.now, "accept failed, pausing", "listener", ln.name, "err", err)
		ln.resting = l.After(acceptBackoff, func() {
			ln.resting = nil
			l.relisten(ln)
		})
	}
}

func (l *Loop) relisten(ln *listener) {
	if !ln.closing && !ln.accepting {
		ln.accepting = true
		l.drv.listen(ln)
	}
}
