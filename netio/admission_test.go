package netio

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// door is an Admission of functions, with a count of what it was asked.
type door struct {
	rest  func(listener string) time.Duration
	enter func(listener string, open int) (Entrance, time.Duration)

	mu                    sync.Mutex
	arrived, entered, all int // all: calls of Enter
}

func (d *door) Arrive(listener string, _ time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arrived++
	if d.rest == nil {
		return 0
	}
	return d.rest(listener)
}

func (d *door) Enter(listener string, _ netip.Addr, _ time.Time) (Entrance, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all++
	e, wait := d.enter(listener, d.entered)
	if e == Entered || e == EnteredOver {
		d.entered++
	}
	return e, wait
}

func (d *door) Leave(string, netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entered--
}

func (d *door) counts() (arrived, entered int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.arrived, d.entered
}

// Connections above the limit wait, one as a socket and the others in the backlog,
// and come in as others leave or the limit is raised.
func TestFullListenerWaits(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		most := 2 // guarded by d.mu
		d := &door{}
		d.enter = func(_ string, open int) (Entrance, time.Duration) {
			if open >= most {
				return Full, 0
			}
			return Entered, 0
		}
		s := serve(t, b, Config{Admission: d, Loops: 2}, &testHandler{})
		var clients []*client
		for range 6 {
			c := s.dial()
			c.send([]byte("x"))
			clients = append(clients, c)
		}
		clients[0].expect([]byte("x"))
		clients[1].expect([]byte("x"))
		eventually(t, "the listener waits", func() bool { return s.Stats().AcceptsFull > 0 })
		if arrived, entered := d.counts(); arrived != 3 || entered != 2 {
			t.Errorf("%d arrived, %d entered", arrived, entered)
		}
		clients[0].Close()
		clients[2].expect([]byte("x"))
		eventually(t, "the listener waits again", func() bool { arrived, _ := d.counts(); return arrived == 4 })
		d.mu.Lock()
		most = 4
		d.mu.Unlock()
		s.Readmit()
		clients[3].expect([]byte("x"))
		clients[4].expect([]byte("x"))
		if _, entered := d.counts(); entered != 4 {
			t.Errorf("%d entered", entered)
		}
		// The server closes with a socket that waits.
		eventually(t, "the last waits", func() bool { arrived, _ := d.counts(); return arrived == 6 })
	})
}

// A connection that came too fast comes in after the rest, and arrives once.
func TestListenerRests(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const rest = 50 * time.Millisecond
		d := &door{enter: func(string, int) (Entrance, time.Duration) { return Entered, 0 }}
		n := 0
		d.rest = func(string) time.Duration {
			if n++; n == 2 {
				return rest
			}
			return 0
		}
		s := serve(t, b, Config{Admission: d}, &testHandler{})
		first := s.dial()
		first.send([]byte("x"))
		first.expect([]byte("x"))
		start := time.Now()
		for range 3 {
			c := s.dial()
			c.send([]byte("x"))
			c.expect([]byte("x"))
		}
		if took := time.Since(start); took < rest {
			t.Errorf("came in after %v", took)
		}
		if arrived, entered := d.counts(); arrived != 4 || entered != 4 || d.all != 4 || s.Stats().AcceptRests != 1 {
			t.Errorf("%d arrived, %d entered, %d asked, %d rests", arrived, entered, d.all, s.Stats().AcceptRests)
		}
	})
}

// Refused sockets are closed, at once or after a while, and a closing server does
// not wait for those.
func TestRefusedSockets(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const while = 50 * time.Millisecond
		answers := []struct {
			e    Entrance
			wait time.Duration
		}{{TooMany, 0}, {TooFast, while}, {Entered, 0}, {TooFast, time.Hour}}
		d := &door{}
		d.enter = func(string, int) (Entrance, time.Duration) {
			a := answers[0]
			answers = answers[1:]
			return a.e, a.wait
		}
		s := serve(t, b, Config{Admission: d}, &testHandler{})
		s.dial().expectEnd()
		start := time.Now()
		s.dial().expectEnd()
		if took := time.Since(start); took < while {
			t.Errorf("closed after %v", took)
		}
		c := s.dial()
		c.send([]byte("x"))
		c.expect([]byte("x"))
		s.dial()
		eventually(t, "the last is refused", func() bool { return s.Stats().RejectedRate == 2 })
		if st := s.Stats(); st.RejectedPerIP != 1 || st.Connections != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// A connection that enters above the limit costs another listener the one that is
// silent longest.
func TestCrowdedOut(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		ends := make(chan error, 8)
		d := &door{}
		d.enter = func(listener string, open int) (Entrance, time.Duration) {
			if listener == "admin" && open >= 2 {
				return EnteredOver, 0
			}
			return Entered, 0
		}
		s := serve(t, b, Config{Admission: d}, &testHandler{closed: func(_ *Conn, err error) { ends <- err }}, "admin")
		admin := *s
		admin.addr = s.more["admin"]
		echoed := func(c *client) *client {
			c.send([]byte("x"))
			c.expect([]byte("x"))
			return c
		}
		silent := echoed(s.dial())
		busy := echoed(s.dial())
		for range 2 {
			echoed(admin.dial())
			if err := wait(t, ends); !errors.Is(err, ErrCrowdedOut) {
				t.Errorf("closed with %v", err)
			}
			if silent != nil {
				silent.expectEnd()
				echoed(busy)
				silent = nil
			}
		}
		busy.expectEnd()
		// There is nobody else to close.
		third := echoed(admin.dial())
		echoed(third)
		if n := s.Stats().CrowdedOut; n != 2 {
			t.Errorf("%d crowded out", n)
		}
	})
}
