package coordinator

import (
	"sync"
	"sync/atomic"
	"time"

	"kserver/protocol"
)

// status is where a shard is in its life; see the package comment's diagram.
type status int32

const (
	statusLoading status = iota
	statusActive
	statusFailed // replay failed, or the log is gone; waits for the next Load
	statusClosed // unloaded or replaced; its timers and events do nothing
)

// shard is one partition's state machine. After a failure the Runtime puts a
// new shard in its place, so a closed shard stays closed.
type shard struct {
	topic     string
	partition int32
	storage   Storage
	timer     Timer
	clock     Clock
	// onFailure tells the Runtime, once, that durability failed. It must not
	// lock the shard: it may be called from within one of its events.
	onFailure func(sh *shard, err error)

	answers answers

	epoch atomic.Int32 // leader epoch of the partition

	mu     sync.Mutex
	status atomic.Int32 // a status; changes under mu
	state  State        // guarded by mu; nil unless active
}

// refuse gives the code for events in the present status, NONE if they may
// run; called with mu held.
func (sh *shard) refuse() protocol.ErrorCode {
	switch sh.getStatus() {
	case statusLoading:
		return protocol.CoordinatorLoadInProgress
	case statusActive:
		if sh.answers.failure() != protocol.None {
			return protocol.CoordinatorLoadInProgress // about to be replaced
		}
		return protocol.None
	default:
		return protocol.NotCoordinator
	}
}

// do runs fn as an event on the state, or reports why it cannot.
func (sh *shard) do(fn func(ev *Event, s State)) protocol.ErrorCode {
	code := sh.locked(fn)
	sh.answers.drain()
	return code
}

func (sh *shard) locked(fn func(ev *Event, s State)) protocol.ErrorCode {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if code := sh.refuse(); code != protocol.None {
		return code
	}
	if sh.answers.full() {
		return protocol.CoordinatorNotAvailable
	}
	sh.run(func(ev *Event) { fn(ev, sh.state) })
	return protocol.None
}

// step runs a timer's function; a shard that is not active ignores it.
func (sh *shard) step(f func(ev *Event)) {
	sh.stepLocked(f)
	sh.answers.drain()
}

func (sh *shard) stepLocked(f func(ev *Event)) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.refuse() == protocol.None {
		sh.run(f)
	}
}

// run runs one event; called with mu held. The caller drains afterwards.
func (sh *shard) run(f func(ev *Event)) {
	ev := Event{sh: sh, now: sh.clock.Now()}
	f(&ev)
	sh.answers.finish(ev.entry, ev.answers, ev.now)
}

// fail makes everything that waits, or will wait, fail, and hands the shard
// to the Runtime. It may run inside an event or on any other goroutine.
func (sh *shard) fail(err error) {
	if sh.answers.fail(AppendError(err)) {
		sh.onFailure(sh, err)
	}
}

// close ends the shard: requests parked in the state are answered with code,
// then all that waits fails with it.
func (sh *shard) close(to status, code protocol.ErrorCode) {
	sh.mu.Lock()
	if sh.getStatus() == statusActive {
		sh.run(func(ev *Event) { sh.state.Unloaded(ev, code) })
	}
	sh.status.Store(int32(to))
	sh.state = nil
	sh.mu.Unlock()
	sh.answers.fail(code)
	sh.answers.drain()
}

// activate puts a replayed state in service. It reports false if the shard
// was closed meanwhile.
func (sh *shard) activate(s State) bool {
	sh.mu.Lock()
	if sh.getStatus() != statusLoading {
		sh.mu.Unlock()
		return false
	}
	sh.state = s
	sh.status.Store(int32(statusActive))
	sh.run(s.Loaded)
	sh.mu.Unlock()
	sh.answers.drain()
	return true
}

// broken reports whether the shard has failed, or is about to be closed for it.
func (sh *shard) broken() bool {
	return sh.getStatus() == statusFailed || sh.answers.failure() != protocol.None
}

// getStatus may be read without the lock; it may be stale then.
func (sh *shard) getStatus() status { return status(sh.status.Load()) }

// newAnswers prepares a shard's queue.
func newAnswers(clock Clock, timer Timer, timeout time.Duration, limit int) answers {
	return answers{clock: clock, timer: timer, timeout: timeout, limit: limit}
}
