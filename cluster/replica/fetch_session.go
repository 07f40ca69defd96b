package replica

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Fetch sessions (KIP-227): a consumer names its partitions once; later
// requests name what changed, and answers name what is new. The broker keeps
// the list, with what it last told about each partition.
//
// A fetch costs what changed, not what is subscribed. Of the session's partitions it
// reads those that may have something to tell. The others are quiet: when they were
// last read there was nothing behind the fetch offset, nothing of that was new to the
// client, and the partition has not signalled since.
//
//	Begin: put   ---> news ---> read, told, at its end (Finish) ---> quiet
//	                   ^                                               |
//	                   +------------------ Signal ---------------------+
//
// A session watches its quiet partitions for good, and the others while a fetch waits;
// who has been signalled, and has no fetch waiting, is not signalled again before
// it has been read. So appends to a partition that is read anyway cost the session
// nothing.
//
// Order of locks: Watchers of a partition, then FetchSession.mu, then the log's.
// SessionCache.mu is never held together with a session's.

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
	// and us memory for as long as it is kept. A fetch of more goes on without a
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

// SameTopic reports whether both are partitions of one topic.
func (k *SessionKey) SameTopic(o *SessionKey) bool { return k.Topic == o.Topic && k.ID == o.ID }

// FetchSession is one consumer's list of partitions. A fetch takes a copy of what it
// reads: a client that gave up a waiting fetch may send the next one on another
// connection before the first has ended.
type FetchSession struct {
	ID          int32
	usesTopicID bool

	mu        sync.Mutex
	epoch     int32 // of the next request
	isolation Isolation
	parts     map[SessionKey]*sessionPartition
	news      []*sessionPartition // not quiet
	lastTurn  int64
	waiting   Waiter // the fetch that waits, nil when none does
	closed    bool

	lastUsed time.Time // guarded by SessionCache.mu
	size     int       // guarded by SessionCache.mu
}

// Waiter is a fetch that waits for bytes.
type Waiter interface {
	// Counted is told that more bytes could be read, or less if it is negative; over
	// says that waiting is over whatever the sum. It reports whether the wait is over.
	// It must not block, or call the session.
	Counted(more int64, over bool) (done bool)
}

// sessionPartition is what a session remembers of a partition. The session's mu guards
// it, except for a partition that has left the session.
type sessionPartition struct {
	FetchPartition
	session        *FetchSession
	highWatermark  int64 // as last told; -1 never, or after an error
	logStartOffset int64
	turn           int64 // its place in the order: who has a lower one is read first
	news           bool  // it is in FetchSession.news
	gone           bool  // it has left the session
	counted        int64 // bytes that the waiting fetch counts
	watch          *sessionWatch
}

// sessionWatch is the eye of a session on a partition: it goes with that partition when
// another topic takes the name. The session's mu guards link and linked.
type sessionWatch struct {
	of     *sessionPartition
	on     *Partition
	link   int32 // counts the times that it was added to the partition's watchers: the token
	linked bool  // it is among them, or soon will be
}

func newSession(id int32, usesTopicID bool, parts []FetchPartition) *FetchSession {
	s := &FetchSession{ID: id, usesTopicID: usesTopicID, epoch: InitialEpoch + 1, parts: make(map[SessionKey]*sessionPartition, len(parts))}
	for i := range parts {
		s.put(&parts[i])
	}
	return s
}

// put adds p, or changes what the session has of it. Called with mu, or before
// the session is shared.
func (s *FetchSession) put(p *FetchPartition) {
	k := s.parts[p.SessionKey]
	if k == nil {
		s.lastTurn++
		k = &sessionPartition{FetchPartition: *p, session: s, highWatermark: -1, logStartOffset: -1, turn: s.lastTurn}
		k.state = k
		s.parts[k.SessionKey] = k
	}
	k.FetchRequest = p.FetchRequest
	s.note(k)
}

// note has p read by the next fetch. Called with mu.
func (s *FetchSession) note(p *sessionPartition) {
	if !p.news && !p.gone {
		p.news, p.counted = true, 0
		s.news = append(s.news, p)
	}
}

