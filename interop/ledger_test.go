package interop

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// ledger is what all members of a group wrote down: who owns a partition now, what was delivered.
// A member enters an assignment before it fetches and a revocation before it gives the
// partitions up, so two owners at one moment mean that the coordinator handed a partition out
// twice. Safe for concurrent use.
type ledger struct {
	mu         sync.Mutex
	owners     map[int32]string
	generation map[string]int32 // last known, by member
	changes    map[string]int   // assignments and revocations that named partitions, by member
	seen       map[int32]map[int64]int
	total      int
	wrong      []string
	notes      []string
}

func newLedger() *ledger {
	return &ledger{
		owners:     make(map[int32]string),
		generation: make(map[string]int32),
		changes:    make(map[string]int),
		seen:       make(map[int32]map[int64]int),
	}
}

// assigned enters partitions a member got; generation is -1 when its library does not tell.
func (l *ledger) assigned(member string, generation int32, partitions []int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.generation[member] = generation
	if len(partitions) > 0 {
		l.changes[member]++
	}
	for _, p := range partitions {
		if owner, taken := l.owners[p]; taken && owner != member {
			l.wrong = append(l.wrong, fmt.Sprintf("partition %d given to %s (generation %d) while %s owns it", p, member, generation, owner))
		}
		l.owners[p] = member
	}
}

func (l *ledger) revoked(member string, partitions []int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(partitions) > 0 {
		l.changes[member]++
	}
	for _, p := range partitions {
		if l.owners[p] == member {
			delete(l.owners, p)
		}
	}
}

func (l *ledger) delivered(member string, partition int32, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owners[partition] != member {
		l.wrong = append(l.wrong, fmt.Sprintf("%s got offset %d of partition %d, which %q owns", member, offset, partition, l.owners[partition]))
	}
	offsets := l.seen[partition]
	if offsets == nil {
		offsets = make(map[int64]int)
		l.seen[partition] = offsets
	}
	if offsets[offset]++; offsets[offset] == 1 {
		l.total++
	}
}

// complain enters something that must not happen; note something that may.
func (l *ledger) complain(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

func (l *ledger) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// awaitOwners waits until exactly these members share all partitions and nobody is idle.
func (l *ledger) awaitOwners(t *testing.T, partitions int, members ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%v to own %d partitions", members, partitions), func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		counts := make(map[string]int)
		for _, owner := range l.owners {
			counts[owner]++
		}
		for _, m := range members {
			if counts[m] == 0 {
				return fmt.Errorf("%s owns nothing: %v, notes %v", m, l.owners, l.notes)
			}
		}
		if len(counts) != len(members) || len(l.owners) != partitions {
			return fmt.Errorf("owners %v, notes %v", l.owners, l.notes)
		}
		return nil
	})
}

// awaitDelivered waits until total distinct records have been delivered.
func (l *ledger) awaitDelivered(t *testing.T, total int) {
	t.Helper()
	eventually(t, "delivery", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.total < total {
			return fmt.Errorf("%d records of %d, owners %v, notes %v", l.total, total, l.owners, l.notes)
		}
		return nil
	})
}

// changesOf counts the assignments and revocations a member has seen.
func (l *ledger) changesOf(member string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes[member]
}

func (l *ledger) generationOf(member string) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generation[member]
}

// repeats counts deliveries beyond the first of each record.
func (l *ledger) repeats() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	repeated := 0
	for _, offsets := range l.seen {
		for _, n := range offsets {
			repeated += n - 1
		}
	}
	return repeated
}

// check fails the test for everything that was complained about.
func (l *ledger) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.wrong)
	for i, w := range slices.Compact(l.wrong) {
		if i == 10 {
			t.Error("... and more")
			break
		}
		t.Error(w)
	}
	if t.Failed() {
		t.Logf("notes: %v", l.notes)
	}
}
