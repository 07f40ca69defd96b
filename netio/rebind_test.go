package netio

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"
)

// rebindEnv makes the test binary serve on the named back-end until it is
// killed.
const rebindEnv = "NETIO_TEST_SERVE_UNTIL_KILLED"

func serveUntilKilled(b Backend) error {
	s, err := New(Config{Backend: b, Loops: 1}, &testHandler{})
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
	fmt.Println(a)
	select {}
}

// A server that is killed, with an accept of io_uring under way, leaves its
// port to one that starts at once.
func TestRebindAfterKill(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		for range 5 {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
			cmd.Env = append(os.Environ(), rebindEnv+"="+string(b))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatalf("the child said nothing: %v", errors.Join(err, cmd.Wait()))
			}
			addr, err := netip.ParseAddrPort(line[:len(line)-1])
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Fatal("the child was not killed")
			}
			s, err := New(Config{Backend: b, Loops: 1}, &testHandler{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Listen("tcp", addr.String(), "x"); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
