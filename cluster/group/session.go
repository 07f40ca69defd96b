package group

import (
	"time"

	"kserver/cluster/coordinator"
)

// session is a member's session timer. A heartbeat only moves the deadline:
// the timer, when it goes off early, is set again for the rest. So a heartbeat
// costs no timer operation.
type session struct {
	deadline time.Time
	timerDue time.Time
	timer    coordinator.Handle // nil: none pending
}

// extend moves the deadline to timeout from now; expired runs when it passes.
func (s *session) extend(ev *coordinator.Event, timeout time.Duration, expired func(*coordinator.Event)) {
	s.deadline = ev.Now().Add(timeout)
	if s.timer != nil {
		if !s.deadline.Before(s.timerDue) {
			return
		}
		s.timer.Stop()
	}
	s.arm(ev, expired)
}

func (s *session) arm(ev *coordinator.Event, expired func(*coordinator.Event)) {
	s.timerDue = s.deadline
	var h coordinator.Handle
	h = ev.After(s.deadline.Sub(ev.Now()), func(ev *coordinator.Event) {
		if s.timer != h {
			return // stopped too late, or replaced
		}
		s.timer = nil
		if ev.Now().Before(s.deadline) {
			s.arm(ev, expired)
			return
		}
		expired(ev)
	})
	s.timer = h
}

// stop ends the session.
func (s *session) stop() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}
