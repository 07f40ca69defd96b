package netio

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kserver/netio/uring/uringtest"
)

// childEnv makes the test binary run childMain with an errno.
const childEnv = "NETIO_TEST_DENY_IO_URING"

// childMain is the test binary started by TestFallback, where it forbids
// io_uring to itself, as container runtimes do, and serves all the same, and by
// TestRebindAfterKill.
func childMain() (code int, ok bool) {
	if b := os.Getenv(rebindEnv); b != "" {
		fmt.Println(serveUntilKilled(Backend(b)))
		return 1, true
	}
	v := os.Getenv(childEnv)
	if v == "" {
		return 0, false
	}
	errno, err := strconv.Atoi(v)
	if err == nil {
		err = uringtest.Deny(unix.Errno(errno))
	}
	if err == nil {
		err = serveDenied(unix.Errno(errno))
	}
	if err != nil {
		fmt.Println(err)
		return 1, true
	}
	return 0, true
}

func serveDenied(errno unix.Errno) error {
	if _, err := New(Config{Backend: BackendUring}, &testHandler{}); !errors.Is(err, errno) {
		return fmt.Errorf("forced io_uring: error %v, want %v", err, errno)
	}
	s, err := New(Config{Backend: BackendAuto, Loops: 2}, &testHandler{})
	if err != nil {
		return err
	}
	a, err := s.Listen("tcp", "127.0.0.1:0", "x")
	if err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	b, reason := s.Backend()
	fmt.Println(b, reason)
	if b != BackendEpoll || !strings.Contains(reason, errno.Error()) {
		return fmt.Errorf("back-end %v, reason %q", b, reason)
	}
	if err := echoOnce(a.String()); err != nil {
		return err
	}
	return s.Close()
}

// Where io_uring is forbidden, auto serves on epoll and says why.
func TestFallback(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSYS} {
		t.Run(unix.ErrnoName(errno), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", childEnv, int(errno)))
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
