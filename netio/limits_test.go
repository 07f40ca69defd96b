package netio

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kserver/internal/heaptest"
)

func TestIdleTimeout(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const limit = 50 * time.Millisecond
		type end struct {
			err error
			id  uint64
		}
		ends := make(chan end, 3)
		held := make(chan *Request, 1)
		s := serve(t, b, Config{IdleTimeout: limit}, &testHandler{
			closed: func(c *Conn, err error) { ends <- end{err, c.ID()} },
			request: func(r *Request) {
				if string(r.Frame()) == "hold" {
					r.Keep()
					held <- r
					return
				}
				echo(r)
			},
		})
		start := time.Now()
		busy, quiet := s.dial(), s.dial()
		busy.send([]byte("hold"))
		r := wait(t, held)
		quiet.expectEnd()
		if took := time.Since(start); took < limit {
			t.Errorf("closed after %v", took)
		}
		if e := wait(t, ends); !errors.Is(e.err, ErrIdle) || e.id == r.Conn().ID() {
			t.Errorf("closed with %v", e.err)
		}
		// A connection that waits for its answer is not idle; afterwards it is.
		onLoop(t, s.loops[0], func() { echo(r) })
		busy.expect([]byte("hold"))
		busy.expectEnd()
		if e := wait(t, ends); !errors.Is(e.err, ErrIdle) {
			t.Errorf("closed with %v", e.err)
		}
	})
}

// Incomplete frames of stalled senders fill the budget; small requests are
// served meanwhile, and the stalled ones are closed so that others go on.
func TestInputBudget(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const frameBytes = 1 << 20
		s := serve(t, b, Config{InputBudgetBytes: 2 << 20, InputStallTimeout: 100 * time.Millisecond, Loops: 2}, &testHandler{})
		var stalled []*client
		for range 4 {
			c := s.dial()
			if _, err := c.Write(frame(make([]byte, frameBytes))[:frameBytes-100]); err != nil {
				t.Fatal(err)
			}
			stalled = append(stalled, c)
		}
		eventually(t, "the budget is spent", func() bool { return s.Stats().BudgetPauses > 0 })
		small := s.dial()
		small.send([]byte("small"))
		small.expect([]byte("small"))
		var wg sync.WaitGroup
		for k := range 8 {
			c := s.dial()
			wg.Go(func() {
				p := pattern(k, frameBytes)
				go c.Write(frame(p))
				if got, err := readFrame(c); err != nil || !slices.Equal(got, p) {
					t.Errorf("client %d: %v", k, err)
				}
			})
		}
		wg.Wait()
		st := s.Stats()
		if st.BudgetPauses == 0 || st.StallClosed == 0 {
			t.Errorf("%d pauses, %d closed", st.BudgetPauses, st.StallClosed)
		}
		for _, c := range stalled {
			c.Close()
		}
		eventually(t, "the budget is free", func() bool { return s.budget.used.Load() == 0 })
	})
}

