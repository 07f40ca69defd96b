package replica

import (
	"container/list"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"kserver/protocol"
)

// Fetch sessions (KIP-227): a consumer names its partitions once; later
// requests name what changed, and answers name what is new. The broker keeps
// the list, with what it last told about each partition.

const (
	// FinalEpoch closes the session named by a request; it asks for a full
	// fetch without a session.
	FinalEpoch = -1
	// InitialEpoch asks for a full fetch and a new session.
	InitialEpoch = 0
	// InvalidSessionID is the id of "no session".
	InvalidSessionID = 0

	// sessionEvictionAge is how long a session must have been idle before a
	// new one may take its place (Kafka: FetchSession minIncrementalFetchSessionEvictionMs).
	sessionEvictionAge = 120 * time.Second

	// maxSessionPartitions is the most partitions of one session, and
	// maxCachedPartitions of all together: a session costs its client one request
	// and us memory for as long as it is kept, and every later request, however
	// short, the time to look at all of them. A fetch of more goes on without a
	// session. Kafka bounds the number of sessions only.
	maxSessionPartitions = 10_000
	maxCachedPartitions  = 200_000
)

// SessionKey names a partition within a session: by topic name up to Fetch
// v12, by topic id from v13 on.
type SessionKey struct {
	Topic     string
	ID        [16]byte
	Partition int32
}

// FetchPartition is one partition of a fetch, as the request, or its session,
// has it.
type FetchPartition struct {
	SessionKey
	FetchRequest
	state *sessionPartition // nil without a session
}

// sessionPartition is what a session remembers of a partition.
type sessionPartition struct {
	FetchPartition
	highWatermark  int64 // as last told; -1 never, or after an error
	logStartOffset int64
	element        *list.Element // in FetchSession.order
}

// FetchSession is one consumer's list of partitions. A fetch takes a copy of
// the list: a client that gave up a waiting fetch may send the next one on
// another connection before the first has ended.
type FetchSession struct {
	ID          int32
	usesTopicID bool

	mu    sync.Mutex
	epoch int32 // of the next request
	parts map[SessionKey]*sessionPartition
	order *list.List // of *sessionPartition, in the order they are read

	lastUsed time.Time // guarded by SessionCache.mu
	size     int       // guarded by SessionCache.mu
}

// SessionCache holds the broker's fetch sessions, at most Slots of them
// (max.incremental.fetch.session.cache.slots), of maxCachedPartitions together.
type SessionCache struct {
	slots int
	now   func() time.Time

	mu       sync.Mutex
	sessions map[int32]*FetchSession
	parts    int // of all sessions
	evicted  int64
}

// NewSessionCache makes a cache of that many slots; 0 serves no sessions.
func NewSessionCache(slots int, now func() time.Time) *SessionCache {
	return &SessionCache{slots: slots, now: now, sessions: map[int32]*FetchSession{}}
}

// Len is the number of sessions.
func (c *SessionCache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions)
}

// get finds a session and marks it used.
func (c *SessionCache) get(id int32) *FetchSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[id]
	if s != nil {
		s.lastUsed = c.now()
	}
	return s
}

// Close drops a session. Unknown ids are no error.
func (c *SessionCache) Close(id int32) {
	c.mu.Lock()
	c.drop(id)
	c.mu.Unlock()
}

// drop removes a session. Called with mu.
func (c *SessionCache) drop(id int32) {
	if s := c.sessions[id]; s != nil {
		c.parts -= s.size
		delete(c.sessions, id)
	}
}

// resize notes that a session has now size partitions. It drops one that has
// become too large and reports false.
func (c *SessionCache) resize(s *FetchSession, size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions[s.ID] != s {
		return true // evicted meanwhile; nobody counts it any more
	}
	c.parts += size - s.size
	s.size = size
	if size > maxSessionPartitions || c.parts > maxCachedPartitions {
		c.drop(s.ID)
		return false
	}
	return true
}

// add makes a session of the partitions if there is, or can be made, room:
// nil otherwise. A full cache gives up the session idle longest, if that is
// longer than sessionEvictionAge, else the smallest, if it is smaller.
func (c *SessionCache) add(parts []FetchPartition, usesTopicID bool) *FetchSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if len(parts) > maxSessionPartitions || len(c.sessions) >= c.slots && !c.evict(now, len(parts)) || c.parts+len(parts) > maxCachedPartitions {
		return nil
	}
	c.parts += len(parts)
	s := &FetchSession{
		ID: c.newID(), usesTopicID: usesTopicID, epoch: InitialEpoch + 1,
		parts: make(map[SessionKey]*sessionPartition, len(parts)), order: list.New(),
		lastUsed: now, size: len(parts),
	}
	for i := range parts {
		s.put(&parts[i])
	}
	c.sessions[s.ID] = s
	return s
}

func (c *SessionCache) evict(now time.Time, size int) bool {
	var victim *FetchSession
	for _, s := range c.sessions {
		switch {
		case now.Sub(s.lastUsed) > sessionEvictionAge:
			if victim == nil || s.lastUsed.Before(victim.lastUsed) || now.Sub(victim.lastUsed) <= sessionEvictionAge {
				victim = s
			}
		case s.size < size && (victim == nil || now.Sub(victim.lastUsed) <= sessionEvictionAge && s.size < victim.size):
			victim = s
		}
	}
	if victim == nil {
		return false
	}
	c.drop(victim.ID)
	c.evicted++
	return true
}

