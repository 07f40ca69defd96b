package replica

import (
	"math"

	"kserver/protocol"
)

// FetchContext is one fetch request seen through its session. It can be used for one
// request after another.
type FetchContext struct {
	// Partitions to read, in order: of a session those that are not quiet.
	Partitions []FetchPartition
	told       []int
	quiet      []*sessionWatch // of told, the partitions that have become quiet
	cache      *SessionCache
	session    *FetchSession // nil for a full fetch without a session
	epoch      int32         // the session's next epoch after this request
	full       bool
	subscribed int // partitions of the session
}

// FetchHead is what a fetch request says of its session and partitions.
type FetchHead struct {
	SessionID, SessionEpoch int32
	UsesTopicID             bool // v13+
	Isolation               Isolation
	Partitions              []FetchPartition
	Forgotten               []SessionKey
}

// Begin resolves the session of a request for x, in place of what x was before. x has
// copies of what it needs of h, but for the names of topics.
func (c *SessionCache) Begin(h *FetchHead, x *FetchContext) *protocol.Error {
	*x = FetchContext{Partitions: x.Partitions[:0], told: x.told[:0], quiet: x.quiet[:0], cache: c}
	if h.SessionEpoch == FinalEpoch || h.SessionEpoch == InitialEpoch {
		c.beginFull(h, x)
		return nil
	}
	s := c.get(h.SessionID)
	if s == nil {
		return protocol.Errorf(protocol.FetchSessionIDNotFound, "fetch session %d was not found", h.SessionID)
	}
	if err := s.begin(h, x); err != nil {
		return err
	}
	switch {
	case x.subscribed == 0:
		c.Close(s.ID)
		x.session, x.full = nil, true
	case !c.resize(s, x.subscribed):
		return protocol.Errorf(protocol.FetchSessionIDNotFound, "fetch session %d has become too large", h.SessionID)
	}
	return nil
}

// beginFull is Begin for a request that names all its partitions.
func (c *SessionCache) beginFull(h *FetchHead, x *FetchContext) {
	if h.SessionID != InvalidSessionID {
		c.Close(h.SessionID)
	}
	x.full = true
	if h.SessionEpoch == InitialEpoch && len(h.Partitions) > 0 && c.slots > 0 {
		if s := c.add(h.Partitions, h.UsesTopicID); s != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.isolation = h.Isolation
			x.session, x.epoch, x.subscribed = s, s.epoch, len(s.parts)
			x.Partitions = s.list(x.Partitions)
			return
		}
	}
	x.Partitions = append(x.Partitions, h.Partitions...)
}

// begin is Begin for a request that names what changed in the session.
func (s *FetchSession) begin(h *FetchHead, x *FetchContext) *protocol.Error {
	s.mu.Lock()
	switch {
	case s.epoch != h.SessionEpoch:
		s.mu.Unlock()
		return protocol.Errorf(protocol.InvalidFetchSessionEpoch, "fetch session %d expects epoch %d, not %d", h.SessionID, s.epoch, h.SessionEpoch)
	case s.usesTopicID != h.UsesTopicID:
		s.mu.Unlock()
		return protocol.Errorf(protocol.FetchSessionTopicIDError, "fetch session %d names its topics the other way", h.SessionID)
	}
	if s.epoch == math.MaxInt32 {
		s.epoch = InitialEpoch + 1
	} else {
		s.epoch++
	}
	s.endWait() // of a fetch that the client has given up
	if s.isolation != h.Isolation {
		s.isolation = h.Isolation
		for _, p := range s.parts {
			p.Isolation = h.Isolation
		}
		s.noteAll()
	}
	for i := range h.Partitions {
		s.put(&h.Partitions[i])
	}
	var left []*sessionWatch
	for _, k := range h.Forgotten {
		if w := s.leave(k); w != nil {
			left = append(left, w)
		}
	}
	if len(h.Forgotten) > 0 {
		s.settle()
	}
	x.session, x.epoch, x.subscribed = s, s.epoch, len(s.parts)
	x.Partitions = s.list(x.Partitions)
	s.mu.Unlock()
	forget(left)
	return nil
}