// noteAll has all partitions read by the next fetch. Called with mu.
func (s *FetchSession) noteAll() {
	for _, p := range s.parts {
		s.note(p)
	}
}

// settle drops from the news who is quiet. Called with mu.
func (s *FetchSession) settle() {
	s.news = slices.DeleteFunc(s.news, func(p *sessionPartition) bool { return !p.news })
}

// leave takes a partition out of the session and returns its watch, to be forgotten when
// mu is free; nil when there is none. Called with mu.
func (s *FetchSession) leave(k SessionKey) *sessionWatch {
	p := s.parts[k]
	if p == nil {
		return nil
	}
	delete(s.parts, k)
	p.news, p.gone = false, true
	return p.watch
}

// list appends copies of the partitions that are not quiet, in the session's order.
// Called with mu, or before the session is shared.
func (s *FetchSession) list(out []FetchPartition) []FetchPartition {
	slices.SortFunc(s.news, func(a, b *sessionPartition) int { return cmp.Compare(a.turn, b.turn) })
	for _, p := range s.news {
		out = append(out, p.FetchPartition)
	}
	return out
}

// close leaves the session's partitions, and ends the wait of its fetch. The session of
// nothing, nil, may be closed, too.
func (s *FetchSession) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.closed = true
	s.endWait()
	left := make([]*sessionWatch, 0, len(s.parts))
	for _, p := range s.parts {
		if p.watch != nil {
			left = append(left, p.watch)
		}
	}
	s.mu.Unlock()
	forget(left)
}

// endWait has the fetch that waits answered. Called with mu.
func (s *FetchSession) endWait() {
	if s.waiting != nil {
		s.waiting.Counted(0, true)
		s.waiting = nil
	}
}

// forget ends watches of a session that has been closed, or that their partitions have
// left. The session's mu must not be held.
func forget(left []*sessionWatch) {
	for _, w := range left {
		s := w.of.session
		s.mu.Lock()
		token := w.link
		s.mu.Unlock()
		w.on.Forget(w, token) // whoever adds it after that sees that it has ended
	}
}

// watchOf is the watch of p on a partition. Called with mu.
func (p *sessionPartition) watchOf(on *Partition) *sessionWatch {
	if p.watch == nil || p.watch.on != on {
		p.watch = &sessionWatch{of: p, on: on}
	}
	return p.watch
}

// add adds w to its partition's watchers, unless it is among them. Then it signals w
// itself if the partition has signalled since its count of signals was seen, or in any
// case with look. mu must not be held.
func (w *sessionWatch) add(seen uint64, look bool) {
	s := w.of.session
	s.mu.Lock()
	adds := !w.linked
	if adds {
		w.link++
		w.linked = true
	}
	token := w.link
	s.mu.Unlock()
	if adds {
		w.on.Watch(w, token)
	}
	s.mu.Lock()
	ended := s.closed || w.of.gone
	s.mu.Unlock()
	if look || ended || w.on.Signals() != seen {
		if w.Signal(token) {
			w.on.Forget(w, token)
		}
	}
}

// Signal implements purgatory.Watcher: the partition has something to tell.
func (w *sessionWatch) Signal(token int32) (done bool) {
	p := w.of
	s := p.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || p.gone || p.watch != w {
		done = true
	} else {
		s.note(p)
		done = s.waiting == nil || s.count(p, w.on)
	}
	if done && token == w.link { // not one that was added anew meanwhile
		w.linked = false
	}
	return done
}

// count tells the waiting fetch what can be read of p: enough bytes, an error, or a read
// position in an older segment than the end (more bytes of that segment will not come)
// end its wait. Called with mu.
func (s *FetchSession) count(p *sessionPartition, on *Partition) (done bool) {
	bytes, older, err := on.Available(&p.FetchRequest)
	more := bytes - p.counted
	p.counted = bytes
	if done = s.waiting.Counted(more, older || err != nil); done {
		s.waiting = nil
	}
	return done
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

// quiet reports whether a partition of which r was told has nothing more to tell until it
// signals.
func (r *FetchResult) quiet() bool {
	return r.AtEnd && r.Err == nil && r.Range == nil && r.Diverging == nil
}