// Without a stalled sender everybody gets through a budget smaller than any
// frame, one after another.
func TestInputBudgetSmallerThanFrames(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{InputBudgetBytes: 1000}, &testHandler{request: func(r *Request) {
			l := r.Conn().Loop()
			r.Keep()
			go l.Post(func() { echo(r) })
		}})
		var wg sync.WaitGroup
		for k := range 20 {
			c := s.dial()
			wg.Go(func() {
				for i := range 5 {
					p := pattern(k, 100_000+i)
					go c.Write(frame(p))
					if got, err := readFrame(c); err != nil || !slices.Equal(got, p) {
						t.Errorf("client %d: %v", k, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// A declared length reserves nothing.
func TestDeclaredLengthCostsNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{}, &testHandler{})
		const n = 50
		for range n {
			if _, err := s.dial().Write([]byte{0x06, 0x00, 0x00, 0x00, 'x'}); err != nil { // 96 MiB
				t.Fatal(err)
			}
		}
		eventually(t, "all have arrived", func() bool { return s.Stats().BytesReceived == 5*n })
		if used := s.budget.used.Load(); used > n*minBlockBytes {
			t.Errorf("%d bytes charged for %d received", used, 5*n)
		}
	})
}

// A client that pipelines without reading is not read further than the bounds.
func TestPendingRequestsStopReading(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		var waiting []*Request
		s := serve(t, b, Config{MaxPendingRequests: 3, ReceiveBufferBytes: 64 << 10}, &testHandler{request: func(r *Request) {
			r.Keep()
			waiting = append(waiting, r)
		}})
		c := s.dial()
		const n, size = 1000, 8 << 10
		sent := make(chan error, 1)
		go func() {
			for i := range n {
				if _, err := c.Write(frame(pattern(i, size))); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		eventually(t, "reading stopped", func() bool { return s.Stats().ReadPauses > 0 })
		onLoop(t, s.loops[0], func() {
			if len(waiting) != 3 {
				t.Errorf("%d requests delivered", len(waiting))
			}
		})
		if st := s.Stats(); st.BytesReceived > readAheadBytes+int64(defaultRingCount*defaultRingBytes)+3*size {
			t.Errorf("%d bytes read", st.BytesReceived)
		}
		for i := range n {
			eventually(t, "a request", func() (ok bool) {
				onLoop(t, s.loops[0], func() {
					if ok = len(waiting) > 0; ok {
						echo(waiting[0])
						waiting = waiting[1:]
					}
				})
				return ok
			})
			c.expect(pattern(i, size))
		}
		if err := wait(t, sent); err != nil {
			t.Error(err)
		}
	})
}

// When accept fails for lack of descriptors the listener rests and goes on.
func TestAcceptOutOfDescriptors(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		// io_uring takes the limit as it is when the accept is armed.
		var old unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
		low := old
		low.Cur = 200
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
			t.Fatal(err)
		}
		restore := sync.OnceValue(func() error { return unix.Setrlimit(unix.RLIMIT_NOFILE, &old) })
		defer restore()
		s := serve(t, b, Config{}, &testHandler{})
		c := s.dial() // opens what the test's own poller needs
		c.send([]byte("x"))
		c.expect([]byte("x"))
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		var fill []int // every descriptor below the limit
		for k, err := unix.Dup(fd); err == nil; k, err = unix.Dup(fd) {
			fill = append(fill, k)
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: mustPort(t, s.addr)})
		eventually(t, "accept failed", func() bool { return s.Stats().AcceptErrors > 0 })
		for _, k := range fill {
			unix.Close(k)
		}
		if err := errors.Join(err, restore()); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, frame([]byte("late"))); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is served", func() bool { return s.Stats().Frames == 2 })
		if n := s.Stats().AcceptErrors; n > 3 {
			t.Errorf("%d failed accepts: no pause between them", n)
		}
	})
}

func TestPostFromManyGoroutines(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{}, &testHandler{})
		l := s.loops[0]
		const senders, each = 8, 5000
		next := make([]int, senders) // the loop's
		var ran atomic.Int64
		var wg sync.WaitGroup
		for k := range senders {
			wg.Go(func() {
				for i := range each {
					l.Post(func() {
						if next[k] != i {
							t.Errorf("sender %d: function %d ran, want %d", k, i, next[k])
						}
						next[k] = i + 1
						ran.Add(1)
					})
				}
			})
		}
		wg.Wait()
		eventually(t, "all have run", func() bool { return ran.Load() == senders*each })
		onLoop(t, l, func() {})
		if st := s.Stats(); st.Wakeups > st.Turns {
			t.Errorf("%d wake-ups in %d turns", st.Wakeups, st.Turns)
		}
	})
}

func TestTimers(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{}, &testHandler{})
		l := s.loops[0]
		var order []string
		done := make(chan time.Duration)
		onLoop(t, l, func() {
			start := l.Now()
			add := func(name string, d time.Duration) *Timer {
				return l.After(d, func() { order = append(order, name) })
			}
			add("c", 30*time.Millisecond)
			add("a", 5*time.Millisecond)
			no := add("never", 10*time.Millisecond)
			add("b", 20*time.Millisecond)
			if !no.Stop() || no.Stop() {
				t.Error("Stop of a pending timer")
			}
			var again func()
			n := 0
			again = func() {
				if n++; n < 3 {
					l.After(0, again)
				}
				order = append(order, "0")
			}
			l.After(-1, again)
			var last *Timer
			last = l.After(40*time.Millisecond, func() {
				if last.Stop() {
					t.Error("Stop inside the timer's own function")
				}
				done <- l.Now().Sub(start)
			})
		})
		if took := wait(t, done); took < 40*time.Millisecond {
			t.Errorf("40 ms took %v", took)
		}
		got := strings.Join(order, "")
		if strings.ReplaceAll(got, "0", "") != "abc" || strings.Count(got, "0") != 3 || got[0] != '0' {
			t.Errorf("order %q", got)
		}
	})
}

