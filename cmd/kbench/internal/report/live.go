package report

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// liveInterval is the time between two states of the live line.
const liveInterval = time.Second

// Live writes a line of progress that replaces itself. On anything that is no terminal it writes nothing.
type Live struct {
	out  io.Writer
	stop chan struct{}
	done sync.WaitGroup
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// StartLive calls state about once a second and shows what it returns on out until Stop. state gets the time since
// its last call and is called from one goroutine; it is not called at all when out is no terminal.
func StartLive(out *os.File, state func(since time.Duration) string) *Live {
	l := &Live{out: out, stop: make(chan struct{})}
	if !IsTerminal(out) {
		return l
	}
	l.done.Go(func() {
		tick := time.NewTicker(liveInterval)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-l.stop:
				l.print("\r\x1b[K")
				return
			case now := <-tick.C:
				l.print("\r\x1b[K" + state(now.Sub(last)))
				last = now
			}
		}
	})
	return l
}

// print drops errors: a terminal that went away must not end a measurement.
func (l *Live) print(s string) { _, _ = fmt.Fprint(l.out, s) }

// Stop clears the line and waits until nothing is written any more.
func (l *Live) Stop() {
	close(l.stop)
	l.done.Wait()
}
