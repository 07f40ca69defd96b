package netio

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// errAgain says that a socket takes no more bytes, or has none.
var errAgain = errors.New("netio: would block")

// sendNow sends from memory without waiting. Interrupted calls are repeated.
func sendNow(fd int, p []byte, flags int) (int, error) {
	for {
		n, err := unix.SendmsgN(fd, p, nil, nil, flags|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errAgain
		default:
			return 0, err
		}
	}
}

// readNow reads without waiting: errAgain when there is nothing, 0 at the end.
func readNow(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Read(fd, p)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errAgain
		default:
			return 0, err
		}
	}
}

// addrPort converts a kernel address; IPv4 inside IPv6 becomes IPv4.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// addrsOf returns the two ends of a connected socket.
func addrsOf(fd int) (remote, local netip.AddrPort, err error) {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return remote, local, err
	}
	remote = addrPort(sa)
	if sa, err = unix.Getsockname(fd); err != nil {
		return remote, local, err
	}
	return remote, addrPort(sa), nil
}