func (c *SessionCache) newID() int32 {
	for {
		id := rand.Int32N(math.MaxInt32) + 1
		if id != InvalidSessionID && c.sessions[id] == nil {
			return id
		}
	}
}

// put adds p, or changes what the session has of it. Called with mu, or before
// the session is shared.
func (s *FetchSession) put(p *FetchPartition) {
	if old := s.parts[p.SessionKey]; old != nil {
		old.FetchRequest = p.FetchRequest
		return
	}
	n := &sessionPartition{FetchPartition: *p, highWatermark: -1, logStartOffset: -1}
	n.state = n
	n.element = s.order.PushBack(n)
	s.parts[n.SessionKey] = n
}

func (s *FetchSession) forget(k SessionKey) {
	if p := s.parts[k]; p != nil {
		s.order.Remove(p.element)
		delete(s.parts, k)
	}
}

// SameTopic reports whether both are partitions of one topic.
func (k *SessionKey) SameTopic(o *SessionKey) bool { return k.Topic == o.Topic && k.ID == o.ID }

// FetchContext is one fetch request seen through its session. It can be used for one
// request after another.
type FetchContext struct {
	// Partitions to read, in order.
	Partitions []FetchPartition
	told       []int
	cache      *SessionCache
	session    *FetchSession // nil for a full fetch without a session
	epoch      int32         // the session's next epoch after this request
	full       bool
}

// FetchHead is what a fetch request says of its session and partitions.
type FetchHead struct {
	SessionID, SessionEpoch int32
	UsesTopicID             bool // v13+
	Partitions              []FetchPartition
	Forgotten               []SessionKey
}

// Begin resolves the session of a request for x, in place of what x was before. x has
// copies of what it needs of h, but for the names of topics.
func (c *SessionCache) Begin(h *FetchHead, x *FetchContext) *protocol.Error {
	*x = FetchContext{Partitions: x.Partitions[:0], told: x.told[:0], cache: c}
	if h.SessionEpoch == FinalEpoch || h.SessionEpoch == InitialEpoch {
		if h.SessionID != InvalidSessionID {
			c.Close(h.SessionID)
		}
		x.full = true
		if h.SessionEpoch == InitialEpoch && len(h.Partitions) > 0 && c.slots > 0 {
			if s := c.add(h.Partitions, h.UsesTopicID); s != nil {
				x.session, x.epoch, x.Partitions = s, s.epoch, s.list(x.Partitions)
				return nil
			}
		}
		x.Partitions = append(x.Partitions, h.Partitions...)
		return nil
	}
	s := c.get(h.SessionID)
	if s == nil {
		return protocol.Errorf(protocol.FetchSessionIDNotFound, "fetch session %d was not found", h.SessionID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.epoch != h.SessionEpoch:
		return protocol.Errorf(protocol.InvalidFetchSessionEpoch, "fetch session %d expects epoch %d, not %d", h.SessionID, s.epoch, h.SessionEpoch)
	case s.usesTopicID != h.UsesTopicID:
		return protocol.Errorf(protocol.FetchSessionTopicIDError, "fetch session %d names its topics the other way", h.SessionID)
	}
	if s.epoch == math.MaxInt32 {
		s.epoch = InitialEpoch + 1
	} else {
		s.epoch++
	}
	for i := range h.Partitions {
		s.put(&h.Partitions[i])
	}
	for _, k := range h.Forgotten {
		s.forget(k)
	}
	if len(s.parts) == 0 {
		c.Close(s.ID)
		x.full = true
		return nil
	}
	if !c.resize(s, len(s.parts)) {
		return protocol.Errorf(protocol.FetchSessionIDNotFound, "fetch session %d has become too large", h.SessionID)
	}
	x.Partitions, x.session, x.epoch = s.list(x.Partitions), s, s.epoch
	return nil
}

// list appends copies of the session's partitions in their order. Called as put.
func (s *FetchSession) list(out []FetchPartition) []FetchPartition {
	for e := s.order.Front(); e != nil; e = e.Next() {
		out = append(out, e.Value.(*sessionPartition).FetchPartition)
	}
	return out
}

// SessionID is the id the answer carries.
func (x *FetchContext) SessionID() int32 {
	if x.session == nil {
		return InvalidSessionID
	}
	return x.session.ID
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
// partitions at these indexes, in order. It fails when the session has moved on while
// the fetch waited.
func (x *FetchContext) Finish(results []FetchResult) (told []int, err *protocol.Error) {
	s := x.session
	if s == nil {
		for i := range results {
			x.told = append(x.told, i)
		}
		return x.told, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != x.epoch {
		return nil, protocol.Errorf(protocol.InvalidFetchSessionEpoch, "fetch session %d was used by another request meanwhile", s.ID)
	}
	for i := range results {
		p := x.Partitions[i].state
		if p.tell(&results[i]) || x.full {
			x.told = append(x.told, i)
		}
		if results[i].Range != nil {
			s.order.MoveToBack(p.element)
		}
	}
	return x.told, nil
}

// tell records what the answer says of the partition and reports whether that
// is news.
func (p *sessionPartition) tell(r *FetchResult) bool {
	if r.Err != nil {
		// The recovery is then told whatever the watermark is.
		p.highWatermark, p.logStartOffset = -1, -1
		return true
	}
	news := r.Range != nil || r.Diverging != nil ||
		p.highWatermark != r.HighWatermark || p.logStartOffset != r.LogStartOffset
	p.highWatermark, p.logStartOffset = r.HighWatermark, r.LogStartOffset
	return news
}