func TestTimerHeap(t *testing.T) {
	l := &Loop{}
	var all []*Timer
	for i := range 1000 {
		all = append(all, l.After(time.Duration(1+i*7919%1009), func() {}))
	}
	for i, tm := range all {
		if i%3 == 0 && !tm.Stop() {
			t.Fatal("Stop of a pending timer")
		}
	}
	var last int64
	n := 0
	for tm := l.timers.due(1 << 40); tm != nil; tm = l.timers.due(1 << 40) {
		if tm.when < last {
			t.Fatalf("%d after %d", tm.when, last)
		}
		last = tm.when
		n++
	}
	if n != 666 {
		t.Errorf("%d timers left", n)
	}
}

// Nothing to do, nothing done: neither a tick nor a spin.
func TestIdleServerSleeps(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{Loops: 2}, &testHandler{})
		for range 5 {
			c := s.dial()
			c.send([]byte("x"))
			c.expect([]byte("x"))
		}
		for _, l := range s.loops {
			onLoop(t, l, func() {})
			eventually(t, "the loop sleeps", l.mail.asleep.Load)
		}
		before := s.Stats()
		time.Sleep(200 * time.Millisecond) // what must not happen has no event
		if st := s.Stats(); st.Turns != before.Turns || st.Enters != before.Enters {
			t.Errorf("%d turns, %d waits while idle", st.Turns-before.Turns, st.Enters-before.Enters)
		}
	})
}

// An idle connection owns no buffer and little else.
func TestIdleConnectionMemory(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{}, &testHandler{})
		const n = 500
		before := heaptest.InUse()
		fds := make([]int, n)
		for i := range fds { // raw sockets: the client's side costs no heap
			fds[i] = rawClient(t, s.addr)
			rawExchange(t, fds[i], frame(pattern(i, 3000)))
		}
		eventually(t, "all is sent", func() bool { return s.Stats().ArenaBytes == 0 })
		per := (heaptest.InUse() - before) / n
		t.Logf("%d bytes of heap per idle connection", per)
		if per > 2<<10 {
			t.Errorf("%d bytes of heap per idle connection", per)
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
	})
}

// The steady state of small requests allocates nothing, held requests and kept
// frames included.
func TestRequestsDoNotAllocate(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{}, &testHandler{request: func(r *Request) {
			r.Keep()
			r.Hold()
			echo(r)
		}})
		fd := rawClient(t, s.addr)
		defer unix.Close(fd)
		p := frame(pattern(1, 300))
		p = append(p, p...)
		back := make([]byte, len(p))
		exchange := func() {
			if _, err := unix.Write(fd, p); err != nil {
				t.Fatal(err)
			}
			for got := 0; got < len(back); {
				n, err := unix.Read(fd, back[got:])
				if err != nil || n == 0 {
					t.Fatal(n, err)
				}
				got += n
			}
		}
		for range 100 {
			exchange()
		}
		if n := testing.AllocsPerRun(500, exchange); n >= 1 {
			t.Errorf("%v allocations per two requests", n)
		}
		if !slices.Equal(p, back) {
			t.Error("wrong answer")
		}
	})
}

// Clients that read nothing cannot hold more memory than the budget for long:
// they are not served further, then closed, while others are served.
func TestUnreadAnswersAreBounded(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const budget, answer, clients = 4 << 20, 256 << 10, 40
		s := serve(t, b, Config{InputBudgetBytes: budget, SendBufferBytes: 16 << 10}, &testHandler{request: func(r *Request) {
			if string(r.Frame()) == "small" {
				echo(r)
				return
			}
			r.Response().Write(make([]byte, answer))
			r.Respond()
		}})
		for range clients {
			c := s.dial()
			for range 10 {
				if _, err := c.Write(frame([]byte("large"))); err != nil {
					break // closed already
				}
			}
		}
		eventually(t, "unread answers fill the budget", func() bool { return s.Stats().OutputStalled > 0 || s.budget.spent() })
		small := s.dial()
		small.send([]byte("small"))
		small.expect([]byte("small"))
		// Each may have had one answer too many before the budget was spent.
		if used := s.budget.used.Load(); used > budget+clients*2*answer {
			t.Errorf("%d bytes in use", used)
		}
		eventually(t, "who does not read is closed", func() bool { return s.Stats().OutputStalled > 0 && s.budget.used.Load() < budget*3/2 })
		small.send([]byte("small"))
		small.expect([]byte("small"))
	})
}