// SessionID is the id the answer carries.
func (x *FetchContext) SessionID() int32 {
	if x.session == nil {
		return InvalidSessionID
	}
	return x.session.ID
}

// InSession reports whether the fetch is of a session: then Wait, Unwait and Again are
// there for one that waits.
func (x *FetchContext) InSession() bool { return x.session != nil }

// Quiet is the number of partitions of the session that are not read because they have
// nothing to tell.
func (x *FetchContext) Quiet() int {
	if x.session == nil {
		return 0
	}
	return x.subscribed - len(x.Partitions)
}

// Wait has w told of bytes that can be read, of Partitions, found in parts at the same
// index, or nil, and of those that are quiet.
func (x *FetchContext) Wait(w Waiter, parts []*Partition) {
	s := x.session
	s.mu.Lock()
	s.waiting = w
	if s.epoch != x.epoch || s.closed { // the client has gone on
		s.endWait()
		s.mu.Unlock()
		return
	}
	for _, p := range s.news {
		p.counted = 0
	}
	s.mu.Unlock()
	for i, on := range parts {
		if on == nil {
			continue
		}
		s.mu.Lock()
		watch := x.Partitions[i].state.watchOf(on)
		over := s.waiting != w
		s.mu.Unlock()
		if over {
			return
		}
		watch.add(0, true) // what was appended since the read has signalled nobody
	}
}

// Unwait ends Wait: w is not told of anything any more.
func (x *FetchContext) Unwait(w Waiter) {
	s := x.session
	s.mu.Lock()
	if s.waiting == w {
		s.waiting = nil
	}
	s.mu.Unlock()
}

// Again lists anew what is to be read, after a wait. It fails when the session has moved
// on meanwhile.
func (x *FetchContext) Again() *protocol.Error {
	s := x.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != x.epoch {
		return s.movedOn()
	}
	x.Partitions = s.list(x.Partitions[:0])
	return nil
}

func (s *FetchSession) movedOn() *protocol.Error {
	return protocol.Errorf(protocol.InvalidFetchSessionEpoch, "fetch session %d was used by another request meanwhile", s.ID)
}

// GiveUp says that the answer will be without partitions, and returns the session
// id it carries. A session that this request would have begun is none: the client
// begins anew.
func (x *FetchContext) GiveUp() int32 {
	if x.full && x.session != nil {
		x.cache.Close(x.session.ID)
		x.session = nil
	}
	return x.SessionID()
}

// Finish decides which results the answer carries and remembers what it tells: the
// partitions at these indexes, in order. parts are the partitions as for Wait. It fails
// when the session has moved on while the fetch waited.
func (x *FetchContext) Finish(results []FetchResult, parts []*Partition) (told []int, err *protocol.Error) {
	s := x.session
	if s == nil {
		for i := range results {
			x.told = append(x.told, i)
		}
		return x.told, nil
	}
	s.mu.Lock()
	if s.epoch != x.epoch {
		s.mu.Unlock()
		return nil, s.movedOn()
	}
	for i := range results {
		r, p := &results[i], x.Partitions[i].state
		if p.tell(r) || x.full {
			x.told = append(x.told, i)
		}
		if r.Range != nil { // others are to have their turn
			s.lastTurn++
			p.turn = s.lastTurn
		}
		if r.quiet() {
			p.news = false
			x.quiet = append(x.quiet, p.watchOf(parts[i]))
		} else {
			x.quiet = append(x.quiet, nil)
		}
	}
	s.settle()
	s.mu.Unlock()
	for i, w := range x.quiet {
		if w != nil {
			w.add(results[i].Signals, false)
		}
	}
	clear(x.quiet)
	return x.told, nil
}
