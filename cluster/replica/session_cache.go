package replica

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

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
	s := c.sessions[id]
	c.drop(s)
	c.mu.Unlock()
	s.close()
}

// drop removes a session, which is to be closed when mu is free, because signals of
// partitions wait for that. Called with mu.
func (c *SessionCache) drop(s *FetchSession) {
	if s != nil {
		c.parts -= s.size
		delete(c.sessions, s.ID)
	}
}

// resize notes that a session has now size partitions. It drops one that has
// become too large and reports false.
func (c *SessionCache) resize(s *FetchSession, size int) bool {
	c.mu.Lock()
	if c.sessions[s.ID] != s {
		c.mu.Unlock()
		return true // evicted meanwhile; nobody counts it any more
	}
	c.parts += size - s.size
	s.size = size
	large := size > maxSessionPartitions || c.parts > maxCachedPartitions
	if large {
		c.drop(s)
	}
	c.mu.Unlock()
	if large {
		s.close()
	}
	return !large
}

// add makes a session of the partitions if there is, or can be made, room:
// nil otherwise. A full cache gives up the session idle longest, if that is
// longer than sessionEvictionAge, else the smallest, if it is smaller.
func (c *SessionCache) add(parts []FetchPartition, usesTopicID bool) *FetchSession {
	s, victim := c.addAndEvict(parts, usesTopicID)
	victim.close()
	return s
}

func (c *SessionCache) addAndEvict(parts []FetchPartition, usesTopicID bool) (s, victim *FetchSession) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if len(parts) > maxSessionPartitions {
		return nil, nil
	}
	if len(c.sessions) >= c.slots {
		if victim = c.victim(now, len(parts)); victim == nil {
			return nil, nil
		}
		c.drop(victim)
		c.evicted++
	}
	if c.parts+len(parts) > maxCachedPartitions {
		return nil, victim
	}
	c.parts += len(parts)
	s = newSession(c.newID(), usesTopicID, parts)
	s.lastUsed, s.size = now, len(parts)
	c.sessions[s.ID] = s
	return s, victim
}

// victim is the session that makes room for one of size partitions, nil if none does.
// Called with mu.
func (c *SessionCache) victim(now time.Time, size int) (victim *FetchSession) {
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
	return victim
}

func (c *SessionCache) newID() int32 {
	for {
		id := rand.Int32N(math.MaxInt32) + 1
		if id != InvalidSessionID && c.sessions[id] == nil {
			return id
		}
	}
}
