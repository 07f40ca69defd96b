package purgatory

import (
	"sync"
	"sync/atomic"
)

// Watcher is woken by a partition it watches.
type Watcher interface {
	// Signal is told that what token stands for has changed. It returns true
	// when the watcher need not be told again. It runs on the signalling
	// goroutine and must not block.
	Signal(token int32) (done bool)
}

// Watchers is the set of watchers of one partition.
type Watchers struct {
	signals atomic.Uint64
	mu      sync.Mutex
	list    []watch
}

type watch struct {
	w     Watcher
	token int32
}

// Watch adds w. The caller checks its condition once more afterwards: what
// happened before Watch returned may not have been signalled.
func (s *Watchers) Watch(w Watcher, token int32) {
	s.mu.Lock()
	s.list = append(s.list, watch{w, token})
	s.mu.Unlock()
}

// Signals is how often Signal has begun. Whoever reads it before what is watched, and
// finds it the same after Watch, has missed nothing.
func (s *Watchers) Signals() uint64 { return s.signals.Load() }

// Forget removes w, which had the given token. It is a no-op when w is gone.
func (s *Watchers) Forget(w Watcher, token int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.list {
		if s.list[i] == (watch{w, token}) {
			last := len(s.list) - 1
			s.list[i] = s.list[last]
			s.list[last] = watch{}
			s.list = s.list[:last]
			return
		}
	}
}

// Signal wakes every watcher and drops those that are done. The lock is held
// meanwhile, so Watcher.Signal must not call Watch or Forget of this set.
func (s *Watchers) Signal() {
	s.signals.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.list[:0]
	for _, e := range s.list {
		if !e.w.Signal(e.token) {
			kept = append(kept, e)
		}
	}
	clear(s.list[len(kept):])
	s.list = kept
}

// Len is the number of watchers.
func (s *Watchers) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list)
}
