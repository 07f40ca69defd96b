package netio

import (
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

type reusePorter = syscall.RawConn

// reusePort makes a test's own listener one that would share its port.
func reusePort(c reusePorter) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return err
}

func mustPort(t testing.TB, addr string) int {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return int(a.Port())
}

// rawClient connects with a blocking socket that the Go poller knows nothing of.
func rawClient(t testing.TB, addr string) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: mustPort(t, addr)}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// rawExchange sends whole frames and reads as many bytes back.
func rawExchange(t testing.TB, fd int, p []byte) {
	if _, err := unix.Write(fd, p); err != nil {
		t.Fatal(err)
	}
	back := make([]byte, len(p))
	for got := 0; got < len(back); {
		n, err := unix.Read(fd, back[got:])
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		got += n
	}
}
