package wire

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// Drop receives n bytes of a TCP connection and drops them inside the kernel: recv(2) with MSG_TRUNC on a TCP socket
// discards instead of copying (tcp(7), since Linux 2.4). buf only bounds one call; nothing is written to it. It
// returns how many bytes were dropped, which is less than n only with an error (io.ErrUnexpectedEOF when the peer
// closed).
func Drop(raw syscall.RawConn, buf []byte, n int) (dropped int, err error) {
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		for dropped < n {
			m, _, err := unix.Recvfrom(int(fd), buf[:min(n-dropped, len(buf))], unix.MSG_TRUNC|unix.MSG_DONTWAIT)
			switch {
			case err == unix.EINTR:
				continue
			case err == unix.EAGAIN:
				return false
			case err != nil:
				failed = fmt.Errorf("recv: %w", err)
				return true
			case m == 0:
				failed = io.ErrUnexpectedEOF
				return true
			}
			dropped += m
		}
		return true
	})
	return dropped, errors.Join(failed, err)
}
