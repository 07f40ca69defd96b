package interop

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const groupPartitions = 6

// stream produces small records round robin over all partitions of a topic until stopped.
type stream struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	acked int
	err   error
}

// newStream starts a stream; the topic must have groupPartitions partitions.
func newStream(t *testing.T, addr, topic string) *stream {
	t.Helper()
	client := newKgoAt(t, addr, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for n := 0; ctx.Err() == nil; n++ {
			// The batch in flight at the end is awaited: the promise's context never ends.
			result := client.ProduceSync(context.Background(), &kgo.Record{Partition: int32(n % groupPartitions), Value: fmt.Appendf(nil, "%d", n)})
			s.mu.Lock()
			if s.err = result.FirstErr(); s.err == nil {
				s.acked++
			}
			failed := s.err != nil
			s.mu.Unlock()
			if failed {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Millisecond): // some 500 records a second are enough
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-s.done })
	return s
}

// stop ends the stream and returns the number of acknowledged records.
func (s *stream) stop(t *testing.T) int {
	t.Helper()
	s.cancel()
	<-s.done
	if s.err != nil {
		t.Fatalf("stream: %v", s.err)
	}
	return s.acked
}

// ackedSoFar is the number of records acknowledged until now.
func (s *stream) ackedSoFar() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

// TestGroupRebalance lets members of one library join and leave under load, for every assignor:
// every record is delivered, exactly once because members commit when they give partitions up, and
// no partition has two owners.
func TestGroupRebalance(t *testing.T) {
	eachLibrary(t, func(t *testing.T, l library) {
		for _, strategy := range l.strategies {
			t.Run(strategy, func(t *testing.T) {
				t.Parallel()
				rebalanceScenario(t, strategy, []library{l, l, l, l})
			})
		}
	})
}

// TestGroupOfTwoLibraries is the same with members of both libraries in one group.
func TestGroupOfTwoLibraries(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"range", "roundrobin"} {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()
			rebalanceScenario(t, strategy, []library{franz, librdkafka, franz, librdkafka})
		})
	}
}

func rebalanceScenario(t *testing.T, strategy string, libs []library) {
	topic := newTopic(t, groupPartitions)
	group := uniqueName(t)
	book := newLedger()
	load := newStream(t, suite.endpoint, topic)
	join := func(n int) member {
		name := fmt.Sprintf("member-%d", n)
		return libs[n].join(t, memberOptions{group: group, topic: topic, strategy: strategy, ledger: book, name: name})
	}
	one := join(0)
	book.awaitOwners(t, groupPartitions, "member-0")
	two := join(1)
	book.awaitOwners(t, groupPartitions, "member-0", "member-1")
	three := join(2)
	book.awaitOwners(t, groupPartitions, "member-0", "member-1", "member-2")
	book.awaitDelivered(t, load.ackedSoFar())
	one.close() // the leader goes
	book.awaitOwners(t, groupPartitions, "member-1", "member-2")
	four := join(3)
	book.awaitOwners(t, groupPartitions, "member-1", "member-2", "member-3")
	two.close()
	three.close()
	book.awaitOwners(t, groupPartitions, "member-3")
	total := load.stop(t)
	book.awaitDelivered(t, total)
	four.close()
	book.check(t)
	if n := book.repeats(); n > 0 {
		t.Errorf("%d records of %d were delivered again although members committed before giving partitions up", n, total)
	}
	wantCommitted(t, group, topic, total)
}

// wantCommitted checks that the group's committed offsets sum up to total.
func wantCommitted(t *testing.T, group, topic string, total int) {
	t.Helper()
	offsets, err := newAdmin(t).FetchOffsets(testContext(t), group)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, o := range offsets[topic] {
		sum += o.At
	}
	if sum != int64(total) {
		t.Errorf("committed offsets sum up to %d, want %d", sum, total)
	}
}

// TestStaticMembers restarts static members, the group's leader among them, and adds that the others
// see no rebalance: they keep their partitions without a single call of the rebalance callbacks
// (KIP-345), and the restarted one gets the partitions it had.
func TestStaticMembers(t *testing.T) {
	eachLibrary(t, func(t *testing.T, l library) {
		topic := newTopic(t, groupPartitions)
		group := uniqueName(t)
		load := newStream(t, suite.endpoint, topic)
		book := newLedger()
		names := []string{"static-a", "static-b", "static-c"}
		members := make([]member, len(names))
		join := func(i int) {
			members[i] = l.join(t, memberOptions{
				group: group, topic: topic, strategy: "range", ledger: book, name: names[i], instance: names[i],
			})
		}
		for i := range names {
			join(i)
		}
		book.awaitOwners(t, groupPartitions, names...)
		awaitGroupState(t, group, "Stable")
		for restarted := range names {
			owned := book.ownedBy(names[restarted])
			before := make([]int, len(names))
			for i, name := range names {
				before[i] = book.changesOf(name)
			}
			generation := book.generationOf(names[restarted])
			members[restarted].close()
			join(restarted)
			book.awaitOwners(t, groupPartitions, names...)
			if again := book.ownedBy(names[restarted]); !slices.Equal(owned, again) {
				t.Errorf("%s had %v and got %v after its restart", names[restarted], owned, again)
			}
			for i, name := range names {
				if i != restarted && book.changesOf(name) != before[i] {
					t.Errorf("restart of %s: %s saw %d rebalances", names[restarted], name, book.changesOf(name)-before[i])
				}
			}
			if now := book.generationOf(names[restarted]); now != generation {
				t.Errorf("restart of %s: generation went from %d to %d", names[restarted], generation, now)
			}
			book.awaitDelivered(t, load.ackedSoFar())
		}
		book.awaitDelivered(t, load.stop(t))
		for _, m := range members {
			m.close()
		}
		book.check(t)
	})
}

// ownedBy lists a member's partitions in order.
func (l *ledger) ownedBy(member string) []int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var owned []int32
	for p, owner := range l.owners {
		if owner == member {
			owned = append(owned, p)
		}
	}
	slices.Sort(owned)
	return owned
}

// awaitGroupState polls DescribeGroups.
func awaitGroupState(t *testing.T, group, state string) {
	t.Helper()
	admin := newAdmin(t)
	eventually(t, "group "+group, func() error {
		described, err := admin.DescribeGroups(testContext(t), group)
		if err != nil {
			return err
		}
		if got := described[group]; got.Err != nil || got.State != state {
			return fmt.Errorf("state %s (%v), want %s", got.State, got.Err, state)
		}
		return nil
	})
}
