package engine

import (
	"errors"
	"fmt"
	"testing"

	"kserver/engine/vfs"
)

// newJournalWorld is a world whose workload is about the commit journal.
func newJournalWorld(t testing.TB, seed uint64) *world {
	w := newWorld(t, seed)
	w.lazyKeeper = true
	w.script = (*world).journalWorkload
	if w.journal == journalNever {
		w.journal = journalByTurns
	}
	return w
}

// journalWorkload commits several logs in most rounds, so that the journal is written, filled, flushed and used anew,
// between everything that makes a log leave it.
func (w *world) journalWorkload() error {
	tps := []TopicPartition{{"a", 0}, {"b-x", 3}, {"c", 1}}
	steps := []func() error{w.open}
	for _, tp := range tps {
		steps = append(steps, func() error { return w.create(tp) })
	}
	for i := range 30 {
		several := w.rand.IntN(4) > 0
		for at, tp := range tps {
			if !several && at > 0 {
				break
			}
			spec, wait := w.value(i), !several || at == len(tps)-1
			steps = append(steps, func() error {
				if w.model[tp].deleted {
					return nil
				}
				return w.append(tp, spec, wait)
			})
		}
		switch i {
		case 9, 20:
			steps = append(steps, func() error { return w.truncate(tps[1]) })
		case 11:
			steps = append(steps, func() error { return w.retention(tps[0]) })
		case 14, 24:
			steps = append(steps, func() error { return w.delete(tps[2]) }, func() error { return w.create(tps[2]) })
		case 17:
			steps = append(steps, func() error { return w.m.Checkpoint() })
		case 22:
			steps = append(steps, w.close, w.open)
		case 26:
			steps = append(steps, func() error { return w.delete(tps[1]) })
		case 28:
			steps = append(steps, func() error { return w.create(tps[1]) })
		}
	}
	// The last deletion is of a log that ends in the journal.
	steps = append(steps, func() error { return w.delete(tps[0]) }, w.close)
	return w.do(steps)
}

func journalCrashes(t testing.TB, seed uint64, point int) (int, error) {
	return crashEach(func() *world { return newJournalWorld(t, seed) }, seed, point)
}

func TestD1CrashWithJournal(t *testing.T) {
	point := envNumber(t, "KSERVER_CRASH_POINT", -1)
	for _, seed := range seeds(t, 4) {
		points, err := journalCrashes(t, seed, point)
		if err != nil {
			t.Fatal(fmt.Errorf("journal: %w", err))
		}
		t.Logf("seed %d: %d crash points", seed, points)
	}
}

// The workload fills the journal and uses its files again, or its crashes would say little.
func TestJournalWorkloadFillsJournal(t *testing.T) {
	var rounds, refused, flushes uint64
	for seed := range uint64(4) {
		w := newJournalWorld(t, seed)
		w.closing = func(m *LogManager) {
			s := m.Dirs()[0].Commits.Journal
			rounds, refused, flushes = rounds+s.Rounds, refused+s.Refused, flushes+s.Flushes
		}
		w.fault = vfs.NewFault(vfs.NewMem())
		if err := w.journalWorkload(); err != nil && !errors.Is(err, errStopped) {
			t.Fatal(err)
		}
	}
	t.Logf("%d rounds, %d refused, %d flushes", rounds, refused, flushes)
	if rounds < 40 || refused == 0 || flushes < 8 {
		t.Error("the journal was not used enough")
	}
}
