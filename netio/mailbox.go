package netio

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// mailbox brings functions from any goroutine to the loop. Senders push under
// the mutex; the loop takes the whole list at once. The eventfd is written only
// by the sender that finds the loop asleep, so a busy loop costs its senders no
// system call and a burst costs one.
//
// The counter of the eventfd is never read: both back-ends watch it edge by
// edge, and at one write per sleep it cannot overflow.
//
// The list has no bound of its own: a sender holds a request, a warm-up or a
// connection while its function is queued, and those are bounded.
type mailbox struct {
	fd     int
	asleep atomic.Bool // set by the loop before it waits, cleared by who wakes it

	mu     sync.Mutex
	queue  []func() // guarded by mu
	closed bool     // guarded by mu; then functions are dropped

	spare []func() // the loop's: emptied list of the turn before
}

func newMailbox() (*mailbox, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("netio: eventfd: %w", err)
	}
	return &mailbox{fd: fd}, nil
}

// one is the value added to an eventfd, in the byte order of the machine as far
// as it matters: any value but zero wakes.
var one = [8]byte{1, 0, 0, 0, 0, 0, 0, 0}

// post queues f. It reports whether f was taken (false once closed) and whether
// this call had to wake the loop.
func (m *mailbox) post(f func()) (taken, woke bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false, false
	}
	m.queue = append(m.queue, f)
	if !m.asleep.CompareAndSwap(true, false) {
		return true, false
	}
	for {
		_, err := unix.Write(m.fd, one[:])
		if err == nil {
			return true, true
		}
		if err != unix.EINTR {
			panic(fmt.Sprintf("netio: write to eventfd %d: %v", m.fd, err))
		}
	}
}

// run calls everything that was queued when it began. Loop thread only.
func (m *mailbox) run() {
	m.mu.Lock()
	list := m.queue
	m.queue = m.spare
	m.mu.Unlock()
	for i, f := range list {
		list[i] = nil
		f()
	}
	m.spare = list[:0]
}

// sleep announces that the loop is about to wait and reports whether it may:
// false when something was queued meanwhile.
func (m *mailbox) sleep() bool {
	m.asleep.Store(true)
	m.mu.Lock()
	empty := len(m.queue) == 0
	m.mu.Unlock()
	if !empty {
		m.asleep.Store(false)
	}
	return empty
}

// seal takes nothing more, unless something is queued: what was taken runs.
func (m *mailbox) seal() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = m.closed || len(m.queue) == 0
	return m.closed
}

// close drops what comes later and closes the eventfd.
func (m *mailbox) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.queue = nil
	return unix.Close(m.fd)
}
