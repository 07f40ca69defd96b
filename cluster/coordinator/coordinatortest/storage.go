package coordinatortest

import (
	"bytes"
	"sync"

	"kserver/protocol/recordbatch"
)

// Storage is a coordinator.Storage in memory. Writes become durable at once,
// unless Hold says that they wait for Release or Lose.
type Storage struct {
	// MaxBytes is the largest batch; 0 means 1 MiB.
	MaxBytes int

	mu       sync.Mutex
	logs     map[int32]*log // guarded by mu
	held     bool           // guarded by mu
	refusal  error          // guarded by mu; for the next Append calls
	unread   error          // guarded by mu; for Replay calls
	appended int            // guarded by mu
}

type log struct {
	batches []recordbatch.Batch
	next    int64
	waiting []waiter // held writes, oldest first
}

type waiter struct {
	index int // of its batch
	done  func(error)
}

// NewStorage makes an empty one.
func NewStorage() *Storage { return &Storage{logs: make(map[int32]*log)} }

func (s *Storage) log(partition int32) *log {
	l := s.logs[partition]
	if l == nil {
		l = &log{}
		s.logs[partition] = l
	}
	return l
}

// Append implements coordinator.Storage.
func (s *Storage) Append(partition, leaderEpoch int32, batch recordbatch.Batch, done func(error)) (int64, error) {
	s.mu.Lock()
	if s.refusal != nil {
		defer s.mu.Unlock()
		return 0, s.refusal
	}
	l := s.log(partition)
	first := l.next
	batch.SetBaseOffset(first)
	batch.SetPartitionLeaderEpoch(leaderEpoch)
	l.next = batch.NextOffset()
	l.batches = append(l.batches, batch)
	s.appended++
	held := s.held
	if held {
		l.waiting = append(l.waiting, waiter{len(l.batches) - 1, done})
	}
	s.mu.Unlock()
	if !held {
		done(nil)
	}
	return first, nil
}

// Replay implements coordinator.Storage. What fn was given is overwritten after it returns, so that nobody keeps it.
func (s *Storage) Replay(partition int32, fn func(b recordbatch.Batch) error) error {
	s.mu.Lock()
	batches := append([]recordbatch.Batch(nil), s.log(partition).batches...)
	err := s.unread
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for _, b := range batches {
		lent := bytes.Clone(b)
		err := fn(lent)
		for i := range lent {
			lent[i] = 0xdb
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// MaxBatchBytes implements coordinator.Storage.
func (s *Storage) MaxBatchBytes(int32) int {
	if s.MaxBytes == 0 {
		return 1 << 20
	}
	return s.MaxBytes
}

// Hold makes further writes wait.
func (s *Storage) Hold() {
	s.mu.Lock()
	s.held = true
	s.mu.Unlock()
}

// Release makes all waiting writes, and further ones, durable.
func (s *Storage) Release() {
	s.settle(nil)
}

// Lose takes the waiting writes back out of the log and fails them with err.
// Further writes become durable at once.
func (s *Storage) Lose(err error) {
	s.settle(err)
}

func (s *Storage) settle(err error) {
	s.mu.Lock()
	s.held = false
	var waiting []waiter
	for _, l := range s.logs {
		if err != nil && len(l.waiting) > 0 {
			l.batches = l.batches[:l.waiting[0].index]
		}
		waiting = append(waiting, l.waiting...)
		l.waiting = nil
	}
	s.mu.Unlock()
	for _, w := range waiting {
		w.done(err)
	}
}

// Refuse makes Append fail with err, until called with nil.
func (s *Storage) Refuse(err error) {
	s.mu.Lock()
	s.refusal = err
	s.mu.Unlock()
}

// Unreadable makes Replay fail with err, until called with nil.
func (s *Storage) Unreadable(err error) {
	s.mu.Lock()
	s.unread = err
	s.mu.Unlock()
}

// AppendRaw appends a prepared batch, as if another broker had written it.
func (s *Storage) AppendRaw(partition int32, batch recordbatch.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.log(partition)
	batch.SetBaseOffset(l.next)
	l.next = batch.NextOffset()
	l.batches = append(l.batches, batch)
}

// Batches is what the partition's log holds.
func (s *Storage) Batches(partition int32) []recordbatch.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]recordbatch.Batch(nil), s.log(partition).batches...)
}

// Appended counts the batches ever appended.
func (s *Storage) Appended() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appended
}
