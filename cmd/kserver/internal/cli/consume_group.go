package cli

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// commitInterval is how often what was printed is committed, besides when partitions are given up and at the end.
const commitInterval = time.Second

// assignment is what a group has given to this member. The client changes it on goroutines of its own.
type assignment struct {
	mu     sync.Mutex
	joined bool // the group has given out its partitions at least once
	mine   map[partitionID]bool
}

type partitionID struct {
	topic     string
	partition int32
}

func (a *assignment) change(list map[string][]int32, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.joined = a.joined || mine
	for topic, partitions := range list {
		for _, partition := range partitions {
			if id := (partitionID{topic, partition}); mine {
				a.mine[id] = true
			} else {
				delete(a.mine, id)
			}
		}
	}
}

// now returns a copy of the assignment, and whether there has been one.
func (a *assignment) now() (mine map[partitionID]bool, joined bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.mine), a.joined
}

// join begins to read as a member of a group.
func (s *session) join(c consumption) (*progress, *assignment, error) {
	ctx, cancel := context.WithTimeout(s.signals, s.conn.timeout)
	defer cancel()
	if _, err := s.topics(ctx, c.topics...); err != nil {
		return nil, nil, err
	}
	a := &assignment{mine: make(map[partitionID]bool)}
	err := s.open(ctx, append(c.options(),
		kgo.ConsumerGroup(c.group), kgo.ConsumeTopics(c.topics...), kgo.ConsumeStartOffset(c.from.kgo()),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(commitInterval),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, list map[string][]int32) { a.change(list, true) }),
		kgo.OnPartitionsRevoked(func(ctx context.Context, cl *kgo.Client, list map[string][]int32) {
			if err := cl.CommitMarkedOffsets(ctx); err != nil {
				s.note("the last records printed are not committed: %v", err)
			}
			a.change(list, false)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, list map[string][]int32) { a.change(list, false) }),
	)...)
	return newProgress(c.bounded), a, err
}

// follow brings the progress up to date with what the group has given to this member since.
func (s *session) follow(c consumption, a *assignment, watched *progress) error {
	mine, joined := a.now()
	if !joined {
		return nil
	}
	watched.retain(mine)
	fresh := false
	for id := range mine {
		fresh = fresh || !watched.has(id.topic, id.partition)
	}
	if !fresh {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.signals, s.conn.timeout)
	defer cancel()
	e, err := s.extent(ctx, c.committed, c.topics...)
	if err != nil {
		return err
	}
	from, _, err := s.locate(ctx, c.from, e)
	if err != nil {
		return err
	}
	until, _, err := s.locate(ctx, c.until, e)
	if err != nil {
		return err
	}
	commits, err := s.adm.FetchOffsets(ctx, c.group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return err
	}
	for id := range mine {
		if watched.has(id.topic, id.partition) {
			continue
		}
		begin := from[id.topic][id.partition]
		if commit, ok := commits.Lookup(id.topic, id.partition); ok && commit.Err == nil && commit.At >= 0 {
			begin = commit.At
		}
		watched.add(id.topic, id.partition, begin, until[id.topic][id.partition])
	}
	return nil
}

// leave commits what was printed and gives the partitions back to the group.
func (s *session) leave() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.signals), s.conn.timeout)
	defer cancel()
	if err := s.cl.CommitMarkedOffsets(ctx); err != nil {
		return errors.Join(failf(ExitFailed, "what was printed is not committed: %w", err), s.cl.LeaveGroupContext(ctx))
	}
	return s.cl.LeaveGroupContext(ctx)
}
