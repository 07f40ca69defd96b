package netio

import (
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

// Loop is one event loop: a goroutine locked to its thread that owns its
// connections, memory, timers and kernel queue. One turn is: posted functions,
// due timers, connections that have work, teardown, then one wait for the
// kernel with dispatch of all it has.
//
// Fields below belong to the loop's thread unless they say otherwise.
type Loop struct {
	srv     *Server
	index   int
	handler Handler
	log     *slog.Logger
	drv     driver
	mail    *mailbox
	stats   loopStats    // atomic
	open    atomic.Int64 // connections, also those being handed over to this loop
	lost    atomic.Bool  // the loop has failed; atomic

	mem        arena
	start      time.Time
	now        time.Time
	nowNs      int64 // since start
	timers     timerHeap
	turnNo     uint64 // one more before every wait
	shares     int    // connections served in turn sharesTurn
	sharesTurn uint64

	conns     []*Conn  // by slot, nil: free
	gens      []uint32 // by slot
	freeSlots []uint32
	nconns    int

	ready   []*Conn    // have work this turn
	later   []*Conn    // have work in a turn to come, in order: they used up their share
	dying   []*Conn    // to be torn down this turn
	freeReq []*Request // for reuse

	idle      connList // all connections, longest silent first
	stalled   connList // those with unsent output, longest without progress first
	idleTimer *Timer   // for the head of idle, nil when none is needed
	outTimer  *Timer   // for the head of stalled
	frames    connList // those with an unfinished frame, longest not looked at first
	frameTick *Timer   // for the head of frames

	charged  int64   // to the budget, not settled yet
	starved  []*Conn // stopped reading because the input budget is spent
	pass     *Conn   // may finish its frame although the budget is spent
	feedTick *Timer  // runs while starved is not empty
	hungry   atomic.Bool

	listeners []*listener
	draining  bool
	stopping  bool
	kept      int // kept frames that are not answered yet

	done   chan struct{} // closed when the loop has ended
	quiet  chan struct{} // closed when the last connection of a draining loop is gone
	told   bool          // ... which has happened
	failed error         // why the loop ended, nil when asked to
}

func newLoop(s *Server, index int) (*Loop, error) {
	mail, err := newMailbox()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &Loop{
		srv: s, index: index, handler: s.handler, log: s.cfg.Logger.With("loop", index),
		mail: mail, start: now, now: now, quiet: make(chan struct{}),
		idle: connList{which: listIdle}, stalled: connList{which: listStalled}, frames: connList{which: listFrames},
	}, nil
}

// Index is the loop's number, from 0 to Config.Loops-1.
func (l *Loop) Index() int { return l.index }

// Post runs f on the loop, after what was posted before. Any goroutine may call
// it. It never blocks; a sleeping loop is woken by one write for any number of
// calls. Functions posted before Server.Start run when it starts; after the
// server has closed they are dropped.
func (l *Loop) Post(f func()) { l.post(f) }

// post is Post; it reports whether f will run.
func (l *Loop) post(f func()) bool {
	taken, woke := l.mail.post(f)
	if woke {
		l.stats.wakeups.Add(1)
	}
	return taken
}

// Now is the time at the start of the loop's turn. Loop thread only.
func (l *Loop) Now() time.Time { return l.now }

// run is the loop's goroutine. The thread ends with it: a ring belongs to the
// thread that made it. opened gets the result of opening the back-end; after a
// success, proceed says whether to serve or to end at once.
func (l *Loop) run(backend Backend, opened chan<- error, proceed <-chan bool) {
	runtime.LockOSThread()
	defer close(l.done)
	drv, err := openDriver(l, backend)
	opened <- err
	if err != nil {
		return
	}
	l.drv = drv
	if !<-proceed {
		if err := drv.close(); err != nil {
			l.log.Error("closing the event queue", "err", err)
		}
		return
	}
	for l.failed == nil && !(l.finished() && l.mail.seal()) {
		l.turn()
	}
	l.shutdown()
}

func openDriver(l *Loop, backend Backend) (driver, error) {
	if backend == BackendUring {
		return newUringDriver(l)
	}
	return newEpollDriver(l)
}

func (l *Loop) turn() {
	l.mail.run()
	l.runTimers()
	l.runReady()
	if l.draining && !l.told && l.nconns == 0 && len(l.listeners) == 0 {
		l.told = true
		close(l.quiet)
	}
	timeout := l.timeout()
	if timeout != 0 && !l.mail.sleep() {
		timeout = 0
	}
	l.stats.memory.Store(l.mem.inUse)
	l.turnNo++
	l.settleCharge()
	end := int64(time.Since(l.start))
	l.stats.busy.Add(end - l.nowNs)
	l.stats.longestTurn.observe(end-l.nowNs, end)
	err := l.drv.wait(timeout)
	l.mail.asleep.Store(false)
	l.stats.turns.Add(1)
	if err != nil {
		l.fail(err)
	}
	// What the completions brought is handled before the next wait, in the
	// next turn, which starts at once.
}

// tick reads the clock. The driver calls it when the kernel has returned, and
// that time holds for the dispatch and the turn after it.
func (l *Loop) tick() {
	l.now = time.Now()
	l.nowNs = int64(l.now.Sub(l.start))
}

// timeout is how long the loop may sleep.
func (l *Loop) timeout() time.Duration {
	if len(l.ready)+len(l.later)+len(l.dying) > 0 || l.finished() {
		return 0
	}
	if len(l.timers) == 0 {
		return -1
	}
	// The clock has moved since the turn began.
	return max(time.Duration(l.timers[0].when)-time.Since(l.start), 0)
}

// enqueue puts a connection on the list of those with work.
func (l *Loop) enqueue(c *Conn) {
	if !c.queued {
		c.queued = true
		l.ready = append(l.ready, c)
	}
}

// long reports that the turn has gone on for long, once for each connection it
// serves.
func (l *Loop) long() bool {
	if l.sharesTurn != l.turnNo {
		l.sharesTurn, l.shares = l.turnNo, 0
	}
	l.shares++
	return l.shares > fullShares && time.Since(l.start)-time.Duration(l.nowNs) >= turnTime
}

// postpone has a connection that used up its share come again in a later turn.
func (l *Loop) postpone(c *Conn) {
	if !c.queued {
		c.queued, c.late, c.lateAt = true, true, l.turnNo
		l.later = append(l.later, c)
	}
}

// laterTime is how long one turn may go on serving connections that used up their
// share in an earlier one: what new work of the others waits for, at most.
const laterTime = time.Millisecond

// runReady gives every connection with work its turn: sending, delivering what
// waited, and finally teardown. Those that used up their share in an earlier turn
// come after the others, the one that waits longest first, as many as laterTime
// allows; then the kernel is asked again.
func (l *Loop) runReady() {
	l.runNew()
	if len(l.later) == 0 {
		return
	}
	begin := time.Since(l.start)
	n := 0
	for n < len(l.later) && l.later[n].lateAt != l.turnNo {
		c := l.later[n]
		l.later[n] = nil
		n++
		c.queued, c.late = false, false
		c.work()
		if time.Since(l.start)-begin >= laterTime {
			break
		}
	}
	l.later = slices.Delete(l.later, 0, n)
	l.runNew()
}

// runNew serves the connections with work that have not used up their share, and
// tears down those that end.
func (l *Loop) runNew() {
	for len(l.ready)+len(l.dying) > 0 {
		for i := 0; i < len(l.ready); i++ {
			c := l.ready[i]
			l.ready[i] = nil
			c.queued = false
			c.work()
		}
		l.ready = l.ready[:0]
		for i := 0; i < len(l.dying); i++ {
			c := l.dying[i]
			l.dying[i] = nil
			c.teardown()
		}
		l.dying = l.dying[:0]
	}
}

// finished says that a stopping loop has nothing left.
func (l *Loop) finished() bool {
	return l.stopping && l.nconns == 0 && len(l.listeners) == 0 && l.drv.idle()
}

// stop closes all connections and lets the loop end. Runs on the loop.
func (l *Loop) stop(reason error) {
	l.stopping = true
	l.closeListeners()
	for _, c := range l.conns {
		if c != nil {
			c.Close(reason)
		}
	}
}

// drain lets the connections finish what they have begun. Runs on the loop.
func (l *Loop) drain() {
	if l.draining {
		return
	}
	l.draining = true
	l.closeListeners()
	for _, c := range l.conns {
		if c != nil {
			l.enqueue(c)
		}
	}
}

// fail ends a loop whose kernel queue is broken. That is never expected; the
// connections are lost, the process may go on.
func (l *Loop) fail(err error) {
	l.log.Error("event loop failed", "err", err)
	l.failed = err
	l.lost.Store(true)
}

// shutdown releases what the loop holds, after its last turn.
func (l *Loop) shutdown() {
	if l.failed != nil {
		l.abandon()
	}
	l.settleCharge()
	if err := l.drv.close(); err != nil {
		l.log.Error("closing the event queue", "err", err)
	}
	if err := l.mail.close(); err != nil {
		l.log.Error("closing the eventfd", "err", err)
	}
	if l.kept > 0 || l.failed != nil {
		// A worker may still be reading a kept frame, or the kernel a buffer:
		// the memory stays mapped until the process ends.
		l.log.Warn("requests unanswered at shutdown", "requests", l.kept)
		return
	}
	l.mem.close()
}

// abandon closes the connections of a failed loop without its driver.
func (l *Loop) abandon() {
	l.drv = &lostDriver{loop: l, driver: l.drv}
	l.stop(l.failed)
	l.runReady()
}

// lostDriver stands in for a driver that no longer works: descriptors are
// closed without waiting for the kernel.
type lostDriver struct {
	driver
	loop *Loop
}

func (d *lostDriver) setRead(*Conn, bool)                   {}
func (d *lostDriver) send(*Conn, []byte) (int, bool, error) { return 0, false, d.loop.failed }
func (d *lostDriver) awaitWritable(*Conn)                   {}
func (d *lostDriver) detach(c *Conn)                        { d.loop.onDetached(c) }
func (d *lostDriver) listen(*listener)                      {}
func (d *lostDriver) unlisten(ln *listener)                 { d.loop.onUnlistened(ln) }
