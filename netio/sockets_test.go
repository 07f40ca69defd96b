package netio

import (
	"syscall"

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
