package sendfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// pair is a connected non-blocking TCP socket and its peer on loopback.
func pair(t testing.TB) (server, peer int) {
	t.Helper()
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(l)
	if err := errors.Join(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(l, 1)); err != nil {
		t.Fatal(err)
	}
	addr, err := unix.Getsockname(l)
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(peer, addr); err != nil {
		t.Fatal(err)
	}
	if server, _, err = unix.Accept4(l, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(server); unix.Close(peer) })
	return server, peer
}

func tempFile(t testing.TB, n int) (*os.File, []byte) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "range")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*31 + i>>8)
	}
	if _, err := f.Write(p); err != nil {
		t.Fatal(err)
	}
	return f, p
}

func readN(t testing.TB, fd, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	for got := 0; got < n; {
		k, err := unix.Read(fd, p[got:])
		if err != nil || k == 0 {
			t.Fatalf("read %d of %d bytes, then %d, %v", got, n, k, err)
		}
		got += k
	}
	return p
}

func TestSendRange(t *testing.T) {
	f, data := tempFile(t, 100_000)
	s, peer := pair(t)
	for _, r := range []struct {
		off int64
		n   int
	}{{0, 1}, {0, 100_000}, {99_999, 1}, {4095, 8194}, {5, 0}} {
		n, err := Send(s, int(f.Fd()), r.off, r.n)
		if n != r.n || err != nil {
			t.Fatalf("%+v: %d, %v", r, n, err)
		}
		if got := readN(t, peer, n); !bytes.Equal(got, data[r.off:int(r.off)+r.n]) {
			t.Errorf("%+v: wrong bytes", r)
		}
	}
}

func TestSendToFullSocket(t *testing.T) {
	f, data := tempFile(t, 20<<20)
	s, peer := pair(t)
	sent := 0
	var got []byte
	for sent < len(data) {
		n, err := Send(s, int(f.Fd()), int64(sent), len(data)-sent)
		sent += n
		if err != nil && !errors.Is(err, ErrAgain) {
			t.Fatal(err)
		}
		if sent < len(data) && err == nil {
			t.Fatalf("%d bytes sent without an error", n)
		}
		got = append(got, readN(t, peer, sent-len(got))...)
	}
	if !bytes.Equal(got, data) {
		t.Error("wrong bytes")
	}
}

func TestSendPastTheEnd(t *testing.T) {
	f, _ := tempFile(t, 1000)
	s, _ := pair(t)
	if n, err := Send(s, int(f.Fd()), 900, 200); n != 100 || err != io.ErrUnexpectedEOF {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := Send(s, int(f.Fd()), 5000, 1); n != 0 || err != io.ErrUnexpectedEOF {
		t.Errorf("%d, %v", n, err)
	}
}

func TestSendErrors(t *testing.T) {
	f, _ := tempFile(t, 1000)
	s, peer := pair(t)
	if err := unix.Shutdown(s, unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	if n, err := Send(s, int(f.Fd()), 0, 10); n != 0 || !errors.Is(err, unix.EPIPE) {
		t.Errorf("after shutdown: %d, %v", n, err)
	}
	// A socket cannot be the input of sendfile.
	s2, _ := pair(t)
	if n, err := Send(s2, peer, 0, 10); n != 0 || !errors.Is(err, ErrUnsupported) && !errors.Is(err, unix.ESPIPE) {
		t.Errorf("from a socket: %d, %v", n, err)
	}
	ev, err := unix.Eventfd(1, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ev)
	if n, err := Send(s2, ev, 0, 10); n != 0 || err == nil {
		t.Errorf("from an eventfd: %d, %v", n, err)
	}
	if n, err := Send(s2, -1, 0, 10); n != 0 || !errors.Is(err, unix.EBADF) {
		t.Errorf("from no file: %d, %v", n, err)
	}
}
